// SPDX-License-Identifier: Apache-2.0

// What one admission costs: merging hints by the number of NUMA nodes and providers, packing CPUs by the size of the machine, and a whole admission.
// node --expose-gc --conditions=@holdfast/source packages/resource/bench/resource.bench.ts
import { cpus } from "node:os";
import { systemClock } from "@holdfast/core/node";
import type { Pod } from "@holdfast/core/pod-types";
import {
  CpuManager,
  CpuSet,
  CpuTopology,
  mergeHints,
  numaCombinations,
  takeByTopology,
  takeDistributed,
  TopologyManager,
} from "@holdfast/resource";
import type { CpuInfo, NumaNode, TopologyHint } from "@holdfast/resource";

interface Row {
  readonly what: string;
  readonly size: string;
  readonly p50Us: number;
  readonly p99Us: number;
  readonly runs: number;
}

const RUNS_MS = 400;
const WARM_UP = 20;

/** A machine of two sockets with two threads per core, an L3 cache for each eight cores. */
function machine(count: number, nodes: number): CpuInfo[] {
  const cores = count / 2;
  return Array.from({ length: count }, (_, id) => {
    const core = id % cores;
    const numaNode = Math.floor((core * nodes) / cores);
    return { id, core, socket: Math.floor((core * 2) / cores), numaNode, uncore: core - (core % 8) };
  });
}

function numaNodes(count: number): NumaNode[] {
  return Array.from({ length: count }, (_, id) => ({
    id,
    cpus: [],
    memoryBytes: 0,
    hugePages: new Map(),
    distances: new Map(Array.from({ length: count }, (_none, to) => [to, to === id ? 10 : 20 + (to ^ id)])),
  }));
}

/** Runs for a moment; the median and the slow end. */
function measure(what: string, size: string, work: () => unknown): Row {
  for (let run = 0; run < WARM_UP; run++) work();
  const times: number[] = [];
  const end = performance.now() + RUNS_MS;
  while (performance.now() < end) {
    const begun = performance.now();
    work();
    times.push((performance.now() - begun) * 1000);
  }
  return rowOf(what, size, times);
}

function rowOf(what: string, size: string, times: readonly number[]): Row {
  const sorted = times.toSorted((a, b) => a - b);
  const at = (share: number): number =>
    Math.round((sorted[Math.floor((sorted.length - 1) * share)] ?? 0) * 10) / 10;
  return { what, size, p50Us: at(0.5), p99Us: at(0.99), runs: sorted.length };
}

function mergeRows(): Row[] {
  const rows: Row[] = [];
  for (const nodes of [1, 2, 4, 8]) {
    const ids = Array.from({ length: nodes }, (_, id) => id);
    // Every set of nodes from every provider: what providers with much to give say.
    const every: TopologyHint[] = [...numaCombinations(ids)].map((of) => ({
      numaNodes: of,
      preferred: of.length === 1,
    }));
    // None preferred: everything has to be looked at, and no early agreement helps.
    const worst = every.map((hint) => ({ ...hint, preferred: false }));
    for (const providers of [1, 4]) {
      const size = `${nodes} nodes, ${providers} providers`;
      rows.push(
        measure("merge hints", size, () => mergeHints(Array(providers).fill(every), { numaNodes: ids })),
        measure("merge hints, none preferred", size, () =>
          mergeHints(Array(providers).fill(worst), { numaNodes: ids }),
        ),
      );
    }
  }
  return rows;
}

function packRows(): Row[] {
  const rows: Row[] = [];
  for (const count of [8, 64, 256]) {
    const topology = new CpuTopology(machine(count, count === 8 ? 2 : 8));
    // Every third core is busy: nothing is whole but cores.
    const free = new CpuSet(topology.all.ids.filter((id) => (id % (count / 2)) % 3 !== 0));
    const wanted = Math.floor(free.size / 2 / 2) * 2;
    const size = `${count} CPUs`;
    rows.push(
      measure("pack a quarter of the CPUs", size, () => takeByTopology(topology, free, wanted)),
      measure("the same, by L3 cache", size, () =>
        takeByTopology(topology, free, wanted, { alignByUncore: true }),
      ),
      measure("the same, over NUMA nodes", size, () => takeDistributed(topology, free, wanted, 2)),
    );
  }
  return rows;
}

function podOf(uid: string): Pod {
  const quantities = { cpu: "2", memory: "1Gi" };
  const container = { name: "app", image: "x", resources: { requests: quantities, limits: quantities } };
  return {
    apiVersion: "v1",
    kind: "Pod",
    metadata: { name: uid, namespace: "d", uid },
    spec: { containers: [container] },
  };
}

/** Pods with two CPUs each until the machine is full, again and again, hints and allocation and state included. */
async function admitRow(count: number, nodes: number): Promise<Row> {
  const kept = new Map<string, string>();
  const cpu = new CpuManager({
    policy: "static",
    topology: new CpuTopology(machine(count, nodes)),
    reservedMilliCpu: 2000,
    checkpoint: {
      get: (key) => kept.get(key),
      set: (key, value) => void kept.set(key, value),
      delete: (key) => void kept.delete(key),
      entries: () => [],
    },
    clock: systemClock,
    updateCpuset: () => Promise.resolve(),
    pods: { activePods: () => [], containers: () => new Map(), sourcesReady: () => false },
  });
  const options = {
    providers: [cpu],
    numaNodes: numaNodes(nodes),
    clock: systemClock,
    policy: "best-effort",
  } as const;
  const topology = new TopologyManager(options);
  const times: number[] = [];
  const pods = count / 2 - 1;
  for (let round = 0; times.length < 500; round++) {
    for (let pod = 0; pod < pods; pod++) {
      const begun = performance.now();
      await topology.admit(podOf(`${round}-${pod}`));
      times.push((performance.now() - begun) * 1000);
    }
    for (let pod = 0; pod < pods; pod++) cpu.removePod(`${round}-${pod}`);
  }
  return rowOf("admit a pod with 2 CPUs of its own", `${count} CPUs, ${nodes} nodes`, times);
}

/** Prints a table, then the result as one line of JSON. */
export async function main(): Promise<void> {
  const rows = [...mergeRows(), ...packRows(), await admitRow(8, 2), await admitRow(256, 8)];
  console.table(rows);
  const machineFacts = { node: process.version, cpu: cpus()[0]?.model ?? "", cores: cpus().length };
  process.stdout.write(`${JSON.stringify({ bench: "resource", machine: machineFacts, rows })}\n`);
}

if (import.meta.main) await main();
