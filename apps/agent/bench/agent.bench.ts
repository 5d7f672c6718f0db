// SPDX-License-Identifier: Apache-2.0

/**
 * The whole agent on a real containerd, beside the floor of the same run: the same CRI calls made directly.
 *
 *   pnpm bench agent                        20 pods
 *   pnpm bench agent -- --pods 100 --probe  100 pods, each with a 1 s HTTP readiness probe in its manifest
 *
 * Options: --pods N, --probe, --idle-seconds S (default 60; 0 leaves the idle parts out), --no-floor, --samples N (restarts; default 20).
 * Pods have fresh names in each run, so that no back-off carries over.
 */
import { execFileSync } from "node:child_process";
import { randomBytes } from "node:crypto";
import { availableParallelism, cpus, release, totalmem } from "node:os";
import process from "node:process";
import { setTimeout as pause } from "node:timers/promises";
import { parseArgs } from "node:util";
import { createCriClient } from "@holdfast/cri";
import type { CriClient } from "@holdfast/cri";
import { repo } from "../test/integration/harness/agent-process.ts";
import { BUSYBOX, container, forever, pod } from "../test/integration/harness/manifests.ts";
import type { Manifest } from "../test/integration/harness/manifests.ts";
import { BenchNode } from "./bench-node.ts";
import { Floor, inFlight } from "./floor.ts";
import type { FloorPod } from "./floor.ts";
import { KillWatch } from "./kill-watch.ts";
import type { RestartSample } from "./kill-watch.ts";
import { cpuOf, idleCost } from "./process-cost.ts";
import type { IdleCost } from "./process-cost.ts";
import { atMost, formatTable, quantile, timesFloor } from "./table.ts";
import type { Row } from "./table.ts";

const { values } = parseArgs({
  options: {
    pods: { type: "string", default: "20" },
    probe: { type: "boolean", default: false },
    "idle-seconds": { type: "string", default: "60" },
    samples: { type: "string", default: "20" },
    "no-floor": { type: "boolean", default: false },
  },
});
const podCount = Number(values.pods);
const idleSeconds = Number(values["idle-seconds"]);
const sampleCount = Math.min(Number(values.samples), podCount);
const FEW_PODS = 10;
/** After the last pod has come up: what comes up behind it (status, garbage, compile cache) is over. */
const SETTLE_MS = 15_000;
/** Between two kills: what follows a restart in the agent is over. */
const BETWEEN_KILLS_MS = 400;
const WIDTHS = [1, 4, 8] as const;

const endpoint = process.env["HOLDFAST_BENCH_CONTAINERD"] ?? process.env["HOLDFAST_TEST_CONTAINERD"];
if (endpoint === undefined)
  throw new Error("HOLDFAST_BENCH_CONTAINERD is not set; run it through: pnpm bench agent");
const run = randomBytes(3).toString("hex");
const COMMAND = values.probe ? forever("httpd -p 8080") : forever();

interface FloorTimes {
  readonly width: number;
  readonly upMs: number;
  readonly downMs: number;
}

interface Restarts {
  readonly agent: readonly RestartSample[];
  readonly floor: readonly RestartSample[];
}

function manifests(prefix: string, count: number): Manifest[] {
  const readinessProbe = { httpGet: { path: "/", port: 8080 }, periodSeconds: 1 };
  const main = container("main", { command: COMMAND, ...(values.probe ? { readinessProbe } : {}) });
  return Array.from({ length: count }, (_, index) =>
    pod(`${prefix}${run}-${String(index).padStart(3, "0")}`, { containers: [main] }),
  );
}

function say(text: string): void {
  process.stdout.write(`${text}\n`);
}

