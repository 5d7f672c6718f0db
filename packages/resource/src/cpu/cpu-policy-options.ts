// SPDX-License-Identifier: Apache-2.0
/*
 * Options of the static CPU policy: reading them, and which do not go together. Pure. kubelet: cm/cpumanager/policy_options.go.
 */
import { HoldfastError } from "@holdfast/core/errors";
import type { CpuTopology } from "../machine/machine-topology.ts";
import { parseBool } from "../topology/topology-policy.ts";
import type { TopologyPolicyName } from "../topology/topology-policy.ts";

/** kubelet: cpuManagerPolicy. */
export type CpuPolicyName = "none" | "static";

/** kubelet: cpuManagerPolicyOptions, in camel case. All default to false. */
export interface CpuPolicyOptions {
  /** `full-pcpus-only`: whole cores or nothing. */
  readonly fullPcpusOnly?: boolean;
  /** `distribute-cpus-across-numa`: evenly over as few nodes as can. */
  readonly distributeCpusAcrossNuma?: boolean;
  /** `align-by-socket`: a hint means the sockets that it touches. */
  readonly alignBySocket?: boolean;
  /** `distribute-cpus-across-cores`: one thread of each core before the second of any. */
  readonly distributeCpusAcrossCores?: boolean;
  /** `strict-cpu-reservation`: nothing runs on reserved CPUs, shared containers neither. */
  readonly strictCpuReservation?: boolean;
  /** `prefer-align-cpus-by-uncorecache`: whole L3 groups where it fits. */
  readonly preferAlignCpusByUncoreCache?: boolean;
}

const NAMES: Readonly<Record<string, keyof CpuPolicyOptions>> = {
  "full-pcpus-only": "fullPcpusOnly",
  "distribute-cpus-across-numa": "distributeCpusAcrossNuma",
  "align-by-socket": "alignBySocket",
  "distribute-cpus-across-cores": "distributeCpusAcrossCores",
  "strict-cpu-reservation": "strictCpuReservation",
  "prefer-align-cpus-by-uncorecache": "preferAlignCpusByUncoreCache",
};

/** kubelet: the pairs that NewStaticPolicyOptions refuses. */
const INCOMPATIBLE: readonly (readonly [string, string])[] = [
  ["full-pcpus-only", "distribute-cpus-across-cores"],
  ["distribute-cpus-across-numa", "distribute-cpus-across-cores"],
  ["prefer-align-cpus-by-uncorecache", "distribute-cpus-across-cores"],
  ["prefer-align-cpus-by-uncorecache", "distribute-cpus-across-numa"],
];

/** Throws `bad-input` (RESOURCE_CPU_CONFIG). kubelet: NewManager's switch over policies. */
export function parseCpuPolicy(name: string): CpuPolicyName {
  if (name === "none" || name === "static") return name;
  throw badConfig("cpuManagerPolicy", `unknown policy: "${name}"`);
}

/** Throws `bad-input` (RESOURCE_CPU_CONFIG or, for a value, RESOURCE_TOPOLOGY_CONFIG). kubelet: NewStaticPolicyOptions. */
export function parseCpuPolicyOptions(
  policy: CpuPolicyName,
  given: Readonly<Record<string, string>>,
): CpuPolicyOptions {
  const field = "cpuManagerPolicyOptions";
  const options: Partial<Record<keyof CpuPolicyOptions, boolean>> = {};
  if (policy === "none" && Object.keys(given).length > 0)
    throw badConfig(field, `None policy: received unsupported options=${Object.keys(given).join(",")}`);
  for (const [name, value] of Object.entries(given)) {
    const key = NAMES[name];
    if (key === undefined) throw badConfig(field, `unsupported cpumanager option: "${name}"`);
    options[key] = parseBool(field, name, value);
  }
  for (const [a, b] of INCOMPATIBLE) {
    const both = options[NAMES[a] as keyof CpuPolicyOptions] && options[NAMES[b] as keyof CpuPolicyOptions];
    if (both === true)
      throw badConfig(field, `static policy options ${a} and ${b} can not be used at the same time`);
  }
  return options;
}

/** What only the machine tells. Throws `bad-input` (RESOURCE_CPU_CONFIG). kubelet: ValidateStaticPolicyOptions. */
export function validateCpuPolicyOptions(
  options: CpuPolicyOptions,
  topology: CpuTopology,
  topologyPolicy: TopologyPolicyName,
): void {
  if (options.alignBySocket !== true) return;
  const field = "cpuManagerPolicyOptions";
  if (topologyPolicy === "single-numa-node")
    throw badConfig(field, `Topology manager policy ${topologyPolicy} is incompatible with align-by-socket`);
  if (topology.sockets.length > topology.numaNodes.length)
    throw badConfig(
      field,
      "align-by-socket is not compatible with hardware where number of sockets are more than number of NUMA",
    );
}

function badConfig(fieldPath: string, text: string): HoldfastError {
  return new HoldfastError("RESOURCE_CPU_CONFIG", "bad-input", `${fieldPath}: ${text}`, { fieldPath });
}
