// SPDX-License-Identifier: Apache-2.0

import { Bus } from "@holdfast/bus";
import { HoldfastError } from "@holdfast/core/errors";
import { ManualClock } from "@holdfast/core/manual-clock";
import { MetricsRegistry } from "@holdfast/core/metrics";
import { ContainerLogManager } from "@holdfast/gc";
import type { ContainerLogManagerOptions, LogTarget } from "@holdfast/gc";
import { describe, expect, it } from "vitest";
import { MemoryLogs } from "./memory-logs.ts";

const MEBIBYTE = 1024 * 1024;
const ROOT = "/var/log/pods";

/** Log rotation in virtual time, with writers that write as time goes by. */
class World implements AsyncDisposable {
  readonly clock = new ManualClock();
  readonly logs = new MemoryLogs();
  readonly bus = new Bus({ clock: this.clock, ringSize: 10_000 });
  readonly metrics = new MetricsRegistry();
  readonly manager: ContainerLogManager;
  targets: LogTarget[] = [];
  reopened: string[] = [];
  reopen: (id: string) => Promise<void> = () => Promise.resolve();
  free = 1e12;
  largest = 0;

  constructor(options: Partial<ContainerLogManagerOptions> = {}) {
    this.manager = new ContainerLogManager({
      runtime: {
        reopenContainerLog: async ({ containerId = "" }) => {
          await this.reopen(containerId);
          this.reopened.push(containerId);
          const target = this.targets.find((one) => one.containerId === containerId);
          if (target !== undefined) this.logs.write(`${target.folder}/${target.log}`, 0);
          return {};
        },
      },
      clock: this.clock,
      files: this.logs,
      targets: () => Promise.resolve(this.targets),
      publish: this.bus,
      metrics: this.metrics,
      ...options,
    });
  }

  target(name: string, { attempt = 0, running = true } = {}): LogTarget {
    const target: LogTarget = {
      containerId: `${name}-${attempt}`,
      running,
      podUid: name,
      pod: `default/${name}`,
      container: "app",
      attempt,
      folder: `${ROOT}/default_${name}_${name}/app`,
      log: `${attempt}.log`,
    };
    this.targets.push(target);
    return target;
  }

  write(target: LogTarget, bytes: number): void {
    this.logs.write(`${target.folder}/${target.log}`, bytes);
  }

  names(target: LogTarget): string[] {
    return this.logs.names(target.folder);
  }

  /** Writes so many bytes a second for so long, a hundred times a second. */
  async writeFor(target: LogTarget, bytesPerSecond: number, ms: number): Promise<void> {
    const path = `${target.folder}/${target.log}`;
    for (let done = 0; done < ms; done += 10) {
      const bytes = ((await this.logs.size(path)) ?? 0) + bytesPerSecond / 100;
      this.logs.write(path, bytes);
      this.free -= bytesPerSecond / 100;
      this.largest = Math.max(this.largest, bytes);
      await this.clock.advance(10);
    }
  }

  types(): string[] {
    return this.bus.recent().map(({ type }) => type);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.manager.stop();
    await this.clock.settle(4);
    if (this.clock.waiting > 0) throw new Error(`${this.clock.waiting} timers are left`);
  }
}

