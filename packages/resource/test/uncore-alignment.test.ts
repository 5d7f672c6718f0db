// SPDX-License-Identifier: Apache-2.0
import { describe, expect, it } from "vitest";
import { CpuSet, CpuTopology } from "@holdfast/resource";
import type { CpuPolicyOptions } from "@holdfast/resource";
import { layOut } from "./fixtures/machines.ts";
import type { MachineShape } from "./fixtures/machines.ts";
import { guaranteed } from "./fixtures/pods.ts";
import { allocateAll, policyOn } from "./fixtures/static-policy.ts";

const DUAL_SMT: MachineShape = { sockets: 2, coresPerSocket: 96, threads: 2, coresPerL3: 8 };
const SMALL_SMT: MachineShape = { sockets: 1, coresPerSocket: 64, threads: 2, coresPerL3: 4 };
const SMALL: MachineShape = { sockets: 1, coresPerSocket: 64, coresPerL3: 4 };
const DUAL_SMALL: MachineShape = { sockets: 2, coresPerSocket: 32, coresPerL3: 8 };
const LARGE_SMT: MachineShape = { sockets: 1, coresPerSocket: 128, threads: 2, coresPerL3: 8 };
const DUAL_NODES: MachineShape = { sockets: 2, coresPerSocket: 96, nodesPerSocket: 2, coresPerL3: 8 };
const MONOLITHIC: MachineShape = { sockets: 2, coresPerSocket: 60, nodesPerSocket: 2, threads: 2 };

const SINGLE: MachineShape = { sockets: 1, coresPerSocket: 32, coresPerL3: 8 };
const LARGE: MachineShape = { sockets: 1, coresPerSocket: 128, coresPerL3: 8 };
const ONE_CACHE: MachineShape = { sockets: 1, coresPerSocket: 128 };

const WHOLE_CORES: CpuPolicyOptions = { fullPcpusOnly: true, preferAlignCpusByUncoreCache: true };
const ANY_THREADS = { preferAlignCpusByUncoreCache: true };
const STRICT = { ...ANY_THREADS, strictCpuReservation: true };
const TWO_SOCKETS = "0-1,96-97,192-193,288-289";

interface Case {
  readonly name: string;
  readonly shape: MachineShape;
  readonly reserved: string;
  /** Caches that others have, by number. */
  readonly busy?: readonly number[];
  /** CPUs that others have. */
  readonly busyCpus?: string;
  readonly apps: readonly number[];
  readonly options?: CpuPolicyOptions;
  /** Caches that it lies in, by number. */
  readonly caches: readonly number[];
  /** Exactly these CPUs. */
  readonly cpus?: string;
}

