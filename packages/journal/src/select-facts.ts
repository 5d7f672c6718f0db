// SPDX-License-Identifier: Apache-2.0

/** Pure: which of the facts bear on one end of one container. */
import type { FactAt } from "./facts.ts";
import type { TerminationFacts } from "./termination.ts";

type Of<Kind extends FactAt["kind"]> = FactAt & { readonly kind: Kind };

/** What bears on one end. All of it is of this container's life, but for what says so. */
export interface SelectedFacts {
  /** The start of this life. */
  readonly started: Of<"started"> | Of<"starting"> | undefined;
  /** The stop that worked, or was under way. */
  readonly kill: Of<"kill"> | undefined;
  /** Why its pod was taken down. */
  readonly podEnding: Of<"podEnding"> | undefined;
  readonly podRemoved: Of<"podRemoved"> | undefined;
  /** A pod of the same name and another UID took its place. */
  readonly replacedBy: Of<"podAdded"> | undefined;
  readonly specChanged: Of<"specChanged"> | undefined;
  /** Of this container, also those that were told of after its end. */
  readonly ooms: readonly Of<"oom">[];
  /** Of the machine, without a container's name. */
  readonly nodeOoms: readonly Of<"oom">[];
  /** Failures of its probes, newest first. */
  readonly probes: readonly Of<"probe">[];
  readonly eviction: Of<"eviction"> | undefined;
  readonly devices: readonly Of<"deviceLost">[];
  /** The machine was booted during this life. */
  readonly reboot: Of<"reboot"> | undefined;
  /** The runtime was not ready and had not come back. */
  readonly runtimeDown: Of<"runtimeDown"> | undefined;
  readonly hookFailed: Of<"hookFailed"> | undefined;
  readonly sandboxDied: Of<"sandboxDied"> | undefined;
  readonly restartCount: number | undefined;
}

/** Chooses. */
export function selectFacts(known: TerminationFacts): SelectedFacts {
  const { podUid, pod, container, containerId, died, facts } = known;
  const isOwn = ({ subject }: FactAt): boolean =>
    subject.containerId === containerId ||
    (subject.containerId === undefined && subject.container === container && subject.podUid === podUid);
  const ofPod = ({ subject }: FactAt): boolean =>
    subject.podUid === podUid && (subject.container ?? "") === "";
  const own = facts.filter(isOwn);
  const starts = own.filter(
    (fact): fact is Of<"started"> | Of<"starting"> =>
      (fact.kind === "started" || fact.kind === "starting") && fact.subject.containerId === containerId,
  );
  // A container has one life. The runtime's word of its start may come late, also behind our intent to stop it: the first word counts.
  const ofLife = starts.filter(({ seq }) => seq < died.seq);
  const born = ofLife[0]?.seq ?? 0;
  const started = ofLife.find(({ kind }) => kind === "started") ?? ofLife[0];
  // Looked through many times: a life is short, and all that is known is not.
  const life = facts.filter(({ seq }) => seq > born && seq < died.seq);
  // Of the pod nothing that was before this life; a start that nobody wrote down does not hide anything.
  const last = <Kind extends FactAt["kind"]>(
    kind: Kind,
    belongs: (fact: FactAt) => boolean,
  ): Of<Kind> | undefined => life.findLast((fact): fact is Of<Kind> => fact.kind === kind && belongs(fact));
  const podEnding = last("podEnding", ofPod);
  const podRemoved = last("podRemoved", ofPod);
  const replacement = last(
    "podAdded",
    ({ subject }) => pod !== "" && subject.pod === pod && subject.podUid !== podUid,
  );
  const runtime = life.findLast(isRuntimeFact);
  const ooms = facts.filter((fact): fact is Of<"oom"> => fact.kind === "oom");
  return {
    started,
    kill: decisiveKill(life.filter((fact) => isOwn(fact) || ofPod(fact))),
    podEnding,
    podRemoved,
    replacedBy: podEnding === undefined && podRemoved === undefined ? undefined : replacement,
    specChanged: last("specChanged", ofPod),
    ooms: ooms.filter(({ subject }) => subject.containerId === containerId),
    nodeOoms: ooms.filter(({ scope, subject }) => scope === "node" && subject.containerId === undefined),
    probes: life
      .filter((fact): fact is Of<"probe"> => fact.kind === "probe" && !fact.healthy && isOwn(fact))
      .toReversed(),
    eviction: last("eviction", (fact) => fact.subject.podUid === podUid),
    devices: life.filter(
      (fact): fact is Of<"deviceLost"> => fact.kind === "deviceLost" && (isOwn(fact) || ofPod(fact)),
    ),
    reboot: last("reboot", (fact) => started !== undefined || wasAlive(known, fact)),
    runtimeDown: runtime?.kind === "runtimeDown" ? runtime : undefined,
    hookFailed: last("hookFailed", isOwn),
    sandboxDied: last("sandboxDied", (fact) => fact.subject.podUid === podUid),
    restartCount: starts.findLast(({ restartCount }) => restartCount !== undefined)?.restartCount,
  };
}

/** When no start is written down, the runtime's word on it must do. */
function wasAlive({ record }: TerminationFacts, { at }: FactAt): boolean {
  return record === undefined || record.startedAt <= at;
}

function isRuntimeFact({ kind }: FactAt): boolean {
  return kind === "runtimeDown" || kind === "runtimeUp";
}

/** The first intent after the last stop that failed: a stop that is repeated while the first one works changes nothing. */
function decisiveKill(facts: readonly FactAt[]): Of<"kill"> | undefined {
  const kills = facts.filter((fact): fact is Of<"kill"> => fact.kind === "kill");
  const failed = facts.findLast((fact) => fact.kind === "killed" && fact.error !== "");
  return kills.find(({ seq }) => failed === undefined || seq > failed.seq) ?? kills.at(-1);
}

/** Whether no agent began between two events: only then can monotonic times be subtracted. */
export function isSameRun(facts: readonly FactAt[], one: number, other: number): boolean {
  const [first, second] = one < other ? [one, other] : [other, one];
  return !facts.some(({ kind, seq }) => kind === "agentStarted" && seq > first && seq <= second);
}
