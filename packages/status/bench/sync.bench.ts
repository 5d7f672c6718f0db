// SPDX-License-Identifier: Apache-2.0

// N pods change at once: how long until a sink with 5 ms latency has them all, how many calls that takes, and what is kept. "burst" changes every pod four times while its
// first write is under way: what is overtaken is not sent. "serial" is the kubelet's way: one write after another, each after a read. The last table: own CPU of a patch.
// Run: node --conditions=@holdfast/source --expose-gc packages/status/bench/sync.bench.ts
import { cpus } from "node:os";
import { systemClock } from "@holdfast/core/node";
import type { Pod } from "@holdfast/core/pod-types";
import type { RuntimePodStatus } from "@holdfast/core/runtime-status";
import { ApiServerSink, StatusManager, StatusSync } from "@holdfast/status";
import type { HttpPort, StatusSink, StatusUpdate, StatusWriteOutcome } from "@holdfast/status";

const SIZES = [100, 1000, 4000];
const LATENCY_MS = 5;
const CONTAINERS = ["main", "helper"];

interface Row {
  readonly case: string;
  readonly pods: number;
  readonly syncedMs: number;
  readonly calls: number;
  readonly ownCpuMs: number;
  readonly heapPerPodBytes: number;
}

/** A server that takes its time and keeps nothing. */
class SlowSink implements StatusSink {
  readonly name = "slow";
  readonly #callsPerWrite: number;
  calls = 0;

  constructor(callsPerWrite: number) {
    this.#callsPerWrite = callsPerWrite;
  }

  async write(_update: StatusUpdate, signal: AbortSignal): Promise<StatusWriteOutcome> {
    for (let call = 0; call < this.#callsPerWrite; call++) {
      this.calls += 1;
      await systemClock.sleep(LATENCY_MS, { signal });
    }
    return "written";
  }

  forget(): void {}
}

function podOf(index: number): Pod {
  return {
    apiVersion: "v1",
    kind: "Pod",
    metadata: { name: `pod-${index}`, namespace: "default", uid: `uid-${index}` },
    spec: { containers: CONTAINERS.map((name) => ({ name, image: "busybox" })) },
  };
}

function runtimeOf(uid: string, attempt: number): RuntimePodStatus {
  const containers = CONTAINERS.map((name) => ({
    id: `${uid}-${name}-${attempt}`,
    name,
    sandboxId: uid,
    state: "running" as const,
    attempt,
    createdAt: 1,
    startedAt: 2,
    finishedAt: 0,
    exitCode: 0,
    reason: "",
    message: "",
    image: "busybox",
    imageRef: "sha256:1",
    hash: "1",
    restartCount: attempt,
  }));
  const sandbox = {
    id: uid,
    attempt: 0,
    state: "ready" as const,
    createdAt: 1,
    ip: "10.88.0.2",
    hostNetwork: false,
  };
  return { uid, name: uid, namespace: "default", ips: ["10.88.0.2"], sandboxes: [sandbox], containers };
}

async function measure(
  name: string,
  pods: number,
  {
    changes = 1,
    parallel = 8,
    callsPerWrite = 1,
  }: { changes?: number; parallel?: number; callsPerWrite?: number },
): Promise<Row> {
  const manager = new StatusManager({ clock: systemClock });
  const sink = new SlowSink(callsPerWrite);
  const all = Array.from({ length: pods }, (_, index) => podOf(index));
  const answers = all.map(({ metadata }) =>
    Array.from({ length: changes }, (_, attempt) => runtimeOf(metadata.uid, attempt)),
  );
  const facts = { podIsTerminal: false, waitingReasons: new Map() };
  const change = (attempt: number): void => {
    for (const [index, pod] of all.entries()) {
      const answer = answers[index]?.[attempt];
      if (answer !== undefined) manager.update(pod, answer, facts);
    }
  };
  await using sync = new StatusSync({ clock: systemClock, source: manager, sink, parallel });
  await sync.start();
  globalThis.gc?.();
  const heapBefore = process.memoryUsage().heapUsed;
  const cpu = process.cpuUsage();
  const begun = performance.now();
  for (let attempt = 0; attempt < changes; attempt++) change(attempt);
  await sync.whenSettled();
  const syncedMs = Math.round(performance.now() - begun);
  const { user, system } = process.cpuUsage(cpu);
  globalThis.gc?.();
  const heap = process.memoryUsage().heapUsed - heapBefore;
  return {
    case: name,
    pods,
    syncedMs,
    calls: sink.calls,
    ownCpuMs: Math.round((user + system) / 1000),
    heapPerPodBytes: Math.max(Math.round(heap / pods), 0),
  };
}

/** Microseconds of own CPU for one write through the API-server sink, against a server in memory that echoes. `whole`: nothing was known of the pod. */
async function patchCost(): Promise<{
  readonly wholeUs: number;
  readonly changeUs: number;
  readonly bytes: number;
}> {
  const pods = 1000;
  let bytes = 0;
  const http: HttpPort = {
    request: async ({ path, body = "" }) => {
      bytes += body.length;
      const uid = `uid-${path.split("/")[6]?.slice(4) ?? ""}`;
      const { status } = JSON.parse(body) as { status: Record<string, unknown> };
      const pod = { apiVersion: "v1", kind: "Pod", metadata: { uid, namespace: "default" }, status };
      return { status: 200, body: JSON.stringify(pod) };
    },
  };
  const manager = new StatusManager({ clock: systemClock });
  const signal = new AbortController().signal;
  const newSink = (): ApiServerSink => new ApiServerSink({ http, clock: systemClock });
  const round = async (sink: ApiServerSink, attempt: number): Promise<number> => {
    const facts = { podIsTerminal: false, waitingReasons: new Map() };
    for (let index = 0; index < pods; index++)
      manager.update(podOf(index), runtimeOf(`uid-${index}`, attempt), facts);
    bytes = 0;
    const before = process.cpuUsage();
    for (const one of manager.all())
      if (one.pod !== undefined) await sink.write({ ...one, pod: one.pod, removed: false }, signal);
    const { user, system } = process.cpuUsage(before);
    return Math.round(((user + system) / pods) * 10) / 10;
  };
  const warm = newSink();
  await round(warm, 0);
  await round(warm, 1);
  const sink = newSink();
  const wholeUs = await round(sink, 2);
  const changeUs = await round(sink, 3);
  return { wholeUs, changeUs, bytes: Math.round(bytes / pods) };
}

/** Prints tables, then the result as one line of JSON, which `pnpm bench` puts into `bench-results/status-sync.json`. */
export async function main(): Promise<void> {
  await measure("warm-up", 100, {});
  const rows: Row[] = [];
  for (const pods of SIZES) {
    rows.push(await measure("all change once", pods, {}));
    rows.push(await measure("burst of 5", pods, { changes: 5 }));
  }
  rows.push(await measure("16 in parallel", 1000, { parallel: 16 }));
  rows.push(await measure("serial, read first", 1000, { parallel: 1, callsPerWrite: 2 }));
  console.table(rows);
  const patch = await patchCost();
  console.table([patch]);
  const machine = { node: process.version, cpu: cpus()[0]?.model ?? "", cores: cpus().length };
  process.stdout.write(
    `${JSON.stringify({ bench: "status-sync", machine, latencyMs: LATENCY_MS, rows, patch })}\n`,
  );
}

if (import.meta.main) await main();
