// SPDX-License-Identifier: Apache-2.0

/** One threshold, and how it is compared. kubelet: evictionapi.Threshold, ThresholdValue. */
import { formatQuantity } from "./quantity-text.ts";
import { isPressureSignal } from "./signals.ts";
import type { QuantityFormat, Signal } from "./signals.ts";

/** An amount: absolute, or a part of the capacity. */
export type ThresholdValue =
  | { readonly kind: "quantity"; readonly amount: number; readonly format: QuantityFormat }
  /** 0 to 1, rounded to 32 bits as the kubelet's is: 10% is a little more than 0.1. */
  | { readonly kind: "percentage"; readonly fraction: number };

/** Met when less than `value` is available. */
export interface Threshold {
  readonly signal: Signal;
  readonly value: ThresholdValue;
  /** How long it must be met before a pod goes. 0: at once, it is a hard one. Milliseconds. */
  readonly gracePeriodMs: number;
  /** Once met it stays met until so much more is available. */
  readonly minReclaim?: ThresholdValue;
}

/** What was seen of a signal. */
export interface SignalObservation {
  readonly available: number;
  readonly capacity: number;
  /** Monotonic milliseconds of the reading. */
  readonly at: number;
}

/** Everything that was seen at one moment. What could not be had is missing. */
export type SignalObservations = ReadonlyMap<Signal, SignalObservation>;

/** The amount that a value is. kubelet: GetThresholdQuantity. */
export function thresholdAmount(value: ThresholdValue, capacity: number): number {
  return value.kind === "quantity" ? value.amount : Math.floor(capacity * value.fraction);
}

/** Acts at once. kubelet: isHardEvictionThreshold. */
export function isHardThreshold({ gracePeriodMs }: Threshold): boolean {
  return gracePeriodMs === 0;
}

/** Two entries of the same kind are one threshold. kubelet: compareThreshold. */
export function thresholdKey({ signal, value, gracePeriodMs }: Threshold): string {
  const amount = value.kind === "quantity" ? value.amount : `${value.fraction}%`;
  return `${signal}<${amount} ${gracePeriodMs}`;
}

/** `memory.available<100Mi`, for people. */
export function describeThreshold({ signal, value }: Threshold): string {
  if (isPressureSignal(signal)) return `${signal}>${100 - thresholdAmount(value, 100)}%`;
  if (value.kind === "percentage") return `${signal}<${Number((value.fraction * 100).toPrecision(6))}%`;
  return `${signal}<${formatQuantity(value.amount, value.format)}`;
}