async function measureFloor(floor: Floor): Promise<FloorTimes[]> {
  // The first sandboxes of a fresh containerd are slow: nothing is in the page cache yet.
  const warm = await inFlight(4, ["w0", "w1", "w2", "w3"], (name) => floor.up(`${name}-${run}`));
  await inFlight(4, warm, (each) => floor.down(each));
  const times: FloorTimes[] = [];
  for (const width of WIDTHS) {
    const names = Array.from({ length: podCount }, (_, index) => `f${width}-${index}-${run}`);
    const startedAt = performance.now();
    const [made, cpu] = await cpuOf(0, () => inFlight(width, names, (name) => floor.up(name)));
    const upMs = performance.now() - startedAt;
    await pause(1000);
    const stoppingAt = performance.now();
    await inFlight(width, made, (each) => floor.down(each));
    const downMs = performance.now() - stoppingAt;
    say(
      `floor, ${width} in flight: ${podCount} pods up in ${(upMs / 1000).toFixed(2)} s (${cpu.machine.toFixed(1)} s of CPU), down in ${(downMs / 1000).toFixed(2)} s`,
    );
    times.push({ width, upMs, downMs });
  }
  return times;
}

/** One kill at a time, the agent's pods and the floor's in turn, so that both see the same machine. */
async function measureRestarts(
  client: CriClient,
  node: BenchNode,
  floor: Floor | undefined,
): Promise<Restarts> {
  using watch = new KillWatch(client);
  const victims = (await node.running()).slice(0, sampleCount);
  const names = victims.map((_, index) => `r${index}-${run}`);
  const direct = floor === undefined ? [] : await inFlight(4, names, (name) => floor.up(name));
  await pause(2000);
  const samples = { agent: [] as RestartSample[], floor: [] as RestartSample[] };
  for (const [index, { id }] of victims.entries()) {
    samples.agent.push(await watch.measure(id));
    await pause(BETWEEN_KILLS_MS);
    const twin = direct[index];
    if (floor === undefined || twin === undefined) continue;
    samples.floor.push(await restartDirectly(watch, floor, twin));
    await pause(BETWEEN_KILLS_MS);
  }
  return samples;
}

function restartDirectly(watch: KillWatch, floor: Floor, twin: FloorPod): Promise<RestartSample> {
  const config = floor.successor(twin);
  return watch.measure(twin.containerId, () =>
    floor.createAndStart(twin.sandboxId, config, twin.sandboxConfig),
  );
}

function split(samples: readonly RestartSample[]): string {
  const p50 = (pick: (sample: RestartSample) => number): string =>
    (quantile(samples.map(pick), 0.5) ?? 0).toFixed(1);
  return `kill → exit event ${p50((s) => s.exitSeen)} ms, → created ${p50((s) => s.created - s.exitSeen)} ms, → running ${p50((s) => s.running - s.created)} ms`;
}

async function measureIdle(node: BenchNode, count: number): Promise<IdleCost | undefined> {
  if (idleSeconds === 0) return undefined;
  await pause(SETTLE_MS);
  const cost = await idleCost(node.pid, idleSeconds);
  say(
    `idle, ${count} pods: ${cost.cpuPercent.toFixed(2)} % of a core, RSS ${cost.rssMb.toFixed(1)} MB, RssAnon ${cost.rssAnonMb.toFixed(1)} MB`,
  );
  return cost;
}

async function measureFew(client: CriClient): Promise<IdleCost | undefined> {
  if (idleSeconds === 0) return undefined;
  await using node = new BenchNode(client, `${run}few`);
  await node.start();
  await node.drop(manifests("i", FEW_PODS));
  return await measureIdle(node, FEW_PODS);
}

interface Results {
  readonly floors: readonly FloorTimes[];
  readonly upMs: number;
  readonly downMs: number;
  readonly restarts: Restarts;
  readonly idle: IdleCost | undefined;
  readonly few: IdleCost | undefined;
}

async function measureAll(client: CriClient): Promise<Results> {
  await using node = new BenchNode(client, run);
  const floor = new Floor(client, node.places, BUSYBOX, COMMAND);
  try {
    const floors = values["no-floor"] ? [] : await measureFloor(floor);
    const few = await measureFew(client);
    await node.start();
    const pods = manifests("p", podCount);
    const [upMs, cpu] = await cpuOf(node.pid, () => node.drop(pods));
    say(
      `agent: ${podCount} pods up in ${(upMs / 1000).toFixed(2)} s (${cpu.machine.toFixed(1)} s of CPU, ${cpu.agent.toFixed(1)} of it the agent's)`,
    );
    const idle = await measureIdle(node, podCount);
    const restarts = await measureRestarts(client, node, values["no-floor"] ? undefined : floor);
    say(`agent's restarts: ${split(restarts.agent)}`);
    say(`floor's restarts: ${split(restarts.floor)}`);
    await floor.clear();
    const downMs = await node.remove(pods);
    return { floors, upMs, downMs, restarts, idle, few };
  } finally {
    await floor.clear();
  }
}

