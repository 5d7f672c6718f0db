// SPDX-License-Identifier: Apache-2.0
//
// Serves the URLs of Exec, Attach and PortForward on 127.0.0.1, over SPDY/3.1 and over WebSockets: what crictl, kubectl through a kubelet, and
// critest speak. kubelet: k8s.io/kubelet/pkg/cri/streaming. Owns the listener, its connections, and URLs that nobody came to yet.

import { randomBytes } from "node:crypto";
import { createServer } from "node:http";
import type { IncomingMessage, Server } from "node:http";
import type { AddressInfo } from "node:net";
import type { Duplex } from "node:stream";

import { systemClock } from "@holdfast/core/node";
import type { Timer } from "@holdfast/core/clock";

import type { CommandSession, ForwardSession, Streaming } from "../../streaming.ts";
import { serveChannels } from "./command-channels.ts";
import { serveForwardChannels } from "./forward-channels.ts";
import { serveForward } from "./forward-streams.ts";
import { serveStreams } from "./command-streams.ts";
import { acceptKey } from "./websocket-connection.ts";

type Session = CommandSession | ForwardSession;

/** Something that serves one client. */
export interface Served {
  close(): void;
}

const HOST = "127.0.0.1";
/** kubelet: cacheTTL and maxInFlight of its request cache. */
const URL_TTL_MS = 60_000;
const MAX_URLS = 1000;
const TOKEN_BYTES = 6;
const BASE64 = "v4.base64.channel.k8s.io";
const COMMAND_PROTOCOLS = ["v5.channel.k8s.io", "v4.channel.k8s.io"];
const FORWARD_PROTOCOLS = ["portforward.k8s.io"];
/** Over WebSockets. */
const COMMAND_CHANNELS = [...COMMAND_PROTOCOLS, BASE64];
const FORWARD_CHANNELS = ["v4.channel.k8s.io", BASE64];

/** For `FakeRuntimeOptions.streaming`. Listens from the first URL on. */
export function streamingServer(): Streaming {
  const waiting = new Map<string, { readonly session: Session; readonly timer: Timer }>();
  const clients = new Set<Served>();
  let listening: Promise<Server> | undefined;

  const take = (path: string): Session | undefined => {
    const found = waiting.get(path);
    found?.timer.cancel();
    waiting.delete(path);
    return found?.session;
  };
  const upgrade = (request: IncomingMessage, socket: Duplex, head: Buffer): void => {
    const session = take((request.url ?? "").replace(/\?.*$/, ""));
    if (session === undefined) return refuse(socket, "404 Not Found", "404: Page Not Found");
    const begun = begin(request, session, socket, head, () => clients.delete(begun as Served));
    if (begun !== undefined) clients.add(begun);
  };
  const listen = (): Promise<Server> =>
    new Promise((resolve, reject) => {
      const server = createServer((_request, response) =>
        response.writeHead(404).end("404: Page Not Found\n"),
      );
      server.on("upgrade", upgrade);
      server.once("error", reject);
      server.listen(0, HOST, () => resolve(server));
    });
  return {
    async offer(session) {
      listening ??= listen();
      const { port } = (await listening).address() as AddressInfo;
      for (const oldest of waiting.keys()) {
        if (waiting.size < MAX_URLS) break;
        take(oldest);
      }
      const path = `/${session.kind}/${randomBytes(TOKEN_BYTES).toString("base64url")}`;
      waiting.set(path, { session, timer: systemClock.timer(URL_TTL_MS, () => void take(path)) });
      return `http://${HOST}:${port}${path}`;
    },
    async close() {
      for (const path of waiting.keys()) take(path);
      for (const client of clients) client.close();
      const server = await listening?.catch(() => undefined);
      server?.closeAllConnections();
      server?.close();
    },
  };
}

function begin(
  request: IncomingMessage,
  session: Session,
  socket: Duplex,
  head: Buffer,
  onClose: () => void,
): Served | undefined {
  const upgrade = String(request.headers.upgrade ?? "").toLowerCase();
  if (upgrade === "websocket") return beginChannels(request, session, socket, head, onClose);
  if (upgrade !== "spdy/3.1") {
    refuse(socket, "400 Bad Request", `unable to upgrade: ${upgrade} is not spoken here`);
    return undefined;
  }
  const known = session.kind === "portforward" ? FORWARD_PROTOCOLS : COMMAND_PROTOCOLS;
  const protocol = chosen(request.headers["x-stream-protocol-version"], known);
  if (protocol === undefined) return unnegotiable(socket, known);
  switchTo(socket, "SPDY/3.1", [`X-Stream-Protocol-Version: ${protocol}`]);
  return session.kind === "portforward"
    ? serveForward(session, socket, head, onClose)
    : serveStreams(session, socket, head, onClose);
}

function beginChannels(
  request: IncomingMessage,
  session: Session,
  socket: Duplex,
  head: Buffer,
  onClose: () => void,
): Served | undefined {
  const known = session.kind === "portforward" ? FORWARD_CHANNELS : COMMAND_CHANNELS;
  const offered = request.headers["sec-websocket-protocol"];
  const key = request.headers["sec-websocket-key"];
  // To forward a port, a client need not name a protocol.
  const isUnnamed = offered === undefined && session.kind === "portforward";
  const protocol = isUnnamed ? "" : chosen(offered, known);
  if (protocol === undefined || key === undefined) return unnegotiable(socket, known);
  const named = protocol === "" ? [] : [`Sec-WebSocket-Protocol: ${protocol}`];
  switchTo(socket, "websocket", [`Sec-WebSocket-Accept: ${acceptKey(key)}`, ...named]);
  const codec = protocol === BASE64 ? "base64" : "binary";
  return session.kind === "portforward"
    ? serveForwardChannels(session, socket, head, codec, onClose)
    : serveChannels(session, socket, head, codec, onClose);
}

/** The best that both know. */
function chosen(
  offered: string | readonly string[] | undefined,
  known: readonly string[],
): string | undefined {
  const names = String(offered ?? "")
    .split(",")
    .map((name) => name.trim());
  return known.find((name) => names.includes(name));
}

function unnegotiable(socket: Duplex, known: readonly string[]): undefined {
  refuse(socket, "403 Forbidden", `unable to negotiate protocol: server supports ${known.join(", ")}`);
  return undefined;
}

function switchTo(socket: Duplex, name: string, fields: readonly string[]): void {
  socket.write(
    ["HTTP/1.1 101 Switching Protocols", `Upgrade: ${name}`, "Connection: Upgrade", ...fields, "", ""].join(
      "\r\n",
    ),
  );
}

function refuse(socket: Duplex, status: string, text: string): void {
  socket.on("error", () => socket.destroy());
  socket.end(
    `HTTP/1.1 ${status}\r\nContent-Type: text/plain\r\nContent-Length: ${text.length}\r\nConnection: close\r\n\r\n${text}`,
  );
}
