// SPDX-License-Identifier: Apache-2.0

// Own CPU of the plans, over N images (one in two unused), N containers (nine in ten dead) and N logs; and of a whole pass of image GC that removes nothing,
// against a runtime in memory with N images and N containers. Run: node --conditions=@holdfast/source packages/gc/bench/plan.bench.ts
import { cpus } from "node:os";
import { systemClock } from "@holdfast/core/node";
import { Container, Image, ImageFsInfoResponse } from "@holdfast/cri";
import {
  DEFAULT_CONTAINER_GC_POLICY,
  DEFAULT_IMAGE_GC_POLICY,
  ImageGcManager,
  planContainerGc,
  planImageGc,
  planLogRotation,
} from "@holdfast/gc";
import type { GcContainer, GcImage, ImageGcFacts, ImageGcRuntime } from "@holdfast/gc";

const SIZES = [10, 100, 1000, 10_000];
const ROUNDS = 15;
const MEBIBYTE = 1024 * 1024;
const DEAD_PER_NAME = 9;

interface Row {
  readonly size: number;
  readonly planImageGcMs: number;
  readonly planContainerGcMs: number;
  readonly planLogRotationMs: number;
  readonly imagePassMs: number;
  readonly callsPerImagePass: number;
  /** Of a round that removes 20 images (or all that it can) beside N containers. */
  readonly imageRemovalMs: number;
  readonly callsPerImageRemoval: number;
}

function imageFacts(count: number): ImageGcFacts {
  const images: GcImage[] = Array.from({ length: count }, (_, index) => ({
    id: `sha256:${String(index).padStart(64, "0")}`,
    repoTags: [`registry.example/team/app-${index}:1.${index}`],
    repoDigests: [`registry.example/team/app-${index}@sha256:${String(index).padStart(64, "1")}`],
    sizeBytes: 50 * MEBIBYTE + index,
    pinned: index % 100 === 0,
  }));
  const used = images.filter((_, index) => index % 2 === 0);
  return {
    images,
    users: new Map(used.map(({ id }) => [id, [{ containerId: id, name: "a/b/c", how: "image" }]])),
    records: new Map(
      images.map(({ id }, index) => [
        id,
        { firstDetectedAt: -1e9, lastUsedAt: index % 3 === 0 ? undefined : -1e6 * (index % 97), ours: true },
      ]),
    ),
    sandboxImages: new Set(),
    held: new Map(),
    unreadableUsers: 0,
    filesystem: { capacityBytes: 60 * MEBIBYTE * count, availableBytes: MEBIBYTE * count },
    now: 0,
  };
}

function deadContainers(count: number): GcContainer[] {
  return Array.from({ length: count }, (_, index) => {
    const pod = Math.floor(index / (DEAD_PER_NAME + 1));
    return {
      id: String(index).padStart(64, "b"),
      podUid: `00000000-0000-4000-8000-${String(pod).padStart(12, "0")}`,
      podName: `pod-${pod}`,
      podNamespace: "default",
      name: "app",
      sandboxId: String(pod).padStart(64, "a"),
      state: index % (DEAD_PER_NAME + 1) === DEAD_PER_NAME ? "running" : "exited",
      createdAt: index * 1000,
      attempt: index % (DEAD_PER_NAME + 1),
      listBytes: 900,
      graceSeconds: 30,
    };
  });
}

/** Median own CPU, in milliseconds. */
async function cpuOf(work: () => unknown): Promise<number> {
  const samples: number[] = [];
  for (let round = 0; round < ROUNDS; round++) {
    const start = process.cpuUsage();
    await work();
    const { system, user } = process.cpuUsage(start);
    samples.push((user + system) / 1000);
  }
  samples.sort((a, b) => a - b);
  return Math.round((samples[Math.floor(samples.length / 2)] ?? 0) * 100) / 100;
}

function planContainers(containers: readonly GcContainer[]): void {
  planContainerGc(
    {
      containers,
      sandboxes: [],
      logFolders: [],
      allSourcesReady: true,
      isGone: () => false,
      isTerminated: () => false,
      isOurs: () => true,
      now: 1e12,
      evictTerminated: false,
    },
    DEFAULT_CONTAINER_GC_POLICY,
  );
}

function planLogs(count: number): void {
  const files = ["0.log", "0.log.20260101-000000", "0.log.20260101-000100.gz"].map((name) => ({
    name,
    bytes: 1,
  }));
  const policy = { maxSizeBytes: 10, maxFiles: 5 };
  for (let index = 0; index < count; index++)
    planLogRotation({ log: "0.log", bytes: 10, files, busy: new Set(), now: index }, policy);
}

