// SPDX-License-Identifier: Apache-2.0
//
// What containers wrote, in the CRI's log format. In memory; a sink gets the same lines with the path of the log file. The gRPC shell has a
// sink that writes files.

/** Where lines go besides memory. Must not throw. */
export interface LogSink {
  /** Appends one line, with its newline, to the file at that path. */
  append(path: string, line: string): void;
  /** The file was moved away: the next line opens it anew. */
  reopen(path: string): void;
}

const NANOS_PER_MS = 1_000_000n;
const MAX_LINES = 10_000;

/** The logs of all containers, each bounded to its last 10,000 lines. */
export class ContainerLogs {
  readonly #sink: LogSink | undefined;
  readonly #lines = new Map<string, string[]>();

  constructor(sink: LogSink | undefined) {
    this.#sink = sink;
  }

  write(id: string, path: string, at: bigint, stream: "stdout" | "stderr", text: string): void {
    const line = `${rfc3339(at)} ${stream} F ${text}\n`;
    const lines = this.#lines.get(id) ?? [];
    lines.push(line);
    if (lines.length > MAX_LINES) lines.shift();
    this.#lines.set(id, lines);
    if (path !== "") this.#sink?.append(path, line);
  }

  reopen(path: string): void {
    if (path !== "") this.#sink?.reopen(path);
  }

  read(id: string): string {
    return (this.#lines.get(id) ?? []).join("");
  }

  forget(id: string): void {
    this.#lines.delete(id);
  }
}

function rfc3339(nanos: bigint): string {
  const iso = new Date(Number(nanos / NANOS_PER_MS)).toISOString();
  const fraction = (nanos % (1000n * NANOS_PER_MS)).toString().padStart(9, "0");
  return `${iso.slice(0, 19)}.${fraction}Z`;
}
