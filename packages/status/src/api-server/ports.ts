// SPDX-License-Identifier: Apache-2.0

/** HTTP as the API-server sink needs it. `@holdfast/status/node` fills it with Node's own client. */

/** One request to the API server. */
export interface HttpRequest {
  readonly method: "GET" | "PATCH" | "DELETE";
  /** With the leading slash, encoded. */
  readonly path: string;
  readonly contentType?: string;
  readonly body?: string;
}

/** An answer of any status. */
export interface HttpAnswer {
  readonly status: number;
  /** Header Retry-After. */
  readonly retryAfter?: string;
  readonly body: string;
}

/** Sends requests. Rejects with a `StatusSinkError` when there is no answer, with the signal's reason when it aborts. Must bound the body. */
export interface HttpPort {
  request(request: HttpRequest, signal: AbortSignal): Promise<HttpAnswer>;
}
