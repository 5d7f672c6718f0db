// SPDX-License-Identifier: Apache-2.0

/**
 * Who holds which device. kubelet: devicemanager podDevices.
 *
 * Owns: the records, and the owner of each id. Invariants: an id belongs to one pod at most; what a pod is about to get counts as held.
 * Lost on a crash: what the checkpoint did not say yet.
 */
import type { ContainerAnswer } from "./ports.ts";

/** Devices of one resource that one container holds. */
export interface DeviceRecord {
  readonly podUid: string;
  readonly container: string;
  readonly resource: string;
  /** In the order in which they were chosen; by NUMA node when they come from the checkpoint. */
  readonly ids: readonly string[];
  /** NUMA nodes of each id when it was given; empty: none. */
  readonly numaNodes: ReadonlyMap<string, readonly number[]>;
  readonly answer: ContainerAnswer;
  /** The boot in which the plugin gave this answer. After another one it has to be asked again. */
  readonly bootId: string;
}

/** See the top of the file. */
export class PodDevices {
  /** By pod, container, resource. */
  readonly #records = new Map<string, Map<string, Map<string, DeviceRecord>>>();
  /** By resource, then id: the pod. */
  readonly #owners = new Map<string, Map<string, string>>();

  get(podUid: string, container: string, resource: string): DeviceRecord | undefined {
    return this.#records.get(podUid)?.get(container)?.get(resource);
  }

  ofContainer(podUid: string, container: string): readonly DeviceRecord[] {
    return [...(this.#records.get(podUid)?.get(container)?.values() ?? [])];
  }

  ofPod(podUid: string): readonly DeviceRecord[] {
    return [...(this.#records.get(podUid)?.values() ?? [])].flatMap((byResource) => [...byResource.values()]);
  }

  pods(): readonly string[] {
    return [...this.#records.keys()];
  }

  all(): readonly DeviceRecord[] {
    return this.pods().flatMap((uid) => this.ofPod(uid));
  }

  /** Every id of the resource that a pod holds or is about to get. */
  owners(resource: string): ReadonlyMap<string, string> {
    return this.#owners.get(resource) ?? NOBODY;
  }

  /** Resources of which any id is held. */
  heldResources(): readonly string[] {
    return [...this.#owners].filter(([, owners]) => owners.size > 0).map(([resource]) => resource);
  }

  /** The ids are about to be the pod's. Throws when another pod has one: choosing saw to it that none has. */
  reserve(podUid: string, resource: string, ids: readonly string[]): void {
    const owners = this.#owners.get(resource) ?? new Map<string, string>();
    this.#owners.set(resource, owners);
    for (const id of ids) {
      const owner = owners.get(id);
      if (owner !== undefined && owner !== podUid)
        throw new TypeError(`device ${id} of ${resource} is held by pod ${owner} already`);
    }
    for (const id of ids) owners.set(id, podUid);
  }

  /** What was reserved and is in no record of the pod is free again. */
  unreserve(podUid: string, resource: string, ids: readonly string[]): void {
    const owners = this.#owners.get(resource);
    const kept = new Set(
      this.ofPod(podUid)
        .filter((record) => record.resource === resource)
        .flatMap((record) => record.ids),
    );
    for (const id of ids) if (owners?.get(id) === podUid && !kept.has(id)) owners.delete(id);
  }

  put(record: DeviceRecord): void {
    const { podUid, container, resource, ids } = record;
    this.reserve(podUid, resource, ids);
    const byContainer = this.#records.get(podUid) ?? new Map<string, Map<string, DeviceRecord>>();
    const byResource = byContainer.get(container) ?? new Map<string, DeviceRecord>();
    const before = byResource.get(resource);
    byResource.set(resource, record);
    byContainer.set(container, byResource);
    this.#records.set(podUid, byContainer);
    if (before !== undefined) this.unreserve(podUid, resource, before.ids);
  }

  remove({ podUid, container, resource, ids }: DeviceRecord): void {
    const byContainer = this.#records.get(podUid);
    const byResource = byContainer?.get(container);
    byResource?.delete(resource);
    if (byResource?.size === 0) byContainer?.delete(container);
    if (byContainer?.size === 0) this.#records.delete(podUid);
    this.unreserve(podUid, resource, ids);
  }

  /** Frees everything of the pod. Returns what it held, by record. */
  removePod(podUid: string): readonly DeviceRecord[] {
    const held = this.ofPod(podUid);
    this.#records.delete(podUid);
    for (const { resource, ids } of held) this.unreserve(podUid, resource, ids);
    return held;
  }

  /** Which container has the device; the first of them by record. kubelet: getPodAndContainerForDevice. */
  holderOf(resource: string, id: string): DeviceRecord | undefined {
    const owner = this.#owners.get(resource)?.get(id);
    if (owner === undefined) return undefined;
    return this.ofPod(owner).find((record) => record.resource === resource && record.ids.includes(id));
  }
}

const NOBODY: ReadonlyMap<string, string> = new Map();
