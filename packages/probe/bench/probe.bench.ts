// SPDX-License-Identifier: Apache-2.0
/*
 * What probes cost: the scheduler alone by number of workers, with how late it is; one attempt by handler, against real servers in a process of
 * their own; and both together, 100 HTTP probes a second. `--seconds N` per row (default 4), `--only scheduler|handlers|together`. With
 * HOLDFAST_BENCH_CONTAINERD=unix://SOCKET (`node scripts/containerd.mjs up`) also what the runtime spends on a command.
 */
import { fork } from "node:child_process";
import type { ChildProcess } from "node:child_process";
import { get as httpGet } from "node:http";
import { Session } from "node:inspector";
import { cpus } from "node:os";
import { performance } from "node:perf_hooks";
import { noMetrics } from "@holdfast/core/metrics";
import type { Metrics } from "@holdfast/core/metrics";
import { Client, credentials } from "@grpc/grpc-js";
import { systemClock } from "@holdfast/core/node";
import type { Pod, Probe } from "@holdfast/core/pod-types";
import { buildProbeRequest, ExecProber, ProbeManager, resolveProbe } from "@holdfast/probe";
import type { ProbeHandlers } from "@holdfast/probe";
import { nodeProbeHandlers } from "@holdfast/probe/node";
import { execCost } from "./exec-cost.ts";
import type { ServerPorts } from "./servers.ts";

const ATTEMPTS = 1500;
const SETTLE_MS = 1200;

function option(name: string): string | undefined {
  const at = process.argv.indexOf(`--${name}`);
  return at === -1 ? undefined : process.argv[at + 1];
}
const seconds = Number(option("seconds") ?? 4);
const only = option("only");

/** Own CPU of `work`, in microseconds. */
async function cpuOf(work: () => Promise<unknown>): Promise<number> {
  globalThis.gc?.();
  const before = process.cpuUsage();
  await work();
  const { user, system } = process.cpuUsage(before);
  return user + system;
}

const round = (value: number, digits = 1): number => Math.round(value * 10 ** digits) / 10 ** digits;
const quantile = (sorted: readonly number[], part: number): number =>
  sorted[Math.min(Math.floor(sorted.length * part), sorted.length - 1)] ?? 0;

function podOf(index: number, probe: Probe): Pod {
  return {
    apiVersion: "v1",
    kind: "Pod",
    metadata: { name: `pod-${index}`, namespace: "default", uid: `uid-${index}` },
    spec: { containers: [{ name: "app", image: "", readinessProbe: probe }] },
  };
}

/** A manager with `count` workers of a period of one second whose containers ran before it. */
function managerOf(count: number, probe: Probe, handlers: ProbeHandlers, coalesceMs: number): ProbeManager {
  const startedAt = systemClock.now() - 60_000;
  const target = {
    runtimeStatus: (uid: string) => ({
      ips: ["127.0.0.1"],
      containers: [{ id: uid, name: "app", state: "running" as const, startedAt, exitCode: 0 }],
    }),
  };
  const manager = new ProbeManager({
    clock: systemClock,
    target,
    handlers,
    coalesceMs,
  });
  for (let index = 0; index < count; index++) manager.addPod(podOf(index, probe));
  return manager;
}

