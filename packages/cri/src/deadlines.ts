// SPDX-License-Identifier: Apache-2.0
//
// How long each call may take. Pure. kubelet: cri-client/pkg/remote_runtime.go; where the kubelet waits for ever
// (pulls, exec without a timeout) Holdfast does not (DESIGN.md, "Calls").

/** Deadlines in milliseconds. */
export interface CriDeadlines {
  /** For every call not named otherwise; RunPodSandbox has twice as much. Default 2 min. kubelet: runtimeRequestTimeout. */
  readonly runtimeRequestTimeoutMs: number;
  /** PullImage. Default 30 min; the kubelet has none. */
  readonly imagePullMs: number;
  /** ExecSync whose request has no timeout of its own (hooks). Default 10 min; the kubelet has none. */
  readonly execWithoutTimeoutMs: number;
}

/** The defaults of {@link CriDeadlines}. */
export const DEFAULT_DEADLINES: CriDeadlines = {
  runtimeRequestTimeoutMs: 2 * 60_000,
  imagePullMs: 30 * 60_000,
  execWithoutTimeoutMs: 10 * 60_000,
};

/** No call is allowed more, whatever its request says. */
export const MAX_DEADLINE_MS: number = 24 * 3_600_000;

/** A timeout as a request carries it: whole seconds. */
export type Seconds = bigint | number | string | undefined;

/** Computes a call's deadline from its request. */
export type DeadlineRule<Request> = (request: Request, deadlines: CriDeadlines) => number;

export const requestTimeout = (_request: unknown, deadlines: CriDeadlines): number =>
  deadlines.runtimeRequestTimeoutMs;

export const sandboxStart = (_request: unknown, deadlines: CriDeadlines): number =>
  2 * deadlines.runtimeRequestTimeoutMs;

export const imagePull = (_request: unknown, deadlines: CriDeadlines): number => deadlines.imagePullMs;

/** StopContainer, CheckpointContainer: what the runtime was allowed, and the usual time on top. */
export const allowedThenTimeout = (request: { timeout?: Seconds }, deadlines: CriDeadlines): number =>
  clampDeadline(toMs(request.timeout) + deadlines.runtimeRequestTimeoutMs);

/** ExecSync: as above, but a timeout of 0 means that the command may take as long as it likes. */
export const execTimeout = (request: { timeout?: Seconds }, deadlines: CriDeadlines): number => {
  const allowed = toMs(request.timeout);
  return allowed === 0
    ? deadlines.execWithoutTimeoutMs
    : clampDeadline(allowed + deadlines.runtimeRequestTimeoutMs);
};

/** An event stream lives until its signal. */
export const endless = (): number => Number.POSITIVE_INFINITY;

/** Brings a deadline into [0, 24 h]. */
export function clampDeadline(ms: number): number {
  return Number.isNaN(ms) ? 0 : Math.min(Math.max(ms, 0), MAX_DEADLINE_MS);
}

function toMs(seconds: Seconds): number {
  return Math.max(Number(seconds ?? 0), 0) * 1000;
}
