// SPDX-License-Identifier: Apache-2.0
//
// Ports of a pod over SPDY: for each connection a pair of streams, one for its bytes and one for what went wrong.

import type { Socket } from "node:net";
import type { Duplex } from "node:stream";

import type { ForwardSession } from "../../streaming.ts";
import { forwardPort } from "./forward-port.ts";
import { SpdyConnection } from "./spdy-connection.ts";
import type { SpdyStream } from "./spdy-connection.ts";

interface Pair {
  error?: SpdyStream;
  data?: SpdyStream;
}

const MAX_HALVES = 256;

/** Connects once a pair is complete; the two are told by their request id. */
export function serveForward(
  session: ForwardSession,
  socket: Duplex,
  head: Buffer,
  onClose: () => void,
): { close(): void } {
  const halves = new Map<string, Pair>();
  const sockets = new Set<Socket>();
  const begin = ({ data, error }: Required<Pair>): void => {
    const inner: Socket | undefined = forwardPort(session, Number(data.headers.get("port")), {
      write: (bytes) => data.write(bytes),
      onEnd: (problem) => {
        if (inner !== undefined) sockets.delete(inner);
        if (problem !== undefined) error.write(Buffer.from(problem));
        error.end();
        data.end();
      },
    });
    if (inner === undefined) return;
    sockets.add(inner);
    data.onData((bytes) => void (bytes === undefined ? inner.end() : inner.write(bytes)));
  };
  return new SpdyConnection(socket, head, {
    onStream: (stream) => {
      const id = stream.headers.get("requestid") ?? "";
      const pair = halves.get(id) ?? {};
      if (halves.size >= MAX_HALVES) halves.clear();
      halves.set(id, pair);
      if (stream.headers.get("streamtype") === "error") pair.error = stream;
      else pair.data = stream;
      const { data, error } = pair;
      if (data === undefined || error === undefined) return;
      halves.delete(id);
      begin({ data, error });
    },
    onClose: () => {
      for (const inner of sockets) inner.destroy();
      onClose();
    },
  });
}
