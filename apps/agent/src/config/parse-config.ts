// SPDX-License-Identifier: Apache-2.0

/** Reads the configuration documents: pure, every problem at once, each with file, line and key. */
import { isIP } from "node:net";
import { isMap, isScalar, LineCounter, parseAllDocuments } from "yaml";
import type { Document, ParsedNode, YAMLMap } from "yaml";
import { parseDuration } from "@holdfast/core/duration";
import { errorText, HoldfastError } from "@holdfast/core/errors";
import { wholeValue } from "@holdfast/core/quantity";
import { completeEviction } from "./eviction-config.ts";
import { readImageKeepRules } from "./image-keep-rules.ts";
import { nearestName } from "@holdfast/core/nearest-name";
import type { AgentConfig, LoadedConfig } from "./agent-config.ts";
import { AGENT_FIELDS, KUBELET_FIELDS, KUBELET_UNSUPPORTED } from "./fields.ts";
import type { Field } from "./fields.ts";
import { completeResources, readMemoryReservations, readStringMap } from "./resource-config.ts";

const KUBELET_API = "kubelet.config.k8s.io/v1beta1";
const AGENT_API = "holdfast.agent/v1alpha1";

interface Reading {
  readonly file: string;
  readonly problems: string[];
  readonly warnings: string[];
  readonly values: Map<string, unknown>;
  readonly sources: Map<string, string>;
  readonly lineOf: (offset: number | undefined) => number;
}

/**
 * Parses configuration text (both documents, in any order, each at most once) and fills in defaults.
 * Throws one `bad-input` error (AGENT_CONFIG) that lists every problem. An empty text is all defaults.
 */
export function parseConfig(text: string, file: string, hostName: string): LoadedConfig {
  const lines = new LineCounter();
  const reading: Reading = {
    file,
    problems: [],
    warnings: [],
    values: new Map(),
    sources: new Map(),
    lineOf: (offset) => (offset === undefined ? 1 : lines.linePos(offset).line),
  };
  const seen = new Set<string>();
  for (const document of parseAllDocuments(text, {
    lineCounter: lines,
    version: "1.1",
  }) as Document.Parsed[]) {
    readDocument(document, reading, seen);
  }
  const config = complete(reading, hostName);
  if (reading.problems.length > 0) {
    throw new HoldfastError(
      "AGENT_CONFIG",
      "bad-input",
      `invalid configuration:\n  ${reading.problems.join("\n  ")}`,
    );
  }
  return { config, warnings: reading.warnings, sources: reading.sources };
}

function readDocument(document: Document.Parsed, reading: Reading, seen: Set<string>): void {
  for (const error of document.errors)
    reading.problems.push(`${reading.file}:${reading.lineOf(error.pos[0])}: ${firstLine(error.message)}`);
  if (document.errors.length > 0 || document.contents === null) return;
  if (!isMap(document.contents)) {
    reading.problems.push(
      `${reading.file}:${reading.lineOf(document.contents.range[0])}: a configuration document must be a mapping`,
    );
    return;
  }
  const map = document.contents as YAMLMap.Parsed;
  const kind = `${String(map.get("apiVersion"))} ${String(map.get("kind"))}`;
  if (seen.has(kind))
    reading.problems.push(`${reading.file}:${reading.lineOf(map.range[0])}: ${kind} is given twice`);
  seen.add(kind);
  if (kind === `${KUBELET_API} KubeletConfiguration`)
    readFields(map, "", KUBELET_FIELDS, KUBELET_UNSUPPORTED, reading);
  else if (kind === `${AGENT_API} AgentConfiguration`) readFields(map, "", AGENT_FIELDS, [], reading);
  else {
    reading.problems.push(
      `${reading.file}:${reading.lineOf(map.range[0])}: unknown document "${kind}"; expected ${KUBELET_API} KubeletConfiguration or ${AGENT_API} AgentConfiguration`,
    );
  }
}

