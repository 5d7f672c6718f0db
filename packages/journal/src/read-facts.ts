// SPDX-License-Identifier: Apache-2.0

/**
 * Pure: reads facts out of events by type. Payloads are declared here by what is needed of them, and read with care: the journal holds what older
 * versions wrote, and managers that publish `probe/…`, `oom/…`, `eviction/…` and `device/…` are not known to this package.
 */
import type { Fact, FactAt, ProbeKind } from "./facts.ts";
import type { JournalEvent } from "./journal-event.ts";
import { isRecord } from "./redact.ts";

/** Reads one type's payload. Undefined: this event means nothing for the end of a container. */
export type FactReader = (data: Readonly<Record<string, unknown>>, event: JournalEvent) => Fact | undefined;

/** The fact of an event. `readers` are asked before the built-in ones; a key may end in `/*`. Never throws. */
export function readFact(
  event: JournalEvent,
  readers: ReadonlyMap<string, FactReader> = NO_READERS,
): FactAt | undefined {
  const family = `${event.type.slice(0, Math.max(event.type.indexOf("/"), 0))}/*`;
  const reader =
    readers.get(event.type) ??
    readers.get(family) ??
    FACT_READERS.get(event.type) ??
    FACT_READERS.get(family);
  if (reader === undefined) return undefined;
  const fact = reader(isRecord(event.data) ? event.data : {}, event);
  if (fact === undefined) return undefined;
  const { seq, at, monotonic, subject, causes } = event;
  return { ...fact, seq, at, monotonic, subject, causes };
}

const NO_READERS: ReadonlyMap<string, FactReader> = new Map();

/** Types whose facts are about the node: they bear on every container. */
export const NODE_FACT_TYPES: readonly string[] = [
  "journal/Started",
  "journal/NodeRebooted",
  "node/RuntimeReadinessChanged",
  "oom/SystemOOM",
];

function text(data: Readonly<Record<string, unknown>>, ...keys: readonly string[]): string {
  for (const key of keys) {
    const value = data[key];
    if (typeof value === "string" && value !== "") return value;
  }
  return "";
}

function count(data: Readonly<Record<string, unknown>>, ...keys: readonly string[]): number | undefined {
  for (const key of keys) {
    const value = data[key];
    if (typeof value === "number" && Number.isFinite(value)) return value;
  }
  return undefined;
}

function flag(data: Readonly<Record<string, unknown>>, ...keys: readonly string[]): boolean | undefined {
  for (const key of keys) if (typeof data[key] === "boolean") return data[key];
  return undefined;
}

function names(value: unknown): readonly string[] {
  return Array.isArray(value) ? value.filter((item): item is string => typeof item === "string") : [];
}

const died: FactReader = (data) =>
  data["kind"] === "sandbox" ? { kind: "sandboxDied" } : { kind: "died", exitCode: count(data, "exitCode") };

const kill: FactReader = (data) => ({
  kind: "kill",
  reason: text(data, "killReason"),
  message: text(data, "message"),
  graceSeconds: count(data, "gracePeriodSeconds"),
  wholeSandbox: false,
});

const sandboxStop: FactReader = (data) => ({
  kind: "kill",
  reason: text(data, "reason"),
  message: "",
  graceSeconds: undefined,
  wholeSandbox: true,
});

const PROBES: readonly ProbeKind[] = ["liveness", "readiness", "startup"];

/** Of a probe's event: which probe, and whether it is content. */
const probe: FactReader = (data) => {
  const said = text(data, "probe", "probeType", "kind", "type", "message").toLowerCase();
  const which = PROBES.find((kind) => said.includes(kind));
  const verdict = text(data, "result", "outcome", "to", "verdict", "reason").toLowerCase();
  const healthy = flag(data, "healthy", "success") ?? verdict === "success";
  const output = isRecord(data["output"]) ? data["output"] : data;
  const line = text(output, "firstLine", "outputFirstLine") || text(data, "message");
  return { kind: "probe", probe: which, healthy, text: line };
};

/** Of any `oom/…` event: whose limit, who was killed. */
const oom: FactReader = (data, event) => {
  const isNode =
    /system/i.test(event.type) || /node|system|global/i.test(text(data, "scope", "constraint", "cause"));
  const isMain = flag(data, "mainProcess", "isMainProcess", "main");
  const byType = /child/i.test(event.type) ? false : undefined;
  // A killed process with no word of which one is in the middle: the exit code decides.
  return {
    kind: "oom",
    scope: isNode ? "node" : "container",
    main: isMain ?? byType,
    ...(flag(data, "groupMember") === true && { alongWith: true }),
    text: oomText(data),
  };
};

