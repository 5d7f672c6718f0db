// SPDX-License-Identifier: Apache-2.0
//
// A command over a WebSocket: a channel for each of stdin, stdout, stderr, how it ended, and terminal sizes. v5 can also end stdin.

import type { Duplex } from "node:stream";

import type { CommandSession } from "../../streaming.ts";
import { exitStatus, failureStatus } from "./command-status.ts";
import { ChannelConnection } from "./websocket-connection.ts";
import type { ChannelCodec } from "./websocket-connection.ts";

const STDIN = 0;
const CHANNELS = { stdout: 1, stderr: 2 } as const;
const ERROR = 3;
const END_OF_CHANNEL = 255;

/** Begins at once. */
export function serveChannels(
  session: CommandSession,
  socket: Duplex,
  head: Buffer,
  codec: ChannelCodec,
  onClose: () => void,
): { close(): void } {
  const gone = new AbortController();
  let input: (bytes: Uint8Array | undefined) => void = () => {};
  const connection = new ChannelConnection(socket, head, codec, {
    onMessage: (channel, bytes) => {
      if (channel === STDIN) input(bytes);
      else if (channel === END_OF_CHANNEL && bytes[0] === STDIN) input(undefined);
    },
    onClose: () => {
      gone.abort(new Error("the client went"));
      onClose();
    },
  });
  // Clients wait for a first message on each channel that they read.
  if (session.wants.stdout) connection.send(CHANNELS.stdout, new Uint8Array());
  if (session.wants.stderr) connection.send(CHANNELS.stderr, new Uint8Array());
  const run = async (): Promise<void> => {
    const ended = session.run({
      signal: gone.signal,
      write: (name, bytes) => connection.send(CHANNELS[name], bytes),
      onInput: (take) => {
        input = take;
      },
    });
    connection.send(ERROR, await ended.then(exitStatus, failureStatus));
    connection.finish();
  };
  void run();
  return connection;
}
