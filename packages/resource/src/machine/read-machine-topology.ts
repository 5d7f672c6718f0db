// SPDX-License-Identifier: Apache-2.0
/*
 * Reads the machine's topology from sysfs and procfs, through a port: the real tree, one below another root, or a fixture.
 * Keeps nothing. Invariants: a CPU that is offline is left out; every CPU has a core, a socket and a node, also where the kernel tells none
 * (a VM without NUMA is one node, an ARM board without packages one socket). kubelet: cadvisor's machine.GetTopology.
 */
import { HoldfastError } from "@holdfast/core/errors";
import { CpuSet } from "./cpu-set.ts";
import type { CpuInfo, MachineTopology, NumaNode } from "./machine-topology.ts";

/** Files of the kernel, by absolute path (`/sys/devices/…`, `/proc/meminfo`). Filled by `src/node/`; a fixture in tests. */
export interface SystemTree {
  /** Text of a file; undefined when it is not there or cannot be read. */
  read(path: string): string | undefined;
  /** Names in a folder; none when it is not there. */
  list(path: string): readonly string[];
}

const CPU = "/sys/devices/system/cpu";
const NODE = "/sys/devices/system/node";
/** One file for each kind of core that a hybrid x86 has. */
const KINDS = ["cpu_core", "cpu_atom", "cpu_lowpower"];

/** Throws `permanent` (RESOURCE_TOPOLOGY) when no CPU is found. */
export function readMachineTopology(tree: SystemTree): MachineTopology {
  const ids = onlineCpus(tree);
  if (ids.size === 0)
    throw new HoldfastError("RESOURCE_TOPOLOGY", "permanent", `no online CPU is found in ${CPU}`);
  const numaNodes = readNumaNodes(tree, ids);
  const nodeOf = new Map(numaNodes.flatMap(({ id, cpus }) => cpus.map((cpu) => [cpu, id] as const)));
  const kinds = readKinds(tree);
  const cpus = ids.ids.map((id) => readCpu(tree, id, ids, nodeOf.get(id) ?? numaNodes[0]?.id ?? 0, kinds));
  return { cpus, numaNodes };
}

function onlineCpus(tree: SystemTree): CpuSet {
  const online = tree.read(`${CPU}/online`);
  if (online !== undefined) return CpuSet.parse(online);
  return new CpuSet(numbered(tree, CPU, "cpu").filter((id) => tree.read(`${CPU}/cpu${id}/online`) !== "0\n"));
}

function readCpu(
  tree: SystemTree,
  id: number,
  online: CpuSet,
  numaNode: number,
  kinds: ReadonlyMap<number, string>,
): CpuInfo {
  const topology = `${CPU}/cpu${id}/topology`;
  const siblings = tree.read(`${topology}/core_cpus_list`) ?? tree.read(`${topology}/thread_siblings_list`);
  const threads = siblings === undefined ? undefined : CpuSet.parse(siblings).intersection(online);
  // Virtual machines and some ARM boards say -1.
  const socket = Math.max(0, wholeNumber(tree.read(`${topology}/physical_package_id`)) ?? 0);
  const capacity = wholeNumber(tree.read(`${CPU}/cpu${id}/cpu_capacity`));
  const kind = kinds.get(id) ?? (capacity === undefined ? undefined : `capacity:${capacity}`);
  return {
    id,
    core: threads?.ids[0] ?? id,
    socket,
    numaNode,
    uncore: readUncore(tree, id, online) ?? socket,
    ...(kind === undefined ? {} : { kind }),
  };
}

/** The cache's own id is not on every machine; its lowest CPU names it as well. */
function readUncore(tree: SystemTree, id: number, online: CpuSet): number | undefined {
  const folder = `${CPU}/cpu${id}/cache`;
  for (const index of numbered(tree, folder, "index")) {
    if (wholeNumber(tree.read(`${folder}/index${index}/level`)) !== 3) continue;
    const shared = tree.read(`${folder}/index${index}/shared_cpu_list`);
    if (shared !== undefined) return CpuSet.parse(shared).intersection(online).ids[0];
  }
  return undefined;
}

function readKinds(tree: SystemTree): ReadonlyMap<number, string> {
  const kinds = new Map<number, string>();
  for (const kind of KINDS)
    for (const id of CpuSet.parse(tree.read(`/sys/devices/${kind}/cpus`) ?? "").ids) kinds.set(id, kind);
  return kinds;
}

function readNumaNodes(tree: SystemTree, online: CpuSet): readonly NumaNode[] {
  const listed = tree.read(`${NODE}/online`);
  const ids = listed === undefined ? numbered(tree, NODE, "node") : CpuSet.parse(listed).ids;
  if (ids.length === 0) return [wholeMachine(tree, online)];
  return ids.map((id) => {
    const folder = `${NODE}/node${id}`;
    const distances = (tree.read(`${folder}/distance`) ?? "").trim().split(/\s+/).filter(Boolean).map(Number);
    return {
      id,
      cpus: CpuSet.parse(tree.read(`${folder}/cpulist`) ?? "").intersection(online).ids,
      memoryBytes: memTotal(tree.read(`${folder}/meminfo`)),
      hugePages: readHugePages(tree, `${folder}/hugepages`),
      distances: new Map(distances.map((distance, index) => [ids[index] ?? index, distance])),
    };
  });
}

/** A kernel without NUMA: one node with everything. */
function wholeMachine(tree: SystemTree, online: CpuSet): NumaNode {
  return {
    id: 0,
    cpus: online.ids,
    memoryBytes: memTotal(tree.read("/proc/meminfo")),
    hugePages: readHugePages(tree, "/sys/kernel/mm/hugepages"),
    distances: new Map(),
  };
}

/** Huge pages of the whole machine by page size in bytes. Cheap: no CPU is looked at. */
export function readMachineHugePages(tree: SystemTree): ReadonlyMap<number, number> {
  return readHugePages(tree, "/sys/kernel/mm/hugepages");
}

function readHugePages(tree: SystemTree, folder: string): ReadonlyMap<number, number> {
  const pages = new Map<number, number>();
  for (const name of tree.list(folder)) {
    const sizeKiB = wholeNumber(/^hugepages-(\d+)kB$/.exec(name)?.[1]);
    if (sizeKiB !== undefined)
      pages.set(sizeKiB * 1024, wholeNumber(tree.read(`${folder}/${name}/nr_hugepages`)) ?? 0);
  }
  return new Map([...pages].sort(([a], [b]) => a - b));
}

function memTotal(text: string | undefined): number {
  return Number(/MemTotal:\s+(\d+) kB/.exec(text ?? "")?.[1] ?? 0) * 1024;
}

/** The numbers N of the entries `prefixN` of a folder, ascending. */
function numbered(tree: SystemTree, folder: string, prefix: string): number[] {
  return tree
    .list(folder)
    .filter((name) => name.startsWith(prefix) && /^\d+$/.test(name.slice(prefix.length)))
    .map((name) => Number(name.slice(prefix.length)))
    .sort((a, b) => a - b);
}

function wholeNumber(text: string | undefined): number | undefined {
  const trimmed = text?.trim() ?? "";
  return /^-?\d+$/.test(trimmed) ? Number(trimmed) : undefined;
}
