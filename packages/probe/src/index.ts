// SPDX-License-Identifier: Apache-2.0

export { ProbeManager } from "./probe-manager.ts";
export type { ProbeManagerOptions } from "./options.ts";
export { ProbeResultChanged, ProbeTimingRefused, ProbeUnhealthy } from "./events.ts";
export type { ProbeResultChange, ProbeUnhealthyData } from "./events.ts";
export type { ProbeSnapshot } from "./snapshot.ts";
export type {
  HandlerRun,
  KnownContainerStatus,
  KnownPodStatus,
  ProbeCheckpoint,
  ProbeHandlers,
  ProbeProcesses,
  ProbeRuntime,
  ProbeTarget,
  SocketProbeRequest,
} from "./ports.ts";
export type { ProbedRecord } from "./compute-step.ts";
export type { ProbeOutcome, ProberErrorWhy, ProbeVerdict } from "./outcome.ts";
export type { ProbeKind } from "./probe-spec.ts";

// For other packages and tests: the decisions by themselves.
export { buildHttpRequest } from "./http-request.ts";
export type { HttpRequest } from "./http-request.ts";
export { buildProbeRequest } from "./build-probe-request.ts";
export type { ProbeRequest, ProbeRequestFacts } from "./build-probe-request.ts";
export { computeRedirect } from "./compute-redirect.ts";
export type { Redirect } from "./compute-redirect.ts";
export { computeStep } from "./compute-step.ts";
export type { Step, StepFacts } from "./compute-step.ts";
export { computeFirstState, computeVerdict, UNKNOWN_STATE } from "./compute-verdict.ts";
export type { AdoptionFacts, ProbeState } from "./compute-verdict.ts";
export { ExecProber } from "./exec-prober.ts";
export type { ExecProbeRequest, ExecProberOptions } from "./exec-prober.ts";
export { expandProbeCommand } from "./expand-command.ts";
export { HttpResponseReader } from "./http-response.ts";
export type { ResponseProblem } from "./http-response.ts";
export { eventOf, verdictOf } from "./outcome.ts";
export { parseProbeTimings, timingFor } from "./parse-probe-timing.ts";
export type { ProbeTiming, ProbeTimings } from "./parse-probe-timing.ts";
export { PlaceGate } from "./place-gate.ts";
export type { PlaceHolder } from "./place-gate.ts";
export { resolveProbe } from "./probe-spec.ts";
export type { ProbeSpec } from "./probe-spec.ts";
export { resolvePort } from "./resolve-port.ts";
export { TimerHeap } from "./timer-heap.ts";
export type { TimerEntry } from "./timer-heap.ts";
