// SPDX-License-Identifier: Apache-2.0

import type { FakeRuntime } from "@holdfast/cri-fake";
import type { Program, ServedPort } from "@holdfast/cri-fake";
import fc from "fast-check";
import { describe, expect, it } from "vitest";

import { imageFsOf } from "../src/disk.ts";
import { memoryAt, outOfMemoryAt, portStateAt } from "../src/usage.ts";
import { BUSYBOX, fakeWith, statusOf } from "./harness.ts";

const MI = 1_048_576;

/** A started container with a memory limit, in a sandbox with a cgroup. */
async function limited(fake: FakeRuntime, limit: number, cgroupParent = "/kubepods") {
  const config = { metadata: { name: "p", namespace: "d", uid: "u", attempt: 0 }, linux: { cgroupParent } };
  const { podSandboxId } = await fake.runPodSandbox({ config });
  const { containerId } = await fake.createContainer({
    podSandboxId,
    sandboxConfig: config,
    config: {
      metadata: { name: "app" },
      image: { image: BUSYBOX },
      linux: { resources: { memoryLimitInBytes: limit } },
    },
  });
  const created = await fake.listContainerStats({ filter: { id: containerId } });
  await fake.startContainer({ containerId });
  return { podSandboxId, containerId, created };
}

describe("a program that uses memory", () => {
  it("is killed when its limit is passed", async () => {
    const { clock, fake } = fakeWith({ memoryBytes: 10 * MI, memoryGrowthPerSecond: MI });
    const { containerId } = await limited(fake, 16 * MI);
    await clock.advance(5999);
    const { stats } = await fake.containerStats({ containerId });
    expect(Number(stats?.memory?.workingSetBytes?.value) / MI).toBeCloseTo(16, 2);
    await clock.advance(1);
    expect(await statusOf(fake, containerId)).toMatchObject({ exitCode: 137, reason: "OOMKilled" });
  });

  it("lives longer when the limit is raised, and dies when it is lowered below", async () => {
    const { clock, fake } = fakeWith({ memoryBytes: 10 * MI, memoryGrowthPerSecond: MI });
    const { containerId } = await limited(fake, 16 * MI);
    const update = (mi: number) =>
      fake.updateContainerResources({ containerId, linux: { memoryLimitInBytes: mi * MI } });
    await clock.advance(3000);
    await update(32);
    await clock.advance(10_000);
    expect(await statusOf(fake, containerId)).toMatchObject({ exitCode: 0, reason: "" });
    await update(20);
    await clock.advance(1);
    expect(await statusOf(fake, containerId)).toMatchObject({ reason: "OOMKilled" });
    await update(64);
  });

  it("that starts above the limit dies at once, after its start", async () => {
    const { clock, fake } = fakeWith({ memoryBytes: 10 * MI });
    const { containerId } = await limited(fake, MI);
    await clock.advance(0);
    const { startedAt, finishedAt, reason } = await statusOf(fake, containerId);
    expect([reason, finishedAt > startedAt]).toEqual(["OOMKilled", true]);
  });

  it("uses the limit, no more, when it is out of memory", () => {
    const bytes = fc.integer({ min: 0, max: 2 ** 40 });
    fc.assert(
      fc.property(bytes, fc.integer({ min: 1, max: 2 ** 30 }), bytes, (memoryBytes, rate, limit) => {
        const program: Program = { memoryBytes, memoryGrowthPerSecond: rate };
        const at = outOfMemoryAt(program, limit);
        if (limit === 0) expect(at).toBe(Number.POSITIVE_INFINITY);
        else if (at > 0) expect(Math.abs(memoryAt(program, at) - limit)).toBeLessThanOrEqual(1);
        else expect(memoryBytes).toBeGreaterThanOrEqual(limit);
      }),
    );
  });
});

