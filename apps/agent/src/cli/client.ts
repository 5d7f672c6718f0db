// SPDX-License-Identifier: Apache-2.0

import { request } from "node:http";
import type { IncomingMessage } from "node:http";
import type { ApiError } from "../api/types.ts";
import { CommandError } from "./command.ts";

/** Talks to the agent over its socket. Every request has a deadline, but for streams that go on by nature. */
export interface ApiClient {
  get<T>(path: string): Promise<T>;
  post<T>(path: string, body: unknown, timeoutMs: number): Promise<T>;
  /** Chunks as they come, until the agent ends the answer or the signal aborts. */
  stream(path: string, signal: AbortSignal): AsyncIterable<Buffer>;
  /** The same for what a POST answers. */
  postStream(path: string, body: unknown, signal: AbortSignal): AsyncIterable<Buffer>;
}

const ANSWER_TIMEOUT_MS = 15_000;
const MAX_ANSWER_BYTES = 64 * 1024 * 1024;

/** Makes a client for the socket at `socketPath`. */
export function createApiClient(socketPath: string): ApiClient {
  return {
    get: async <T>(path: string) =>
      (await readJson(await open(socketPath, "GET", path, undefined, ANSWER_TIMEOUT_MS))) as T,
    post: async <T>(path: string, body: unknown, timeoutMs: number) =>
      (await readJson(await open(socketPath, "POST", path, JSON.stringify(body), timeoutMs))) as T,
    async *stream(path, signal) {
      yield* chunksOf(await open(socketPath, "GET", path, undefined, undefined, signal), signal);
    },
    async *postStream(path, body, signal) {
      const text = JSON.stringify(body);
      yield* chunksOf(await open(socketPath, "POST", path, text, undefined, signal), signal);
    },
  };
}

async function* chunksOf(response: IncomingMessage, signal: AbortSignal): AsyncGenerator<Buffer> {
  try {
    for await (const chunk of response) yield chunk as Buffer;
  } catch (error) {
    if (!signal.aborted) throw new CommandError("the agent went away", { exitCode: 3, cause: error });
  }
}

async function open(
  socketPath: string,
  method: string,
  path: string,
  body: string | undefined,
  timeoutMs: number | undefined,
  signal?: AbortSignal,
): Promise<IncomingMessage> {
  const response = await new Promise<IncomingMessage>((resolve, reject) => {
    const headers = body === undefined ? {} : { "content-type": "application/json" };
    const call = request({ socketPath, method, path, headers, ...(signal && { signal }) }, resolve);
    call.on("error", (cause: NodeJS.ErrnoException) => reject(unreachable(socketPath, cause)));
    if (timeoutMs !== undefined)
      call.setTimeout(timeoutMs, () => call.destroy(new Error(`no answer within ${timeoutMs / 1000} s`)));
    call.end(body);
  });
  if ((response.statusCode ?? 500) < 400) return response;
  const failure = (await readJson(response)) as Partial<ApiError>;
  throw new CommandError(failure.message ?? `the agent answered ${response.statusCode}`);
}

async function readJson(response: IncomingMessage): Promise<unknown> {
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of response) {
    size += (chunk as Buffer).length;
    if (size > MAX_ANSWER_BYTES)
      throw new CommandError(`the agent's answer is larger than ${MAX_ANSWER_BYTES} bytes`);
    chunks.push(chunk as Buffer);
  }
  try {
    return JSON.parse(Buffer.concat(chunks).toString("utf8"));
  } catch (cause) {
    throw new CommandError("the agent's answer is no JSON", { cause });
  }
}

function unreachable(socketPath: string, cause: NodeJS.ErrnoException): CommandError {
  if (cause.code === "EACCES")
    return new CommandError(`no permission to use ${socketPath}`, {
      exitCode: 3,
      next: "run this as root",
      cause,
    });
  if (cause.code === "ENOENT" || cause.code === "ECONNREFUSED") {
    return new CommandError(`no agent answers at ${socketPath}`, {
      exitCode: 3,
      next: "start it (systemctl start holdfast, or npm start), or name its socket with --socket or HOLDFAST_SOCKET",
      cause,
    });
  }
  return new CommandError(`asking the agent at ${socketPath}: ${cause.message}`, { exitCode: 3, cause });
}
