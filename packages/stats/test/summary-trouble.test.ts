// SPDX-License-Identifier: Apache-2.0

import type { RawFilesystem } from "@holdfast/stats";
import { describe, expect, test } from "vitest";
import { environment, LAYERS } from "./environment.ts";
import { DISK, failingRead, fixturePod, LOG, MIB, POD_CGROUP, WEB } from "./fixtures.ts";

describe("trouble", () => {
  test("a file system that hangs costs its own figures, for no longer than its deadline", async () => {
    const { provider, host, clock } = environment();
    host.disks.set(LAYERS, new Promise<RawFilesystem>(() => {}));
    const asked = provider.sample();
    await clock.advance(2000);
    const { summary, problems, layout } = await asked;
    expect(problems.map(({ part, message }) => `${part}: ${message}`)).toContain(
      `node.runtime.imageFs: statfs of ${LAYERS} has not answered for 2 s`,
    );
    expect(layout).toBeUndefined();
    expect(summary.node.fs?.capacityBytes).toBe(4_096_000);
    expect(summary.node.runtime?.imageFs).toEqual({
      time: expect.any(String),
      usedBytes: 500_000,
      inodesUsed: 50,
    });
    expect(summary.pods[0]?.memory?.workingSetBytes).toBe(2 * MIB);

    // From then on nobody waits for it, and it is not asked again.
    const calls = host.statfsCalls;
    const next = await provider.sample({ maxAgeMs: 0 });
    expect(next.problems).not.toEqual([]);
    expect(host.statfsCalls).toBe(calls + 1);
    expect(clock.waiting).toBe(0);
    expect(provider.snapshot()).toMatchObject({ hung: [{ subject: `statfs of ${LAYERS}` }] });
  });

  test.each([
    ["a capacity of 0", { blocks: 0, blocksFree: 0, blocksAvailable: 0 }],
    ["more available than there is", { blocksAvailable: 5000 }],
  ])("a file system with %s has no figures, and says why", async (_what, changes) => {
    const { provider, host } = environment();
    host.disks.set("/var/lib/holdfast", { ...DISK, ...changes });
    const { summary, problems } = await provider.sample();
    expect(summary.node).not.toHaveProperty("fs");
    expect(problems[0]?.part).toBe("node.fs");
    expect(problems[0]?.message).toMatch(/the file system of \/var\/lib\/holdfast says that/);
  });

  test("a runtime that is away costs what only it knows", async () => {
    const { provider, runtime } = environment();
    runtime.fail = true;
    const { summary, problems } = await provider.sample();
    expect(problems.map(({ part }) => part)).toEqual(["node.runtime", "pods"]);
    expect(summary.pods[0]?.containers[0]).not.toHaveProperty("rootfs");
    expect(summary.pods[0]?.["ephemeral-storage"]?.usedBytes).toBe(4000);
    expect(summary.node).not.toHaveProperty("runtime");
  });

  test("one pod's broken file costs that pod's usage only, and names it", async () => {
    const one = environment();
    const other = fixturePod({
      uid: "other",
      name: "other",
      cgroupPath: POD_CGROUP.v1,
      sandboxId: "0".repeat(64),
    });
    one.pods = [
      fixturePod({ containers: [{ id: WEB, name: "web", createdAt: 0 }] }),
      { ...other, containers: [{ id: LOG, name: "log", createdAt: 0 }] },
    ];
    one.host.files.files.set(`/sys/fs/cgroup/memory${POD_CGROUP.v1}/${WEB}/memory.usage_in_bytes`, "much\n");
    const { summary, problems } = await one.provider.sample();
    expect(problems).toEqual([
      {
        part: "pods default/web",
        message: `/sys/fs/cgroup/memory${POD_CGROUP.v1}/${WEB}/memory.usage_in_bytes has an unexpected form: "much\\n"`,
      },
    ]);
    expect(summary.pods[0]).not.toHaveProperty("memory");
    expect(summary.pods[1]?.memory?.workingSetBytes).toBe(2 * MIB);
  });

  test("a read that fails is the node's problem, and no more", async () => {
    const { provider, host } = environment();
    host.files.files.set("/proc/meminfo", failingRead("/proc/meminfo"));
    const { summary, problems } = await provider.sample();
    expect(problems).toEqual([{ part: "node.memory", message: "reading /proc/meminfo: EIO" }]);
    expect(summary.node.fs).toBeDefined();
    expect(summary.pods).toHaveLength(1);
  });

  test("pods that cannot be listed leave the node's figures", async () => {
    const { provider } = environment({
      pods: async () => {
        throw new Error("no list");
      },
    });
    const { summary, problems } = await provider.sample();
    expect(problems).toEqual([{ part: "pods", message: "no list" }]);
    expect(summary.node.memory).toBeDefined();
  });

  test("a runtime that hangs for longer than a sample may take rejects it, and the next one is made anew", async () => {
    const { provider, runtime, clock } = environment();
    runtime.hang = true;
    const asked = provider.sample().catch((error: Error) => error.message);
    const joined = provider.sample().catch((error: Error) => error.message);
    await clock.advance(10_000);
    expect(await asked).toBe("a sample took longer than 10000 ms");
    expect(await joined).toBe("a sample took longer than 10000 ms");
    runtime.hang = false;
    expect((await provider.sample()).problems).toEqual([]);
    expect(clock.waiting).toBe(0);
  });
});

