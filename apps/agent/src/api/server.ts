// SPDX-License-Identifier: Apache-2.0

/**
 * The local API on a unix socket: HTTP and JSON for the command line.
 *
 * Owns: the socket (0600, in a folder of 0700) and open answers. Invariants: no request is larger than 64 KiB; at most 64 at once; a slow
 * reader of a stream is waited for, never buffered without bound. Nothing is lost on a crash.
 */
import { chmodSync, mkdirSync, rmSync } from "node:fs";
import { createServer } from "node:http";
import type { IncomingMessage, Server, ServerResponse } from "node:http";
import { connect } from "node:net";
import { dirname } from "node:path";
import { errorText, holdfastErrorIn, HoldfastError } from "@holdfast/core/errors";
import type { Component, Health } from "@holdfast/core/lifecycle";
import type { Logger } from "@holdfast/core/log";
import type { ApiError } from "./types.ts";

/** One request, read and checked. */
export interface ApiRequest {
  readonly method: string;
  readonly segments: readonly string[];
  readonly query: URLSearchParams;
  /** The parsed body of a POST. */
  readonly body: unknown;
  /** Aborts when the reader goes away or the server stops. */
  readonly signal: AbortSignal;
}

/** What a route answers: a JSON value, text, or chunks over time. */
export type ApiAnswer =
  | { readonly json: unknown }
  | { readonly text: string; readonly contentType: string }
  | { readonly stream: AsyncIterable<string | Buffer>; readonly contentType: string };

/** Decides what a request gets. Throws errors of the usual kinds. */
export type ApiRouter = (request: ApiRequest) => Promise<ApiAnswer>;

const MAX_BODY_BYTES = 64 * 1024;
const MAX_CONNECTIONS = 64;
const STOP_MS = 2000;
const STATUS: Readonly<Record<string, number>> = {
  "not-found": 404,
  "bad-input": 400,
  deadline: 504,
  unimplemented: 501,
  retryable: 503,
};

/** Serves `router` on `socketPath`. */
export class ApiServer implements Component {
  readonly name = "local-api";
  readonly #socketPath: string;
  readonly #router: ApiRouter;
  readonly #logger: Logger;
  readonly #open = new Set<AbortController>();
  #server: Server | undefined;

  constructor(options: { readonly socketPath: string; readonly router: ApiRouter; readonly logger: Logger }) {
    this.#socketPath = options.socketPath;
    this.#router = options.router;
    this.#logger = options.logger;
  }

  async start(): Promise<void> {
    mkdirSync(dirname(this.#socketPath), { recursive: true, mode: 0o700 });
    if (await answers(this.#socketPath)) {
      throw new HoldfastError(
        "AGENT_SOCKET_IN_USE",
        "permanent",
        `another agent answers at ${this.#socketPath}; give this one another runDir`,
      );
    }
    rmSync(this.#socketPath, { force: true });
    const server = createServer((request, response) => void this.#serve(request, response));
    server.maxConnections = MAX_CONNECTIONS;
    this.#server = server;
    // The socket is made with 0600 from its first moment: anybody could connect between listen and chmod.
    const before = process.umask(0o177);
    try {
      await new Promise<void>((resolve, reject) => {
        server.once("error", reject);
        server.listen(this.#socketPath, () => resolve());
      });
    } finally {
      process.umask(before);
    }
    chmodSync(this.#socketPath, 0o600);
  }

  async stop(): Promise<void> {
    const server = this.#server;
    if (server === undefined) return;
    this.#server = undefined;
    for (const controller of this.#open) controller.abort(new Error("the agent stops"));
    const closed = new Promise<void>((resolve) => server.close(() => resolve()));
    server.closeIdleConnections();
    const forced = setTimeout(() => server.closeAllConnections(), STOP_MS);
    await closed;
    clearTimeout(forced);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop();
  }

  health(): Health {
    return { failures: this.#server === undefined ? ["not listening"] : [] };
  }

  async #serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const controller = new AbortController();
    this.#open.add(controller);
    response.on("close", () => {
      this.#open.delete(controller);
      controller.abort(new Error("the reader went away"));
    });
    try {
      const url = new URL(request.url ?? "/", "http://holdfast");
      const segments = url.pathname
        .split("/")
        .filter((part) => part !== "")
        .map(decodeURIComponent);
      const method = request.method ?? "GET";
      const body = method === "POST" ? await readBody(request) : undefined;
      const answer = await this.#router({
        method,
        segments,
        query: url.searchParams,
        body,
        signal: controller.signal,
      });
      await send(response, answer);
    } catch (error) {
      this.#fail(response, error);
    }
  }

  #fail(response: ServerResponse, error: unknown): void {
    const known = holdfastErrorIn(error);
    const body: ApiError = { code: known?.code ?? "AGENT_INTERNAL", message: errorText(error) };
    if (known === undefined && !(error instanceof URIError))
      this.#logger.error("a request failed", { err: error });
    if (response.headersSent) response.destroy();
    else {
      response.writeHead(STATUS[known?.kind ?? ""] ?? 500, { "content-type": "application/json" });
      response.end(JSON.stringify(body));
    }
  }
}

async function send(response: ServerResponse, answer: ApiAnswer): Promise<void> {
  if ("json" in answer) {
    response.writeHead(200, { "content-type": "application/json" });
    response.end(JSON.stringify(answer.json));
  } else if ("text" in answer) {
    response.writeHead(200, { "content-type": answer.contentType });
    response.end(answer.text);
  } else {
    const chunks = answer.stream[Symbol.asyncIterator]();
    // The first chunk decides whether this is an answer at all: an error before it still becomes a status.
    let next = await chunks.next();
    response.writeHead(200, { "content-type": answer.contentType });
    response.flushHeaders();
    for (; next.done !== true && !response.destroyed; next = await chunks.next()) {
      if (!response.write(next.value))
        await new Promise<void>((resolve) => response.once("drain", resolve).once("close", () => resolve()));
    }
    await chunks.return?.();
    response.end();
  }
}

async function readBody(request: IncomingMessage): Promise<unknown> {
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of request) {
    size += (chunk as Buffer).length;
    if (size > MAX_BODY_BYTES)
      throw new HoldfastError("AGENT_REQUEST", "bad-input", `a request is at most ${MAX_BODY_BYTES} bytes`);
    chunks.push(chunk as Buffer);
  }
  try {
    return JSON.parse(Buffer.concat(chunks).toString("utf8"));
  } catch (cause) {
    throw new HoldfastError("AGENT_REQUEST", "bad-input", "the request's body is no JSON", { cause });
  }
}

/** Whether somebody listens: a socket file left behind by kill -9 refuses. */
function answers(socketPath: string): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(socketPath, () => {
      socket.destroy();
      resolve(true);
    });
    socket.on("error", () => resolve(false));
  });
}
