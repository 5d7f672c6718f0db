// SPDX-License-Identifier: Apache-2.0

/** Wall milliseconds as the Summary has them. What is no moment is the epoch. */
export { rfc3339 as toTime } from "@holdfast/core/rfc3339";
