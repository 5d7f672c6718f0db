// SPDX-License-Identifier: Apache-2.0

import { badFormat, parseCount } from "./parse-count.ts";

/** What went to and came from block devices since the cgroup was made, all devices together. */
export interface IoCounters {
  readonly readBytes: number;
  readonly writeBytes: number;
  readonly readOperations: number;
  readonly writeOperations: number;
}

const DEVICE = /^\d{1,9}:\d{1,9}$/;

/** io.stat of cgroup v2: `8:0 rbytes=1 wbytes=2 rios=3 wios=4 dbytes=0 dios=0`. A device without figures is zero. */
export function parseIoStat(text: string, file: string): IoCounters {
  const sums = { readBytes: 0, writeBytes: 0, readOperations: 0, writeOperations: 0 };
  for (const line of text.split("\n")) {
    if (line.trim() === "") continue;
    const [device = "", ...fields] = line.trim().split(/\s+/);
    if (!DEVICE.test(device)) throw badFormat(file, line);
    for (const field of fields) {
      const [key, value = ""] = field.split("=", 2);
      if (key === "rbytes") sums.readBytes += parseCount(value, file);
      else if (key === "wbytes") sums.writeBytes += parseCount(value, file);
      else if (key === "rios") sums.readOperations += parseCount(value, file);
      else if (key === "wios") sums.writeOperations += parseCount(value, file);
    }
  }
  return sums;
}

/** blkio.throttle.io_service_bytes or io_serviced of cgroup v1: `8:0 Read 4096`, then `Total 4096`. */
export function parseBlkio(text: string, file: string): { readonly read: number; readonly write: number } {
  let read = 0;
  let write = 0;
  for (const line of text.split("\n")) {
    if (line.trim() === "") continue;
    const [first = "", second = "", third] = line.trim().split(/\s+/);
    if (first === "Total" && third === undefined) {
      parseCount(second, file);
      continue;
    }
    if (!DEVICE.test(first) || third === undefined) throw badFormat(file, line);
    const count = parseCount(third, file);
    if (second === "Read") read += count;
    else if (second === "Write") write += count;
  }
  return { read, write };
}
