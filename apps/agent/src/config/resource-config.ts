// SPDX-License-Identifier: Apache-2.0

/**
 * Keys of `KubeletConfiguration` about dedicated CPUs and memory, and about what is kept from pods. Pure: all that can be told without looking at the
 * machine is checked here.
 */
import { errorText } from "@holdfast/core/errors";
import {
  amountOf,
  CpuSet,
  parseCpuPolicy,
  parseCpuPolicyOptions,
  parseMemoryPolicy,
  parseTopologyPolicy,
  parseTopologyPolicyOptions,
  parseTopologyScope,
  totalReservation,
} from "@holdfast/resource";
import type {
  CpuPolicyName,
  CpuPolicyOptions,
  MemoryPolicyName,
  MemoryReservation,
  Quantities,
  TopologyPolicyName,
  TopologyPolicyOptions,
  TopologyScope,
} from "@holdfast/resource";
import type { Field } from "./fields.ts";

/** What the resource side runs with. */
export interface ResourceConfig {
  readonly cpuManagerPolicy: CpuPolicyName;
  readonly cpuManagerPolicyOptions: CpuPolicyOptions;
  readonly cpuManagerReconcilePeriodMs: number;
  readonly reservedSystemCPUs: CpuSet;
  readonly memoryManagerPolicy: MemoryPolicyName;
  readonly reservedMemory: readonly MemoryReservation[];
  readonly topologyManagerPolicy: TopologyPolicyName;
  readonly topologyManagerScope: TopologyScope;
  readonly topologyManagerPolicyOptions: TopologyPolicyOptions;
  readonly systemReserved: Quantities;
  readonly kubeReserved: Quantities;
  /** Pods together are held to what is not reserved. */
  readonly limitPods: boolean;
}

type StringMap = Readonly<Record<string, string>>;

const MAX_ENTRIES = 1000;

/** The keys, for the table of all. */
export const RESOURCE_FIELDS: readonly Field[] = [
  {
    key: "cpuManagerPolicy",
    type: "string",
    fallback: "none",
    help: "none, or static: whole CPUs for containers of Guaranteed pods",
  },
  {
    key: "cpuManagerPolicyOptions",
    type: "stringMap",
    fallback: "",
    help: "options of the static policy: full-pcpus-only, strict-cpu-reservation …",
  },
  {
    key: "cpuManagerReconcilePeriod",
    type: "duration",
    fallback: 10_000,
    min: 1000,
    help: "how often containers' CPUs are compared, beside when something changed",
  },
  {
    key: "reservedSystemCPUs",
    type: "string",
    fallback: "",
    help: "CPUs that are never given away, like 0-1,8; instead of cpu in the two reservations",
  },
  {
    key: "systemReserved",
    type: "stringMap",
    fallback: "",
    help: "what is kept for the system: cpu, memory, ephemeral-storage, pid",
  },
  {
    key: "kubeReserved",
    type: "stringMap",
    fallback: "",
    help: "what is kept for the agent and the runtime",
  },
  {
    key: "enforceNodeAllocatable",
    type: "strings",
    fallback: ["pods"],
    help: "[pods]: all pods together are held to what the reservations leave; [none]",
  },
  {
    key: "memoryManagerPolicy",
    type: "string",
    fallback: "None",
    help: "None, or Static: NUMA nodes of Guaranteed pods' memory",
  },
  {
    key: "reservedMemory",
    type: "memoryReservations",
    fallback: "",
    help: "the reserved memory by NUMA node",
  },
  {
    key: "topologyManagerPolicy",
    type: "string",
    fallback: "none",
    help: "none, best-effort, restricted or single-numa-node",
  },
  { key: "topologyManagerScope", type: "string", fallback: "container", help: "container or pod" },
  {
    key: "topologyManagerPolicyOptions",
    type: "stringMap",
    fallback: "",
    help: "prefer-closest-numa-nodes, max-allowable-numa-nodes",
  },
];

/** A mapping of names to texts, numbers or truths; a text when it is none. */
export function readStringMap(value: unknown): StringMap | string {
  if (!isMapping(value)) return "must be a mapping";
  const entries = Object.entries(value);
  if (entries.length > MAX_ENTRIES) return `must have at most ${MAX_ENTRIES} entries`;
  if (entries.some(([, item]) => !["string", "number", "boolean"].includes(typeof item)))
    return "must be a mapping of names to plain values";
  return Object.fromEntries(entries.map(([name, item]) => [name, String(item)]));
}

