// SPDX-License-Identifier: Apache-2.0

/** Events of eviction. Each pod's end has the threshold that demanded it for its cause. */
import { defineEvent } from "@holdfast/bus";
import type { EventType } from "@holdfast/bus";
import type { LimitSignal, PressureConditionType, Signal } from "./signals.ts";

/** A threshold is met beyond its grace, and something has to give. Subject: node. */
export interface ThresholdMetData {
  readonly eventType: "Warning";
  readonly reason: "EvictionThresholdMet";
  /** kubelet: `Attempting to reclaim memory`. */
  readonly message: string;
  readonly signal: Signal;
  /** `memory.available<100Mi`. */
  readonly threshold: string;
  readonly available: number;
  readonly capacity: number;
}

/** The intent: a pod has to go. Subject: podUid, pod. */
export interface PodEvictingData {
  readonly reason: "Evicted";
  readonly message: string;
  readonly signal: Signal | LimitSignal;
  readonly graceSeconds: number;
  /** Of the kubelet's event: starved_resource, offending_containers … */
  readonly annotations: Readonly<Record<string, string>>;
}

/** A condition of the node came or went. Subject: node. */
export interface PressureChangedData {
  readonly eventType: "Normal";
  /** kubelet: NodeHasDiskPressure, NodeHasNoDiskPressure … */
  readonly reason: string;
  readonly message: string;
  readonly condition: PressureConditionType;
  readonly status: "True" | "False";
}

/** Told once until it is over. */
export const ThresholdMet: EventType<ThresholdMetData, "eviction/ThresholdMet"> =
  defineEvent<ThresholdMetData>()("eviction/ThresholdMet");

/** A pod will be ended. */
export const PodEvicting: EventType<PodEvictingData, "eviction/PodEvicting"> =
  defineEvent<PodEvictingData>()("eviction/PodEvicting");

/** A pod did not end in its time; it still ends. Subject: podUid, pod. kubelet: ExceededGracePeriod. */
export const ExceededGracePeriod: EventType<
  { readonly eventType: "Warning"; readonly reason: "ExceededGracePeriod"; readonly message: string },
  "eviction/ExceededGracePeriod"
> = defineEvent<{
  readonly eventType: "Warning";
  readonly reason: "ExceededGracePeriod";
  readonly message: string;
}>()("eviction/ExceededGracePeriod");

/** A condition of the node came or went. */
export const PressureChanged: EventType<PressureChangedData, "eviction/PressureChanged"> =
  defineEvent<PressureChangedData>()("eviction/PressureChanged");

/** What a threshold stands on cannot be read or cannot be true (`problem`), or is known again (undefined). Subject: node. */
export const SignalUnknown: EventType<
  { readonly signal: string; readonly problem: string | undefined; readonly message: string },
  "eviction/SignalUnknown"
> = defineEvent<{
  readonly signal: string;
  readonly problem: string | undefined;
  readonly message: string;
}>()("eviction/SignalUnknown");