function rows({ floors, upMs, downMs, restarts, idle, few }: Results): Row[] {
  const least = (pick: (times: FloorTimes) => number): number | undefined =>
    floors.length === 0 ? undefined : Math.min(...floors.map(pick)) / 1000;
  const p = (samples: readonly RestartSample[], share: number): number | undefined =>
    quantile(
      samples.map(({ running }) => running),
      share,
    );
  const many = podCount >= 100;
  const [up, down, upFloor, downFloor] = [
    upMs / 1000,
    downMs / 1000,
    least((t) => t.upMs),
    least((t) => t.downMs),
  ];
  const [median, medianFloor] = [p(restarts.agent, 0.5), p(restarts.floor, 0.5)];
  const idleRows = (
    name: string,
    cost: IdleCost | undefined,
    limits?: readonly [number, number, number],
  ): Row[] => {
    const of = (value: number | undefined, index: 0 | 1 | 2, unit: "%" | "MB"): Row["target"] =>
      limits === undefined ? undefined : atMost(value, limits[index], unit);
    return [
      {
        work: `idle, ${name}: CPU of one core`,
        measured: cost?.cpuPercent,
        unit: "%",
        target: of(cost?.cpuPercent, 0, "%"),
      },
      { work: `idle, ${name}: RSS`, measured: cost?.rssMb, unit: "MB", target: of(cost?.rssMb, 1, "MB") },
      {
        work: `idle, ${name}: RssAnon`,
        measured: cost?.rssAnonMb,
        unit: "MB",
        target: of(cost?.rssAnonMb, 2, "MB"),
      },
    ];
  };
  return [
    {
      work: `${podCount} manifests dropped → all running`,
      floor: upFloor,
      measured: up,
      unit: "s",
      target: many ? timesFloor(up, upFloor, 1.25) : undefined,
    },
    {
      work: "killed → successor running, p50",
      floor: medianFloor,
      measured: median,
      unit: "ms",
      target: many && values.probe ? atMost(median, 90, "ms") : timesFloor(median, medianFloor, 1.1),
    },
    {
      work: "killed → successor running, max",
      floor: p(restarts.floor, 1),
      measured: p(restarts.agent, 1),
      unit: "ms",
    },
    {
      work: `${podCount} manifests removed → all gone`,
      floor: downFloor,
      measured: down,
      unit: "s",
      target: many ? atMost(down, 7, "s") : undefined,
    },
    ...idleRows(`${podCount} pods`, idle, many ? [4, 85, 39] : undefined),
    ...idleRows(`${FEW_PODS} pods`, few, values.probe ? undefined : [0.3, 72, 26]),
  ];
}

function git(...args: readonly string[]): string {
  try {
    return execFileSync("git", ["-C", repo, ...args], { encoding: "utf8" }).trim();
  } catch {
    return "unknown";
  }
}

await using client = createCriClient({ endpoint });
const { runtimeName, runtimeVersion } = await client.version({});
const about = {
  commit: git("rev-parse", "--short", "HEAD") + (git("status", "--porcelain") === "" ? "" : " with changes"),
  runtime: `${runtimeName} ${runtimeVersion}`,
  node: process.version,
  kernel: release(),
  machine: `${availableParallelism()} × ${cpus()[0]?.model ?? "?"}, ${Math.round(totalmem() / 2 ** 30)} GiB`,
  pods: podCount,
  probe: values.probe,
};
say(
  `${podCount} pods${values.probe ? " with a 1 s HTTP readiness probe" : ""}, ${about.runtime}, Node ${about.node}, ${about.machine}, commit ${about.commit}`,
);
const results = await measureAll(client);
const table = rows(results);
say(`\n${formatTable(table)}\n`);
// One line of JSON: scripts/bench.mjs writes it to bench-results/.
say(JSON.stringify({ ...about, rows: table, ...results }));
