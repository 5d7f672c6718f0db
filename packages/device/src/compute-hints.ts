// SPDX-License-Identifier: Apache-2.0

/** Topology hints of a container's, or a pod's, extended resources. Pure. kubelet: devicemanager/topology_hints.go. */
import { allContainers, isSidecar } from "@holdfast/core/pod";
import type { Container, Pod } from "@holdfast/core/pod-types";
import type { PodDevices } from "./pod-devices.ts";
import type { ResourcePool } from "./resource-pool.ts";
import { computeTopologyHints, hintsOfRecorded } from "./topology-hints.ts";
import type { TopologyHint } from "./topology-hints.ts";

/** What hints are made from. */
export interface HintFacts {
  readonly pools: ReadonlyMap<string, ResourcePool>;
  readonly records: PodDevices;
  readonly machineNodes: readonly number[];
}

/** What one container asks for. */
export type Requests = readonly { readonly resource: string; readonly requested: number }[];
type Hints = ReadonlyMap<string, readonly TopologyHint[] | undefined>;

/** By resource; resources without a plugin are left out. `reuse`: ids of earlier init containers. */
export function computeContainerHints(
  facts: HintFacts,
  pod: Pod,
  container: Container,
  requests: Requests,
  reuse: ReadonlyMap<string, ReadonlySet<string>> | undefined,
): Hints {
  const hints = new Map<string, readonly TopologyHint[] | undefined>();
  for (const { resource, requested } of requests) {
    const pool = facts.pools.get(resource);
    if (pool === undefined) continue;
    const recorded = facts.records.get(pod.metadata.uid, container.name, resource);
    hints.set(resource, hintsFor(facts, pool, requested, recorded?.ids, reuse?.get(resource) ?? []));
  }
  return hints;
}

/** With scope `pod`. What init containers leave to others is not looked at. */
export function computePodHints(
  facts: HintFacts,
  pod: Pod,
  requestsOf: (container: Container) => Requests,
): Hints {
  const hints = new Map<string, readonly TopologyHint[] | undefined>();
  for (const [resource, requested] of podRequests(pod, requestsOf)) {
    const pool = facts.pools.get(resource);
    if (pool === undefined) continue;
    const records = facts.records.ofPod(pod.metadata.uid).filter((record) => record.resource === resource);
    const recorded = records.length === 0 ? undefined : [...new Set(records.flatMap(({ ids }) => ids))];
    hints.set(resource, hintsFor(facts, pool, requested, recorded, []));
  }
  return hints;
}

function hintsFor(
  { records, machineNodes }: HintFacts,
  pool: ResourcePool,
  requested: number,
  recorded: readonly string[] | undefined,
  reusable: Iterable<string>,
): readonly TopologyHint[] | undefined {
  const devices = pool.places();
  if (recorded !== undefined) return hintsOfRecorded({ requested, devices, machineNodes }, recorded);
  const owners = records.owners(pool.name);
  const available = [...pool.healthy().keys()].filter((id) => !owners.has(id));
  return computeTopologyHints({ requested, devices, available, reusable, machineNodes });
}

/** The most that the pod needs at one time: each init container beside the sidecars before it, or all that run for good. */
function podRequests(pod: Pod, requestsOf: (container: Container) => Requests): ReadonlyMap<string, number> {
  const inits = new Set(pod.spec.initContainers ?? []);
  const lasting = new Map<string, number>();
  const most = new Map<string, number>();
  for (const container of allContainers(pod.spec)) {
    const isPassing = inits.has(container) && !isSidecar(container);
    for (const { resource, requested } of requestsOf(container)) {
      const standing = lasting.get(resource) ?? 0;
      if (!isPassing) lasting.set(resource, standing + requested);
      most.set(resource, Math.max(most.get(resource) ?? 0, standing + requested));
    }
  }
  return most;
}
