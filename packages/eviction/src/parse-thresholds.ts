// SPDX-License-Identifier: Apache-2.0

/** From settings to thresholds. Pure. kubelet: ParseThresholdConfig, addAllocatableThresholds, UpdateContainerFsThresholds. */
import { parseDuration } from "@holdfast/core/duration";
import { errorText } from "@holdfast/core/errors";
import { wholeValue } from "@holdfast/core/quantity";
import { DEFAULT_EVICTION_HARD } from "./default-thresholds.ts";
import type { EvictionSettings, SignalSettings } from "./default-thresholds.ts";
import { configError } from "./errors.ts";
import { isKubeletSignal, isPressureSignal } from "./signals.ts";
import type { KubeletSignal, Signal } from "./signals.ts";
import { isHardThreshold } from "./threshold.ts";
import type { Threshold, ThresholdValue } from "./threshold.ts";

/**
 * Thresholds of settings; those of containerfs come when the layout of the file systems is known ({@link addContainerFsThresholds}).
 * Throws `bad-input` (EVICTION_CONFIG) with the field that is wrong.
 */
export function parseThresholdConfig(settings: EvictionSettings): readonly Threshold[] {
  const { evictionHard, mergeDefaultEvictionSettings: merges = false } = settings;
  const hard =
    evictionHard === undefined
      ? DEFAULT_EVICTION_HARD
      : merges
        ? { ...DEFAULT_EVICTION_HARD, ...evictionHard }
        : evictionHard;
  const reclaims = parseMinReclaims(settings.evictionMinimumReclaim ?? {});
  const graces = parseGracePeriods(settings.evictionSoftGracePeriod ?? {});
  const thresholds = parseStatements("evictionHard", hard).map(({ signal, value }): Threshold => ({
    signal,
    value,
    gracePeriodMs: 0,
    ...reclaims.get(signal),
  }));
  for (const { signal, value } of parseStatements("evictionSoft", settings.evictionSoft ?? {})) {
    const gracePeriodMs = graces.get(signal);
    if (gracePeriodMs === undefined)
      throw configError(
        `evictionSoft[${signal}]`,
        `grace period must be specified for the soft eviction threshold ${signal}`,
      );
    thresholds.push({ signal, value, gracePeriodMs, ...reclaims.get(signal) });
  }
  const all = settings.allocatableMemory === false ? thresholds : addAllocatableThresholds(thresholds);
  return [...all, ...parsePressure(settings.evictionPressure ?? {})];
}

/** Pods share one limit: what a hard threshold demands of the machine's memory it demands of theirs. kubelet: addAllocatableThresholds. */
export function addAllocatableThresholds(thresholds: readonly Threshold[]): readonly Threshold[] {
  const added = thresholds
    .filter((threshold) => threshold.signal === "memory.available" && isHardThreshold(threshold))
    .map((threshold): Threshold => ({ ...threshold, signal: "allocatableMemory.available" }));
  return [...added, ...thresholds];
}

/** Which file systems are the same. */
export interface FilesystemLayout {
  /** Images have a file system of their own. */
  readonly dedicatedImageFs: boolean;
  /** Writable layers lie elsewhere than images. Never with containerd. */
  readonly splitContainerFs: boolean;
}

/**
 * Writable layers have the thresholds of the file system that they lie on; settings of their own are not taken. kubelet: addContainerFsThresholds. They say the
 * same as those they are made from: nothing is met by them alone.
 */
export function addContainerFsThresholds(
  thresholds: readonly Threshold[],
  { dedicatedImageFs, splitContainerFs }: FilesystemLayout,
): readonly Threshold[] {
  const source = dedicatedImageFs && !splitContainerFs ? "imagefs" : "nodefs";
  const own = thresholds.filter(({ signal }) => !signal.startsWith("containerfs."));
  const made = own.flatMap((threshold): Threshold[] => {
    const { signal } = threshold;
    if (signal === `${source}.available`) return [{ ...threshold, signal: "containerfs.available" }];
    if (signal === `${source}.inodesFree`) return [{ ...threshold, signal: "containerfs.inodesFree" }];
    return [];
  });
  return [...own, ...made];
}

