// SPDX-License-Identifier: Apache-2.0

/** Which path answers what. Mostly reading: it runs commands in containers, and takes pods out of traffic. */
import { HoldfastError } from "@holdfast/core/errors";
import type { DiskLedger } from "@holdfast/gc";
import { diskAnswer } from "./disk-routes.ts";
import { gcAnswer } from "./gc-routes.ts";
import type { GcView } from "./gc-routes.ts";
import { journalAnswer } from "./journal-routes.ts";
import type { JournalView } from "./journal-routes.ts";
import type { ApiAnswer, ApiRequest, ApiRouter } from "./server.ts";
import { statsAnswer } from "./stats-routes.ts";
import type { StatsView } from "./stats-routes.ts";
import type { ExecAnswer, ExecBody, NodeObject, PodList, PodObject, WatchEvent } from "./types.ts";

/** Which lines of which log. */
export interface LogQuery {
  readonly container: string | undefined;
  readonly previous: boolean;
  readonly follow: boolean;
  readonly timestamps: boolean;
  readonly tailLines: number | undefined;
  readonly sinceSeconds: number | undefined;
}

/** What the routes need of the agent. */
export interface AgentView {
  podList(): PodList;
  /** Undefined when there is none. */
  pod(namespace: string, name: string): PodObject | undefined;
  watchPods(signal: AbortSignal): AsyncIterable<WatchEvent>;
  readLog(pod: PodObject, query: LogQuery, signal: AbortSignal): AsyncIterable<Buffer>;
  exec(pod: PodObject, body: ExecBody, signal: AbortSignal): Promise<ExecAnswer>;
  /** Takes the pod out of traffic, or gives it back; the pod as it is then. */
  cordon(pod: PodObject, on: boolean, by: string): PodObject;
  /** Waiting containers are tried now; undefined when nothing waits. */
  retry(pod: PodObject, container: string | undefined, by: string): readonly string[] | undefined;
  node(): NodeObject;
  failures(): readonly string[];
  metrics(): string;
  /** The kubelet's figures of each probe. */
  probeMetrics(): string;
  snapshot(): unknown;
}

const MAX_EXEC_SECONDS = 3600;

/** Makes the router. Without a journal its routes say that there is none; `gc`, `stats` and `disk` are undefined until the runtime has answered. */
export function createRouter(
  view: AgentView,
  journal?: JournalView,
  gc: () => GcView | undefined = () => undefined,
  stats: () => StatsView | undefined = () => undefined,
  disk: () => Pick<DiskLedger, "read"> | undefined = () => undefined,
  devices: () => unknown = () => undefined,
): ApiRouter {
  return async (request) => {
    const [first, second, third, ...rest] = request.segments;
    if (first === "healthz") return health(view);
    if (first === "metrics" && (second === undefined || second === "probes"))
      return {
        text: second === "probes" ? view.probeMetrics() : view.metrics(),
        contentType: "text/plain; version=0.0.4",
      };
    if (first === "debug" && second === "snapshot") return { json: view.snapshot() };
    if (first === "stats" && second === "summary") return statsAnswer(stats(), request, "summary");
    if (first === "api" && second === "v1") {
      if (third === "pods" && rest.length === 0) return podsAnswer(view, request);
      if (third === "node" && rest.length === 0) return { json: view.node() };
      if (third === "disk") return diskAnswer(disk(), request);
      if (third === "stats") return statsAnswer(stats(), request, "all");
      if (third === "devices" && rest.length === 0) return { json: devices() ?? noDevices() };
      if (third === "gc") return gcAnswer(gc(), request, rest);
      if (third === "journal") return journalAnswer(required(journal), request, rest, () => view.node().name);
      if (third === "namespaces" && rest[1] === "pods") return podAnswer(view, request, rest);
    }
    throw new HoldfastError("AGENT_ROUTE", "not-found", `there is nothing at /${request.segments.join("/")}`);
  };
}

function required(journal: JournalView | undefined): JournalView {
  if (journal !== undefined) return journal;
  throw new HoldfastError("AGENT_NO_JOURNAL", "not-found", "this agent keeps no journal");
}

function noDevices(): never {
  throw new HoldfastError(
    "AGENT_NO_DEVICES",
    "not-found",
    "this agent takes no device plugins (devicePluginsDir is not set), or its runtime has not answered yet",
  );
}

