// SPDX-License-Identifier: Apache-2.0

/** Reads container logs from disk: the last lines, from a time on, and on as they grow. Bounded memory whatever the file's size. */
import { watch } from "node:fs";
import type { FSWatcher } from "node:fs";
import { open, stat } from "node:fs/promises";
import type { FileHandle } from "node:fs/promises";
import type { Clock } from "@holdfast/core/clock";
import { parseCriLogLine, renderLogLine } from "./parse-cri-log.ts";
import type { LogSelection } from "./parse-cri-log.ts";

/** What to read of one log file. */
export interface ReadLogOptions extends LogSelection {
  readonly path: string;
  readonly clock: Clock;
  readonly follow: boolean;
  /** Only the last so many lines; undefined is all. */
  readonly tailLines?: number;
  readonly signal: AbortSignal;
  /** Asked when a followed file has no more to give: whether its container can still write. */
  readonly stillWriting: () => boolean;
}

const CHUNK_BYTES = 64 * 1024;
/** A record longer than this is passed on as it is: containerd cuts at 16 KiB, others do not. */
const MAX_RECORD_BYTES = 1024 * 1024;
/** How often a followed file is looked at when no change is reported. */
const POLL_MS = 1000;

/** Yields what to print, in chunks. A followed log that is rotated is read to its end, and then its successor. */
export async function* readLog(options: ReadLogOptions): AsyncGenerator<Buffer> {
  const { path, signal } = options;
  let handle = await open(path, "r");
  try {
    let position = options.tailLines === undefined ? 0 : await positionOfLastLines(handle, options.tailLines);
    let rest: Buffer = Buffer.alloc(0);
    let replaced = false;
    for (;;) {
      const { bytesRead, buffer } = await handle.read(
        Buffer.allocUnsafe(CHUNK_BYTES),
        0,
        CHUNK_BYTES,
        position,
      );
      position += bytesRead;
      if (bytesRead > 0) {
        const { output, left } = renderRecords(Buffer.concat([rest, buffer.subarray(0, bytesRead)]), options);
        rest = left;
        if (output.length > 0) yield output;
        continue;
      }
      if (!options.follow || signal.aborted) return;
      if (replaced) {
        const successor = await open(path, "r");
        await handle.close();
        handle = successor;
        position = 0;
        replaced = false;
        continue;
      }
      // Once more to the end of the old file: it was written to until its successor was there.
      replaced = await isReplaced(handle, path);
      if (replaced) continue;
      if (!options.stillWriting()) return;
      await changeOf(path, options.clock, signal);
    }
  } finally {
    await handle.close();
  }
}

/** Whether another file has the name now. One that is gone and has no successor yet is not. */
async function isReplaced(handle: FileHandle, path: string): Promise<boolean> {
  const [now, ours] = await Promise.all([stat(path).catch(() => undefined), handle.stat()]);
  return now !== undefined && now.ino !== ours.ino;
}

function renderRecords(data: Buffer, selection: LogSelection): { output: Buffer; left: Buffer } {
  const parts: Buffer[] = [];
  let start = 0;
  for (let end = data.indexOf(10); end >= 0; end = data.indexOf(10, start)) {
    const line = parseCriLogLine(data.subarray(start, end));
    // A line that is no record is shown as it is: nothing of a log is hidden.
    const text = line === undefined ? data.subarray(start, end + 1) : renderLogLine(line, selection);
    if (text !== undefined) parts.push(text);
    start = end + 1;
  }
  const left = data.subarray(start);
  if (left.length <= MAX_RECORD_BYTES) return { output: Buffer.concat(parts), left };
  return { output: Buffer.concat([...parts, left]), left: Buffer.alloc(0) };
}

/** Where the last `count` lines begin, looking backwards in chunks. A line counts with all its partial records. */
async function positionOfLastLines(handle: FileHandle, count: number): Promise<number> {
  const { size } = await handle.stat();
  if (count <= 0) return size;
  let found = 0;
  let position = size;
  while (position > 0) {
    const length = Math.min(CHUNK_BYTES, position);
    position -= length;
    const { buffer } = await handle.read(Buffer.allocUnsafe(length), 0, length, position);
    for (let index = length - 1; index >= 0; index--) {
      if (buffer[index] !== 10 || position + index === size - 1) continue;
      if (await isPartialRecordEndingAt(handle, position + index)) continue;
      found += 1;
      if (found === count) return position + index + 1;
    }
  }
  return 0;
}

async function isPartialRecordEndingAt(handle: FileHandle, end: number): Promise<boolean> {
  const from = Math.max(end - CHUNK_BYTES, 0);
  const { buffer, bytesRead } = await handle.read(Buffer.allocUnsafe(end - from), 0, end - from, from);
  const record = buffer.subarray(buffer.lastIndexOf(10, bytesRead - 1) + 1, bytesRead);
  return parseCriLogLine(record)?.partial ?? false;
}

/** Resolves at the next change of the file, after a while, or when the reader goes away. */
async function changeOf(path: string, clock: Clock, signal: AbortSignal): Promise<void> {
  await new Promise<void>((resolve) => {
    const done = (): void => {
      timer.cancel();
      watcher?.close();
      signal.removeEventListener("abort", done);
      resolve();
    };
    let watcher: FSWatcher | undefined;
    try {
      watcher = watch(path, done);
      watcher.on("error", done);
    } catch {
      // Just being rotated: there is no file of that name for a moment.
    }
    const timer = clock.timer(POLL_MS, done);
    signal.addEventListener("abort", done, { once: true });
  });
}