describe("who asks", () => {
  test("nothing is read and no timer runs before somebody does, nor after", async () => {
    const { provider, host, clock } = environment();
    await provider.start();
    expect([host.files.reads, clock.waiting]).toEqual([0, 0]);
    await provider.sample();
    const { reads } = host.files;
    await clock.advance(3_600_000);
    expect([host.files.reads, clock.waiting]).toEqual([reads, 0]);
  });

  test("at the same time, or within a second, gets the same sample", async () => {
    const { provider, clock } = environment();
    const [one, two] = await Promise.all([provider.sample(), provider.sample()]);
    expect(two).toBe(one);
    await clock.advance(1000);
    expect(await provider.sample()).toBe(one);
    await clock.advance(1);
    const next = await provider.sample();
    expect(next).not.toBe(one);
    expect(next.at).toBeGreaterThan(one.at);
  });

  test("for one that is newer than the one under way waits for its own", async () => {
    const { provider, host, clock } = environment();
    let answer = (_disk: RawFilesystem): void => {};
    host.disks.set(
      "/var/lib/holdfast",
      new Promise((resolve) => {
        answer = resolve;
      }),
    );
    const first = provider.sample();
    await clock.advance(100);
    const second = provider.sample({ maxAgeMs: 0 });
    answer(DISK);
    expect((await second).at).toBe(100);
    expect((await first).at).toBe(0);
  });

  test("and gives up, leaves the reading to the others", async () => {
    const { provider, host, clock } = environment();
    host.disks.set("/var/lib/holdfast", new Promise(() => {}));
    const controller = new AbortController();
    const mine = provider.sample({ signal: controller.signal });
    const theirs = provider.sample();
    controller.abort(new Error("enough"));
    await expect(mine).rejects.toThrow("enough");
    await clock.advance(2000);
    expect((await theirs).problems[0]?.part).toBe("node.fs");
  });

  test("after the stop is refused, and what is under way is given up", async () => {
    const { provider, runtime } = environment();
    runtime.hang = true;
    const asked = provider.sample();
    await provider.stop();
    await provider.stop();
    await expect(asked).rejects.toThrow("statistics stop");
    await expect(provider.sample()).rejects.toThrow("statistics stop");
  });

  test("and all of it is given up at once, leaves no rejection that nobody hears", async () => {
    const heard: unknown[] = [];
    const onUnhandled = (error: unknown): void => void heard.push(error);
    process.on("unhandledRejection", onUnhandled);
    try {
      const giveUp = (
        _request: unknown,
        options?: { readonly signal?: AbortSignal | undefined },
      ): Promise<never> =>
        new Promise((_resolve, reject) => {
          options?.signal?.addEventListener("abort", () => reject(options.signal?.reason as Error));
        });
      const { provider } = environment({
        pods: (signal) => giveUp({}, { signal }),
        runtime: { listContainerStats: giveUp, imageFsInfo: giveUp },
      });
      const asked = provider.sample();
      // All of it is under way.
      await new Promise((resolve) => setImmediate(resolve));
      await provider.stop();
      await expect(asked).rejects.toThrow("statistics stop");
      await new Promise((resolve) => setImmediate(resolve));
      expect(heard).toEqual([]);
    } finally {
      process.off("unhandledRejection", onUnhandled);
    }
  });

  test("often, does not make the runtime or folders be asked as often", async () => {
    const { provider, runtime, host, clock } = environment();
    for (let second = 0; second < 60; second += 2) {
      await provider.sample();
      await clock.advance(2000);
    }
    expect(runtime.calls).toEqual(["imageFsInfo", "listContainerStats"]);
    expect(host.treeCalls).toBe(3);
    await clock.advance(1);
    await provider.sample();
    expect(runtime.calls).toHaveLength(4);
    expect(host.treeCalls).toBe(6);
  });
});
