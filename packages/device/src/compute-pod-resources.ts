// SPDX-License-Identifier: Apache-2.0

/** Answers of the podresources API. Pure. kubelet: podresources/server_v1.go. */
import { isSidecar } from "@holdfast/core/pod";
import type { Container } from "@holdfast/core/pod-types";
import type { DeviceRecord, PodDevices } from "./pod-devices.ts";
import type { ListedPod } from "./ports.ts";
import type { ResourcePool } from "./resource-pool.ts";

/** Memory of one NUMA node or several, of one kind. */
export interface MemoryBlock {
  /** "memory" or "hugepages-2Mi" and the like. */
  readonly type: string;
  readonly bytes: number;
  readonly numaNodes: readonly number[];
}

/** What only others know: the CPU manager and the memory manager. */
export interface DedicatedResources {
  /** CPUs that the container has for itself; empty for the shared pool. */
  exclusiveCpus(podUid: string, container: string): readonly number[];
  memory(podUid: string, container: string): readonly MemoryBlock[];
  /** CPUs that could be given exclusively. */
  allocatableCpus(): readonly number[];
  allocatableMemory(): readonly MemoryBlock[];
}

/** None of it. */
export const NO_DEDICATED: DedicatedResources = {
  exclusiveCpus: () => [],
  memory: () => [],
  allocatableCpus: () => [],
  allocatableMemory: () => [],
};

interface Topology {
  readonly nodes: { readonly ID: number }[];
}

/** One device on one NUMA node. */
export interface ContainerDevicesEntry {
  readonly resourceName: string;
  readonly deviceIds: string[];
  readonly topology: Topology | undefined;
}

/** One container of the answer. */
export interface ContainerResourcesEntry {
  readonly name: string;
  readonly devices: ContainerDevicesEntry[];
  readonly cpuIds: number[];
  readonly memory: ReturnType<typeof memoryEntry>[];
  readonly dynamicResources: never[];
}

/** One pod of the answer. */
export interface PodResourcesEntry {
  readonly name: string;
  readonly namespace: string;
  readonly containers: ContainerResourcesEntry[];
}

/** Sidecars, then the pod's containers; others do not last. */
export function computePodResources(
  { metadata, spec }: ListedPod,
  records: PodDevices,
  dedicated: DedicatedResources = NO_DEDICATED,
): PodResourcesEntry {
  const lasting = [...(spec.initContainers ?? []).filter((one) => isSidecar(one)), ...spec.containers];
  const entry = ({ name }: Container): ContainerResourcesEntry => ({
    name,
    devices: records.ofContainer(metadata.uid, name).flatMap(recordEntries),
    cpuIds: [...dedicated.exclusiveCpus(metadata.uid, name)],
    memory: dedicated.memory(metadata.uid, name).map(memoryEntry),
    dynamicResources: [],
  });
  return { name: metadata.name, namespace: metadata.namespace, containers: lasting.map(entry) };
}

/** Healthy devices of all plugins, in use or not. */
export function computeAllocatableDevices(pools: Iterable<ResourcePool>): ContainerDevicesEntry[] {
  return [...pools].flatMap((pool) =>
    [...pool.healthy()].flatMap(([id, nodes]) => deviceEntries(pool.name, id, nodes)),
  );
}

/** In the wire's form. */
export function memoryEntry({ type, bytes, numaNodes }: MemoryBlock): {
  readonly memoryType: string;
  readonly size: number;
  readonly topology: Topology;
} {
  return { memoryType: type, size: bytes, topology: { nodes: numaNodes.map((ID) => ({ ID })) } };
}

function recordEntries({ resource, ids, numaNodes }: DeviceRecord): ContainerDevicesEntry[] {
  return ids.flatMap((id) => deviceEntries(resource, id, numaNodes.get(id) ?? []));
}

function deviceEntries(resourceName: string, id: string, nodes: readonly number[]): ContainerDevicesEntry[] {
  if (nodes.length === 0) return [{ resourceName, deviceIds: [id], topology: undefined }];
  return nodes.map((ID) => ({ resourceName, deviceIds: [id], topology: { nodes: [{ ID }] } }));
}