/** N images and N containers. All images are used, so that a pass removes nothing, unless some are `spare`. */
function memoryRuntime(
  { images }: ImageGcFacts,
  spare = 0,
): { readonly runtime: ImageGcRuntime; calls: () => number } {
  let calls = 0;
  const answer =
    <T>(value: T) =>
    async (): Promise<T> => {
      calls += 1;
      return value;
    };
  const nothing = answer({ info: {} } as never);
  const gone = new Set<string>();
  const listed = images.map(({ id, repoTags, repoDigests, sizeBytes, pinned }) =>
    Image.fromPartial({
      id,
      repoTags: [...repoTags],
      repoDigests: [...repoDigests],
      size: BigInt(sizeBytes),
      pinned,
    }),
  );
  const byId = new Map(listed.map((image) => [image.id, image]));
  const containers = images.map((_image, index) =>
    Container.fromPartial({
      id: String(index),
      imageId: images[Math.max(index, spare)]?.id ?? "",
      metadata: { name: "app", attempt: 0 },
      state: 1,
    }),
  );
  const fs = ImageFsInfoResponse.fromPartial({ imageFilesystems: [{ fsId: { mountpoint: "/" } }] });
  const runtime: ImageGcRuntime = {
    listImages: async () => answer({ images: listed.filter(({ id }) => !gone.has(id)) })(),
    listContainers: answer({ containers }),
    imageFsInfo: answer(fs),
    listPodSandbox: answer({ items: [] }),
    status: nothing,
    imageStatus: async ({ image }) => {
      const found = gone.has(image?.image ?? "") ? undefined : byId.get(image?.image ?? "");
      return answer({ image: found, info: {} })();
    },
    removeImage: async ({ image }) => {
      gone.add(image?.image ?? "");
      return answer({})();
    },
    containerStatus: nothing,
    podSandboxStatus: nothing,
  };
  return { runtime, calls: () => calls };
}

async function measure(size: number): Promise<Row> {
  const facts = imageFacts(size);
  const containers = deadContainers(size);
  const { runtime, calls } = memoryRuntime(facts);
  const manager = new ImageGcManager({
    runtime,
    clock: systemClock,
    filesystem: () => Promise.resolve({ capacityBytes: 1000, availableBytes: 10 }),
    imageVolumes: false,
  });
  await manager.collect();
  const before = calls();
  const imagePassMs = await cpuOf(() => manager.collect());
  const [imageRemovalMs, callsPerImageRemoval] = await measureRemovals(size);
  const row = {
    size,
    imageRemovalMs,
    callsPerImageRemoval,
    planImageGcMs: await cpuOf(() => planImageGc(facts, DEFAULT_IMAGE_GC_POLICY)),
    planContainerGcMs: await cpuOf(() => planContainers(containers)),
    planLogRotationMs: await cpuOf(() => planLogs(size)),
    imagePassMs,
    callsPerImagePass: (calls() - before) / ROUNDS,
  };
  await manager.stop();
  return row;
}

const REMOVED = 20;

/** One round: what it removes is gone. */
async function measureRemovals(size: number): Promise<readonly [number, number]> {
  const images = imageFacts(size);
  const { runtime, calls } = memoryRuntime(images, Math.min(REMOVED, size - 1));
  const manager = new ImageGcManager({
    runtime,
    clock: systemClock,
    filesystem: () => Promise.resolve({ capacityBytes: 1000, availableBytes: 10 }),
    imageVolumes: false,
    layers: "sizes",
    policy: { images: "all", minAgeMs: 0 },
  });
  await manager.plan();
  const before = calls();
  const start = process.cpuUsage();
  const { removed } = await manager.deleteUnusedImages();
  const { system, user } = process.cpuUsage(start);
  const looks = 5; // what the pass asks once
  await manager.stop();
  const each = Math.max(removed.length, 1);
  return [Math.round(((user + system) / 1000 / each) * 100) / 100, (calls() - before - looks) / each];
}

/** Prints a table, then the result as one line of JSON, which `pnpm bench` puts into `bench-results/gc-plan.json`. */
export async function main(): Promise<void> {
  const rows: Row[] = [];
  await measure(100); // compiles
  for (const size of SIZES) rows.push(await measure(size));
  console.table(rows);
  const machine = { node: process.version, cpu: cpus()[0]?.model ?? "", cores: cpus().length };
  process.stdout.write(`${JSON.stringify({ bench: "gc-plan", machine, rows })}\n`);
}

if (import.meta.main) await main();
