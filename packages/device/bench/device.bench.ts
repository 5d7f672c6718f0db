// SPDX-License-Identifier: Apache-2.0

// What devices cost, by their number: a list taken over a socket, one device's health changed, a pod given one device, with the checkpoint on the disk;
// and 50 plugins that register at once. Plugins run in this process: their share is in the times.
// node --expose-gc --conditions=@holdfast/source packages/device/bench/device.bench.ts
import { mkdtempSync, rmSync } from "node:fs";
import { cpus, tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { systemClock } from "@holdfast/core/node";
import type { Pod } from "@holdfast/core/pod-types";
import { DeviceManager } from "@holdfast/device";
import {
  DEVICE_CHECKPOINT_NAME,
  fileDeviceCheckpoint,
  nodePluginDialer,
  RegistrationServer,
} from "@holdfast/device/node";
import { DevicePlugin } from "@holdfast/device/plugin";
import type { PluginDevice } from "@holdfast/device/plugin";

const SIZES = [8, 64, 1000, 10_000];
const PLUGINS = [1, 10, 50];
const PODS = 64;
const UPDATES = 20;
const RESOURCE = "example.com/device";
const MIB = 1024 * 1024;

interface Row {
  readonly devices: number;
  readonly listedMs: number;
  readonly updateMs: number;
  readonly hintsMs: number;
  readonly admitP50Ms: number;
  readonly admitP99Ms: number;
  readonly startP50Ms: number;
  readonly refuseMs: number;
  readonly heapMb: number;
}

function makeDevices(count: number, isFirstGood: boolean): PluginDevice[] {
  return Array.from({ length: count }, (_, n) => ({
    id: `device-${n}`,
    numaNodes: [n % 2],
    healthy: n > 0 || isFirstGood,
  }));
}

function makePod(name: string, resource: string, count: number): Pod {
  const container = { name: "main", image: "i", resources: { limits: { [resource]: count } } };
  const metadata = { name, namespace: "default", uid: `uid-${name}` };
  return { apiVersion: "v1", kind: "Pod", metadata, spec: { containers: [container] } };
}

/** An agent's device side in a folder of its own. */
class Node implements AsyncDisposable {
  readonly folder = mkdtempSync(join(tmpdir(), "hfd-"));
  readonly plugins: DevicePlugin[] = [];
  readonly manager: DeviceManager;
  readonly #server: RegistrationServer;
  #wake: () => void = () => {};

  constructor() {
    this.manager = new DeviceManager({
      clock: systemClock,
      dialer: nodePluginDialer(this.folder),
      checkpoint: fileDeviceCheckpoint(join(this.folder, DEVICE_CHECKPOINT_NAME)),
      pods: { activePods: () => undefined, isRunning: () => false },
      bootId: "boot",
      machineNodes: [0, 1],
      onChanged: () => this.#wake(),
    });
    this.#server = new RegistrationServer({ folder: this.folder, manager: this.manager });
  }

  async start(): Promise<void> {
    await this.manager.start();
    await this.#server.start();
  }

  plug(resource: string, devices: readonly PluginDevice[]): DevicePlugin {
    const allocate = (ids: readonly string[]) => ({
      envs: { DEVICES: ids.join() },
      devices: ids.map((id) => ({ hostPath: "/dev/null", containerPath: `/dev/${id}` })),
    });
    const plugin = new DevicePlugin({ resource, folder: this.folder, devices, allocate });
    this.plugins.push(plugin);
    return plugin;
  }

  async until(condition: () => boolean): Promise<void> {
    while (!condition()) await new Promise<void>((resolve) => (this.#wake = resolve));
  }

  allocatable(resource: string): number {
    return this.manager.resources().find(({ name }) => name === resource)?.allocatable ?? 0;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const plugin of this.plugins) await plugin.stop();
    await this.#server.stop();
    await this.manager.stop();
    rmSync(this.folder, { recursive: true });
  }
}

async function timed(work: () => unknown): Promise<number> {
  const begun = performance.now();
  await work();
  return performance.now() - begun;
}

async function measure(devices: number): Promise<Row> {
  await using node = new Node();
  await node.start();
  globalThis.gc?.();
  const heapBefore = process.memoryUsage().heapUsed;
  const plugin = node.plug(RESOURCE, makeDevices(devices, true));
  const listedMs = await timed(async () => {
    await plugin.start();
    await node.until(() => node.allocatable(RESOURCE) === devices);
  });
  globalThis.gc?.();
  const heapMb = (process.memoryUsage().heapUsed - heapBefore) / MIB;
  const updates: number[] = [];
  for (let turn = 0; turn < UPDATES; turn++) {
    const isGood = turn % 2 === 1;
    // More than two turns would be held back as flapping: capacity minus one is what there is then.
    updates.push(
      await timed(async () => {
        const before = node.manager.pool(RESOURCE)?.devices;
        plugin.update(makeDevices(devices, isGood));
        await node.until(() => node.manager.pool(RESOURCE)?.devices !== before);
      }),
    );
  }
  const pods = Array.from({ length: Math.min(PODS, devices - 1) }, (_, n) => makePod(`p${n}`, RESOURCE, 1));
  const [first] = pods;
  const hintsMs = await timed(() => first && node.manager.topologyHints(first, first.spec.containers[0]!));
  const admits: number[] = [];
  const starts: number[] = [];
  for (const pod of pods) {
    admits.push(await timed(() => node.manager.admit(pod)));
    starts.push(await timed(() => node.manager.containerDevices(pod, pod.spec.containers[0]!)));
  }
  const refuseMs = await timed(() => node.manager.admit(makePod("greedy", RESOURCE, devices + 1)));
  return {
    devices,
    listedMs: round(listedMs),
    updateMs: quantile(updates, 0.5),
    hintsMs: round(hintsMs),
    admitP50Ms: quantile(admits, 0.5),
    admitP99Ms: quantile(admits, 0.99),
    startP50Ms: quantile(starts, 0.5),
    refuseMs: round(refuseMs),
    heapMb: round(heapMb),
  };
}

/** From the first plugin's start to the last one's list. */
async function register(plugins: number): Promise<object> {
  await using node = new Node();
  await node.start();
  const names = Array.from({ length: plugins }, (_, n) => `example.com/r${n}`);
  const made = names.map((name) => node.plug(name, makeDevices(8, true)));
  const ms = await timed(async () => {
    await Promise.all(made.map((plugin) => plugin.start()));
    await node.until(() => names.every((name) => node.allocatable(name) === 8));
  });
  return { plugins, allListedMs: round(ms), perPluginMs: round(ms / plugins) };
}

function quantile(values: readonly number[], share: number): number {
  const sorted = values.toSorted((a, b) => a - b);
  return round(sorted[Math.min(Math.floor(sorted.length * share), sorted.length - 1)] ?? 0);
}

function round(value: number): number {
  return Math.round(value * 100) / 100;
}

/** Prints tables, then the result as one line of JSON. */
export async function main(): Promise<void> {
  await measure(64);
  const rows: Row[] = [];
  for (const size of SIZES) rows.push(await measure(size));
  console.table(rows);
  const registrations: object[] = [];
  for (const plugins of PLUGINS) registrations.push(await register(plugins));
  console.table(registrations);
  const machine = { node: process.version, cpu: cpus()[0]?.model ?? "", cores: cpus().length };
  process.stdout.write(`${JSON.stringify({ bench: "device", machine, rows, registrations })}\n`);
}

if (import.meta.main) await main();
