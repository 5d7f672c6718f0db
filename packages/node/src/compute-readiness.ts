// SPDX-License-Identifier: Apache-2.0

/** What is wrong with the runtime, as shown to people; undefined where nothing is. */
export interface Readiness {
  readonly runtime: string | undefined;
  readonly network: string | undefined;
}

/** What is known when readiness is computed. Times are monotonic milliseconds. */
export interface ReadinessFacts {
  readonly now: number;
  /** When Status last said RuntimeReady; undefined before the first time. */
  readonly lastGoodAt: number | undefined;
  readonly runtimeCondition: ConditionFact | undefined;
  readonly networkCondition: ConditionFact | undefined;
  /** Why the last Status call failed, if it did. */
  readonly callProblem: string | undefined;
}

/** One condition of the runtime's Status. */
export interface ConditionFact {
  readonly status: boolean;
  readonly reason: string;
  readonly message: string;
}

/** A Status older than this says nothing any more. kubelet: runtimeState.baseRuntimeSyncThreshold. */
export const READINESS_STALE_MS = 30_000;

/** kubelet: runtimeState.runtimeErrors and networkErrors, section 10 of the facts. */
export function computeReadiness(facts: ReadinessFacts): Readiness {
  return { runtime: runtimeProblem(facts), network: networkProblem(facts) };
}

function runtimeProblem(facts: ReadinessFacts): string | undefined {
  const why = facts.callProblem === undefined ? "" : `: ${facts.callProblem}`;
  if (facts.runtimeCondition?.status === false)
    return `container runtime not ready: ${conditionText(facts.runtimeCondition)}`;
  if (facts.lastGoodAt === undefined)
    return `container runtime status check may not have completed yet${why}`;
  return facts.now - facts.lastGoodAt > READINESS_STALE_MS ? `container runtime is down${why}` : undefined;
}

function networkProblem(facts: ReadinessFacts): string | undefined {
  if (facts.networkCondition === undefined) return "container runtime network not ready: state unknown";
  return facts.networkCondition.status
    ? undefined
    : `container runtime network not ready: ${conditionText(facts.networkCondition)}`;
}

function conditionText(condition: ConditionFact): string {
  return `reason:${condition.reason} message:${condition.message}`;
}
