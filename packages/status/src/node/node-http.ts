// SPDX-License-Identifier: Apache-2.0

/** Node's HTTP client as the API-server sink's port: connections are kept, bodies are bounded, every failure is translated here and nowhere else. */
import { Agent as HttpAgent, request as httpRequest } from "node:http";
import type { IncomingMessage, RequestOptions } from "node:http";
import { Agent as HttpsAgent, request as httpsRequest } from "node:https";
import type { HttpAnswer, HttpPort, HttpRequest } from "../api-server/ports.ts";
import { StatusSinkError } from "../sync/ports.ts";

/** How a {@link NodeHttp} is made. */
export interface NodeHttpOptions {
  /** `https://HOST:PORT`, or `http://` for tests. A path in it goes before every request's. */
  readonly baseUrl: string;
  /** PEM. Default: the system's. */
  readonly ca?: string;
  /** PEM of the client's certificate and its key. */
  readonly cert?: string;
  readonly key?: string;
  /** Asked for each request, as tokens are renewed. "": none. */
  readonly token?: () => string;
  /** Connections at once. Default 8. */
  readonly maxSockets?: number;
  /** Longest answer. Default 4 MiB. */
  readonly maxBodyBytes?: number;
}

/** Nothing that another pod's request would fare better with. */
const UNREACHABLE: ReadonlySet<string> = new Set([
  "ECONNREFUSED",
  "ENOTFOUND",
  "EAI_AGAIN",
  "EHOSTUNREACH",
  "ENETUNREACH",
  "ETIMEDOUT",
  "EPIPE",
]);

/** See the first line. */
export class NodeHttp implements HttpPort, Disposable {
  readonly #options: NodeHttpOptions;
  readonly #base: URL;
  readonly #agent: HttpAgent;

  constructor(options: NodeHttpOptions) {
    this.#options = options;
    this.#base = new URL(options.baseUrl);
    const { ca, cert, key, maxSockets = 8 } = options;
    const pool = { keepAlive: true, maxSockets, maxFreeSockets: maxSockets };
    this.#agent =
      this.#base.protocol === "https:"
        ? new HttpsAgent({
            ...pool,
            ...(ca === undefined ? {} : { ca }),
            ...(cert === undefined ? {} : { cert }),
            ...(key === undefined ? {} : { key }),
          })
        : new HttpAgent(pool);
  }

  request({ method, path, contentType, body }: HttpRequest, signal: AbortSignal): Promise<HttpAnswer> {
    const token = this.#options.token?.() ?? "";
    const options: RequestOptions = {
      method,
      agent: this.#agent,
      signal,
      headers: {
        accept: "application/json",
        "user-agent": "holdfast",
        ...(token === "" ? {} : { authorization: `Bearer ${token}` }),
        ...(body === undefined
          ? {}
          : { "content-type": contentType ?? "application/json", "content-length": Buffer.byteLength(body) }),
      },
    };
    const url = new URL(this.#base.pathname.replace(/\/$/, "") + path, this.#base);
    const send = this.#base.protocol === "https:" ? httpsRequest : httpRequest;
    const maxBytes = this.#options.maxBodyBytes ?? 4 << 20;
    return new Promise((resolve, reject) => {
      const fail = (error: Error): void =>
        reject(signal.aborted ? (signal.reason as Error) : unanswered(error));
      const sent = send(url, options, (answer) => void readAnswer(answer, maxBytes).then(resolve, fail));
      sent.on("error", fail);
      sent.end(body);
    });
  }

  /** Closes what is open. */
  [Symbol.dispose](): void {
    this.#agent.destroy();
  }
}

async function readAnswer(answer: IncomingMessage, maxBytes: number): Promise<HttpAnswer> {
  const parts: Buffer[] = [];
  let bytes = 0;
  for await (const part of answer as AsyncIterable<Buffer>) {
    bytes += part.length;
    // Leaving the loop closes the connection.
    if (bytes > maxBytes) throw new RangeError(`the answer is longer than ${maxBytes} bytes`);
    parts.push(part);
  }
  const { "retry-after": retryAfter } = answer.headers;
  const body = Buffer.concat(parts).toString("utf8");
  return { status: answer.statusCode ?? 0, body, ...(retryAfter === undefined ? {} : { retryAfter }) };
}

function unanswered(error: Error & { readonly code?: unknown }): StatusSinkError {
  const code = typeof error.code === "string" ? error.code : "";
  const tls = code.includes("CERT") || code.startsWith("ERR_TLS") || code.startsWith("ERR_SSL");
  const scope = tls || UNREACHABLE.has(code) ? "sink" : "pod";
  return new StatusSinkError(
    "STATUS_API_NO_ANSWER",
    "retryable",
    `no answer from the API server: ${error.message}`,
    {
      scope,
      cause: error,
    },
  );
}