// kubelet: TestStaticPolicyAddWithUncoreAlignment
const CASES: readonly Case[] = [
  { name: "a whole cache", shape: DUAL_SMT, reserved: TWO_SOCKETS, busy: [0, 12], apps: [16], caches: [1] },
  {
    name: "two containers in one cache",
    shape: DUAL_SMT,
    reserved: TWO_SOCKETS,
    busy: [0, 12],
    apps: [12, 2],
    caches: [1],
  },
  {
    name: "the small one first",
    shape: DUAL_SMT,
    reserved: TWO_SOCKETS,
    busy: [0, 12],
    apps: [2, 12],
    caches: [1],
  },
  {
    name: "many small ones",
    shape: DUAL_SMT,
    reserved: TWO_SOCKETS,
    busy: [0, 12],
    apps: [10, 2, 2, 2],
    caches: [1],
  },
  {
    name: "a cache that is used and the next",
    shape: DUAL_SMT,
    reserved: TWO_SOCKETS,
    apps: [12, 2],
    caches: [0, 1],
  },
  { name: "a small cache", shape: SMALL_SMT, reserved: "0-1,64-65", apps: [8], caches: [1] },
  {
    name: "more than a cache",
    shape: SMALL_SMT,
    reserved: "0-1,64-65",
    busy: [1],
    apps: [12],
    caches: [0, 2],
  },
  {
    name: "three caches apart",
    shape: SMALL,
    reserved: "0-3",
    busy: [2, 3, 5],
    apps: [12],
    caches: [1, 4, 6],
  },
  {
    name: "what is left of a cache",
    shape: DUAL_SMALL,
    reserved: "0-1,32-33",
    busy: [1],
    apps: [4, 2],
    caches: [0],
  },
  {
    name: "a second cache where the first has no room",
    shape: DUAL_SMALL,
    reserved: "0-1,32-33",
    busy: [1],
    apps: [4, 4],
    caches: [0, 2],
  },
  {
    name: "caches that are used and fit",
    shape: LARGE_SMT,
    reserved: "0-1,128-129",
    busyCpus: "8-9,136-137",
    apps: [12, 12],
    caches: [0, 1],
  },
  {
    name: "caches that are used and do not fit",
    shape: LARGE_SMT,
    reserved: "0-1,128-129",
    busyCpus: "8-9,136-137",
    apps: [14, 14],
    caches: [2, 3],
  },
  { name: "a whole NUMA node", shape: DUAL_NODES, reserved: "0-3", apps: [48], caches: [6, 7, 8, 9, 10, 11] },
  {
    name: "one cache for each socket: as without",
    shape: MONOLITHIC,
    reserved: "0-1,120-121",
    apps: [6],
    caches: [0],
    cpus: "2-4,122-124",
  },
  { name: "a cache that is whole", shape: LARGE, reserved: "0-3", apps: [8], caches: [1] },
  {
    name: "one cache that is fragmented",
    shape: ONE_CACHE,
    reserved: "0-1",
    busyCpus: "6-9,12-15,18-19",
    apps: [12],
    caches: [0],
    cpus: "2-5,10-11,16-17,20-23",
  },
  {
    name: "two halves where none is whole",
    shape: SINGLE,
    reserved: "0-3",
    busyCpus: "8-11,16-19,24-27",
    apps: [8],
    caches: [0, 1],
  },
  { name: "an odd count", shape: SINGLE, reserved: "0-3", apps: [5], caches: [1], cpus: "8-12" },
  {
    name: "SMT: an odd count",
    shape: SMALL_SMT,
    reserved: "0-1,64-65",
    apps: [3],
    options: ANY_THREADS,
    caches: [0],
    cpus: "2-3,66",
  },
  {
    name: "SMT: odd of odd",
    shape: SMALL_SMT,
    reserved: "0-1,64",
    apps: [3],
    options: ANY_THREADS,
    caches: [0],
    cpus: "2,65-66",
  },
  {
    name: "SMT: even of odd",
    shape: SMALL_SMT,
    reserved: "0-1,64",
    apps: [4],
    options: ANY_THREADS,
    caches: [1],
    cpus: "4-5,68-69",
  },
  {
    name: "SMT: a large odd count",
    shape: SMALL_SMT,
    reserved: "0-1,64",
    apps: [11],
    options: ANY_THREADS,
    caches: [0, 1],
    cpus: "2,4-7,65-66,68-71",
  },
  {
    name: "one cache, odd of odd",
    shape: MONOLITHIC,
    reserved: "0-1,120",
    busyCpus: "128-239",
    apps: [5],
    options: ANY_THREADS,
    caches: [0],
    cpus: "2-3,121-123",
  },
  {
    name: "one cache, even of odd",
    shape: MONOLITHIC,
    reserved: "0-1,120",
    busyCpus: "128-239",
    apps: [4],
    options: ANY_THREADS,
    caches: [0],
    cpus: "2-3,122-123",
  },
  {
    name: "beside CPUs that are strictly reserved",
    shape: SMALL_SMT,
    reserved: "0-1,64-65",
    apps: [2],
    options: STRICT,
    caches: [0],
    cpus: "2,66",
  },
  {
    name: "one cache, strictly reserved",
    shape: MONOLITHIC,
    reserved: "0-1,120-121",
    apps: [4],
    options: STRICT,
    caches: [0],
    cpus: "2-3,122-123",
  },
];

describe("alignment by L3 cache", () => {
  it.each(CASES)(
    "$name",
    ({ shape, reserved, busy = [], busyCpus = "", apps, options = WHOLE_CORES, caches, cpus }) => {
      const topology = new CpuTopology(layOut(shape));
      const numbered = (numbers: readonly number[]): CpuSet =>
        topology.cpusOfAll(
          "uncore",
          numbers.map((number) => topology.uncores[number] ?? -1),
        );
      const taken = numbered(busy).union(CpuSet.parse(busyCpus)).difference(CpuSet.parse(reserved));
      const kept = options.strictCpuReservation === true ? CpuSet.parse(reserved) : CpuSet.empty;
      const pool = topology.all.difference(taken).difference(kept);
      const { policy, state } = policyOn(shape, { reserved, pool: String(pool), options });
      const given = allocateAll(policy, state, guaranteed("p", apps)).map((text) => CpuSet.parse(text));
      expect(given.map(({ size }) => size)).toEqual(apps);
      const all = new CpuSet(given.flatMap(({ ids }) => ids));
      expect(topology.idsOf("uncore", all).map((id) => topology.uncores.indexOf(id))).toEqual(caches);
      if (options.fullPcpusOnly === true)
        expect(given.every((set) => policy.isAligned("core", set))).toBe(true);
      if (cpus !== undefined) expect(given.map(String)).toEqual([cpus]);
    },
  );
});