interface Statement {
  readonly signal: Signal;
  readonly value: ThresholdValue;
}

function parseStatements(field: string, settings: SignalSettings): Statement[] {
  return Object.entries(settings).flatMap(([name, text]): Statement[] => {
    const path = `${field}[${name}]`;
    const signal = knownSignal(path, name);
    // Both mean that the signal is to be ignored.
    if (text === "0%" || text === "100%") return [];
    const value = parseValue(path, text);
    if (value.kind === "quantity" && value.amount <= 0)
      throw configError(path, `eviction threshold ${name} must be positive: ${text}`);
    return [{ signal, value }];
  });
}

function parseGracePeriods(settings: SignalSettings): ReadonlyMap<Signal, number> {
  return new Map(
    Object.entries(settings).map(([name, text]) => {
      const path = `evictionSoftGracePeriod[${name}]`;
      const signal = knownSignal(path, name);
      const ms = readAt(path, () => parseDuration(text));
      if (ms < 0)
        throw configError(path, `invalid eviction grace period specified: ${text}, must be a positive value`);
      return [signal, ms] as const;
    }),
  );
}

function parseMinReclaims(
  settings: SignalSettings,
): ReadonlyMap<Signal, { readonly minReclaim: ThresholdValue }> {
  return new Map(
    Object.entries(settings).map(([name, text]) => {
      const path = `evictionMinimumReclaim[${name}]`;
      const signal = knownSignal(path, name);
      const minReclaim = parseValue(path, text);
      if (minReclaim.kind === "percentage" ? minReclaim.fraction <= 0 : minReclaim.amount < 0)
        throw configError(path, `negative eviction minimum reclaim specified for ${name}`);
      return [signal, { minReclaim }] as const;
    }),
  );
}

/** Percent of time lost: what is met when more than that was lost is met when less than the rest is left. */
function parsePressure(settings: SignalSettings): readonly Threshold[] {
  return Object.entries(settings).map(([name, text]): Threshold => {
    const path = `evictionPressure[${name}]`;
    if (!isPressureSignal(name)) throw configError(path, `unsupported pressure signal ${name}`);
    const percent = parsePercent(path, text);
    if (percent <= 0 || percent >= 100)
      throw configError(path, `must be more than 0% and less than 100%, got ${text}`);
    const value = { kind: "quantity", amount: 100 - percent, format: "decimal" } as const;
    return { signal: name, value, gracePeriodMs: 0 };
  });
}

function knownSignal(path: string, name: string): KubeletSignal {
  // The kubelet makes it from memory.available itself and takes no setting of it.
  if (isKubeletSignal(name)) return name;
  throw configError(path, `unsupported eviction signal ${name}`);
}

function parseValue(path: string, text: string): ThresholdValue {
  if (text.endsWith("%")) {
    const percent = parsePercent(path, text);
    if (percent < 0 || percent > 100)
      throw configError(path, `eviction percentage threshold must be between 0% and 100%: ${text}`);
    return { kind: "percentage", fraction: Math.fround(Math.fround(percent) / 100) };
  }
  const amount = readAt(path, () => wholeValue(text));
  return { kind: "quantity", amount, format: text.endsWith("i") ? "binary" : "decimal" };
}

function parsePercent(path: string, text: string): number {
  const number = text.endsWith("%") ? text.slice(0, -1).trim() : "";
  if (!/^[-+]?(?:\d+\.?\d*|\.\d+)$/.test(number)) throw configError(path, `"${text}" is no percentage`);
  return Number(number);
}

function readAt<T>(path: string, read: () => T): T {
  try {
    return read();
  } catch (error) {
    throw configError(path, errorText(error));
  }
}
