// SPDX-License-Identifier: Apache-2.0
//
// A command over SPDY: one stream for each of stdin, stdout, stderr and terminal sizes, and one for how it ended.

import type { Duplex } from "node:stream";

import type { CommandSession } from "../../streaming.ts";
import { exitStatus, failureStatus } from "./command-status.ts";
import { SpdyConnection } from "./spdy-connection.ts";
import type { SpdyStream } from "./spdy-connection.ts";

/** Begins once the client has made all streams that it announced. */
export function serveStreams(
  session: CommandSession,
  socket: Duplex,
  head: Buffer,
  onClose: () => void,
): { close(): void } {
  const { stdin, stdout, stderr, tty } = session.wants;
  const awaited = new Set(["error"]);
  for (const [name, wanted] of Object.entries({ stdin, stdout, stderr, resize: tty }))
    if (wanted) awaited.add(name);
  const streams = new Map<string, SpdyStream>();
  const gone = new AbortController();
  const run = async (): Promise<void> => {
    const ended = session.run({
      signal: gone.signal,
      write: (name, bytes) => streams.get(name)?.write(bytes),
      onInput: (take) => streams.get("stdin")?.onData(take),
    });
    const status = await ended.then(exitStatus, failureStatus);
    for (const name of ["stdout", "stderr"]) streams.get(name)?.end();
    streams.get("error")?.write(status);
    streams.get("error")?.end();
    connection.finish();
  };
  const connection = new SpdyConnection(socket, head, {
    onStream: (stream) => {
      const name = stream.headers.get("streamtype") ?? "";
      streams.set(name, stream);
      if (awaited.delete(name) && awaited.size === 0) void run();
    },
    onClose: () => {
      gone.abort(new Error("the client went"));
      onClose();
    },
  });
  return connection;
}
