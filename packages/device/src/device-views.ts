// SPDX-License-Identifier: Apache-2.0

/** What the pools and records look like to people, to node status, pod status and podresources. Pure. */
import type { Clock } from "@holdfast/core/clock";
import type { HealthChange } from "./device-health.ts";
import { HEALTHY } from "./device-list.ts";
import type { PodDevices } from "./pod-devices.ts";
import type { PoolPhase, ResourcePool } from "./resource-pool.ts";

/** One extended resource in node status. kubelet: a removed one keeps its key, with 0. */
export interface NodeResource {
  readonly name: string;
  readonly capacity: number;
  readonly allocatable: number;
}

/** One resource, in full. */
export interface ResourceView extends NodeResource {
  /** unseen: known from before the restart. stopped: the plugin is gone, for less than five minutes. */
  readonly phase: PoolPhase;
  readonly phaseForMs: number;
  readonly socket: string | undefined;
  readonly problem: string | undefined;
  readonly devices: readonly DeviceView[];
}

/** One device, in full. */
export interface DeviceView {
  readonly id: string;
  /** "Healthy", "Unhealthy", or "Unknown" while no plugin tells. */
  readonly health: DeviceHealthWord;
  /** Why it cannot be given out; undefined when it can. */
  readonly reason: string | undefined;
  readonly numaNodes: readonly number[];
  /** Who holds it. A device that only a record knows, since its plugin no longer lists it, is shown too. */
  readonly podUid: string | undefined;
  readonly containers: readonly string[];
  readonly history: readonly HealthChange[];
}

/** `resources[].health` of `allocatedResourcesStatus`. */
export type DeviceHealthWord = "Healthy" | "Unhealthy" | "Unknown";

/** kubelet: v1.ResourceStatus, with the reason as an extra. */
export interface AllocatedResourceStatus {
  readonly name: string;
  readonly resources: readonly {
    readonly resourceID: string;
    readonly health: DeviceHealthWord;
    readonly message?: string;
  }[];
}

/** By name. */
export function nodeResources(pools: ReadonlyMap<string, ResourcePool>): readonly NodeResource[] {
  return [...pools.values()]
    .map((pool) => ({ name: pool.name, ...pool.counts() }))
    .sort((a, b) => (a.name < b.name ? -1 : 1));
}

/** By name of the resource; devices in the plugin's order. */
export function deviceSnapshot(
  pools: ReadonlyMap<string, ResourcePool>,
  records: PodDevices,
  clock: Pick<Clock, "monotonic">,
): readonly ResourceView[] {
  return nodeResources(pools).map((counts) => {
    const pool = pools.get(counts.name) as ResourcePool;
    const owners = records.owners(pool.name);
    const ids = new Set([...pool.devices.keys(), ...owners.keys()]);
    return {
      ...counts,
      phase: pool.phase,
      phaseForMs: Math.round(clock.monotonic() - pool.since),
      socket: pool.socket,
      problem: pool.problem,
      devices: [...ids].map((id) => deviceView(pool, records, id)),
    };
  });
}

function deviceView(pool: ResourcePool, records: PodDevices, id: string): DeviceView {
  const podUid = records.owners(pool.name).get(id);
  const holders =
    podUid === undefined
      ? []
      : records.ofPod(podUid).filter((record) => record.resource === pool.name && record.ids.includes(id));
  const { word, reason } = healthOf(pool, id);
  return {
    id,
    health: word,
    reason,
    numaNodes: pool.devices.get(id)?.numaNodes ?? holders[0]?.numaNodes.get(id) ?? [],
    podUid,
    containers: holders.map(({ container }) => container),
    history: pool.health.history(id),
  };
}

function healthOf(
  pool: ResourcePool | undefined,
  id: string,
): { readonly word: DeviceHealthWord; readonly reason: string | undefined } {
  if (pool === undefined || pool.phase !== "listing") {
    const reason =
      pool?.phase === "stopped" ? `its plugin is gone: ${pool.problem ?? ""}` : "its plugin is not there";
    return { word: "Unknown", reason };
  }
  const device = pool.devices.get(id);
  if (device === undefined) return { word: "Unhealthy", reason: "the plugin no longer lists it" };
  if (device.health !== HEALTHY) return { word: "Unhealthy", reason: `the plugin says ${device.health}` };
  if (pool.health.isHeld(id))
    return { word: "Unhealthy", reason: "it turned bad too often lately and has to stay good for a while" };
  return { word: "Healthy", reason: undefined };
}

/** For one container's status. Empty: it holds no device. kubelet: UpdateAllocatedResourcesStatus. */
export function allocatedResourcesStatus(
  pools: { get(resource: string): ResourcePool | undefined },
  records: PodDevices,
  podUid: string,
  container: string,
): readonly AllocatedResourceStatus[] {
  return records
    .ofContainer(podUid, container)
    .filter(({ ids }) => ids.length > 0)
    .map(({ resource, ids }) => ({
      name: resource,
      resources: ids.map((id) => {
        const { word, reason } = healthOf(pools.get(resource), id);
        return { resourceID: id, health: word, ...(reason === undefined ? {} : { message: reason }) };
      }),
    }))
    .sort((a, b) => (a.name < b.name ? -1 : 1));
}
