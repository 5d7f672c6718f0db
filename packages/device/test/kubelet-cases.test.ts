// SPDX-License-Identifier: Apache-2.0

// Cases of the kubelet's own unit tests that no other file here has. Not here, for want of the thing: TestAdmitPodWithDRAResources (no DRA),
// TestUpdatePluginResources (devices are no part of the fit), TestResetExtendedResource (registers with an API server).
import { join } from "node:path";
import { ManualClock } from "@holdfast/core/manual-clock";
import { systemClock } from "@holdfast/core/node";
import { computeAllocatableDevices, splitByAffinity } from "@holdfast/device";
import type { ContainerAnswer } from "@holdfast/device";
import { PluginWatcher } from "@holdfast/device/node";
import { expect, test } from "vitest";
import { DEFAULT_DEADLINES, PluginEndpoint } from "../src/plugin-endpoint.ts";
import { mergeAnswers } from "../src/run-options.ts";
import { bad, FakePlugin, good, NO_ANSWER, RESOURCE, TestNode } from "./fake-plugin.ts";
import { startAgent } from "./device-agent.ts";
import { newFolder } from "./sockets.ts";

// kubelet: TestNewManagerImplStart, TestNewManagerImplStartProbeMode
test("starts and stops in an empty folder, in both ways of registration", async () => {
  const folder = await newFolder();
  await using agent = await startAgent(folder);
  await using watcher = new PluginWatcher({
    folder: join(folder, "plugins_registry"),
    clock: systemClock,
    handlers: new Map([["DevicePlugin", agent.manager.pluginHandler]]),
  });
  await watcher.start();
  expect([agent.manager, agent.server, watcher].flatMap((one) => one.health().failures)).toEqual([]);
  expect(agent.manager.resources()).toEqual([]);
});

// kubelet: TestDevicePluginReRegistrationProbeMode
test("a plugin of the watcher registers again, and another one takes its place", async () => {
  const node = new TestNode();
  await using manager = await node.agent();
  const register = async (socket: string, plugin: FakePlugin): Promise<number | undefined> => {
    node.plugins.set(socket, plugin);
    manager.pluginHandler.validate(RESOURCE, ["v1beta1"]);
    await manager.pluginHandler.register(RESOURCE, socket);
    await node.clock.settle();
    return manager.resources()[0]?.capacity;
  };
  const first = new FakePlugin([good("Dev1"), good("Dev2")]);
  expect(await register("/registry/a.sock", first)).toBe(2);
  expect(await register("/registry/a.sock", first)).toBe(2);
  expect(await register("/registry/b.sock", new FakePlugin([good("Dev3")]))).toBe(1);
  expect(first.open).toBe(0);
  expect(manager.snapshot()[0]?.devices.map(({ id }) => id)).toEqual(["Dev3"]);
});

// kubelet: TestGetAllocatableDevicesMultipleResources, TestGetAllocatableDevicesHealthTransition, TestResourceDeviceInstanceFilter
test("what can be given is told of every resource, and only what is healthy", async () => {
  const node = new TestNode();
  await using manager = await node.agent();
  const one = await node.plug(manager, new FakePlugin([good("a"), bad("b")]));
  const other = { resource: "example.com/other", socket: "other.sock" };
  await node.plug(manager, new FakePlugin([good("x"), good("y")]), other);
  const told = (): Record<string, string[]> => {
    const byName: Record<string, string[]> = {};
    for (const { resourceName, deviceIds } of computeAllocatableDevices(manager.pools()))
      (byName[resourceName] ??= []).push(...deviceIds);
    return byName;
  };
  expect(told()).toEqual({ [RESOURCE]: ["a"], "example.com/other": ["x", "y"] });
  one.update([bad("a"), bad("b")]);
  await node.clock.settle();
  expect(told()).toEqual({ "example.com/other": ["x", "y"] });
  one.update([good("a"), good("b")]);
  await node.clock.settle();
  expect(told()[RESOURCE]).toEqual(["a", "b"]);
});

// kubelet: TestFilterByAffinity
test("devices on the hint's nodes are aligned, also those that are on others besides", () => {
  const available = new Map([
    ["dev1", [1]],
    ["dev2", [1, 2]],
    ["dev3", [2]],
    ["dev4", [2]],
    ["dev5", []],
  ]);
  const split = splitByAffinity(available, true, [2]);
  expect(new Set(split.aligned)).toEqual(new Set(["dev2", "dev3", "dev4"]));
  expect(split.unaligned).toEqual(["dev1"]);
  expect(split.noAffinity).toEqual(["dev5"]);
});

