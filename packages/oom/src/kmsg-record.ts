// SPDX-License-Identifier: Apache-2.0

/** One record of /dev/kmsg. */
export interface KmsgRecord {
  /** syslog's: 0 is the kernel; what a program wrote into /dev/kmsg never has 0. */
  readonly facility: number;
  readonly level: number;
  /** Grows by one with each record since boot. */
  readonly sequence: number;
  /** Microseconds since boot, by the kernel's own clock. */
  readonly timestampUs: number;
  /** The record goes on in the line before it: kernels up to 4.9 print a line in pieces. */
  readonly isContinuation: boolean;
  /** The text without the `KEY=value` lines that may follow it. Bytes that do not print are spelt `\xNN`: {@link unescapeKmsg}. */
  readonly message: string;
}

/** A record that is longer than this is not one of the kernel's. kubelet: the reader's buffer. */
const MAX_RECORD = 8192;
const PREFIX = /^(\d{1,6}),(\d{1,16}),(\d{1,16})(?:,([^,]*))?/;

/** Reads `PRIORITY,SEQUENCE,TIMESTAMP_US[,FLAGS...];MESSAGE`; undefined when it is none. Never throws. */
export function parseKmsgRecord(text: string): KmsgRecord | undefined {
  if (text.length > MAX_RECORD) return undefined;
  const split = text.indexOf(";");
  if (split < 0) return undefined;
  const prefix = PREFIX.exec(text.slice(0, split));
  if (prefix === null) return undefined;
  const [, priority = "", sequence = "", timestamp = "", flags = "-"] = prefix;
  const end = text.indexOf("\n", split);
  return {
    facility: Number(priority) >> 3,
    level: Number(priority) & 7,
    sequence: Number(sequence),
    timestampUs: Number(timestamp),
    isContinuation: flags === "+",
    message: text.slice(split + 1, end < 0 ? undefined : end),
  };
}

/** Turns `\xNN` into the byte it stands for: a cgroup `a\x2db` reads `a\x5cx2db` in /dev/kmsg. */
export function unescapeKmsg(text: string): string {
  if (!text.includes("\\x")) return text;
  return text.replaceAll(/\\x([0-9a-f]{2})/g, (_, hex: string) =>
    String.fromCodePoint(Number.parseInt(hex, 16)),
  );
}
