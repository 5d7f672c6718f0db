// SPDX-License-Identifier: Apache-2.0

import { HoldfastError } from "@holdfast/core/errors";

/**
 * - `EVICTION_CONFIG`: a threshold that cannot be; `fieldPath` says which; - `EVICTION_STOPPED`: the manager was stopped; - `EVICTION_FIGURES`: what a round
 * stands on could not be read in time.
 */
export type EvictionErrorCode = "EVICTION_CONFIG" | "EVICTION_STOPPED" | "EVICTION_FIGURES";

/** A setting that is refused. */
export function configError(fieldPath: string, message: string): HoldfastError {
  return new HoldfastError("EVICTION_CONFIG", "bad-input", `${fieldPath}: ${message}`, { fieldPath });
}