function readFields(
  map: YAMLMap.Parsed,
  prefix: string,
  fields: readonly Field[],
  unsupported: readonly string[],
  reading: Reading,
): void {
  for (const pair of map.items) {
    const key = `${prefix}${String(isScalar(pair.key) ? pair.key.value : pair.key)}`;
    if (key === "apiVersion" || key === "kind") continue;
    const where = `${reading.file}:${reading.lineOf(pair.key.range?.[0])}`;
    const field = fields.find((candidate) => candidate.key === key);
    if (field !== undefined) {
      reading.sources.set(key, where);
      const value = checkValue(field, (pair.value as ParsedNode | null)?.toJSON() as unknown, where, reading);
      if (value !== undefined) reading.values.set(key, value);
    } else if (isMap(pair.value) && fields.some((candidate) => candidate.key.startsWith(`${key}.`))) {
      readFields(pair.value as YAMLMap.Parsed, `${key}.`, fields, unsupported, reading);
    } else if (unsupported.includes(key))
      reading.warnings.push(`${where}: ${key} is not supported yet and has no effect`);
    else {
      const near = nearestName(key, [...fields.map((candidate) => candidate.key), ...unsupported]);
      reading.problems.push(
        `${where}: unknown key "${key}"${near === undefined ? "" : `; did you mean "${near}"?`}`,
      );
    }
  }
}

function checkValue(field: Field, value: unknown, where: string, reading: Reading): unknown {
  const refuse = (rule: string): undefined => {
    reading.problems.push(`${where}: ${field.key}: ${rule}, got ${JSON.stringify(value)?.slice(0, 60)}`);
    return undefined;
  };
  // An empty value counts as unset, as in the kubelet, but for resolvConf where "" means none.
  if (value === null || (value === "" && field.key !== "resolvConf")) return undefined;
  switch (field.type) {
    case "string":
      return typeof value === "string" ? value : refuse("must be a string");
    case "path":
      return typeof value === "string" && value.startsWith("/") && !value.includes("/../")
        ? value
        : refuse("must be an absolute path");
    case "unixEndpoint":
      return typeof value === "string" && /^(unix:\/\/)?\/.+/.test(value)
        ? value
        : refuse("must be a unix socket, like unix:///run/containerd/containerd.sock");
    case "bool":
      return typeof value === "boolean" ? value : refuse("must be true or false");
    case "int":
      return Number.isInteger(value)
        ? inRange(field, value as number, refuse)
        : refuse("must be a whole number");
    case "duration":
      try {
        return inRange(field, parseDuration(String(value)), refuse);
      } catch (error) {
        return refuse(errorText(error));
      }
    case "size":
      try {
        return inRange(field, wholeValue(String(value)), refuse);
      } catch (error) {
        return refuse(errorText(error));
      }
    case "strings":
      if (!Array.isArray(value) || !value.every((item) => typeof item === "string"))
        return refuse("must be a list of strings");
      return field.key === "clusterDNS" && value.some((item) => isIP(item) === 0)
        ? refuse("must be a list of IP addresses")
        : value;
    case "stringMap": {
      const map = readStringMap(value);
      return typeof map === "string" ? refuse(map) : map;
    }
    case "memoryReservations": {
      const reservations = readMemoryReservations(value);
      return typeof reservations === "string" ? refuse(reservations) : reservations;
    }
    case "imageRules": {
      const rules = readImageKeepRules(value);
      return typeof rules === "string" ? refuse(rules) : rules;
    }
    default:
      return field.type satisfies never;
  }
}

function inRange(field: Field, value: number, refuse: (rule: string) => undefined): number | undefined {
  const unit = field.type === "duration" ? " ms" : field.type === "size" ? " bytes" : "";
  if (field.min !== undefined && value < field.min) return refuse(`must be at least ${field.min}${unit}`);
  if (field.max !== undefined && value > field.max) return refuse(`must be at most ${field.max}${unit}`);
  return value;
}

