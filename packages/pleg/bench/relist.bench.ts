// SPDX-License-Identifier: Apache-2.0

// Own CPU of one relist over N containers, against a runtime in memory: nothing changed (idle), and one in a hundred died. "with decoding"
// reads the two lists from bytes first, as the CRI client does, with its interning reader.
// Run: node --conditions=@holdfast/source packages/pleg/bench/relist.bench.ts
import { cpus } from "node:os";
import { systemClock } from "@holdfast/core/node";
import {
  CONTAINER_NAME_LABEL,
  POD_NAME_LABEL,
  POD_NAMESPACE_LABEL,
  POD_UID_LABEL,
} from "@holdfast/core/names";
import {
  Container,
  ContainerStatus,
  InterningReader,
  ListContainersResponse,
  ListPodSandboxResponse,
  PodSandbox,
  PodSandboxStatus,
  StringTable,
} from "@holdfast/cri";
import { GenericPLEG } from "@holdfast/pleg";
import type { PlegRuntime } from "@holdfast/pleg";

const SIZES = [10, 100, 1000, 10_000];
const CONTAINERS_PER_POD = 2;
const ROUNDS = 15;
const TABLE_STRINGS = 65_536;

interface Row {
  readonly containers: number;
  /** The first relist, which asks for every status. */
  readonly firstMs: number;
  readonly idleMs: number;
  readonly idleWithDecodingMs: number;
  readonly onePercentDiedMs: number;
  readonly callsIdle: number;
  readonly callsOnePercent: number;
  readonly heapPerContainerBytes: number;
}

/** N containers, two in a pod, in memory. */
class MemoryRuntime {
  readonly sandboxes: PodSandbox[] = [];
  readonly containers: Container[] = [];
  readonly #byId = new Map<string, Container>();
  readonly #strings = new StringTable(TABLE_STRINGS);
  #bytes: { readonly sandboxes: Buffer; readonly containers: Buffer } | undefined;
  calls = 0;

  constructor(count: number) {
    for (let index = 0; index < count; index++) {
      const pod = Math.floor(index / CONTAINERS_PER_POD);
      const uid = `00000000-0000-4000-8000-${String(pod).padStart(12, "0")}`;
      const labels = {
        [POD_UID_LABEL]: uid,
        [POD_NAME_LABEL]: `pod-${pod}`,
        [POD_NAMESPACE_LABEL]: "default",
      };
      const sandboxId = `${pod}`.padStart(64, "a");
      if (index % CONTAINERS_PER_POD === 0)
        this.sandboxes.push(
          PodSandbox.create({
            id: sandboxId,
            metadata: { name: `pod-${pod}`, namespace: "default", uid, attempt: 0 },
            createdAt: BigInt(pod) * 1_000_000n,
            labels,
          }),
        );
      const name = `app-${index % CONTAINERS_PER_POD}`;
      const container = Container.create({
        id: `${index}`.padStart(64, "b"),
        podSandboxId: sandboxId,
        metadata: { name, attempt: 0 },
        image: { image: "docker.io/library/busybox:latest" },
        imageRef: `sha256:${"c".repeat(64)}`,
        state: 1,
        createdAt: BigInt(index) * 1_000_000n,
        labels: { ...labels, [CONTAINER_NAME_LABEL]: name },
        annotations: {
          "io.kubernetes.container.hash": "5d41402a",
          "io.kubernetes.container.restartCount": "0",
        },
      });
      this.containers.push(container);
      this.#byId.set(container.id, container);
    }
  }

  /** From now on both lists are decoded on each call. */
  serialise(): void {
    this.#bytes = {
      sandboxes: Buffer.from(ListPodSandboxResponse.encode({ items: this.sandboxes }).finish()),
      containers: Buffer.from(ListContainersResponse.encode({ containers: this.containers }).finish()),
    };
  }

  readonly port: PlegRuntime = {
    listPodSandbox: async () => {
      this.calls += 1;
      return this.#bytes === undefined
        ? { items: this.sandboxes }
        : ListPodSandboxResponse.decode(new InterningReader(this.#bytes.sandboxes, this.#strings));
    },
    listContainers: async () => {
      this.calls += 1;
      return this.#bytes === undefined
        ? { containers: this.containers }
        : ListContainersResponse.decode(new InterningReader(this.#bytes.containers, this.#strings));
    },
    podSandboxStatus: async ({ podSandboxId = "" }) => {
      this.calls += 1;
      const status = PodSandboxStatus.create({ id: podSandboxId, network: { ip: "10.0.0.1" } });
      return { status, info: {}, containersStatuses: [], timestamp: 0n };
    },
    containerStatus: async ({ containerId = "" }) => {
      this.calls += 1;
      const { createdAt = 0n, metadata, state = 0 } = this.#byId.get(containerId) ?? {};
      return { status: ContainerStatus.create({ id: containerId, metadata, state, createdAt }), info: {} };
    },
  };
}

/** Median own CPU of a relist, in milliseconds. */
async function cpuOf(pleg: GenericPLEG, before: (turn: number) => void = () => {}): Promise<number> {
  const samples: number[] = [];
  for (let turn = 0; turn < ROUNDS; turn++) {
    before(turn);
    const start = process.cpuUsage();
    await pleg.relist();
    const { system, user } = process.cpuUsage(start);
    samples.push((user + system) / 1000);
  }
  samples.sort((a, b) => a - b);
  return round(samples[Math.floor(samples.length / 2)] ?? 0);
}

function round(value: number): number {
  return Math.round(value * 100) / 100;
}

async function measure(count: number): Promise<Row> {
  const runtime = new MemoryRuntime(count);
  const pleg = new GenericPLEG({ runtime: runtime.port, clock: systemClock });
  globalThis.gc?.();
  const heapBefore = process.memoryUsage().heapUsed;
  const begun = process.cpuUsage();
  await pleg.relist();
  const first = process.cpuUsage(begun);
  globalThis.gc?.();
  const heapPerContainerBytes = Math.max(
    Math.round((process.memoryUsage().heapUsed - heapBefore) / count),
    0,
  );
  await cpuOf(pleg);
  runtime.calls = 0;
  const idleMs = await cpuOf(pleg);
  const callsIdle = runtime.calls / ROUNDS;
  runtime.calls = 0;
  const onePercentDiedMs = await cpuOf(pleg, (at) => {
    for (let index = at; index < count; index += 100) {
      const container = runtime.containers[index];
      if (container !== undefined) container.state = 2;
    }
  });
  const callsOnePercent = runtime.calls / ROUNDS;
  runtime.serialise();
  await cpuOf(pleg);
  const idleWithDecodingMs = await cpuOf(pleg);
  await pleg.stop();
  return {
    containers: count,
    firstMs: round((first.user + first.system) / 1000),
    idleMs,
    idleWithDecodingMs,
    onePercentDiedMs,
    callsIdle,
    callsOnePercent,
    heapPerContainerBytes,
  };
}

/** Prints a table, then the result as one line of JSON, which `pnpm bench` puts into `bench-results/pleg-relist.json`. */
export async function main(): Promise<void> {
  const rows: Row[] = [];
  for (const size of SIZES) rows.push(await measure(size));
  console.table(rows);
  const machine = { node: process.version, cpu: cpus()[0]?.model ?? "", cores: cpus().length };
  process.stdout.write(`${JSON.stringify({ bench: "pleg-relist", machine, rows })}\n`);
}

if (import.meta.main) await main();
