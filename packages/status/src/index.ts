// SPDX-License-Identifier: Apache-2.0

export { StatusManager } from "./status-manager.ts";
export type { StatusManagerOptions, VersionedPodStatus } from "./status-manager.ts";
export { PodStatusChanged } from "./events.ts";
export type { PodStatusChange } from "./events.ts";
export { apiStatus, generateApiPodStatus, sortPodIps } from "./compute-pod-status.ts";
export type { GeneratedPodStatus, PodStatusInput } from "./compute-pod-status.ts";
export {
  computePodPhase,
  hasAnyActiveRegularContainer,
  isStaticPod,
  isTerminalPhase,
} from "./compute-pod-phase.ts";
export type { PodPhaseFacts } from "./compute-pod-phase.ts";
export {
  computeContainerStatuses,
  LOST_EXIT_CODE,
  shouldContainerBeRestarted,
  wouldRestart,
} from "./compute-container-statuses.ts";
export type { ContainerStatusesInput, ContainerStatusLists } from "./compute-container-statuses.ts";
export { computePodConditions, hasUsableSandbox } from "./compute-pod-conditions.ts";
export { computeConditionTimes, computeLegalStatuses } from "./compute-transitions.ts";
export type { LegalStatuses } from "./compute-transitions.ts";
export {
  equalPodStatus,
  MAX_TERMINATION_MESSAGES_BYTES,
  normalizePodStatus,
} from "./normalize-pod-status.ts";
export { podPrinterColumns } from "./compute-printer-columns.ts";
export type { PodPrinterColumns } from "./compute-printer-columns.ts";
export { formatTime, parseTime } from "./status-time.ts";
export type {
  PodStatusOptions,
  PodStatusPort,
  ProbeVerdicts,
  StatusCheckpoint,
  WaitingReason,
} from "./ports.ts";