async function scheduler(count: number): Promise<object> {
  let lateness: number[] = [];
  let probes = 0;
  const metrics: Metrics = {
    ...noMetrics,
    histogram: (name) => ({
      observe: (value) => {
        if (name === "holdfast_probe_lateness_seconds") lateness.push(value * 1000);
      },
    }),
  };
  const handlers: ProbeHandlers = {
    start(_request, onDone) {
      probes += 1;
      queueMicrotask(() => onDone({ result: "success", output: "" }));
      return { expire() {}, cancel() {} };
    },
  };
  globalThis.gc?.();
  const heapBefore = process.memoryUsage().heapUsed;
  const startedAt = systemClock.now() - 60_000;
  const status = (id: string) => ({
    ips: ["127.0.0.1"],
    containers: [{ id, name: "app", state: "running" as const, startedAt, exitCode: 0 }],
  });
  const statuses = new Map(
    Array.from({ length: count }, (_, index) => [`uid-${index}`, status(`uid-${index}`)]),
  );
  const manager = new ProbeManager({
    clock: systemClock,
    target: { runtimeStatus: (uid) => statuses.get(uid) },
    handlers,
    metrics,
  });
  const begun = performance.now();
  for (let index = 0; index < count; index++)
    manager.addPod(podOf(index, { tcpSocket: { port: index + 1 }, periodSeconds: 1 }));
  const addMs = performance.now() - begun;
  await manager.start();
  await systemClock.sleep(SETTLE_MS);
  globalThis.gc?.();
  const heap = process.memoryUsage().heapUsed - heapBefore;
  lateness = [];
  probes = 0;
  const micros = await cpuOf(() => systemClock.sleep(seconds * 1000));
  await manager.stop();
  lateness.sort((a, b) => a - b);
  return {
    workers: count,
    probesPerSecond: Math.round(probes / seconds),
    cpuPercent: round(micros / seconds / 1e4, 2),
    microsPerProbe: round(micros / probes, 2),
    lateP50Ms: round(quantile(lateness, 0.5), 2),
    lateP99Ms: round(quantile(lateness, 0.99), 2),
    addMicrosPerWorker: round((addMs * 1000) / count),
    bytesPerWorker: Math.round(heap / count),
  };
}

interface SampledNode {
  readonly selfSize: number;
  readonly children: readonly SampledNode[];
}

/** Bytes that V8 allocated during `work`, kept or not; sampled. */
async function bytesOf(work: () => Promise<unknown>): Promise<number> {
  const session = new Session();
  session.connect();
  const post = <T>(method: string, params: object = {}): Promise<T> =>
    new Promise((resolve, reject) => {
      session.post(method, params, (error, answer) =>
        error === null ? resolve(answer as T) : reject(error),
      );
    });
  await post("HeapProfiler.startSampling", {
    samplingInterval: 512,
    includeObjectsCollectedByMajorGC: true,
    includeObjectsCollectedByMinorGC: true,
  });
  await work();
  const { profile } = await post<{ profile: { head: SampledNode } }>("HeapProfiler.stopSampling");
  session.disconnect();
  const sum = (node: SampledNode): number =>
    node.children.reduce((total, child) => total + sum(child), node.selfSize);
  return sum(profile.head);
}

/** The same request through `node:http`, as a yardstick. */
function viaNodeHttp(port: number): Promise<void> {
  return new Promise((resolve, reject) => {
    const request = httpGet(
      { host: "127.0.0.1", port, agent: false, headers: { connection: "close" } },
      (response) => {
        response.resume();
        response.on("end", resolve);
      },
    );
    request.on("error", reject);
  });
}

/** The same call through `@grpc/grpc-js`, with a channel of its own, as a yardstick. */
function viaGrpcJs(port: number): Promise<void> {
  const client = new Client(`127.0.0.1:${port}`, credentials.createInsecure(), {
    "grpc.use_local_subchannel_pool": 1,
  });
  const plain = (bytes: Buffer): Buffer => bytes;
  return new Promise((resolve, reject) => {
    client.makeUnaryRequest("/grpc.health.v1.Health/Check", plain, plain, Buffer.alloc(0), (error) => {
      client.close();
      if (error === null) resolve();
      else reject(error);
    });
  });
}

const nothing = new Uint8Array(0);
const execProber = new ExecProber({
  runtime: { execSync: () => Promise.resolve({ stdout: nothing, stderr: nothing, exitCode: 0 }) },
  clock: systemClock,
  answerGraceMs: 10_000,
  onLeftBehind: () => {},
});

function execOnce(): Promise<unknown> {
  return new Promise((resolve) => {
    execProber.start({ handler: "exec", containerId: "c", command: ["true"], timeoutMs: 1000 }, resolve);
  });
}