describe("figures", () => {
  it("agree with one another, from created to exited", async () => {
    const program: Program = { memoryBytes: 4 * MI, cpuCores: 0.5, diskBytes: 100, diskGrowthPerSecond: 50 };
    const { clock, fake } = fakeWith(program, { imageFs: { mountpoint: "/m", capacityBytes: 100 * MI } });
    const { podSandboxId, containerId, created } = await limited(fake, 16 * MI);
    expect(created.stats).toMatchObject([
      { cpu: undefined, memory: undefined, writableLayer: { usedBytes: { value: 0n } } },
    ]);
    await clock.advance(2000);
    const { stats } = await fake.containerStats({ containerId });
    expect(stats).toMatchObject({
      cpu: { usageCoreNanoSeconds: { value: 1_000_000_000n }, usageNanoCores: { value: 500_000_000n } },
      memory: { workingSetBytes: { value: 4_194_304n }, availableBytes: { value: 12_582_912n } },
      writableLayer: { usedBytes: { value: 200n }, fsId: { mountpoint: "/m" } },
    });
    const pod = await fake.podSandboxStats({ podSandboxId });
    expect(pod.stats?.linux).toMatchObject({
      cpu: { usageCoreNanoSeconds: { value: 1_000_000_000n } },
      memory: { workingSetBytes: { value: 4_194_304n } },
      containers: [{ attributes: { id: containerId } }],
    });
    const { imageFilesystems } = await fake.imageFsInfo({});
    expect(imageFilesystems).toMatchObject([
      { usedBytes: { value: 2_300_200n }, fsId: { mountpoint: "/m" } },
    ]);
    expect(fake.imageFs()).toMatchObject({ usedBytes: 2_300_200, availableBytes: 100 * MI - 2_300_200 });
    fake.kill(containerId);
    await clock.advance(5000);
    const after = await fake.listContainerStats({ filter: { id: containerId } });
    expect(after.stats).toMatchObject([{ cpu: undefined, writableLayer: { usedBytes: { value: 200n } } }]);
    await fake.removeContainer({ containerId });
    expect(fake.imageFs().usedBytes).toBe(2_300_000);
  });

  it("a full disk takes no image, until one is removed", async () => {
    const { fake } = fakeWith(
      {},
      { imageFs: { capacityBytes: 3_000_000 }, registry: () => ({ reference: "x", size: 1_000_000 }) },
    );
    const pull = () => fake.pullImage({ image: { image: "x" } });
    await expect(pull()).rejects.toMatchObject({
      message: expect.stringContaining("no space left") as string,
    });
    await fake.removeImage({ image: { image: BUSYBOX } });
    await pull();
    expect(fake.imageFs().availableBytes).toBe(1_700_000);
  });

  it("never more is used than there is, and nothing is negative", () => {
    const bytes = fc.integer({ min: 0, max: 1e9 });
    fc.assert(
      fc.property(
        bytes,
        bytes,
        fc.array(bytes),
        fc.array(bytes),
        (capacityBytes, otherBytes, images, written) => {
          const layers = new Map(written.map((size, index) => [String(index), size]));
          const fs = imageFsOf({ capacityBytes, otherBytes }, { images, layers });
          expect(fs.usedBytes).toBeLessThanOrEqual(capacityBytes);
          expect(fs.usedBytes + fs.availableBytes).toBe(capacityBytes);
          for (const [id, size] of fs.layerBytes) expect(size).toBeLessThanOrEqual(layers.get(id) ?? 0);
        },
      ),
    );
  });
});

describe("the state of a port", () => {
  it("is told while its program runs", async () => {
    const port: ServedPort = { port: 80, kind: "http", failAfterMs: 1000 };
    const { clock, fake } = fakeWith({ serve: [port] });
    const { containerId } = await limited(fake, 0);
    expect(fake.serving(containerId)).toEqual([{ port, state: "well" }]);
    await clock.advance(1000);
    expect(fake.serving(containerId)).toEqual([{ port, state: "unwell" }]);
    fake.kill(containerId);
    expect(fake.serving(containerId)).toEqual([]);
  });

  it("does not keep a program that writes on and on from ending", async () => {
    const { clock, fake } = fakeWith({ output: [{ text: "tick", everyMs: 100 }], exitAfterMs: 1000 });
    const { containerId } = await limited(fake, 0);
    await clock.advance(5000);
    expect(fake.logs(containerId).split("\n")).toHaveLength(11);
  });

  const tcp: ServedPort = {
    port: 1,
    kind: "tcp",
    listenAfterMs: 10,
    failAfterMs: 20,
    recoverAfterMs: 30,
    hangAfterMs: 40,
  };
  it.each([
    [tcp, 9, "closed"],
    [tcp, 10, "well"],
    [tcp, 20, "closed"],
    [tcp, 30, "well"],
    [tcp, 40, "silent"],
    [{ ...tcp, kind: "http" }, 20, "unwell"],
    [{ port: 1, kind: "grpc" }, 0, "well"],
  ] as const)("%j after %d ms is %s", (port, ms, state) => expect(portStateAt(port, ms)).toBe(state));
});