// kubelet: TestGetTopologyHintsWithUpdates
test("hints that are asked for between lists are of one list or the other", async () => {
  const node = new TestNode();
  await using manager = await node.agent({ machineNodes: [0, 1] });
  const plugin = await node.plug(manager, new FakePlugin([good("a", 0)]));
  const pod = node.pod("pod", [{ count: 1 }]);
  for (let turn = 1; turn <= 50; turn++) {
    const place = turn % 2;
    plugin.update([good("a", place)]);
    const before = manager.topologyHints(pod, pod.spec.containers[0]!).get(RESOURCE);
    expect([[0], [1]]).toContainEqual(before?.[0]?.numaNodes);
    await node.clock.settle();
    expect(manager.topologyHints(pod, pod.spec.containers[0]!).get(RESOURCE)).toEqual([
      { numaNodes: [place], preferred: true },
    ]);
  }
});

// kubelet: TestDeviceRunContainerOptions
test("what several resources give one container: the first one's word counts, CDI names come once", () => {
  const answer = (value: string): ContainerAnswer => ({
    envs: { SHARED: value, [`ONLY_${value}`]: "1" },
    mounts: [{ containerPath: "/lib", hostPath: `/${value}`, readOnly: true }],
    devices: [{ containerPath: "/dev/x", hostPath: `/dev/${value}`, permissions: "rw" }],
    annotations: { note: value },
    cdiDevices: ["vendor.example/thing=all", `vendor.example/thing=${value}`],
  });
  const { options, conflicts } = mergeAnswers([answer("a"), answer("b")]);
  expect(options.envs).toContainEqual({ name: "SHARED", value: "a" });
  expect(options.envs).toHaveLength(3);
  expect(options.mounts).toEqual([{ containerPath: "/lib", hostPath: "/a", readOnly: true }]);
  expect(options.devices).toEqual([{ containerPath: "/dev/x", hostPath: "/dev/a", permissions: "rw" }]);
  expect(options.annotations).toEqual({ note: "a" });
  expect(options.cdiDevices).toEqual(["all", "a", "b"].map((name) => `vendor.example/thing=${name}`));
  expect(conflicts.map(({ key }) => key)).toEqual(
    expect.arrayContaining(["SHARED", "/lib", "/dev/x", "note"]),
  );
});

// kubelet: TestGetPodAndContainerForDevice
test("who holds a device", async () => {
  const node = new TestNode();
  await using manager = await node.agent();
  await node.plug(manager, new FakePlugin([good("a"), good("b")]));
  await manager.admit(
    node.pod("pod", [
      { name: "first", count: 1 },
      { name: "second", count: 1 },
    ]),
  );
  expect(manager.records.holderOf(RESOURCE, "b")).toMatchObject({ podUid: "uid-pod", container: "second" });
  expect(manager.records.holderOf(RESOURCE, "c")).toBe(undefined);
  expect(manager.records.holderOf("example.com/other", "b")).toBe(undefined);
});

// kubelet: TestRun, TestAllocate, TestGetPreferredAllocation (endpoint_test.go)
test("an endpoint hands on lists in their order, and answers as they are", async () => {
  const plugin = new FakePlugin([good("a"), bad("b")]);
  const answer = { ...NO_ANSWER, envs: { KEY: "value" }, annotations: { note: "text" } };
  plugin.onAllocate = () => Promise.resolve([answer]);
  plugin.onPreferred = () => Promise.resolve(["b", "a"]);
  const endpoint = new PluginEndpoint({
    resource: RESOURCE,
    socket: "p.sock",
    connection: plugin.connect(),
    plugin: plugin.options,
    clock: new ManualClock(),
    deadlines: DEFAULT_DEADLINES,
  });
  const lists: string[] = [];
  const reading = (async () => {
    for await (const list of endpoint.lists()) lists.push(list.map(({ id, health }) => id + health).join());
  })();
  await Promise.resolve();
  plugin.update([good("a"), good("b")]);
  plugin.update([good("b")]);
  expect(await endpoint.allocate(["a"])).toEqual(answer);
  expect(await endpoint.preferred({ available: ["a", "b"], mustInclude: [], size: 2 })).toEqual(["b", "a"]);
  plugin.kill();
  await reading;
  expect(lists).toEqual(["aHealthy,bUnhealthy", "aHealthy,bHealthy", "bHealthy"]);
  endpoint.stop();
  await expect(endpoint.allocate(["a"])).rejects.toThrow("has been stopped");
});