function complete(reading: Reading, hostName: string): AgentConfig {
  const of = <T>(key: string): T => {
    const field = [...KUBELET_FIELDS, ...AGENT_FIELDS].find((candidate) => candidate.key === key);
    if (field === undefined) throw new TypeError(`no configuration key ${key}`);
    return (reading.values.get(key) ?? field.fallback) as T;
  };
  const oneOf = <const T extends readonly string[]>(key: string, allowed: T): T[number] => {
    const value = of<string>(key);
    if (!allowed.includes(value))
      reading.problems.push(
        `${reading.sources.get(key)}: ${key}: must be one of ${allowed.join(", ")}, got "${value}"`,
      );
    return value;
  };
  const nodeName = of<string>("nodeName") || hostName.toLowerCase();
  if (!/^[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?$/.test(nodeName)) {
    reading.problems.push(
      `${reading.sources.get("nodeName") ?? "the host's name"}: nodeName: must be a DNS name in lower case, got "${nodeName}"`,
    );
  }
  const [high, low] = [of<number>("imageGCHighThresholdPercent"), of<number>("imageGCLowThresholdPercent")];
  if (low >= high && high > 0) {
    const where =
      reading.sources.get("imageGCLowThresholdPercent") ?? reading.sources.get("imageGCHighThresholdPercent");
    reading.problems.push(
      `${where}: imageGCLowThresholdPercent (${low}) must be below imageGCHighThresholdPercent (${high})`,
    );
  }
  const endpoint = of<string>("containerRuntimeEndpoint");
  return {
    nodeName,
    stateDir: of("stateDir"),
    runDir: of("runDir"),
    share: of("share"),
    staticPodPath: of("staticPodPath"),
    fileCheckFrequencyMs: of("fileCheckFrequency"),
    syncFrequencyMs: of("syncFrequency"),
    runtimeEndpoint: endpoint.startsWith("unix:") ? endpoint : `unix://${endpoint}`,
    runtimeRequestTimeoutMs: of("runtimeRequestTimeout"),
    podLogsDir: of("podLogsDir"),
    clusterDomain: of("clusterDomain"),
    clusterDNS: of("clusterDNS"),
    resolvConf: of("resolvConf"),
    cgroupRoot: of("cgroupRoot"),
    cgroupsPerQOS: of("cgroupsPerQOS"),
    cgroupDriver: oneOf("cgroupDriver", ["cgroupfs", "systemd"]),
    cpuCFSQuota: of("cpuCFSQuota"),
    cpuCFSQuotaPeriodMs: of("cpuCFSQuotaPeriod"),
    podPidsLimit: of("podPidsLimit"),
    maxParallelImagePulls:
      of<boolean>("serializeImagePulls") && !reading.values.has("maxParallelImagePulls")
        ? 1
        : of("maxParallelImagePulls"),
    maxContainerRestartPeriodMs: of("crashLoopBackOff.maxContainerRestartPeriod"),
    maxPods: of("maxPods"),
    resources: completeResources(
      of,
      (key, text) => reading.problems.push(`${reading.sources.get(key) ?? reading.file}: ${key}: ${text}`),
      (key, text) => reading.warnings.push(`${reading.sources.get(key) ?? reading.file}: ${key}: ${text}`),
    ),
    eviction: completeEviction(of, (key, text) =>
      reading.problems.push(`${reading.sources.get(key) ?? reading.file}: ${key}${text}`),
    ),
    singleProcessOOMKill: reading.values.get("singleProcessOOMKill") as boolean | undefined,
    oomReplay: of("oomReplay"),
    bootIdFile: of("bootIdFile"),
    devicePluginsDir: of("devicePluginsDir"),
    oomScoreAdj: of("oomScoreAdj"),
    imageGCHighThresholdPercent: high,
    imageGCLowThresholdPercent: low,
    imageMinimumGCAgeMs: of("imageMinimumGCAge"),
    imageMaximumGCAgeMs: of("imageMaximumGCAge"),
    imageGCScope: oneOf("imageGCScope", ["ours", "all", "none"]),
    imageGCAmounts: oneOf("imageGCAmounts", ["reported", "disk"]),
    imageGCKeep: of("imageGCKeep"),
    maximumDeadContainersPerContainer: of("maximumDeadContainersPerContainer"),
    maximumDeadContainers: of("maximumDeadContainers"),
    minimumContainerTTLMs: of("minimumContainerTTLDuration"),
    maximumContainerListBytes: of("maximumContainerListSize"),
    podLogRetentionAttempts: of("podLogRetention.attempts"),
    podLogRetentionBytes: of("podLogRetention.size"),
    containerLogMaxSizeBytes: of("containerLogMaxSize"),
    containerLogMaxFiles: of("containerLogMaxFiles"),
    containerLogMaxWorkers: of("containerLogMaxWorkers"),
    containerLogMonitorIntervalMs: of("containerLogMonitorInterval"),
    maxManifestBytes: of("maxManifestBytes"),
    pullTimeoutMs: of("pullTimeout"),
    hookTimeoutMs: of("hookTimeout"),
    maxParallelStarts: of("maxParallelStarts"),
    probeOutput: of("probeOutput"),
    logFormat: oneOf("logFormat", ["text", "json"]),
    logLevel: oneOf("logLevel", ["debug", "info", "warn", "error"]),
  };
}

function firstLine(text: string): string {
  return text.split("\n", 1)[0] ?? "";
}
