// SPDX-License-Identifier: Apache-2.0

import { errorText, HoldfastError } from "@holdfast/core/errors";

/** Codes of this package's errors. */
export type GcErrorCode =
  | "GC_OPTIONS"
  | "GC_FILESYSTEM"
  | "GC_INVALID_CAPACITY"
  | "GC_FREE_DISK_SPACE_FAILED"
  | "GC_REMOVE"
  | "GC_LOG"
  | "GC_STOPPED";

/** Options that make no sense: one error with every problem. */
export function optionsError(problems: readonly string[]): HoldfastError {
  return new HoldfastError("GC_OPTIONS", "bad-input", problems.join("; "));
}

/** Several failures as one; the first is the cause. */
export function joinedError(code: GcErrorCode, failures: readonly unknown[]): HoldfastError {
  const texts = failures.slice(0, MAX_TOLD).map(errorText);
  const more = failures.length > MAX_TOLD ? [`and ${failures.length - MAX_TOLD} more`] : [];
  return new HoldfastError(code, "retryable", [...texts, ...more].join("; "), { cause: failures[0] });
}

/** A message that names more failures than these is not read. */
const MAX_TOLD = 5;
