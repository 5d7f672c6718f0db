// SPDX-License-Identifier: Apache-2.0

// Manifests and pod sources.
export { computePodUpdates, podDifference } from "./config/compute-pod-updates.ts";
export { ManifestProblemChanged, PodsChanged } from "./config/events.ts";
export type { ManifestProblemData, PodsChangedData } from "./config/events.ts";
export { FilePodSource } from "./config/file-pod-source.ts";
export type { FilePodSourceOptions } from "./config/file-pod-source.ts";
export { isManifestName } from "./config/manifest-name.ts";
export { PodConfig } from "./config/pod-config.ts";
export type { PodConfigOptions, PodUpdateListener } from "./config/pod-config.ts";
export type { PodOperation, PodSource, PodUpdate, SourceSnapshot } from "./config/pod-update.ts";
export type {
  LastGoodManifests,
  ManifestFacts,
  ManifestFolder,
  ManifestHint,
  ManifestWatch,
} from "./config/ports.ts";
export { DEFAULT_MAX_MANIFEST_BYTES } from "./manifest/parse-manifest.ts";
export { listPodFields } from "./manifest/list-fields.ts";
export type { PodField } from "./manifest/list-fields.ts";
export { formatProblem } from "./manifest/problem.ts";
export type { ManifestProblem, ProblemSeverity } from "./manifest/problem.ts";
export { readManifest } from "./manifest/read-manifest.ts";
export type { ManifestContent, ManifestOrigin, ManifestPod } from "./manifest/read-manifest.ts";
export { containerFlag, parseContainerFlags } from "./manifest/container-flags.ts";
export type { ContainerFlags } from "./manifest/container-flags.ts";
export { validateFiles } from "./manifest/validate-files.ts";
export type { ValidateFilesOptions } from "./manifest/validate-files.ts";
export { FileLastGoodManifests } from "./node/last-good-manifests.ts";
export { NodeManifestFolder, readManifestFile } from "./node/manifest-folder.ts";

// The kuberuntime manager: what to do for a pod, and doing it on the CRI.
export { PodRuntimeManager } from "./kuberuntime/pod-runtime-manager.ts";
export type { KubeRuntimeOptions, PodRuntimeManagerDeps } from "./kuberuntime/options.ts";
export type {
  GarbagePredicates,
  KillPodOptions,
  KillPodResult,
  PodSyncResult,
  RemovePodOptions,
  StartedContainer,
  SyncOptions,
} from "./kuberuntime/sync-result.ts";
export type { GarbageCollected } from "./kuberuntime/container-gc.ts";
export { PodSyncError } from "./kuberuntime/sync-error.ts";
export type { PodSyncErrorOptions, SyncReason } from "./kuberuntime/sync-error.ts";
export { computePodActions, hasActions } from "./kuberuntime/compute-pod-actions.ts";
export type { PodActions } from "./kuberuntime/compute-pod-actions.ts";
export type { ContainerToKill } from "./kuberuntime/action-draft.ts";
export { hashContainer } from "./kuberuntime/container-hash.ts";
export {
  containerLogPath,
  legacyLogLink,
  podLogDirectory,
  podUidOfLogDirectory,
} from "./kuberuntime/log-paths.ts";
export type { PodName } from "./kuberuntime/log-paths.ts";
export { TerminationMessageCache } from "./kuberuntime/termination-message-cache.ts";
export type { TerminationMessageCacheOptions } from "./kuberuntime/termination-message-cache.ts";
export { readTerminationMessage, terminationLogFile } from "./kuberuntime/termination-message.ts";
export type { TerminationInput } from "./kuberuntime/termination-message.ts";
export {
  BackOffEvent,
  ContainerCreated,
  ContainerCreating,
  ContainerFailed,
  ContainerKilled,
  ContainerKilling,
  ContainerRemoving,
  ContainerStarted,
  ContainerStarting,
  DnsWarning,
  HookFailed,
  Pulled,
  PullFailed,
  Pulling,
  SandboxChanged,
  SandboxCreated,
  SandboxCreating,
  SandboxFailed,
  SandboxRemoving,
  SandboxStopping,
} from "./kuberuntime/events.ts";
export type { ContainerFacts, EventText, KillReason, SandboxFacts } from "./kuberuntime/events.ts";

// The pod manager: pod workers, sync steps, housekeeping.
export { PodManager } from "./workers/pod-manager.ts";
export type { ContainerWait, PodView } from "./workers/pod-manager.ts";
export { OwnedPodLister } from "./workers/owned-pod-lister.ts";
export type {
  DesiredPods,
  OwnedPod,
  OwnedPods,
  PodManagerDeps,
  PodProbes,
  PodRuntimeActions,
} from "./workers/ports.ts";
export type { PodWorkerState } from "./workers/pod-worker.ts";
export type { TerminationRequest } from "./workers/compute-worker-update.ts";
export {
  PodAdded,
  PodRemoved,
  PodRetried,
  PodTerminated,
  PodTerminating,
  PodUpdated,
  SyncFailed,
} from "./workers/events.ts";
export type {
  PodAddedData,
  PodRetriedData,
  PodTerminatingData,
  SyncFailedData,
  TerminationReason,
} from "./workers/events.ts";
export { NodePodFiles, nodePodFiles } from "./node/pod-files.ts";
export type { NodePodFilesOptions } from "./node/pod-files.ts";
export type {
  ContainerDevices,
  ContainerDeviceSource,
  ImageUse,
  PodAdmission,
  PodFiles,
  WaitingReason,
} from "./ports.ts";
