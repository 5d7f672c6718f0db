// SPDX-License-Identifier: Apache-2.0

/** One line of a container's log as the CRI writes it: `TIME STREAM TAG CONTENT`. */
export interface LogLine {
  /** RFC 3339 with nanoseconds, as written. */
  readonly time: string;
  readonly stream: "stdout" | "stderr";
  /** The runtime cut the line here: the next record goes on with it. */
  readonly partial: boolean;
  readonly content: Buffer;
}

const SPACE = 0x20;

/** Parses one record without its newline; undefined when it is none. kubelet: logs.parseCRILog. */
export function parseCriLogLine(record: Buffer): LogLine | undefined {
  const first = record.indexOf(SPACE);
  const second = first < 0 ? -1 : record.indexOf(SPACE, first + 1);
  const third = second < 0 ? -1 : record.indexOf(SPACE, second + 1);
  if (second < 0) return undefined;
  const time = record.toString("latin1", 0, first);
  const stream = record.toString("latin1", first + 1, second);
  // An empty line may end right after its tag.
  const tags = record.toString("latin1", second + 1, third < 0 ? record.length : third).split(":");
  if ((stream !== "stdout" && stream !== "stderr") || Number.isNaN(Date.parse(time))) return undefined;
  return {
    time,
    stream,
    partial: tags[0] === "P",
    content: third < 0 ? record.subarray(record.length) : record.subarray(third + 1),
  };
}

/** What of a log is wanted. */
export interface LogSelection {
  readonly timestamps: boolean;
  /** Wall milliseconds; older lines are left out. */
  readonly sinceMs?: number;
}

/** The bytes to print for one record; undefined when it is left out. */
export function renderLogLine(line: LogLine, selection: LogSelection): Buffer | undefined {
  if (selection.sinceMs !== undefined && Date.parse(line.time) < selection.sinceMs) return undefined;
  const end = line.partial ? [] : [Buffer.from("\n")];
  return Buffer.concat([
    ...(selection.timestamps ? [Buffer.from(`${line.time} `)] : []),
    line.content,
    ...end,
  ]);
}
