// SPDX-License-Identifier: Apache-2.0

export { EvictionManager } from "./eviction-manager.ts";
export type { EvictionManagerOptions } from "./options.ts";
export {
  parseThresholdConfig,
  addAllocatableThresholds,
  addContainerFsThresholds,
} from "./parse-thresholds.ts";
export type { FilesystemLayout } from "./parse-thresholds.ts";
export { DEFAULT_EVICTION_HARD, DEFAULT_TRANSITION_PERIOD_MS } from "./default-thresholds.ts";
export type { EvictionSettings, SignalSettings } from "./default-thresholds.ts";
export { MachineFigures } from "./machine-figures.ts";
export type { MachineFiguresOptions, MachineFilesystem, MachinePort } from "./machine-figures.ts";
export { usageAtThreshold } from "./memory-watch.ts";
export { ExceededGracePeriod, PodEvicting, PressureChanged, SignalUnknown, ThresholdMet } from "./events.ts";
export type { PodEvictingData, PressureChangedData, ThresholdMetData } from "./events.ts";
export type { EvictionErrorCode } from "./errors.ts";
export type {
  ContainerFigures,
  EvictionRequest,
  FsFigures,
  MemoryFigures,
  MemoryUsageReader,
  NodeFigures,
  NodeReclaim,
  NodeSample,
  PodFigures,
  PodKiller,
  PressureAverages,
  PressureFigures,
  StatsProvider,
} from "./ports.ts";
export type { TimedPressureCondition } from "./pressure-teller.ts";

// What it decides, for who wants to ask without a manager.
export { isKubeletSignal, isPressureSignal, PRESSURE_SIGNALS, signalFacts, SIGNALS } from "./signals.ts";
export type {
  KubeletSignal,
  LimitSignal,
  PressureConditionType,
  PressureSignal,
  QuantityFormat,
  Signal,
  SignalFacts,
  StarvedResource,
} from "./signals.ts";
export { describeThreshold, isHardThreshold, thresholdAmount } from "./threshold.ts";
export type { SignalObservation, SignalObservations, Threshold, ThresholdValue } from "./threshold.ts";
export { makeSignalObservations } from "./make-observations.ts";
export type { Observed } from "./make-observations.ts";
export { computeRound, FIRST_ROUND } from "./compute-round.ts";
export type { Round, RoundInput, RoundState } from "./compute-round.ts";
export { thresholdsMet } from "./compute-thresholds.ts";
export type { FirstObserved, LastObserved, MetOptions } from "./compute-thresholds.ts";
export { rankPods } from "./compute-rank.ts";
export type { RankedPod, RankInput } from "./compute-rank.ts";
export { evictionGraceSeconds, nodeReclaimSteps } from "./compute-reclaim.ts";
export type { ReclaimStep } from "./compute-reclaim.ts";
export { evictionMessage } from "./eviction-message.ts";
export type { EvictionMessage, MessageInput } from "./eviction-message.ts";
export { exceededLocalStorageLimit, hasLocalStorageLimit } from "./compute-local-storage.ts";
export type { LimitExceeded } from "./compute-local-storage.ts";
export { admitUnderPressure } from "./compute-admission.ts";
export type { PressureRefusal } from "./compute-admission.ts";
export { computePressureConditions } from "./compute-conditions.ts";
export type { PressureCondition } from "./compute-conditions.ts";
export { isCriticalPod, podLimit, podRequest } from "./pod-requests.ts";
export type { CriticalOptions, MeasuredResource } from "./pod-requests.ts";
export { localEphemeralVolumeNames, podStorageUsage, storagePartsOf } from "./pod-usage.ts";
export type { StoragePart } from "./pod-usage.ts";
export { formatQuantity } from "./quantity-text.ts";
