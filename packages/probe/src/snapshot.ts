// SPDX-License-Identifier: Apache-2.0

import type { ProbeVerdict } from "./outcome.ts";
import type { ProbeKind } from "./probe-spec.ts";
import type { ProbeWorker } from "./probe-worker.ts";

/** One probe as it stands. Ages in milliseconds. */
export interface ProbeSnapshot {
  readonly podUid: string;
  readonly container: string;
  readonly kind: ProbeKind;
  /** Undefined before the container was seen. */
  readonly containerId: string | undefined;
  readonly verdict: ProbeVerdict | undefined;
  /** For how long it holds; after a restart, since the probe that it rests on. */
  readonly verdictAgeMs: number;
  /** Since the last probe that said something about the target; undefined when there was none. */
  readonly probedAgeMs: number | undefined;
  /** The verdict is an earlier process's; nothing was asked since. */
  readonly restored: boolean;
  /** Probes in a row that ended alike, up to the threshold. */
  readonly run: number;
  readonly onHold: boolean;
  /** What the last probe that was no success came to; "" when there was none. */
  readonly lastProblem: string;
  readonly successful: number;
  readonly failed: number;
  /** Probes that were thrown away because they said nothing about the target. */
  readonly proberErrors: number;
  /** How long the last probe took, its repeats included; undefined before the first. */
  readonly lastTookMs: number | undefined;
  /** How long all of them took together: what the target costs us, and we it. */
  readonly tookMs: number;
  readonly periodMs: number;
}

/** Reads a worker. */
export function snapshotOf(worker: ProbeWorker, now: number): ProbeSnapshot {
  const { counts, state, probedAt, spec } = worker;
  return {
    podUid: worker.podUid,
    container: worker.containerName,
    kind: worker.kind,
    containerId: worker.containerId,
    verdict: state.verdict,
    verdictAgeMs: now - worker.verdictSince,
    probedAgeMs: probedAt === undefined ? undefined : now - probedAt,
    restored: worker.restored,
    run: state.run,
    onHold: state.onHold,
    lastProblem: worker.lastProblem,
    successful: counts.successful,
    failed: counts.failed,
    proberErrors: counts.errors,
    lastTookMs: counts.made === 0 ? undefined : counts.lastTookMs,
    tookMs: counts.tookMs,
    periodMs: spec.periodMs,
  };
}
