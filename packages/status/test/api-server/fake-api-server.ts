// SPDX-License-Identifier: Apache-2.0

/** Enough of an API server for pods' statuses: GET, strategic merge PATCH of the status with its UID precondition, DELETE; and answers that no server should give. */
import { createServer } from "node:http";
import type { IncomingMessage, ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import type { ApiPod } from "@holdfast/status";

type Json = Record<string, unknown>;

/** What came in. */
export interface SeenRequest {
  readonly method: string;
  readonly path: string;
  readonly type: string;
  readonly body: Json | undefined;
}

const MERGE_KEYS: Record<string, string> = { conditions: "type", podIPs: "ip", hostIPs: "ip" };

/** What a server does with a strategic merge patch: written apart from the code that makes one. */
export function applyPatch(target: Json, patch: Json): Json {
  const made: Json = { ...target };
  for (const [key, value] of Object.entries(patch)) {
    if (key.startsWith("$setElementOrder/")) {
      const field = key.slice("$setElementOrder/".length);
      if (!(field in patch))
        made[field] = applyList((made[field] ?? []) as Json[], [], MERGE_KEYS[field] ?? "", value as Json[]);
      continue;
    }
    const mergeKey = MERGE_KEYS[key];
    if (value === null) delete made[key];
    else if (mergeKey !== undefined && Array.isArray(value)) {
      const order = patch[`$setElementOrder/${key}`] as Json[] | undefined;
      made[key] = applyList((made[key] ?? []) as Json[], value as Json[], mergeKey, order);
    } else made[key] = value;
  }
  return made;
}

function applyList(items: Json[], patches: Json[], key: string, order: Json[] | undefined): Json[] {
  let made = items;
  for (const { $patch, ...patch } of patches) {
    const rest = made.filter((item) => item[key] !== patch[key]);
    if ($patch === "delete") made = rest;
    else if (rest.length === made.length) {
      const whole = Object.entries(patch).filter(([, value]) => value !== null);
      made = [...made, Object.fromEntries(whole)];
    } else made = made.map((item) => (item[key] === patch[key] ? applyPatch(item, patch) : item));
  }
  if (order === undefined) return made;
  const place = (item: Json): number => order.findIndex((one) => one[key] === item[key]);
  return made.toSorted((a, b) => place(a) - place(b));
}

/** Starts one on a free port. */
export class FakeApiServer implements AsyncDisposable {
  readonly pods = new Map<string, ApiPod>();
  readonly seen: SeenRequest[] = [];
  /** Answers in place of the server, once each, first to last. */
  readonly instead: ((response: ServerResponse, seen: SeenRequest) => void)[] = [];
  readonly #server = createServer((request, response) => void this.#answer(request, response));
  #version = 100;
  #isDown = false;

  /** Every connection ends at once, as behind a proxy whose server is gone. Its port stays its own. */
  set isDown(isDown: boolean) {
    this.#isDown = isDown;
    if (isDown) this.#server.closeAllConnections();
  }

  async start(): Promise<string> {
    this.#server.on("connection", (socket) => void (this.#isDown && socket.destroy()));
    await new Promise<void>((resolve) => this.#server.listen(0, "127.0.0.1", resolve));
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#server.closeAllConnections();
    await new Promise((resolve) => this.#server.close(resolve));
  }

  put(pod: ApiPod): ApiPod {
    const kept = { ...pod, metadata: { ...pod.metadata, resourceVersion: String(++this.#version) } };
    this.pods.set(`${pod.metadata.namespace}/${pod.metadata.name}`, kept);
    return kept;
  }

  methods(): string[] {
    return this.seen.map(({ method }) => method);
  }

  async #answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    let text = "";
    for await (const part of request) text += String(part);
    const seen = {
      method: request.method ?? "",
      path: request.url ?? "",
      type: request.headers["content-type"] ?? "",
      body: text === "" ? undefined : (JSON.parse(text) as Json),
    };
    this.seen.push(seen);
    const instead = this.instead.shift();
    if (instead !== undefined) return instead(response, seen);
    const [, namespace, name, sub] =
      /^\/api\/v1\/namespaces\/([^/]+)\/pods\/([^/]+)(\/status)?$/.exec(seen.path) ?? [];
    const key = `${decodeURIComponent(namespace ?? "")}/${decodeURIComponent(name ?? "")}`;
    const pod = this.pods.get(key);
    if (pod === undefined) return status(response, 404, "NotFound", `pods "${name}" not found`);
    if (seen.method === "GET") return send(response, 200, pod);
    if (seen.method === "DELETE") {
      const wanted = (seen.body?.["preconditions"] as Json | undefined)?.["uid"];
      if (wanted !== pod.metadata.uid) return status(response, 409, "Conflict", "Precondition failed: UID");
      this.pods.delete(key);
      return send(response, 200, { kind: "Status", apiVersion: "v1", status: "Success" });
    }
    if (sub === undefined || seen.type !== "application/strategic-merge-patch+json")
      return status(response, 415, "UnsupportedMediaType", "no such patch");
    const { metadata, status: patch = {} } = seen.body as { metadata: Json; status?: Json };
    if (metadata["uid"] !== pod.metadata.uid)
      return status(
        response,
        409,
        "Conflict",
        `Precondition failed: UID in precondition: ${String(metadata["uid"])}`,
      );
    const made = { ...pod, status: applyPatch({ ...pod.status }, patch) as never };
    if ((((made.status as Json)["podIPs"] as Json[] | undefined) ?? []).length > 2)
      return status(
        response,
        422,
        "Invalid",
        "status.podIPs: may specify no more than one for each IP family",
      );
    return send(response, 200, this.put(made));
  }
}

/** Sends JSON. */
export function send(
  response: ServerResponse,
  code: number,
  body: unknown,
  headers: Record<string, string> = {},
): void {
  response.writeHead(code, { "content-type": "application/json", ...headers });
  response.end(JSON.stringify(body));
}

/** Sends a `Status`. */
export function status(
  response: ServerResponse,
  code: number,
  reason: string,
  message: string,
  headers: Record<string, string> = {},
): void {
  send(
    response,
    code,
    { kind: "Status", apiVersion: "v1", status: "Failure", reason, message, code },
    headers,
  );
}