/** A list like `[{ numaNode: 0, limits: { memory: 1Gi } }]`; a text when it is none. */
export function readMemoryReservations(value: unknown): readonly MemoryReservation[] | string {
  const rule = "must be a list of { numaNode: 0, limits: { memory: 1Gi } }";
  if (!Array.isArray(value) || value.length > MAX_ENTRIES) return rule;
  const reservations: MemoryReservation[] = [];
  for (const item of value) {
    if (!isMapping(item) || !Number.isSafeInteger(item["numaNode"])) return rule;
    const limits = readStringMap(item["limits"]);
    if (typeof limits === "string") return rule;
    reservations.push({ numaNode: item["numaNode"] as number, limits });
  }
  return reservations;
}

function isMapping(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** Checks the keys together. `problem` hears of each that does not hold, and then the default is taken; `warning` of what has no effect. */
export function completeResources(
  of: <T>(key: string) => T,
  problem: (key: string, text: string) => void,
  warning: (key: string, text: string) => void,
): ResourceConfig {
  const read = <T>(key: string, parse: () => T, fallback: T): T => {
    try {
      return parse();
    } catch (error) {
      problem(key, errorText(error).replace(`${key}: `, ""));
      return fallback;
    }
  };
  const map = (key: string): StringMap => of<StringMap | "">(key) || {};
  const cpuManagerPolicy = read("cpuManagerPolicy", () => parseCpuPolicy(of("cpuManagerPolicy")), "none");
  const reservedSystemCPUs = read(
    "reservedSystemCPUs",
    () => CpuSet.parse(of("reservedSystemCPUs")),
    CpuSet.empty,
  );
  const [systemReserved, kubeReserved] = [map("systemReserved"), map("kubeReserved")];
  for (const [key, quantities] of Object.entries({ systemReserved, kubeReserved }))
    read(key, () => totalReservation({ [key]: quantities }), undefined);
  if (cpuManagerPolicy === "static" && reservedSystemCPUs.size === 0) {
    const reserved = read(
      "cpuManagerPolicy",
      () => [systemReserved, kubeReserved].map(({ cpu = 0 }) => amountOf("cpu", cpu)),
      [1],
    );
    if (reserved.every((milli) => milli === 0))
      problem(
        "cpuManagerPolicy",
        "static needs CPUs that are never given away: set reservedSystemCPUs, or cpu in systemReserved or kubeReserved",
      );
  }
  return {
    cpuManagerPolicy,
    cpuManagerPolicyOptions: read(
      "cpuManagerPolicyOptions",
      () => parseCpuPolicyOptions(cpuManagerPolicy, map("cpuManagerPolicyOptions")),
      {},
    ),
    cpuManagerReconcilePeriodMs: of("cpuManagerReconcilePeriod"),
    reservedSystemCPUs,
    memoryManagerPolicy: read(
      "memoryManagerPolicy",
      () => parseMemoryPolicy(of("memoryManagerPolicy")),
      "None",
    ),
    reservedMemory: of<readonly MemoryReservation[] | "">("reservedMemory") || [],
    topologyManagerPolicy: read(
      "topologyManagerPolicy",
      () => parseTopologyPolicy(of("topologyManagerPolicy")),
      "none",
    ),
    topologyManagerScope: read(
      "topologyManagerScope",
      () => parseTopologyScope(of("topologyManagerScope")),
      "container",
    ),
    topologyManagerPolicyOptions: read(
      "topologyManagerPolicyOptions",
      () => parseTopologyPolicyOptions(map("topologyManagerPolicyOptions")),
      parseTopologyPolicyOptions({}),
    ),
    systemReserved,
    kubeReserved,
    limitPods: limitsPods(
      of("enforceNodeAllocatable"),
      (text) => problem("enforceNodeAllocatable", text),
      (text) => warning("enforceNodeAllocatable", text),
    ),
  };
}

/** The kubelet's own words, of which only `pods` has an effect: cgroups of the system are left to whoever made them. */
function limitsPods(
  names: readonly string[],
  problem: (text: string) => void,
  warning: (text: string) => void,
): boolean {
  for (const name of names)
    if (/^(system|kube)-reserved(-compressible)?$/.test(name))
      warning(`"${name}" is not supported yet and has no effect`);
    else if (name !== "pods" && name !== "none") problem(`must be a list of pods or none, got "${name}"`);
  if (names.includes("none") && names.length > 1) problem("none stands alone");
  return names.includes("pods");
}