/** As a worker makes it: what is asked is made once. */
function attemptOf(probe: Probe): () => Promise<unknown> {
  const request = buildProbeRequest({
    container: { name: "app", image: "" },
    spec: resolveProbe(probe),
    containerId: "",
    podIp: "127.0.0.1",
    userAgent: "kube-probe/1.36",
  });
  if (request.handler === "none" || request.handler === "exec") throw new Error("no probe of a socket");
  return () => new Promise((resolve) => nodeProbeHandlers.start(request, resolve));
}

async function handler(name: string, attempt: () => Promise<unknown>): Promise<object> {
  for (let turn = 0; turn < ATTEMPTS / 5; turn++) await attempt();
  const micros = await cpuOf(async () => {
    for (let turn = 0; turn < ATTEMPTS; turn++) await attempt();
  });
  const bytes = await bytesOf(async () => {
    for (let turn = 0; turn < ATTEMPTS / 3; turn++) await attempt();
  });
  return {
    handler: name,
    cpuMicrosPerProbe: round(micros / ATTEMPTS),
    heapBytesPerProbe: Math.round(bytes / (ATTEMPTS / 3)),
  };
}

async function together(ports: ServerPorts, coalesceMs: number): Promise<object> {
  const probe = { httpGet: { port: ports.http }, periodSeconds: 1 };
  const manager = managerOf(100, probe, nodeProbeHandlers, coalesceMs);
  await manager.start();
  await systemClock.sleep(SETTLE_MS + 1000);
  const micros = await cpuOf(() => systemClock.sleep(seconds * 1000));
  const failed = manager.snapshot().reduce((sum, one) => sum + one.failed + one.proberErrors, 0);
  await manager.stop();
  return {
    httpProbesPerSecond: 100,
    coalesceMs,
    cpuPercent: round(micros / seconds / 1e4, 2),
    microsPerProbe: round(micros / seconds / 100),
    failed,
  };
}

function startServers(): Promise<{ readonly ports: ServerPorts; readonly child: ChildProcess }> {
  return new Promise((resolve, reject) => {
    const child = fork(new URL("./servers.ts", import.meta.url), {
      execArgv: ["--conditions=@holdfast/source"],
    });
    child.once("message", (ports) => resolve({ ports: ports as ServerPorts, child }));
    child.once("error", reject);
  });
}

/** Prints tables, then the result as one line of JSON, which `pnpm bench` puts into `bench-results/probe-probe.json`. */
export async function main(): Promise<void> {
  const schedulers: object[] = [];
  if (only === undefined || only === "scheduler")
    for (const count of [100, 1000, 10_000]) schedulers.push(await scheduler(count));
  console.table(schedulers);
  const { ports, child } = await startServers();
  const handlers: object[] = [];
  const whole: object[] = [];
  try {
    if (only === undefined || only === "handlers") {
      handlers.push(await handler("tcp", attemptOf({ tcpSocket: { port: ports.http } })));
      handlers.push(await handler("http", attemptOf({ httpGet: { port: ports.http } })));
      handlers.push(await handler("http, by node:http", () => viaNodeHttp(ports.http)));
      handlers.push(await handler("exec, without the runtime's part", execOnce));
      handlers.push(await handler("grpc", attemptOf({ grpc: { port: ports.grpc } })));
      handlers.push(await handler("grpc, by grpc-js", () => viaGrpcJs(ports.grpc)));
    }
    console.table(handlers);
    if (only === undefined || only === "together")
      for (const coalesceMs of (option("coalesce") ?? "0,100").split(",").map(Number))
        whole.push(await together(ports, coalesceMs));
    console.table(whole);
  } finally {
    child.kill();
  }
  const endpoint = process.env["HOLDFAST_BENCH_CONTAINERD"];
  const runtime = endpoint === undefined || only !== undefined ? [] : [await execCost(endpoint)];
  if (runtime.length > 0) console.table(runtime);
  const machine = { node: process.version, cpu: cpus()[0]?.model ?? "", cores: cpus().length };
  process.stdout.write(
    `${JSON.stringify({ bench: "probe", machine, schedulers, handlers, together: whole, runtime })}\n`,
  );
}

if (import.meta.main) await main();
