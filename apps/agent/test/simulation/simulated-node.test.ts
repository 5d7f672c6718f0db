// SPDX-License-Identifier: Apache-2.0

import { expect, it } from "vitest";
import { parseConfig } from "../../src/config/parse-config.ts";
import { container, manifest } from "./pods.ts";
import { SimulatedNode } from "./simulated-node.ts";
import { Walk } from "./walk.ts";

const GIB = 2 ** 30;

it.each(["cgroupfs", "systemd"] as const)("a pod runs, is restarted, and goes: %s", async (driver) => {
  const node = new SimulatedNode({ driver });
  await node.start();
  node.manifests.write("web.json", manifest("web"));
  await node.until("it runs", () => node.running().length === 1);
  const [first] = node.running();
  await node.advance(1000);
  expect((await node.pod("web")).status.phase).toBe("Running");
  expect(node.cgroups.podUids()).toEqual([first?.podUid]);
  node.runtime.kill(first?.id ?? "");
  await node.until("its successor runs", () => node.running().some(({ attempt }) => attempt === 1));
  node.manifests.remove("web.json");
  await node.until("it is gone", () => node.runtime.sandboxes().length === 0);
  await node.advance(5000);
  expect(node.cgroups.podUids()).toEqual([]);
  expect(await node.stop()).toBe(0);
  expect(node.troubles).toEqual([]);
  expect(node.clock.waiting).toBe(0);
});

it.each([
  ["pods", false, 8 * GIB - GIB],
  // What an earlier setting wrote is taken back,
  ["none", false, 8 * GIB],
  // but not what a kubelet on the same machine wrote.
  ["none", true, undefined],
] as const)(
  "the limit of all pods together: enforceNodeAllocatable [%s], share %s",
  async (enforced, share, bytes) => {
    const settings = `apiVersion: kubelet.config.k8s.io/v1beta1\nkind: KubeletConfiguration\nsystemReserved: { memory: 1Gi }\nenforceNodeAllocatable: [${enforced}]`;
    const node = new SimulatedNode({
      config: { resources: parseConfig(settings, "test", "n").config.resources, share },
    });
    const written: string[] = [];
    const { tree } = node.cgroups;
    const write = tree.write.bind(tree);
    tree.write = async (path, controller, file, value) => {
      if (path === "/kubepods" && file.startsWith("memory")) written.push(value);
      await write(path, controller, file, value);
    };
    await node.start();
    node.manifests.write("web.json", manifest("web"));
    await node.until("it runs", () => node.running().length === 1);
    expect(written).toEqual(bytes === undefined ? [] : [String(bytes)]);
    await node.stop();
  },
);

it("kill -9 and a new agent: nothing is touched", async () => {
  const node = new SimulatedNode();
  for (const name of ["a", "b", "c"])
    node.manifests.write(`${name}.json`, manifest(name, { containers: [container("x"), container("y")] }));
  await node.start();
  await node.until("all run", () => node.running().length === 6);
  await node.advance(2000);
  const before = node.running().map(({ id }) => id);
  const writes = node.disk.writes;
  node.kill({ carriedOut: false });
  await node.advance(10_000);
  await node.start();
  await node.advance(120_000);
  expect(node.running().map(({ id }) => id)).toEqual(before);
  expect(node.disk.writes).toBe(writes);
  expect((await node.pods()).map(({ status }) => status.phase)).toEqual(["Running", "Running", "Running"]);
  await node.stop();
  expect(node.troubles).toEqual([]);
});

it("a walk with one seed is the same walk each time", async () => {
  const stories = await Promise.all(
    [1, 2].map(async () => {
      const walk = new Walk(5, { faults: "calls", steps: 25 });
      await walk.run();
      return walk.story();
    }),
  );
  expect(stories[0]).toBe(stories[1]);
});
