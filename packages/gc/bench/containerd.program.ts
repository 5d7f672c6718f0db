// SPDX-License-Identifier: Apache-2.0

// Rounds of image and container GC on a real containerd that is full of both: calls, time and own CPU of each. The containers are created and never started; images are
// pulled from a registry on the loopback. Not part of `pnpm bench`; needs a private containerd (node scripts/containerd.mjs up, env), which is as before afterwards.
// node --conditions=@holdfast/source packages/gc/bench/containerd.program.ts [CONTAINERS] [IMAGES]
import { randomUUID } from "node:crypto";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import {
  CONTAINER_NAME_LABEL,
  INSTANCE_LABEL,
  POD_NAME_LABEL,
  POD_NAMESPACE_LABEL,
  POD_UID_LABEL,
  RESTART_COUNT_ANNOTATION,
} from "@holdfast/core/names";
import { systemClock } from "@holdfast/core/node";
import { createCriClient } from "@holdfast/cri";
import type { CriClient } from "@holdfast/cri";
import { ContainerGcManager, ImageGcManager, readContainerdBlob, readNodeFilesystem } from "@holdfast/gc";
import { LocalRegistry } from "../test/local-registry.ts";

const CONTAINERS = Number(process.argv[2] ?? "2000");
const IMAGES = Number(process.argv[3] ?? "500");
const ATTEMPTS = 100;
const IMAGE_BYTES = 64 * 1024;
/** As many as containerd has hands for. */
const IN_FLIGHT = 4;
const OWNER = { [INSTANCE_LABEL]: `gc-bench-${randomUUID()}` };

const client = createCriClient({ endpoint: process.env["HOLDFAST_TEST_CONTAINERD"] ?? "" });
const logs = mkdtempSync(join(tmpdir(), "holdfast-gc-bench-"));
const calls = new Map<string, number>();
/** The client, with its calls counted. */
const counted = new Proxy(client, {
  get(target, name) {
    const value: unknown = Reflect.get(target, name);
    if (typeof value !== "function" || typeof name !== "string") return value;
    return (...args: readonly unknown[]): unknown => {
      calls.set(name, (calls.get(name) ?? 0) + 1);
      return Reflect.apply(value, target, args);
    };
  },
}) as CriClient;

async function each(count: number, work: (index: number) => Promise<void>): Promise<void> {
  let next = 0;
  const hand = async (): Promise<void> => {
    while (next < count) await work(next++);
  };
  await Promise.all(Array.from({ length: IN_FLIGHT }, hand));
}

interface Row {
  readonly step: string;
  readonly result: string;
  readonly calls: number;
  readonly seconds: number;
  readonly ownCpuMs: number;
  readonly most: string;
}

async function measure(step: string, work: () => Promise<string>): Promise<Row> {
  calls.clear();
  const [cpu, start] = [process.cpuUsage(), performance.now()];
  const result = await work();
  const seconds = Math.round((performance.now() - start) / 10) / 100;
  const { user, system } = process.cpuUsage(cpu);
  const byCount = [...calls].toSorted(([, a], [, b]) => b - a);
  return {
    step,
    result,
    calls: byCount.reduce((sum, [, count]) => sum + count, 0),
    seconds,
    ownCpuMs: Math.round((user + system) / 1000),
    most: byCount
      .slice(0, 4)
      .map(([name, count]) => `${name} ${count}`)
      .join(", "),
  };
}

/** Pods of so many attempts each, none of which was started. */
async function makeContainers(): Promise<readonly string[]> {
  const sandboxes: string[] = [];
  await each(Math.ceil(CONTAINERS / ATTEMPTS), async (pod) => {
    const metadata = { name: `gc-bench-${pod}`, namespace: "default", uid: randomUUID(), attempt: 0 };
    const labels = {
      [POD_UID_LABEL]: metadata.uid,
      [POD_NAME_LABEL]: metadata.name,
      [POD_NAMESPACE_LABEL]: "default",
      ...OWNER,
    };
    const sandboxConfig = {
      metadata,
      labels,
      logDirectory: join(logs, metadata.name),
      linux: { securityContext: { namespaceOptions: { network: 2 as const } } },
    };
    const { podSandboxId } = await client.runPodSandbox({ config: sandboxConfig });
    sandboxes.push(podSandboxId);
    for (let attempt = 0; attempt < Math.min(ATTEMPTS, CONTAINERS - pod * ATTEMPTS); attempt++)
      await client.createContainer({
        podSandboxId,
        sandboxConfig,
        config: {
          metadata: { name: "app", attempt },
          image: { image: "holdfast.local/busybox:1" },
          command: ["true"],
          labels: { ...labels, [CONTAINER_NAME_LABEL]: "app" },
          annotations: { [RESTART_COUNT_ANNOTATION]: String(attempt) },
          logPath: `app/${attempt}.log`,
        },
      });
  });
  return sandboxes;
}

async function run(): Promise<readonly Row[]> {
  await using registry = await LocalRegistry.start();
  const containerGc = new ContainerGcManager({
    runtime: counted,
    clock: systemClock,
    labelSelector: OWNER,
    pods: {
      allSourcesReady: () => true,
      shouldPodContentBeRemoved: () => false,
      shouldPodRuntimeBeRemoved: () => false,
      ownsPod: () => false,
    },
    policy: { maxPerPodContainer: 1 },
  });
  const imageGc = (policy: object): ImageGcManager =>
    new ImageGcManager({
      runtime: counted,
      clock: systemClock,
      filesystem: readNodeFilesystem,
      readBlob: readContainerdBlob,
      policy: { minAgeMs: 0, ...policy },
    });
  const full = imageGc({ highThresholdPercent: 0, lowThresholdPercent: 0 });
  const calm = imageGc({ highThresholdPercent: 100, lowThresholdPercent: 99 });
  console.log(`pulling ${IMAGES} images, creating ${CONTAINERS} containers`);
  await each(IMAGES, async (index) => {
    const startedAt = systemClock.monotonic();
    const reference = registry.add(`gc-bench-${index}`, IMAGE_BYTES);
    const { imageRef } = await client.pullImage({ image: { image: reference } });
    full.imagePulled(imageRef, startedAt);
  });
  const sandboxes = await makeContainers();
  const looked = `${IMAGES} images beside ${CONTAINERS} containers`;
  try {
    return [
      await measure(`a first round of image GC: ${looked}`, async () => {
        const { removed } = await calm.collect();
        return `${removed.length} removed`;
      }),
      await measure("the next", async () => `${(await calm.collect()).removed.length} removed`),
      await measure("plan of images on a full disk", async () => {
        const { entries } = await full.plan();
        return `${entries.filter(({ verdict }) => verdict === "remove").length} would go`;
      }),
      await measure(
        "image GC on a full disk",
        async () => `${(await full.collect()).removed.length} removed`,
      ),
      await measure("plan of containers", async () => {
        const { containers } = await containerGc.plan();
        return `${containers.filter(({ verdict }) => verdict === "remove").length} would go`;
      }),
      await measure("container GC", async () => `${(await containerGc.collect()).containers.length} removed`),
      await measure("the next", async () => `${(await containerGc.collect()).containers.length} removed`),
    ];
  } finally {
    for (const podSandboxId of sandboxes) {
      await client.stopPodSandbox({ podSandboxId });
      await client.removePodSandbox({ podSandboxId });
    }
  }
}

try {
  console.table(await run());
} finally {
  await client.close();
  rmSync(logs, { recursive: true, force: true });
}
