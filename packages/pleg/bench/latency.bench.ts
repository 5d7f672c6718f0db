// SPDX-License-Identifier: Apache-2.0

// From a change in the runtime to the event on the bus, over a unix socket, by the number of containers: one death at a time, and a burst of them.
// The runtime is the fake, in this process, whose CRI lags 20 ms behind its events as a real containerd's does.
// node --expose-gc --conditions=@holdfast/source packages/pleg/bench/latency.bench.ts
import { mkdtempSync, rmSync } from "node:fs";
import { cpus, tmpdir } from "node:os";
import { join } from "node:path";
import { Bus } from "@holdfast/bus";
import type { EnvelopeOf, Subscription } from "@holdfast/bus";
import { POD_UID_LABEL } from "@holdfast/core/names";
import { systemClock } from "@holdfast/core/node";
import { createCriClient } from "@holdfast/cri";
import { FakeRuntime, serveFakeRuntime } from "@holdfast/cri-fake";
import { ContainerDied, ContainerStarted, GenericPLEG, PodSync, runtimeEvents } from "@holdfast/pleg";

interface Row {
  readonly containers: number;
  readonly firstPassMs: number;
  readonly diedP50Ms: number;
  readonly diedP99Ms: number;
  readonly confirmedP50Ms: number;
  readonly confirmedP99Ms: number;
  readonly callsPerDeath: number;
  readonly burst: number;
  readonly burstPerSecond: number;
  readonly callsPerBurstDeath: number;
  readonly heapMb: number;
}

const SIZES = [10, 100, 1000, 10_000];
const PER_POD = 2;
const CRI_LAG_MS = 20;
const SINGLE = 60;
const BURST = 1000;
const MIB = 1024 * 1024;
const TYPES = [ContainerStarted, ContainerDied, PodSync] as const;

type Reader = Subscription<EnvelopeOf<(typeof TYPES)[number]>>;

/** So many containers, two in a pod. Returns their ids. */
async function fill(fake: FakeRuntime, count: number): Promise<string[]> {
  const ids: string[] = [];
  for (let pod = 0; ids.length < count; pod++) {
    const uid = `00000000-0000-4000-8000-${String(pod).padStart(12, "0")}`;
    const labels = { [POD_UID_LABEL]: uid };
    const config = { metadata: { name: `pod-${pod}`, namespace: "default", uid, attempt: 0 }, labels };
    const { podSandboxId } = await fake.runPodSandbox({ config });
    for (let index = 0; index < PER_POD && ids.length < count; index++) {
      const { containerId } = await fake.createContainer({
        podSandboxId,
        config: {
          metadata: { name: `app-${index}` },
          image: { image: "holdfast.local/busybox:1" },
          labels: { ...labels, "io.kubernetes.container.name": `app-${index}` },
        },
      });
      await fake.startContainer({ containerId });
      ids.push(containerId);
    }
  }
  return ids;
}

/** The next event of this type, of this container if one is given. */
async function next(reader: Reader, type: string, id?: string): Promise<void> {
  for (;;) {
    const { value } = await reader[Symbol.asyncIterator]().next();
    if (value === undefined || value.type === "gap") throw new Error("the bus lost events");
    if (value.type === type && (id === undefined || value.subject.containerId === id)) return;
  }
}

function callsOf(fake: FakeRuntime): number {
  return Object.values(fake.calls).reduce((sum, count) => sum + count, 0);
}

async function measure(containers: number): Promise<Row> {
  const folder = mkdtempSync(join(tmpdir(), "holdfast-pleg-bench-"));
  const fake = new FakeRuntime({ clock: systemClock, criLagMs: CRI_LAG_MS, addressPrefix: "10.88" });
  const ids = await fill(fake, containers);
  const server = await serveFakeRuntime(fake, { listen: `unix://${folder}/cri.sock` });
  const runtime = createCriClient({ endpoint: server.endpoint });
  const bus = new Bus({ clock: systemClock });
  globalThis.gc?.();
  const heapBefore = process.memoryUsage().heapUsed;
  const pleg = new GenericPLEG({ runtime, events: runtimeEvents(runtime), clock: systemClock, publish: bus });
  const reader = bus.subscribe(TYPES, { name: "bench", capacity: 20_000, overflow: "drop-oldest" });
  try {
    const begun = performance.now();
    await pleg.start();
    await pleg.whenListedOnce(AbortSignal.timeout(60_000));
    // One Started for each container and sandbox: all have been asked for.
    for (let left = containers + Math.ceil(containers / PER_POD); left > 0; left--)
      await next(reader, ContainerStarted.name);
    const firstPassMs = performance.now() - begun;
    await systemClock.sleep(1500);
    globalThis.gc?.();
    const heapMb = (process.memoryUsage().heapUsed - heapBefore) / MIB;

    const died: number[] = [];
    const confirmed: number[] = [];
    const victims = ids.slice(0, Math.min(SINGLE, Math.floor(ids.length / 2)));
    const callsBefore = callsOf(fake);
    for (const id of victims) {
      const at = performance.now();
      fake.kill(id, { exitCode: 137 });
      await next(reader, ContainerDied.name, id);
      died.push(performance.now() - at);
      await next(reader, PodSync.name);
      confirmed.push(performance.now() - at);
    }
    const callsPerDeath = (callsOf(fake) - callsBefore) / victims.length;

    const burst = ids.slice(victims.length, victims.length + BURST);
    const callsBeforeBurst = callsOf(fake);
    const burstAt = performance.now();
    for (const id of burst) fake.kill(id, { exitCode: 1 });
    for (let left = burst.length; left > 0; left--) await next(reader, ContainerDied.name);
    const seconds = (performance.now() - burstAt) / 1000;
    while (pleg.snapshot().unconfirmedExits.length > 0) await systemClock.sleep(20);
    return {
      containers,
      firstPassMs: round(firstPassMs),
      diedP50Ms: quantile(died, 0.5),
      diedP99Ms: quantile(died, 0.99),
      confirmedP50Ms: quantile(confirmed, 0.5),
      confirmedP99Ms: quantile(confirmed, 0.99),
      callsPerDeath: round(callsPerDeath),
      burst: burst.length,
      burstPerSecond: Math.round(burst.length / seconds),
      callsPerBurstDeath: round((callsOf(fake) - callsBeforeBurst) / burst.length),
      heapMb: round(heapMb),
    };
  } finally {
    reader[Symbol.dispose]();
    await pleg.stop();
    await runtime.close();
    await server.stop();
    rmSync(folder, { recursive: true });
  }
}

function quantile(values: readonly number[], share: number): number {
  const sorted = values.toSorted((a, b) => a - b);
  return round(sorted[Math.min(Math.floor(sorted.length * share), sorted.length - 1)] ?? 0);
}

function round(value: number): number {
  return Math.round(value * 100) / 100;
}

/** Prints a table, then the result as one line of JSON. */
export async function main(): Promise<void> {
  const rows: Row[] = [];
  for (const size of SIZES) rows.push(await measure(size));
  console.table(rows);
  const machine = { node: process.version, cpu: cpus()[0]?.model ?? "", cores: cpus().length };
  process.stdout.write(`${JSON.stringify({ bench: "pleg-latency", machine, rows })}\n`);
}

if (import.meta.main) await main();
