// SPDX-License-Identifier: Apache-2.0

/** Errors of sockets in Go's words, and which of them are ours. Pure. */
import { authority } from "./http-request.ts";

/** What a failed socket says of itself. */
export interface SocketError {
  readonly code?: string;
  readonly syscall?: string;
  readonly message: string;
}

/** This machine had no descriptor, no port or no memory left: nothing was asked of the target. */
const OURS: ReadonlySet<string> = new Set([
  "EMFILE",
  "ENFILE",
  "ENOBUFS",
  "ENOMEM",
  "EADDRNOTAVAIL",
  "ERR_SOCKET_BAD_PORT",
  // The resolver could not be asked, for lack of the same.
  "EAI_MEMORY",
  "EAI_SYSTEM",
]);

const WORDS: Readonly<Record<string, string>> = {
  ECONNREFUSED: "connection refused",
  ECONNRESET: "connection reset by peer",
  EHOSTUNREACH: "no route to host",
  EHOSTDOWN: "host is down",
  ENETUNREACH: "network is unreachable",
  ENETDOWN: "network is down",
  ETIMEDOUT: "connection timed out",
  EPIPE: "broken pipe",
  EACCES: "permission denied",
  EPERM: "operation not permitted",
  EINVAL: "invalid argument",
  EMFILE: "too many open files",
  ENFILE: "too many open files in system",
  ENOBUFS: "no buffer space available",
  ENOMEM: "cannot allocate memory",
  EADDRNOTAVAIL: "cannot assign requested address",
};

/** Whether the failure is the prober's. */
export function isOurs(error: SocketError): boolean {
  return error.code !== undefined && OURS.has(error.code);
}

/** `dial tcp 10.0.0.1:80: connect: connection refused`, `read tcp 10.0.0.1:80: read: connection reset by peer`. */
export function socketErrorText(error: SocketError, host: string, port: number, connected: boolean): string {
  const { code = "", syscall = "" } = error;
  if (syscall === "getaddrinfo") {
    const why = code === "ENOTFOUND" ? "no such host" : "server misbehaving";
    return `dial tcp: lookup ${host}: ${why}`;
  }
  const words = WORDS[code] ?? error.message;
  const address = authority(host, port);
  return connected ? `read tcp ${address}: read: ${words}` : `dial tcp ${address}: connect: ${words}`;
}
