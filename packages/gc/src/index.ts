// SPDX-License-Identifier: Apache-2.0

export { ImageGcManager } from "./image/image-gc-manager.ts";
export type {
  ImageGcManagerOptions,
  ImageGcPassOptions,
  ImageGcResult,
  ImageGcStep,
  ImageGcWish,
} from "./image/image-gc-options.ts";
export type { RemovalOutcome } from "./image/image-remover.ts";
export { planImageGc } from "./image/plan-image-gc.ts";
export type {
  GcImage,
  ImageGcEntry,
  ImageGcFacts,
  ImageGcGoal,
  ImageGcPlan,
  ImageRecord,
  ImageRule,
  ImageUser,
} from "./image/image-gc-facts.ts";
export { DEFAULT_IMAGE_GC_POLICY, resolveImageGcPolicy } from "./image/image-gc-policy.ts";
export type { ImageGcPolicy, ImageKeepRule } from "./image/image-gc-policy.ts";
export {
  IMAGE_GC_PLAN_COLUMNS,
  imageGcPlanRows,
  imageGcPlanSummary,
  imageGcPlanText,
} from "./image/image-gc-text.ts";
export { ImageLocks } from "./image/image-locks.ts";
export type { ImageHold, ImageRemoval } from "./image/image-locks.ts";
export { computeUsage } from "./image/compute-usage.ts";
export type { FilesystemUsageFacts, Thresholds } from "./image/compute-usage.ts";
export { LayerAccount } from "./image/layer-account.ts";
export type { ImageLayer } from "./image/layer-account.ts";
export { estimateImageLayers, runtimeImageLayers } from "./image/image-layers.ts";
export type { LayeredImage, ReadImageLayers } from "./image/image-layers.ts";
export { matchesGlob, normalizeImageName } from "./image/image-names.ts";
export type { ImageNames } from "./image/image-names.ts";

export { ContainerGcManager } from "./container/container-gc-manager.ts";
export type {
  ContainerGcManagerOptions,
  ContainerGcPassOptions,
  ContainerGcResult,
} from "./container/container-gc-manager.ts";
export { planContainerGc } from "./container/plan-container-gc.ts";
export type {
  ContainerGcEntry,
  ContainerGcFacts,
  ContainerGcPlan,
  ContainerRule,
  GcContainer,
  GcPodName,
  GcSandbox,
} from "./container/container-gc-facts.ts";
export {
  CONTAINER_GC_PLAN_COLUMNS,
  containerGcPlanRows,
  containerGcPlanSummary,
} from "./container/container-gc-text.ts";
export { DEFAULT_CONTAINER_GC_POLICY, resolveContainerGcPolicy } from "./container/container-gc-policy.ts";
export type { ContainerGcPolicy } from "./container/container-gc-policy.ts";

export { ContainerLogManager } from "./logs/container-log-manager.ts";
export type { ContainerLogManagerOptions } from "./logs/container-log-manager.ts";
export { allLogs, planLogRotation } from "./logs/plan-log-rotation.ts";
export type { LogRotationFacts, LogRotationPlan, RotatedLogRemoval } from "./logs/plan-log-rotation.ts";
export { planLogRetention } from "./logs/plan-log-retention.ts";
export type { LogFolderFacts, LogRetentionEntry } from "./logs/plan-log-retention.ts";
export type { FolderRetention } from "./logs/log-pruner.ts";
export { LOG_RETENTION_COLUMNS, logRetentionRows, logRetentionSummary } from "./logs/log-retention-text.ts";
export {
  DEFAULT_LOG_RETENTION_POLICY,
  DEFAULT_LOG_ROTATION_POLICY,
  resolveLogRetentionPolicy,
  resolveLogRotationPolicy,
} from "./logs/log-policy.ts";
export type { LogRetentionPolicy, LogRotationPolicy } from "./logs/log-policy.ts";
export { logTargetsOf, runtimeLogTargets } from "./logs/log-targets.ts";
export type { ListLogTargets, LogTarget } from "./logs/log-targets.ts";
export { nodeLogFiles } from "./node/node-log-files.ts";

export { DiskLedger } from "./disk/disk-ledger.ts";
export type { DiskLedgerHost, DiskLedgerOptions, DiskLedgerRuntime } from "./disk/disk-ledger.ts";
export { computeDiskLedger } from "./disk/compute-disk-ledger.ts";
export { DISK_LEDGER_COLUMNS, diskHeldBy, diskLedgerHead, diskLedgerRows } from "./disk/disk-ledger-text.ts";
export type {
  DiskContainer,
  DiskFacts,
  DiskFilesystem,
  DiskHolder,
  DiskHolderKind,
  DiskImage,
  DiskItem,
  DiskLedgerEntry,
  DiskLedgerView,
} from "./disk/disk-facts.ts";

export { formatBytes } from "./format-bytes.ts";
export { memoryCheckpoint } from "./memory-checkpoint.ts";
export { readContainerdBlob } from "./node/node-blobs.ts";
export { readNodeFilesystem } from "./node/node-filesystem.ts";
export { nodeImageGc } from "./node/node-image-gc.ts";
export type { NodeImageGcOptions } from "./node/node-image-gc.ts";
export type { GcErrorCode } from "./errors.ts";
export type {
  ContainerGcRuntime,
  ContainerLogRuntime,
  FilesystemFigures,
  GcCheckpoint,
  GcPods,
  ImageGcRuntime,
  LogFile,
  LogFiles,
  ReadBlob,
  ReadFilesystem,
} from "./ports.ts";

export {
  ContainerGcFailed,
  ContainerGcStarted,
  DeadContainerRemoved,
  DeadContainerRemoving,
  DeadSandboxRemoved,
  DeadSandboxRemoving,
  ImageGcFailed,
  ImageGcStarted,
  ImageRemoved,
  ImageRemoving,
  ImageSpared,
  LogRotated,
  LogRotationFailed,
  LogsRemoved,
  RemovedImageUsed,
} from "./events.ts";
export type {
  DeadRemovalData,
  GcEventText,
  ImageGcStartedData,
  ImageRemovalData,
  LogRemovalData,
} from "./events.ts";
