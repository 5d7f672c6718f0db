// SPDX-License-Identifier: Apache-2.0

/**
 * Sees memory run short between two rounds. kubelet: memoryThresholdNotifier, for kernelMemcgNotification.
 *
 * The kernel's own notification needs an eventfd and cgroup v1; Node can make none. So one number is read four times a second instead, on either version.
 *
 * Owns: at which usage each threshold on memory is crossed. Reads: usage through its port. Invariants: the amounts are reckoned anew every 10 s at most; who is
 * above stays above until it was below, so that a crossing is told once. Lost on a crash: nothing.
 */
import type { Clock } from "@holdfast/core/clock";
import { errorText } from "@holdfast/core/errors";
import type { Logger } from "@holdfast/core/log";
import type { MemoryFigures, MemoryUsageReader, NodeFigures } from "./ports.ts";
import { thresholdAmount } from "./threshold.ts";
import type { Threshold } from "./threshold.ts";

/** kubelet: notifierRefreshInterval. */
const REFRESH_MS = 10_000;
/** A machine that fills a gigabyte a second is seen within a quarter of one. */
const LOOK_MS = 250;

/** How a {@link MemoryWatch} is made. */
export interface MemoryWatchOptions {
  readonly clock: Clock;
  readonly usage: MemoryUsageReader;
  readonly thresholds: readonly Threshold[];
  readonly logger: Logger;
  /** A threshold has been crossed. */
  readonly onCrossed: () => void;
}

interface Watched {
  readonly threshold: Threshold;
  readonly of: "node" | "pods";
  usageLimitBytes: number | undefined;
  isAbove: boolean;
}

/**
 * How much may be in use, page cache included, until less than `value` is available; undefined while that cannot be told. What the kernel can give back counts
 * as available but is in use. kubelet: memoryThresholdNotifier.UpdateThreshold.
 */
export function usageAtThreshold(
  { value }: Pick<Threshold, "value">,
  { availableBytes, workingSetBytes, usageBytes }: MemoryFigures,
): number | undefined {
  if (availableBytes === undefined || workingSetBytes === undefined || usageBytes === undefined)
    return undefined;
  const capacity = availableBytes + workingSetBytes;
  return capacity - thresholdAmount(value, capacity) + (usageBytes - workingSetBytes);
}

/** See the top of the file. */
export class MemoryWatch {
  readonly #options: MemoryWatchOptions;
  readonly #watched: readonly Watched[];
  #updatedAt: number | undefined;
  #problem: string | undefined;

  constructor(options: MemoryWatchOptions) {
    this.#options = options;
    this.#watched = options.thresholds.flatMap((threshold): Watched[] => {
      const { signal } = threshold;
      if (signal !== "memory.available" && signal !== "allocatableMemory.available") return [];
      const of = signal === "memory.available" ? "node" : "pods";
      return [{ threshold, of, usageLimitBytes: undefined, isAbove: false }];
    });
  }

  /** With the figures of a round. Those that are missing leave what was reckoned before. kubelet: UpdateThreshold, at most every 10 s. */
  update(node: NodeFigures): void {
    const now = this.#options.clock.monotonic();
    if (this.#updatedAt !== undefined && now - this.#updatedAt < REFRESH_MS) return;
    this.#updatedAt = now;
    for (const watched of this.#watched) {
      const figures =
        watched.of === "node"
          ? node.memory
          : node.systemContainers?.find(({ name }) => name === "pods")?.memory;
      watched.usageLimitBytes = usageAtThreshold(watched.threshold, figures ?? {}) ?? watched.usageLimitBytes;
    }
  }

  /** Looks until the signal aborts; returns at once when no threshold is on memory. */
  async run(signal: AbortSignal): Promise<void> {
    if (this.#watched.length === 0) return;
    while (!signal.aborted) {
      await this.#options.clock.sleep(LOOK_MS, { signal }).catch(() => undefined);
      if (!signal.aborted) this.#look();
    }
  }

  #look(): void {
    const { usage, onCrossed, logger } = this.#options;
    let crossed = false;
    try {
      for (const watched of this.#watched) {
        const { usageLimitBytes, isAbove, of } = watched;
        const used = usageLimitBytes === undefined ? undefined : usage.usageBytes(of);
        if (used === undefined || usageLimitBytes === undefined) continue;
        watched.isAbove = used > usageLimitBytes;
        crossed ||= watched.isAbove && !isAbove;
      }
      this.#problem = undefined;
    } catch (error) {
      const problem = errorText(error);
      if (problem !== this.#problem) logger.warn("memory cannot be watched", { err: problem });
      this.#problem = problem;
    }
    if (crossed) onCrossed();
  }
}
