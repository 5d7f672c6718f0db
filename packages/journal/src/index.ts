// SPDX-License-Identifier: Apache-2.0

export { Journal } from "./journal.ts";
export type { JournalOptions } from "./options.ts";
export { JOURNAL_MIGRATIONS } from "./migrations.ts";
export type { JournalMigration } from "./migrations.ts";
export { lastJournalSeq } from "./last-seq.ts";
export { GAP_TYPE, JournalStarted, NodeRebooted } from "./events.ts";
export type { JournalStartedData } from "./events.ts";
export { matchesFilter, matchesType } from "./journal-event.ts";
export type { EventFilter, EventQuery, JournalEvent } from "./journal-event.ts";
export type {
  JournalDatabase,
  JournalStatement,
  LogOwner,
  LogPosition,
  LogTails,
  PodSpecs,
  RuntimeRecords,
  SqlValue,
} from "./ports.ts";
export type { TerminationQuery } from "./ledger-table.ts";
export type {
  Cause,
  CauseClass,
  Evidence,
  RuntimeEnd,
  Termination,
  TerminationFacts,
} from "./termination.ts";
export { computeCause } from "./compute-cause.ts";
export { computeTermination } from "./compute-termination.ts";
export type { Fact, FactAt, FactKind, ProbeKind } from "./facts.ts";
export { readFact } from "./read-facts.ts";
export type { FactReader } from "./read-facts.ts";
export { isSentSignal, signalOfExitCode } from "./exit-signal.ts";
export { computeSpecDiff } from "./compute-spec-diff.ts";
export { DEFAULT_RULES, redactedJson } from "./redact.ts";
export type { RedactionRule, RedactionSettings } from "./redact.ts";
export { REDACTED, scrubText } from "./scrub-text.ts";
export { computeKubeEvent } from "./kube-event.ts";
export type { InvolvedObject, KubeEvent, KubeEventFacts } from "./kube-event.ts";
export { aggregateKubeEvents, EventCorrelator } from "./event-correlator.ts";
export type { Chapter, Story } from "./story.ts";
export { CAUSE_WORDS, tellPod } from "./tell-pod.ts";
export type { PodHistory } from "./tell-pod.ts";
export { tellImage, tellNode } from "./tell-node.ts";
export { formatStory } from "./format-story.ts";
export type { StoryFormat } from "./format-story.ts";
export { computeTrim } from "./compute-trim.ts";
export type { JournalExtent, JournalLimits } from "./compute-trim.ts";
