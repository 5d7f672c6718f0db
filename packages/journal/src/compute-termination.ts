// SPDX-License-Identifier: Apache-2.0

/** Pure: a row of the ledger from what is known of an end. */
import { computeCause } from "./compute-cause.ts";
import { signalOfExitCode } from "./exit-signal.ts";
import type { FactAt } from "./facts.ts";
import { isSameRun, selectFacts } from "./select-facts.ts";
import type { Termination, TerminationFacts } from "./termination.ts";

/** How many events of the chain are kept. */
const MAX_CHAIN = 16;

/** The row. `log` is what an earlier row of the same end had. */
export function computeTermination(known: TerminationFacts, log?: Termination["log"]): Termination {
  const { died, record, podUid, pod, container, containerId } = known;
  const selected = selectFacts(known);
  const cause = computeCause(known, selected);
  const exitCode = record?.exitCode ?? died.exitCode;
  const signal = signalOfExitCode(exitCode);
  const restartCount = record?.restartCount ?? selected.restartCount;
  const ranMs = ranFor(known, selected.started);
  return {
    seq: died.seq,
    at: record !== undefined && record.finishedAt > 0 ? Math.round(record.finishedAt) : died.at,
    pod,
    podUid,
    container,
    containerId,
    ...cause,
    chain: chainOf(
      known,
      cause.evidence.flatMap(({ seq }) => (seq === undefined ? [] : [seq])),
    ),
    ...(restartCount === undefined ? {} : { restartCount }),
    ...(exitCode === undefined ? {} : { exitCode }),
    ...(signal === undefined ? {} : { signal }),
    ...(record === undefined || record.reason === "" ? {} : { reason: record.reason }),
    ...(ranMs === undefined ? {} : { ranMs }),
    ...(log === undefined ? {} : { log }),
  };
}

/** By the runtime's two times, which one clock wrote; else by ours, of one run. Never negative. */
function ranFor({ record, died, facts }: TerminationFacts, started: FactAt | undefined): number | undefined {
  if (record !== undefined && record.startedAt > 0 && record.finishedAt > 0)
    return Math.max(Math.round(record.finishedAt - record.startedAt), 0);
  if (started === undefined || !isSameRun(facts, started.seq, died.seq)) return undefined;
  return Math.max(Math.round(died.monotonic - started.monotonic), 0);
}

/** The evidence and what led to it, newest first, as far back as the facts go. */
function chainOf({ died, facts }: TerminationFacts, evidence: readonly number[]): readonly number[] {
  const bySeq = new Map(facts.map((fact) => [fact.seq, fact]));
  const chain = new Set<number>();
  const open = [...died.causes, ...evidence];
  for (let seq = open.shift(); seq !== undefined && chain.size < MAX_CHAIN; seq = open.shift()) {
    if (chain.has(seq)) continue;
    chain.add(seq);
    open.push(...(bySeq.get(seq)?.causes ?? []));
  }
  chain.delete(died.seq);
  return [...chain].sort((a, b) => b - a);
}
