// SPDX-License-Identifier: Apache-2.0

/** Pure: the restart count of a container whose records are gone, from the names of its log files. */

const LOG_NAME = /^(\d+)\.log(\..*)?$/;

/** The next restart count: the highest log's number + 1; 0 without logs. kubelet: calcRestartCountByLogDir. */
export function restartCountFromLogNames(names: readonly string[]): number {
  let next = 0;
  for (const name of names) {
    const count = Number(LOG_NAME.exec(name)?.[1] ?? Number.NaN);
    // A number that fits no counter is no restart count of ours.
    if (Number.isSafeInteger(count)) next = Math.max(next, count + 1);
  }
  return next;
}
