// SPDX-License-Identifier: Apache-2.0

export { StatusManager } from "./status-manager.ts";
export type { StatusManagerOptions, StatusObserver } from "./status-manager.ts";
export type { VersionedPodStatus } from "./status-entries.ts";
export {
  HostIPsIPFamilyMismatch,
  PodCordonChanged,
  PodResizeCompleted,
  PodStatusChanged,
  StatusSinkChanged,
} from "./events.ts";
export type {
  HostIpMismatch,
  PodCordonChange,
  PodResize,
  PodStatusChange,
  StatusSinkChange,
} from "./events.ts";
export { findCondition } from "./api-types.ts";
export type {
  AllocatedResourceStatus,
  ApiContainer,
  ApiContainerStatus,
  ApiObjectMeta,
  ApiPod,
  ApiPodSpec,
  ApiPodStatus,
  ContainerRestartRule,
  VolumeMountStatus,
} from "./api-types.ts";
export {
  computeReadinessHold,
  computeReadyCondition,
  isUnreadyWhenTerminating,
  needsReadinessReconcile,
} from "./compute-readiness.ts";
export type { Cordon, ReadinessHold } from "./compute-readiness.ts";
export type { ResizeConditions, ResizeNews } from "./compute-resize-conditions.ts";
export { computeTerminatedStatus, hasPodInitialized } from "./compute-terminated-status.ts";
export { isKubeletCondition } from "./condition-owners.ts";
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
} from "./compute-container-statuses.ts";
export { computeRestartingAll, wouldRestart } from "./compute-restart-rules.ts";
export type { ContainerStatusesInput, ContainerStatusLists } from "./compute-container-statuses.ts";
export { computeContainersReady, computePodConditions, hasUsableSandbox } from "./compute-pod-conditions.ts";
export type { ConditionFacts } from "./compute-pod-conditions.ts";
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
export { computeApiPod } from "./compute-api-pod.ts";
export type { ApiPodExtras } from "./compute-api-pod.ts";
export { LocalStatusSink } from "./local-status-sink.ts";
export { StatusSync } from "./sync/status-sync.ts";
export type { StatusSyncOptions } from "./sync/options.ts";
export { StatusSinkError } from "./sync/ports.ts";
export type { StatusSink, StatusUpdate, StatusWriteOutcome } from "./sync/ports.ts";
export { ApiServerSink } from "./api-server/api-server-sink.ts";
export type { ApiServerSinkOptions } from "./api-server/api-server-sink.ts";
export { computeStatusPatch, computeWholeStatusPatch } from "./api-server/compute-status-patch.ts";
export type { StatusPatch } from "./api-server/compute-status-patch.ts";
export { computeApiAnswer, parseRetryAfter } from "./api-server/compute-api-answer.ts";
export type { ApiAnswer } from "./api-server/compute-api-answer.ts";
export { mergePodStatus } from "./api-server/merge-pod-status.ts";
export type { HttpAnswer, HttpPort, HttpRequest } from "./api-server/ports.ts";
