// SPDX-License-Identifier: Apache-2.0

/**
 * Codes of this package's errors.
 *
 * - `STATS_READ` (permanent): a file of the kernel could not be read, for another reason than not being there;
 * - `STATS_FORMAT` (permanent): a file of the kernel does not have the form that it should have; the message names it;
 * - `STATS_FILESYSTEM` (permanent): a file system could not be asked, or says nonsense: no capacity, more free than there is;
 * - `STATS_HUNG` (deadline): a file system did not answer in time; it is not asked again until it does.
 */
export type StatsErrorCode = "STATS_READ" | "STATS_FORMAT" | "STATS_FILESYSTEM" | "STATS_HUNG";