function oomText(data: Readonly<Record<string, unknown>>): string {
  const said = text(data, "message");
  if (said !== "") return said;
  const process = text(data, "process", "processName", "task", "victim");
  const pid = count(data, "pid");
  const used = count(data, "memoryBytes", "rssBytes", "anonRssBytes", "usageBytes");
  const limit = count(data, "limitBytes", "memoryLimitBytes");
  return [
    process === "" ? "a process was killed" : `process ${process} was killed`,
    ...(pid === undefined || pid <= 0 ? [] : [`pid ${pid}`]),
    ...(used === undefined ? [] : [`it used ${mebibytes(used)}`]),
    ...(limit === undefined ? [] : [`${limitName(text(data, "limitOf"))} is ${mebibytes(limit)}`]),
    ...(flag(data, "groupMember") === true ? ["along with the others of its cgroup (memory.oom.group)"] : []),
  ].join(", ");
}

/** Whose limit it was, when not the container's own: nobody finds such a one in the container's manifest. */
function limitName(limitOf: string): string {
  if (limitOf === "pod") return "the limit of its pod";
  return limitOf === "above" ? "the limit of all pods together" : "the limit";
}

/** As people compare it with `limits.memory`. */
function mebibytes(bytes: number): string {
  const value = bytes / 2 ** 20;
  return `${value >= 10 ? Math.round(value) : Number(value.toFixed(1))}Mi`;
}

const device: FactReader = (data) => {
  const isHealthy = flag(data, "healthy");
  const health = text(data, "health", "state", "to").toLowerCase();
  const isLost = isHealthy === false || ["unhealthy", "lost", "gone", "removed"].includes(health);
  if (!isLost) return undefined;
  const name = [text(data, "resource", "resourceName"), text(data, "device", "deviceId", "id")];
  const what = name.filter((part) => part !== "").join(" ");
  return { kind: "deviceLost", text: text(data, "message") || `device ${what} is unhealthy` };
};

const runtimeReadiness: FactReader = (data) => {
  const problem = text(data, "runtime");
  return problem === "" ? { kind: "runtimeUp" } : { kind: "runtimeDown", text: problem };
};

const restartCount = (data: Readonly<Record<string, unknown>>): number | undefined =>
  count(data, "restartCount");

const FACT_READERS: ReadonlyMap<string, FactReader> = new Map<string, FactReader>([
  ["pod/ContainerStarting", (data) => ({ kind: "starting", restartCount: restartCount(data) })],
  ["pod/ContainerStarted", (data) => ({ kind: "started", restartCount: restartCount(data) })],
  [
    "pleg/ContainerStarted",
    (data) => (data["kind"] === "sandbox" ? undefined : { kind: "started", restartCount: undefined }),
  ],
  ["pleg/ContainerDied", died],
  ["pod/ContainerKilling", kill],
  ["pod/SandboxStopping", sandboxStop],
  ["pod/ContainerKilled", (data) => ({ kind: "killed", error: text(data, "error") })],
  ["pod/HookFailed", (data) => ({ kind: "hookFailed", text: text(data, "message") })],
  [
    "pod/PodTerminating",
    (data) => ({ kind: "podEnding", reason: text(data, "reason"), message: text(data, "message") }),
  ],
  [
    "pod/PodAdded",
    (data) => ({ kind: "podAdded", source: text(data, "source"), changed: names(data["changed"]) }),
  ],
  ["pod/PodRemoved", (data) => ({ kind: "podRemoved", source: text(data, "source") })],
  [
    "pod/PodUpdated",
    (data) => ({ kind: "specChanged", source: text(data, "source"), changed: names(data["changed"]) }),
  ],
  ["probe/ResultChanged", probe],
  // A warning counts as success, and an attempt that was thrown away says nothing about its target.
  [
    "probe/Unhealthy",
    (data, event) =>
      data["reason"] === "Unhealthy" && data["proberError"] === undefined ? probe(data, event) : undefined,
  ],
  ["oom/*", oom],
  [
    "eviction/*",
    (data, event) =>
      event.subject.podUid === undefined
        ? undefined
        : { kind: "eviction", text: text(data, "message", "reason") },
  ],
  ["device/*", device],
  ["devicemanager/*", device],
  ["node/RuntimeReadinessChanged", runtimeReadiness],
  ["journal/NodeRebooted", (data) => ({ kind: "reboot", bootId: text(data, "bootId") })],
  ["journal/Started", (data) => ({ kind: "agentStarted", version: text(data, "version") })],
]);
