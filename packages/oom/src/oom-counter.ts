// SPDX-License-Identifier: Apache-2.0

/** `oom_kill` of memory.events (v2, with all below it) or memory.oom_control (v1, from kernel 4.13); undefined when it is not there. */
export function parseOomKillCount(text: string): number | undefined {
  const count = /^oom_kill (\d{1,15})$/m.exec(text)?.[1];
  return count === undefined ? undefined : Number(count);
}
