// SPDX-License-Identifier: Apache-2.0

/** The agent goes and comes back, at any moment, and the node is what the folder says. */
import { describe, expect, it } from "vitest";
import { seededRandom } from "@holdfast/core/random";
import { Crowd, podName } from "./crowd.ts";
import { PODS_DIR } from "./memory-state.ts";
import { container, manifest } from "./pods.ts";
import { POD_LOGS } from "./simulated-node.ts";

const HOUR_MS = 3_600_000;

describe("kill -9 while 20 pods start, restart and stop", () => {
  const moments = Array.from({ length: 50 }, (_, index) => index + 1);
  const PODS = 20;

  it.each(moments)("moment %i", async (seed) => {
    const random = seededRandom(seed);
    const node = new Crowd(PODS, { seed, driver: random() < 0.5 ? "systemd" : "cgroupfs" });
    const write = (number: number, version = 1): void =>
      node.manifests.write(`${podName(number)}.json`, manifest(podName(number), {}, version));
    for (let number = 0; number < 12; number++) write(number);
    await node.start();
    await node.until("twelve run", () => node.running().length === 12, 30_000);
    // Eight start, three are restarted, three are changed, three are removed: and somewhere in between the agent dies.
    for (let number = 12; number < PODS; number++) write(number);
    for (let number = 0; number < 3; number++) node.runtime.kill(node.containerOf(podName(number))?.id ?? "");
    for (let number = 3; number < 6; number++) write(number, 2);
    for (let number = 6; number < 9; number++) node.manifests.remove(`${podName(number)}.json`);
    const untouched = [9, 10, 11].map((number) => node.containerOf(podName(number))?.id);
    await node.advance(random() * 1200);
    node.kill({ carriedOut: random() < 0.5 });
    await node.advance(random() < 0.5 ? 0 : 3000);
    await node.start();
    await node.advance(180_000);
    const wanted = Array.from({ length: PODS }, (_, number) => number).filter(
      (number) => number < 6 || number > 8,
    );
    expect(
      node
        .running()
        .map((one) => one.podName)
        .sort(),
    ).toEqual(wanted.map((number) => `${podName(number)}-node-1`));
    expect(node.runtime.violations).toEqual([]);
    expect([9, 10, 11].map((number) => node.containerOf(podName(number))?.id)).toEqual(untouched);
    const uids = node
      .running()
      .map(({ podUid }) => podUid)
      .sort();
    expect(
      node.runtime
        .sandboxes()
        .map(({ podUid }) => podUid)
        .sort(),
    ).toEqual(uids);
    expect(node.runtime.leases().size).toBe(uids.length);
    expect(node.cgroups.podUids()).toEqual(uids);
    expect(node.disk.names(PODS_DIR).sort()).toEqual(uids);
    expect(node.disk.names(POD_LOGS)).toHaveLength(uids.length);
    expect(await node.stop()).toBe(0);
    expect(node.troubles).toEqual([]);
  });
});

it("away for a minute: two containers die, one manifest is changed, one removed", async () => {
  const node = new Crowd(20);
  await node.up();
  await node.stop();
  const before = new Map(node.running().map(({ id, podName: name }) => [name, id]));
  for (const number of [1, 2]) node.runtime.kill(node.containerOf(podName(number))?.id ?? "");
  node.manifests.write(`${podName(3)}.json`, manifest(podName(3), {}, 2));
  node.manifests.remove(`${podName(4)}.json`);
  await node.advance(60_000);
  await node.start();
  await node.advance(20_000);
  const changed = [1, 2, 3, 4].map((number) => `${podName(number)}-node-1`);
  const after = new Map(node.running().map(({ id, podName: name }) => [name, id]));
  expect(after.size).toBe(19);
  for (const [name, id] of before) expect(after.get(name) === id).toBe(!changed.includes(name));
  expect(node.runtime.sandboxes()).toHaveLength(19);
  expect(node.runtime.violations).toEqual([]);
  await node.stop();
  expect(node.troubles).toEqual([]);
});