describe("log rotation", () => {
  it("rotates running containers' logs that are big enough, and has a missing one made", async () => {
    // kubelet: TestRotateLogs
    await using world = new World();
    const [big, small, missing] = [world.target("big"), world.target("small"), world.target("missing")];
    const ended = world.target("ended", { running: false });
    world.write(big, 10 * MEBIBYTE);
    world.write(small, 10 * MEBIBYTE - 1);
    world.write(ended, 20 * MEBIBYTE);
    await world.manager.rotateLogs();
    expect(world.names(big)).toEqual(["0.log", "0.log.20260101-000000"]);
    expect(world.names(small)).toEqual(["0.log"]);
    expect(world.names(missing)).toEqual(["0.log"]);
    expect(world.names(ended)).toEqual(["0.log"]);
    expect(world.reopened.sort()).toEqual(["big-0", "missing-0"]);
    expect(world.types()).toEqual(["gc/LogRotated"]);
    expect(world.bus.recent()[0]).toMatchObject({
      subject: { podUid: "big", pod: "default/big", container: "app", containerId: "big-0" },
      data: { bytes: 10 * MEBIBYTE, rotatedTo: `${big.folder}/0.log.20260101-000000` },
    });
  });

  it("comes to one current, one plain and three compressed files", async () => {
    await using world = new World();
    const target = world.target("a");
    for (let round = 0; round < 8; round++) {
      world.write(target, 10 * MEBIBYTE);
      await world.manager.rotateLogs();
      await world.clock.advance(60_000);
    }
    expect(world.names(target)).toEqual([
      "0.log",
      "0.log.20260101-000400.gz",
      "0.log.20260101-000500.gz",
      "0.log.20260101-000600.gz",
      "0.log.20260101-000700",
    ]);
    expect(world.metrics.value("holdfast_log_rotations_total")).toBe(8);
  });

  it("gives the log its name back when the runtime does not reopen it, and tells once", async () => {
    // kubelet: TestRotateLatestLog
    await using world = new World();
    const target = world.target("a");
    world.write(target, 11 * MEBIBYTE);
    world.reopen = () => Promise.reject(new Error("no such container"));
    await world.manager.rotateLogs();
    await world.manager.rotateLogs();
    expect(world.names(target)).toEqual(["0.log"]);
    expect(world.types()).toEqual(["gc/LogRotationFailed"]);
    expect(world.manager.health().failures).toEqual([
      expect.stringMatching(/^default\/a\/app: failed to rotate .*: no such container$/),
    ]);
    world.reopen = () => Promise.resolve();
    await world.manager.rotateLogs();
    expect(world.manager.health().failures).toEqual([]);
    expect(world.names(target)).toHaveLength(2);
  });

  it("a container that went meanwhile is no failure", async () => {
    await using world = new World();
    world.target("gone");
    world.reopen = () => Promise.reject(new HoldfastError("CRI_NOT_FOUND", "not-found", "no such container"));
    await world.manager.rotateLogs();
    expect(world.types()).toEqual([]);
    expect(world.manager.health().failures).toEqual([]);
  });

  it("a reopen that hangs does not keep other logs waiting for more than 10 s", async () => {
    await using world = new World();
    const [hung, other] = [world.target("hung"), world.target("other")];
    const { promise, resolve } = Promise.withResolvers<void>();
    world.reopen = (id) => (id === "hung-0" ? promise : Promise.resolve());
    await world.manager.start();
    world.write(hung, 20 * MEBIBYTE);
    world.write(other, 20 * MEBIBYTE);
    await world.clock.advance(21_000);
    expect(world.names(other)).toHaveLength(2);
    expect(world.manager.snapshot().rotating).toBe(1);
    resolve();
    await world.clock.advance(1);
    expect(world.names(hung)).toHaveLength(2);
  });

  it("a compression that fails leaves the file for the next rotation", async () => {
    await using world = new World();
    const target = world.target("a");
    const rotate = async (): Promise<void> => {
      world.write(target, 10 * MEBIBYTE);
      await world.manager.rotateLogs();
      await world.clock.advance(60_000);
    };
    world.logs.broken.add(`${target.folder}/0.log.20260101-000000`);
    await rotate();
    await rotate();
    expect(world.metrics.value("holdfast_log_failures_total", { step: "compress" })).toBe(1);
    world.logs.broken.clear();
    await rotate();
    expect(world.names(target)).toContain("0.log.20260101-000000.gz");
  });

  it("a quiet container is looked at every 10 s", async () => {
    await using world = new World();
    world.write(world.target("a"), 5);
    await world.manager.start();
    await world.clock.advance(5000);
    const before = world.logs.looks;
    await world.clock.advance(60_000);
    expect(world.logs.looks - before).toBe(6);
  });

  it("a quiet container costs a look a minute; its first write is seen at once", async () => {
    await using world = new World({ targetsAnnounced: true });
    world.logs.watching = "yes";
    const target = world.target("a");
    world.write(target, 5);
    await world.manager.start();
    await world.clock.advance(30_000);
    expect(world.manager.snapshot()).toMatchObject({ logs: 1, quiet: 1 });
    const before = world.logs.looks;
    await world.clock.advance(600_000);
    expect(world.logs.looks - before).toBeLessThanOrEqual(10);
    // Out of the blue.
    await world.writeFor(target, 50e6, 5000);
    expect(world.largest).toBeLessThan(1.6 * 10 * MEBIBYTE);
    await world.clock.advance(60_000);
    expect(world.manager.snapshot()).toMatchObject({ quiet: 1 });
  });

  it("a container that was announced is met within 250 ms, however many are", async () => {
    let lists = 0;
    await using world = new World({
      targetsAnnounced: true,
      targets: () => {
        lists += 1;
        return Promise.resolve(world.targets);
      },
    });
    await world.manager.start();
    await world.clock.advance(10_000);
    const target = world.target("fast");
    world.write(target, 0);
    lists = 0;
    for (let event = 0; event < 100; event++) world.manager.targetsChanged();
    await world.writeFor(target, 50e6, 3000);
    expect(world.largest).toBeLessThan(3.5 * 10 * MEBIBYTE);
    expect(lists).toBe(1);
  });

  it("one whose writes nobody tells of is looked at as any other", async () => {
    await using world = new World();
    world.logs.watching = "silent";
    const target = world.target("a");
    world.write(target, 5);
    await world.manager.start();
    await world.clock.advance(40_000);
    expect(world.manager.snapshot().quiet).toBe(1);
    world.write(target, 6);
    await world.clock.advance(120_000);
    expect(world.manager.snapshot().quiet).toBe(0);
    expect(world.logs.watched()).toEqual([]);
    const before = world.logs.looks;
    await world.clock.advance(60_000);
    expect(world.logs.looks - before).toBe(6);
  });

  it("a write between the look and the watch is seen; what ended and what is stopped is watched no more", async () => {
    await using world = new World();
    world.logs.watching = "yes";
    const target = world.target("a");
    world.write(target, 5);
    const { watch } = world.logs;
    let writes = 0;
    world.logs.watch = (path, onChange) => {
      // Before the watch begins.
      if (writes++ === 0) world.logs.write(path, 20e6);
      return watch.call(world.logs, path, onChange);
    };
    await world.manager.start();
    await world.clock.advance(25_000);
    expect(world.reopened).toEqual([target.containerId]);
    await world.clock.advance(40_000);
    expect(world.logs.watched()).toHaveLength(1);
    world.targets = [];
    await world.clock.advance(60_000);
    expect(world.logs.watched()).toEqual([]);
    world.targets = [target];
    await world.clock.advance(60_000);
    expect(world.logs.watched()).toHaveLength(1);
    await world.manager.stop();
    expect(world.logs.watched()).toEqual([]);
  });

  it("a writer of 50 MB/s is caught within its first second where nothing tells of writes, and then at 1.5 times the size", async () => {
    await using world = new World({
      filesystem: () => Promise.resolve({ capacityBytes: 1e12, availableBytes: world.free }),
    });
    await world.manager.start();
    await world.clock.advance(15_000);
    const target = world.target("fast");
    world.write(target, 0);
    await world.writeFor(target, 50e6, 1500);
    expect(world.largest).toBeLessThan(10 * MEBIBYTE + 1.3 * 50e6);
    world.largest = 0;
    await world.writeFor(target, 50e6, 20_000);
    expect(world.largest).toBeLessThan(1.6 * 10 * MEBIBYTE);
    expect(world.names(target).length).toBeLessThanOrEqual(6);
    // Calm again: no more than the usual looks.
    await world.clock.advance(30_000);
    const before = world.logs.looks;
    await world.clock.advance(60_000);
    expect(world.logs.looks - before).toBeLessThan(10);
  });

  it("somebody else who fills the disk does not have every log looked at each second", async () => {
    await using world = new World({
      filesystem: () => Promise.resolve({ capacityBytes: 1e12, availableBytes: world.free }),
    });
    world.write(world.target("a"), 5);
    await world.manager.start();
    await world.clock.advance(5000);
    const before = world.logs.looks;
    for (let second = 0; second < 60; second++) {
      world.free -= 100 * MEBIBYTE;
      await world.clock.advance(1000);
    }
    expect(world.logs.looks - before).toBeLessThan(15);
  });

  it("is off with a negative size, stops twice, and again", async () => {
    await using world = new World({ rotation: { maxSizeBytes: -1 } });
    const target = world.target("a");
    world.write(target, 1e12);
    await world.manager.start();
    await world.clock.advance(30_000);
    expect(world.names(target)).toEqual(["0.log"]);
    await world.manager.stop();
    await world.manager.stop();
    await world.manager.start();
    await world.clock.advance(30_000);
  });

  it("a list that fails is told in its health, and tried again", async () => {
    let fails = true;
    await using world = new World({
      targets: () => (fails ? Promise.reject(new Error("down")) : Promise.resolve([])),
    });
    await world.manager.start();
    await world.clock.advance(1);
    expect(world.manager.health().failures).toContain("down");
    fails = false;
    await world.clock.advance(6 * 60_000);
    expect(world.manager.health().failures).toEqual([]);
  });
});

