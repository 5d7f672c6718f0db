// SPDX-License-Identifier: Apache-2.0
//
// Ports of a pod over a WebSocket: two channels for each port that was asked for, its bytes and what went wrong. Each begins with the port's number.

import type { Socket } from "node:net";
import type { Duplex } from "node:stream";

import type { ForwardSession } from "../../streaming.ts";
import { forwardPort } from "./forward-port.ts";
import { ChannelConnection } from "./websocket-connection.ts";
import type { ChannelCodec } from "./websocket-connection.ts";

/** Connects to all ports at once, and ends when the last of them has. */
export function serveForwardChannels(
  session: ForwardSession,
  socket: Duplex,
  head: Buffer,
  codec: ChannelCodec,
  onClose: () => void,
): { close(): void } {
  const sockets = new Map<number, Socket>();
  const connection = new ChannelConnection(socket, head, codec, {
    // Nothing is read from a channel for errors.
    onMessage: (channel, bytes) => void sockets.get(channel)?.write(bytes),
    onClose: () => {
      for (const inner of sockets.values()) inner.destroy();
      onClose();
    },
  });
  let open = session.ports.length;
  for (const [index, port] of session.ports.entries()) {
    const [data, error] = [2 * index, 2 * index + 1];
    for (const channel of [data, error]) connection.send(channel, portBytes(port));
    const inner = forwardPort(session, port, {
      write: (bytes) => connection.send(data, bytes),
      onEnd: (problem) => {
        sockets.delete(data);
        if (problem !== undefined) connection.send(error, Buffer.from(problem));
        open -= 1;
        if (open === 0) connection.finish();
      },
    });
    if (inner !== undefined) sockets.set(data, inner);
  }
  if (session.ports.length === 0) connection.finish();
  return connection;
}

function portBytes(port: number): Buffer {
  const bytes = Buffer.alloc(2);
  bytes.writeUInt16LE(port);
  return bytes;
}