it("a runtime that is absent at the start is waited for, by name", async () => {
  const node = new Crowd(3);
  node.runtime.crash();
  node.manifests.write("a.json", manifest("a"));
  await node.start();
  await node.advance(600_000);
  const { ready, text } = await node.nodeText();
  expect(ready).toBe("False");
  expect(text).toContain("nothing answers at unix:///run/holdfast-fake.sock");
  expect(node.log.filter((line) => line.includes("waiting for the container runtime"))).toHaveLength(1);
  node.runtime.restart();
  expect(await node.until("it runs", () => node.running().length === 1)).toBeLessThan(3000);
  await node.stop();
  expect(node.troubles).toEqual([]);
});

it("kill -9 of the runtime's service: nothing is restarted, and what died meanwhile is", async () => {
  const node = new Crowd(20);
  await node.up();
  const before = new Set(node.running().map(({ id }) => id));
  node.runtime.crash();
  await node.advance(20_000);
  node.runtime.kill(node.containerOf(podName(5))?.id ?? "");
  node.runtime.restart();
  await node.until("all run", () => node.running().length === 20, 5000);
  await node.advance(60_000);
  expect(
    node
      .running()
      .filter(({ id }) => !before.has(id))
      .map((one) => one.podName),
  ).toEqual([`${podName(5)}-node-1`]);
  await node.stop();
  expect(node.troubles).toEqual([]);
});

it("a manifest edited into something invalid: the old pod runs on and says so; mended, it is taken up", async () => {
  const node = new Crowd(2);
  await node.up();
  const old = node.containerOf(podName(1))?.id;
  const broken = manifest(podName(1), {}, 2).replace('"containers"', '"contaners"');
  node.manifests.write(`${podName(1)}.json`, broken);
  for (const restart of [false, true]) {
    if (restart) {
      node.kill({ carriedOut: false });
      await node.start();
    }
    await node.advance(30_000);
    expect(node.containerOf(podName(1))?.id).toBe(old);
    const { manifestProblems } = await node.podList();
    expect(manifestProblems.join("\n")).toMatch(/^\/manifests\/p001\.json:1:\d+: .*spec\.containers/m);
    expect((await node.pod(podName(1))).holdfast.problems.join("\n")).toContain("spec.containers");
  }
  expect(await node.apply(podName(1), 3)).toBeLessThan(5000);
  expect((await node.podList()).manifestProblems).toEqual([]);
  await node.stop();
  expect(node.troubles).toEqual([]);
});

describe.each([HOUR_MS, -HOUR_MS])("the wall clock is stepped by %i ms", (step) => {
  it("a restarted container counts, waits and is left alone as ever", async () => {
    const node = new Crowd(3);
    await node.up();
    node.clock.stepWall(step);
    await node.restart(podName(1));
    await node.advance(5000);
    expect((await node.pod(podName(1))).status.containerStatuses?.[0]).toMatchObject({
      restartCount: 1,
      ready: true,
    });
    const ids = node.running().map(({ id }) => id);
    const creates = node.runtime.calls["CreateContainer"];
    const { writes } = node.disk;
    await node.advance(600_000);
    expect(node.running().map(({ id }) => id)).toEqual(ids);
    expect([node.runtime.calls["CreateContainer"], node.disk.writes]).toEqual([creates, writes]);
    await node.stop();
    expect(node.troubles).toEqual([]);
  });

  it("a crash loop's back-off neither ends nor lasts longer, over an agent's restart too", async () => {
    const starts = async (steps: readonly number[]): Promise<number[]> => {
      const node = new Crowd(0);
      node.manifests.write(
        "crash.json",
        manifest("crash", { containers: [container("main", { exitAfterMs: 1000, exitCode: 1 })] }),
      );
      await node.start();
      const counts: number[] = [];
      for (let minute = 0; minute < 12; minute++) {
        await node.advance(60_000);
        counts.push((await node.pod("crash")).status.containerStatuses?.[0]?.restartCount ?? -1);
        node.clock.stepWall(steps[minute] ?? 0);
        if (minute === 7) {
          node.kill({ carriedOut: false });
          await node.start();
        }
      }
      await node.stop();
      expect(node.troubles).toEqual([]);
      return counts;
    };
    expect(await starts([0, step, 0, 0, -step])).toEqual(await starts([]));
  });
});