describe("log retention", () => {
  it("prunes logs of attempts without a container, of pods that are ours", async () => {
    await using world = new World({ retention: { keepAttempts: 2 }, ownsPod: (uid) => uid === "ours" });
    const running = world.target("a", { attempt: 9 });
    world.target("a", { attempt: 8, running: false });
    for (let attempt = 0; attempt < 10; attempt++)
      for (const pod of ["a", "ours", "foreign"])
        world.logs.write(`${ROOT}/default_${pod}_${pod}/app/${attempt}.log`, 10);
    await world.manager.start();
    await world.clock.advance(1);
    const left = (pod: string): string[] => world.logs.names(`${ROOT}/default_${pod}_${pod}/app`);
    expect(world.names(running)).toEqual(["6.log", "7.log", "8.log", "9.log"]);
    expect(left("ours")).toEqual(["8.log", "9.log"]);
    expect(left("foreign")).toHaveLength(10);
    expect(world.bus.recent().filter(({ type }) => type === "gc/LogsRemoved")).toHaveLength(14);
    expect(world.metrics.value("holdfast_log_pruned_bytes_total")).toBe(140);
  });

  it("comes earlier where containers start again and again, but not with each of them", async () => {
    await using world = new World({
      retention: { keepAttempts: 2, maxBytesPerContainer: -1 },
      targetsAnnounced: true,
    });
    const folder = world.target("a", { attempt: 0, running: false }).folder;
    await world.manager.start();
    const logs = (): number => world.logs.names(folder).length;
    let most = 0;
    for (let attempt = 0; attempt < 100; attempt++) {
      // Every 5 s one ends, and the next one starts.
      world.targets = [];
      world.write(world.target("a", { attempt }), 5);
      world.manager.targetsChanged();
      await world.clock.advance(5000);
      most = Math.max(most, logs());
    }
    // Twelve of a minute, and those that are kept.
    expect(most).toBeLessThanOrEqual(12 + 2 + 1);
    expect(most).toBeGreaterThan(6);
  });

  it("a plan removes nothing", async () => {
    await using world = new World({ retention: { keepAttempts: 0, maxBytesPerContainer: 0 } });
    const target = world.target("a", { attempt: 1 });
    for (const name of ["0.log", "1.log"]) world.logs.write(`${target.folder}/${name}`, 10);
    const [plan] = await world.manager.planRetention();
    expect(plan?.entries.map(({ attempt, verdict }) => `${attempt} ${verdict}`)).toEqual([
      "1 keep",
      "0 remove",
    ]);
    expect(world.names(target)).toEqual(["0.log", "1.log"]);
  });
});
