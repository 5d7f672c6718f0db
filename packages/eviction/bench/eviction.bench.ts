// SPDX-License-Identifier: Apache-2.0

// What a round costs when nothing is short, by the number of pods; on this machine's own files; and ranking when something is.
// node --expose-gc --conditions=@holdfast/source packages/eviction/bench/eviction.bench.ts
import { cpus } from "node:os";
import type { Pod } from "@holdfast/core/pod-types";
import { systemClock } from "@holdfast/core/node";
import { EvictionManager, MachineFigures, parseThresholdConfig, rankPods } from "@holdfast/eviction";
import type { PodFigures, Signal } from "@holdfast/eviction";
import { nodeMachine } from "@holdfast/eviction/node";

interface Row {
  readonly pods: number;
  readonly rankMemoryMs: number;
  readonly rankDiskMs: number;
  readonly rankPidMs: number;
  readonly roundMs: number;
  readonly roundFilesMs: number;
  /** Of a core, with a round each 10 s. */
  readonly idlePercent: number;
}

const SIZES = [100, 1000, 10_000];
const MIB = 2 ** 20;
const ROUNDS = 30;
const PERIOD_MS = 10_000;

/** The same sequence each time. */
function* numbers(): Generator<number, never> {
  for (let state = 1; ;) {
    state = (state * 48_271) % 2_147_483_647;
    yield state / 2_147_483_647;
  }
}

function makePods(count: number): { readonly pods: Pod[]; readonly figures: PodFigures[] } {
  const next = numbers();
  const number = (below: number): number => Math.floor(next.next().value * below);
  const pods: Pod[] = [];
  const figures: PodFigures[] = [];
  for (let index = 0; index < count; index++) {
    const name = `pod-${index}`;
    pods.push({
      apiVersion: "v1",
      kind: "Pod",
      metadata: { name, namespace: "default", uid: name },
      spec: {
        priority: number(5),
        containers: [0, 1].map((container) => ({
          name: `c${container}`,
          image: "x",
          resources: { requests: { memory: `${number(512)}Mi`, "ephemeral-storage": `${number(512)}Mi` } },
        })),
        volumes: [{ name: "data", emptyDir: {} }],
      },
    });
    const memory = { workingSetBytes: number(1024) * MIB };
    figures.push({
      podRef: { uid: name },
      memory,
      process_stats: { process_count: number(100) },
      containers: [0, 1].map((container) => ({
        name: `c${container}`,
        memory,
        rootfs: { usedBytes: number(512) * MIB, inodesUsed: number(10_000) },
        logs: { usedBytes: number(64) * MIB, inodesUsed: 3 },
      })),
      volume: [{ name: "data", usedBytes: number(512) * MIB, inodesUsed: number(10_000) }],
    });
  }
  return { pods, figures };
}

function median(values: number[]): number {
  return values.sort((a, b) => a - b)[Math.floor(values.length / 2)] ?? 0;
}

function rankMs(signal: Signal, pods: readonly Pod[], figures: ReadonlyMap<string, PodFigures>): number {
  const layout = { dedicatedImageFs: false, splitContainerFs: false };
  const times: number[] = [];
  for (let round = 0; round < ROUNDS; round++) {
    const begun = performance.now();
    rankPods({ signal, pods, figures, layout });
    times.push(performance.now() - begun);
  }
  return median(times);
}

/** CPU of one round: threads of Node's that wait for the disk included. */
async function roundMs(pods: readonly Pod[], withFiles: boolean): Promise<number> {
  const thresholds = parseThresholdConfig({});
  const real = nodeMachine({ clock: systemClock });
  const files = new Map<string, string | undefined>();
  const disk = await real.filesystem("/");
  const machine = withFiles
    ? real
    : {
        read: (path: string) => {
          if (!files.has(path)) files.set(path, real.read(path));
          return files.get(path);
        },
        filesystem: async () => disk,
      };
  const figures = new MachineFigures({ clock: systemClock, machine, thresholds, nodeFsPath: "/" });
  await using manager = new EvictionManager({
    clock: systemClock,
    thresholds,
    stats: { node: (signal) => figures.node(signal), pods: async () => [], storage: async () => [] },
    pods: { activePods: () => pods, kill: () => Promise.reject(new Error("nobody goes here")) },
  });
  const times: number[] = [];
  for (let round = 0; round < ROUNDS; round++) {
    const before = process.cpuUsage();
    await manager.synchronize();
    const { user, system } = process.cpuUsage(before);
    times.push((user + system) / 1000);
  }
  return median(times);
}

async function measure(count: number): Promise<Row> {
  globalThis.gc?.();
  const { pods, figures } = makePods(count);
  const byUid = new Map(figures.map((one) => [one.podRef.uid, one] as const));
  const row = {
    pods: count,
    rankMemoryMs: rankMs("memory.available", pods, byUid),
    rankDiskMs: rankMs("nodefs.available", pods, byUid),
    rankPidMs: rankMs("pid.available", pods, byUid),
    roundMs: await roundMs(pods, false),
    roundFilesMs: await roundMs(pods, true),
  };
  return { ...row, idlePercent: (row.roundFilesMs / PERIOD_MS) * 100 };
}

const rows: Row[] = [];
for (const size of SIZES) rows.push(await measure(size));
console.table(
  rows.map((row) =>
    Object.fromEntries(Object.entries(row).map(([key, value]) => [key, Number(Number(value).toFixed(3))])),
  ),
);
console.log(
  JSON.stringify({ bench: "eviction", node: process.version, cpus: cpus().length, rounds: ROUNDS, rows }),
);
