// SPDX-License-Identifier: Apache-2.0

import { HoldfastError } from "@holdfast/core/errors";
import type { FilesystemFigures } from "../ports.ts";

/** How full the image file system is, and what must go. */
export interface FilesystemUsageFacts {
  readonly capacityBytes: number;
  readonly availableBytes: number;
  /** A whole number, rounded up as the kubelet does. */
  readonly usagePercent: number;
  /** 0 below the high threshold. */
  readonly toFreeBytes: number;
}

/** What {@link computeUsage} needs of the policy. */
export interface Thresholds {
  readonly highThresholdPercent: number;
  readonly lowThresholdPercent: number;
}

const WHOLE = 100n;

/** Pure. Throws `GC_INVALID_CAPACITY` on figures that cannot be, more available than there is among them. kubelet: GarbageCollect. */
export function computeUsage(
  { capacityBytes, availableBytes }: FilesystemFigures,
  { highThresholdPercent, lowThresholdPercent }: Thresholds,
): FilesystemUsageFacts {
  if (capacityBytes === 0)
    throw new HoldfastError(
      "GC_INVALID_CAPACITY",
      "retryable",
      `invalid capacity ${capacityBytes} on image filesystem`,
    );
  if (!isCount(capacityBytes) || !isCount(availableBytes) || availableBytes > capacityBytes)
    throw new HoldfastError(
      "GC_INVALID_CAPACITY",
      "retryable",
      `invalid figures on image filesystem: capacity ${capacityBytes}, available ${availableBytes}`,
    );
  const capacity = BigInt(capacityBytes);
  const available = BigInt(availableBytes);
  const usagePercent = Number(WHOLE - (available * WHOLE) / capacity);
  const keepFree = (capacity * (WHOLE - BigInt(Math.floor(lowThresholdPercent)))) / WHOLE;
  const toFreeBytes = usagePercent >= highThresholdPercent ? Math.max(Number(keepFree - available), 0) : 0;
  return { capacityBytes, availableBytes, usagePercent, toFreeBytes };
}

function isCount(value: number): boolean {
  return Number.isSafeInteger(value) && value >= 0;
}
