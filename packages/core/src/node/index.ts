// SPDX-License-Identifier: Apache-2.0

export { hasErrorCode, ignoreMissing } from "./file-errors.ts";
export { systemClock } from "./system-clock.ts";
