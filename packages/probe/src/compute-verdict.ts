// SPDX-License-Identifier: Apache-2.0

/** Thresholds, and what is believed of a container before the first probe. Pure. kubelet: worker.doProbe after the probe. */
import type { ProbeVerdict } from "./outcome.ts";
import type { ProbeKind, ProbeSpec } from "./probe-spec.ts";

/** What a worker remembers of one container instance. */
export interface ProbeState {
  /** What others see; undefined: not known. */
  readonly verdict: ProbeVerdict | undefined;
  /** The last probe's own result. */
  readonly last: ProbeVerdict | undefined;
  /** How many probes in a row ended like `last`; it stops at the threshold. */
  readonly run: number;
  readonly onHold: boolean;
}

/** Nothing was seen yet. */
export const UNKNOWN_STATE: ProbeState = { verdict: undefined, last: undefined, run: 0, onHold: false };

/** The state after one more result. The same object when nothing changed. */
export function computeVerdict(
  state: ProbeState,
  result: ProbeVerdict,
  kind: ProbeKind,
  spec: Pick<ProbeSpec, "successThreshold" | "failureThreshold">,
): ProbeState {
  const threshold = result === "success" ? spec.successThreshold : spec.failureThreshold;
  if (state.verdict === result && state.last === result && state.run >= threshold) return state;
  const run = state.last === result ? state.run + 1 : 1;
  if (run < threshold) return { ...state, last: result, run };
  const hold = kind === "startup" || (kind === "liveness" && result === "failure");
  return { verdict: result, last: result, run: hold ? 0 : run, onHold: hold };
}

/** What {@link computeFirstState} reads. */
export interface AdoptionFacts {
  readonly kind: ProbeKind;
  /** What was kept of this very container by an earlier process. */
  readonly restored: ProbeState | undefined;
  /** It ran for more than 10 s already when the manager was made. */
  readonly ranBefore: boolean;
  /** A sidecar whose status says that it has started. */
  readonly startedSidecar: boolean;
  readonly failureThreshold: number;
}

/** How long before us a container must have started for its state to be unknown rather than fresh. kubelet: containerStartedBeforeKubelet. */
export const RAN_BEFORE_MS = 10_000;

/**
 * What is believed of a container that is seen for the first time: what was kept; else, if it ran before us, nothing: a verdict is never
 * invented; else the kubelet's seeds. kubelet: the initial values in worker.doProbe.
 */
export function computeFirstState(facts: AdoptionFacts): ProbeState {
  const { kind, restored, ranBefore, startedSidecar } = facts;
  if (restored !== undefined) return isDeadly(kind, restored.verdict) ? askOnceMore(facts) : restored;
  if (ranBefore) {
    const seeded = kind === "startup" && startedSidecar;
    return seeded ? { ...UNKNOWN_STATE, verdict: "success" } : UNKNOWN_STATE;
  }
  if (kind === "readiness") return { ...UNKNOWN_STATE, verdict: "failure" };
  return kind === "liveness" ? { ...UNKNOWN_STATE, verdict: "success" } : UNKNOWN_STATE;
}

/** Whether a container is killed for this verdict. */
export function isDeadly(kind: ProbeKind, verdict: ProbeVerdict | undefined): boolean {
  return kind !== "readiness" && verdict === "failure";
}

/** Nothing is killed for what was found before a restart, however long ago: one more failure, and it is. */
function askOnceMore({ failureThreshold }: AdoptionFacts): ProbeState {
  return { verdict: undefined, last: "failure", run: failureThreshold - 1, onHold: false };
}