function health(view: AgentView): ApiAnswer {
  const failures = view.failures();
  if (failures.length > 0) throw new HoldfastError("AGENT_UNHEALTHY", "retryable", failures.join("; "));
  return { text: "ok\n", contentType: "text/plain" };
}

function podsAnswer(view: AgentView, request: ApiRequest): ApiAnswer {
  if (request.query.get("watch") !== "true") return { json: view.podList() };
  return { stream: asLines(view.watchPods(request.signal)), contentType: "application/x-ndjson" };
}

async function* asLines(events: AsyncIterable<WatchEvent>): AsyncGenerator<string> {
  for await (const event of events) yield `${JSON.stringify(event)}\n`;
}

async function podAnswer(view: AgentView, request: ApiRequest, rest: readonly string[]): Promise<ApiAnswer> {
  const [namespace = "", , name = "", action] = rest;
  const pod = view.pod(namespace, name);
  if (pod === undefined)
    throw new HoldfastError("AGENT_NO_POD", "not-found", `there is no pod "${namespace}/${name}"`);
  if (action === undefined) return { json: pod };
  if (action === "log")
    return { stream: view.readLog(pod, logQuery(request.query), request.signal), contentType: "text/plain" };
  if (action === "exec" && request.method === "POST")
    return { json: await view.exec(pod, execBody(request.body), request.signal) };
  if ((action === "cordon" || action === "uncordon") && request.method === "POST")
    return { json: view.cordon(pod, action === "cordon", askedBy(request.body)) };
  if (action === "retry" && request.method === "POST")
    return { json: { retried: view.retry(pod, containerOf(request.body), askedBy(request.body)) ?? null } };
  throw new HoldfastError("AGENT_ROUTE", "not-found", `a pod has no "${action}" for ${request.method}`);
}

function logQuery(query: URLSearchParams): LogQuery {
  return {
    container: query.get("container") ?? undefined,
    previous: query.get("previous") === "true",
    follow: query.get("follow") === "true",
    timestamps: query.get("timestamps") === "true",
    tailLines: count(query, "tailLines"),
    sinceSeconds: count(query, "sinceSeconds"),
  };
}

function count(query: URLSearchParams, key: string): number | undefined {
  const text = query.get(key);
  if (text === null) return undefined;
  const value = Number(text);
  if (!Number.isFinite(value) || value < 0)
    throw new HoldfastError("AGENT_REQUEST", "bad-input", `${key} must be a number of at least 0`, {
      fieldPath: key,
    });
  return value;
}

/** A name that people are shown; never trusted for anything else. */
function askedBy(body: unknown): string {
  const { by } = (body ?? {}) as Record<string, unknown>;
  if (typeof by === "string" && /^[\w.@-]{1,64}$/.test(by)) return by;
  throw new HoldfastError("AGENT_REQUEST", "bad-input", "by must be a user's name of at most 64 characters", {
    fieldPath: "by",
  });
}

function containerOf(body: unknown): string | undefined {
  const { container } = (body ?? {}) as Record<string, unknown>;
  if (container === undefined || typeof container === "string") return container;
  throw new HoldfastError("AGENT_REQUEST", "bad-input", "container must be a name", {
    fieldPath: "container",
  });
}

function execBody(body: unknown): ExecBody {
  const { container, command, timeoutSeconds } = (body ?? {}) as Record<string, unknown>;
  const refuse = (fieldPath: string, rule: string): never => {
    throw new HoldfastError("AGENT_REQUEST", "bad-input", `${fieldPath} ${rule}`, { fieldPath });
  };
  if (!Array.isArray(command) || command.length === 0 || !command.every((word) => typeof word === "string"))
    return refuse("command", "must be a list of words");
  if (container !== undefined && typeof container !== "string") return refuse("container", "must be a name");
  if (
    timeoutSeconds !== undefined &&
    !(typeof timeoutSeconds === "number" && timeoutSeconds > 0 && timeoutSeconds <= MAX_EXEC_SECONDS)
  ) {
    return refuse("timeoutSeconds", `must be between 1 and ${MAX_EXEC_SECONDS}`);
  }
  return {
    command: command as string[],
    ...(container !== undefined && { container }),
    ...(timeoutSeconds !== undefined && { timeoutSeconds }),
  };
}
