// SPDX-License-Identifier: Apache-2.0

/**
 * Runs `work` when all that had arrived at the sockets by now was read: a timer of the event loop comes before the sockets, so an answer may
 * lie there already. Twice, because the first turn may end without a look at them.
 */
export function afterPoll(work: () => void): void {
  setImmediate(() => setImmediate(work));
}
