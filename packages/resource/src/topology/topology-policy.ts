// SPDX-License-Identifier: Apache-2.0
/*
 * What the topology policies make of hints, and their options. Pure. kubelet: cm/topologymanager/policy_*.go, policy_options.go.
 */
import { HoldfastError } from "@holdfast/core/errors";
import type { NumaNode } from "../machine/machine-topology.ts";
import type { TopologyHint, TopologyHints } from "./hint.ts";
import { mergeHints } from "./merge-hints.ts";

/** kubelet: topologyManagerPolicy. */
export type TopologyPolicyName = "none" | "best-effort" | "restricted" | "single-numa-node";
/** kubelet: topologyManagerScope. */
export type TopologyScope = "container" | "pod";

/** kubelet: topologyManagerPolicyOptions. */
export interface TopologyPolicyOptions {
  /** `prefer-closest-numa-nodes`. Default false. */
  readonly preferClosestNumaNodes: boolean;
  /** `max-allowable-numa-nodes`. Default 8. */
  readonly maxAllowableNumaNodes: number;
}

/** What a policy decided. */
export interface TopologyDecision {
  readonly hint: TopologyHint;
  readonly admit: boolean;
}

const POLICIES: readonly string[] = ["none", "best-effort", "restricted", "single-numa-node"];
const SCOPES: readonly string[] = ["container", "pod"];
const DEFAULT_MAX_NODES = 8;
/** Hints have a bit for each node; more nodes make more combinations than any machine can visit. */
const MOST_NODES = 30;

/** Throws `bad-input` (RESOURCE_TOPOLOGY_CONFIG) with the field at fault. kubelet: NewManager. */
export function parseTopologyPolicy(name: string): TopologyPolicyName {
  if (!POLICIES.includes(name)) throw badConfig("topologyManagerPolicy", `unknown policy: "${name}"`);
  return name as TopologyPolicyName;
}

/** Throws like {@link parseTopologyPolicy}. */
export function parseTopologyScope(name: string): TopologyScope {
  if (!SCOPES.includes(name)) throw badConfig("topologyManagerScope", `unknown scope: "${name}"`);
  return name as TopologyScope;
}

/** Throws like {@link parseTopologyPolicy}. kubelet: NewPolicyOptions. */
export function parseTopologyPolicyOptions(given: Readonly<Record<string, string>>): TopologyPolicyOptions {
  const field = "topologyManagerPolicyOptions";
  let preferClosestNumaNodes = false;
  let maxAllowableNumaNodes = DEFAULT_MAX_NODES;
  for (const [name, value] of Object.entries(given)) {
    if (name === "prefer-closest-numa-nodes") preferClosestNumaNodes = parseBool(field, name, value);
    else if (name === "max-allowable-numa-nodes") {
      const count = /^\d{1,9}$/.test(value) ? Number(value) : Number.NaN;
      if (Number.isNaN(count))
        throw badConfig(field, `bad value for option "${name}": "${value}" is no number`);
      if (count < DEFAULT_MAX_NODES)
        throw badConfig(field, `the minimum value of "${name}" should not be less than ${DEFAULT_MAX_NODES}`);
      maxAllowableNumaNodes = count;
    } else throw badConfig(field, `unknown Topology Manager Policy option: "${name}"`);
  }
  return { preferClosestNumaNodes, maxAllowableNumaNodes };
}

/** "true" and "false" in the spellings that Go takes. */
export function parseBool(field: string, name: string, value: string): boolean {
  if (["1", "t", "T", "true", "TRUE", "True"].includes(value)) return true;
  if (["0", "f", "F", "false", "FALSE", "False"].includes(value)) return false;
  throw badConfig(field, `bad value for option "${name}": "${value}" is neither true nor false`);
}

function badConfig(fieldPath: string, text: string): HoldfastError {
  return new HoldfastError("RESOURCE_TOPOLOGY_CONFIG", "bad-input", `${fieldPath}: ${text}`, { fieldPath });
}

/** Merges and decides. kubelet: topologymanager.Policy. */
export class TopologyPolicy {
  readonly name: TopologyPolicyName;
  readonly #nodes: readonly number[];
  readonly #averageDistance: ((nodes: readonly number[]) => number) | undefined;

  /** Throws `bad-input` (RESOURCE_TOPOLOGY_CONFIG) when the machine has more nodes than may be merged. */
  constructor(name: TopologyPolicyName, numaNodes: readonly NumaNode[], options: TopologyPolicyOptions) {
    this.name = name;
    this.#nodes = numaNodes.map(({ id }) => id);
    const most = Math.min(options.maxAllowableNumaNodes, MOST_NODES);
    if (name !== "none" && numaNodes.length > most)
      throw badConfig("topologyManagerPolicy", `unsupported on machines with more than ${most} NUMA Nodes`);
    // Where one node is wanted, the distance between nodes is of no use.
    this.#averageDistance =
      options.preferClosestNumaNodes && name !== "single-numa-node"
        ? (nodes) => averageDistance(numaNodes, nodes)
        : undefined;
  }

  /** `providers`: what each provider said. kubelet: Policy.Merge. */
  merge(providers: readonly TopologyHints[]): TopologyDecision {
    if (this.name === "none") return { hint: { numaNodes: undefined, preferred: false }, admit: true };
    const lists = providers.flatMap(hintLists);
    const single = this.name === "single-numa-node";
    const merged = mergeHints(single ? lists.map(singleNumaHints) : lists, {
      numaNodes: this.#nodes,
      ...(this.#averageDistance === undefined ? {} : { averageDistance: this.#averageDistance }),
    });
    const everywhere = merged.numaNodes.length === this.#nodes.length;
    const hint = single && everywhere ? { numaNodes: undefined, preferred: merged.preferred } : merged;
    return { hint, admit: this.name === "best-effort" || hint.preferred };
  }
}

/** One list for each resource. kubelet: filterProvidersHints. */
function hintLists(hints: TopologyHints): readonly (readonly TopologyHint[])[] {
  if (hints.size === 0) return [[{ numaNodes: undefined, preferred: true }]];
  return [...hints.values()].map((list) => {
    if (list === undefined) return [{ numaNodes: undefined, preferred: true }];
    return list.length === 0 ? [{ numaNodes: undefined, preferred: false }] : list;
  });
}

/** kubelet: filterSingleNumaHints. */
function singleNumaHints(list: readonly TopologyHint[]): readonly TopologyHint[] {
  return list.filter(
    ({ numaNodes, preferred }) => preferred && (numaNodes === undefined || numaNodes.length === 1),
  );
}

/** Mean over all ordered pairs, a node with itself included. kubelet: NUMADistances.CalculateAverageFor. */
export function averageDistance(numaNodes: readonly NumaNode[], ids: readonly number[]): number {
  const among = numaNodes.filter(({ id }) => ids.includes(id));
  if (among.length === 0) return 0;
  let sum = 0;
  for (const from of among) for (const to of among) sum += from.distances.get(to.id) ?? 0;
  return sum / among.length ** 2;
}
