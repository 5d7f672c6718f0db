// SPDX-License-Identifier: Apache-2.0
import { DEVICES_ANNOTATION, MOVE_DEVICES_ANNOTATION } from "@holdfast/core/names";
import { readCheckpoint } from "@holdfast/device";
import { expect, test } from "vitest";
import { bad, FakePlugin, good, idsOf, RESOURCE, TestNode } from "./fake-plugin.ts";

const ADMITTED = { kind: "admitted" };

test("an agent's restart is a non-event: what a pod has it keeps, with or without the plugin", async () => {
  const node = new TestNode();
  const before = await node.agent();
  await node.plug(before, new FakePlugin([good("a", 0), good("b", 1)]));
  const pod = node.pod("pod", [{ count: 1 }]);
  expect(await before.admit(pod)).toEqual(ADMITTED);
  const given = await before.containerDevices(pod, pod.spec.containers[0]!);
  await before.stop();

  await using after = await node.agent();
  expect(after.resources()).toEqual([{ name: RESOURCE, capacity: 0, allocatable: 0 }]);
  expect(after.pool(RESOURCE)?.phase).toBe("unseen");
  expect(await after.admit(pod)).toEqual(ADMITTED);
  expect(await after.containerDevices(pod, pod.spec.containers[0]!)).toEqual(given);
  // Somebody new waits, and gets the other one when the plugin is back.
  const other = node.pod("other", [{ count: 1 }]);
  expect(await after.admit(other)).toEqual({
    kind: "waiting",
    reason: "DevicePluginNotReady",
    message: `the device plugin of ${RESOURCE} has not registered since the agent started`,
  });
  const plugin = await node.plug(after, new FakePlugin([good("a", 0), good("b", 1)]));
  expect(node.changes).toBeGreaterThan(0);
  expect(await after.admit(other)).toEqual(ADMITTED);
  expect(idsOf(after, other)).toEqual(["b"]);
  expect(plugin.allocated).toEqual([["b"]]);
});

/** An agent that knows a plugin, and has stopped; the plugin goes on, and looks at nothing but its own socket. */
async function plugThenStop(): Promise<{ readonly node: TestNode; readonly plugin: FakePlugin }> {
  const node = new TestNode();
  const before = await node.agent();
  const plugin = new FakePlugin([good("a"), good("b")]);
  plugin.identity = "socket-1";
  await node.plug(before, plugin);
  const pod = node.pod("pod", [{ count: 1 }]);
  await before.admit(pod);
  await before.stop();
  return { node, plugin };
}

test("a plugin that does not register again is called on the socket where it was, and only there", async () => {
  const { node, plugin } = await plugThenStop();
  await using after = await node.agent();
  const other = node.pod("other", [{ count: 1 }]);
  expect(await after.admit(other)).toMatchObject({ kind: "waiting" });
  await node.clock.advance(3000);
  expect(after.pool(RESOURCE)?.phase).toBe("listing");
  expect(after.resources()).toEqual([{ name: RESOURCE, capacity: 2, allocatable: 2 }]);
  // Its status is told again, and nobody is told that it became healthy: it was.
  expect(node.changedPods).toContain("uid-pod");
  expect(node.events("device/DeviceHealthChanged")).toEqual([]);
  expect(await after.admit(other)).toEqual(ADMITTED);
  expect(idsOf(after, other)).toEqual(["b"]);
  // And the next agent finds it, too.
  await after.stop();
  await using third = await node.agent();
  await node.clock.advance(3000);
  expect(third.pool(RESOURCE)?.phase).toBe("listing");
  expect(plugin.open).toBe(1);
});

test("a plugin that never comes back is forgotten after its time, unless a pod has its devices", async () => {
  const node = new TestNode();
  const before = await node.agent();
  await node.plug(before, new FakePlugin([good("a")]));
  const other = { resource: "example.com/other", socket: "other.sock" };
  await node.plug(before, new FakePlugin([good("x")]), other);
  await before.admit(node.pod("pod", [{ count: 1 }]));
  await before.stop();
  const after = await node.agent();
  await node.clock.advance(300_000);
  expect(after.pool(other.resource)?.phase).toBe("removed");
  await after.stop();
  await using third = await node.agent();
  expect(third.pool(other.resource)).toBe(undefined);
  expect(third.pool(RESOURCE)?.phase).toBe("unseen");
});

test("a socket that was made anew, a dead one, and one from another boot are not called", async () => {
  const anew = await plugThenStop();
  anew.plugin.identity = "socket-2";
  await using first = await anew.node.agent();
  await anew.node.clock.advance(3000);
  expect(first.pool(RESOURCE)?.phase).toBe("unseen");
  expect(first.snapshot()[0]?.problem).toContain("socket plugin.sock was made anew");
  expect(anew.plugin.open).toBe(0);

  const dead = await plugThenStop();
  dead.node.plugins.clear();
  await using second = await dead.node.agent();
  await dead.node.clock.advance(3000);
  expect(second.snapshot()[0]?.problem).toContain("was not found again: connection refused");

  const rebooted = await plugThenStop();
  rebooted.node.bootId = "boot-2";
  await using third = await rebooted.node.agent();
  await rebooted.node.clock.advance(3000);
  expect(third.pool(RESOURCE)?.phase).toBe("unseen");
});

test("a plugin that registers by itself is not pushed aside by the one that was known", async () => {
  const { node, plugin } = await plugThenStop();
  await using after = await node.agent();
  let answer: () => void = () => {};
  plugin.onOptions = () =>
    new Promise((resolve) => {
      answer = () => resolve(plugin.options);
    });
  await node.clock.advance(3000);
  const newer = await node.plug(after, new FakePlugin([good("a")]), { socket: "newer.sock" });
  answer();
  await node.clock.settle();
  expect(after.snapshot()[0]).toMatchObject({ socket: "newer.sock", capacity: 1 });
  expect([newer.open, plugin.open]).toEqual([1, 0]);
});

test("the wait for a plugin is bounded, and its end is told", async () => {
  const node = new TestNode();
  const before = await node.agent();
  await node.plug(before, new FakePlugin([good("a")]));
  await before.stop();
  await using after = await node.agent({ pluginWaitMs: 60_000 });
  const pod = node.pod("pod", [{ count: 1 }]);
  expect(await after.admit(pod)).toMatchObject({ kind: "waiting" });
  const changes = node.changes;
  await node.clock.advance(60_000);
  expect(node.changes).toBe(changes + 1);
  expect(await after.admit(pod)).toMatchObject({
    kind: "refused",
    message: `Allocate failed due to cannot allocate unregistered device ${RESOURCE}, which is unexpected`,
  });
  await node.plug(after, new FakePlugin([good("a")]));
  expect(await after.admit(pod)).toEqual(ADMITTED);
});

test("after a reboot the plugin is waited for and asked again for the same devices", async () => {
  const node = new TestNode();
  const before = await node.agent();
  await node.plug(before, new FakePlugin([good("a"), good("b"), good("c")]));
  const first = node.pod("first", [{ count: 1 }]);
  const pod = node.pod("pod", [{ count: 2 }]);
  await before.admit(first);
  await before.admit(pod);
  await before.stop();
  node.bootId = "boot-2";

  await using after = await node.agent();
  expect(await after.admit(pod)).toMatchObject({ kind: "waiting" });
  expect(idsOf(after, pod)).toEqual(["b", "c"]);
  const plugin = await node.plug(after, new FakePlugin([good("c"), good("a"), good("b")]));
  plugin.onAllocate = (ids) =>
    Promise.resolve([
      { envs: { BOOT: "2", IDS: ids.join() }, mounts: [], devices: [], annotations: {}, cdiDevices: [] },
    ]);
  expect(await after.admit(pod)).toEqual(ADMITTED);
  expect(plugin.allocated).toEqual([["b", "c"]]);
  expect((await after.containerDevices(pod, pod.spec.containers[0]!)).envs).toContainEqual({
    name: "BOOT",
    value: "2",
  });
});

test("after a reboot a device that is gone is replaced where another one is free", async () => {
  const node = new TestNode();
  const before = await node.agent();
  await node.plug(before, new FakePlugin([good("a"), good("b")]));
  const pod = node.pod("pod", [{ count: 1 }]);
  await before.admit(pod);
  await before.stop();
  node.bootId = "boot-2";
  await using after = await node.agent();
  await node.plug(after, new FakePlugin([bad("a"), good("b")]));
  expect(await after.admit(pod)).toEqual(ADMITTED);
  expect(idsOf(after, pod)).toEqual(["b"]);
  expect([...after.records.owners(RESOURCE).keys()]).toEqual(["b"]);
});

test("a plugin that wants PreStartContainer is waited for, also by an agent that has just started", async () => {
  const node = new TestNode();
  const before = await node.agent();
  const plugin = new FakePlugin([good("a")]);
  plugin.options = { preStartRequired: true, getPreferredAllocationAvailable: false };
  await node.plug(before, plugin);
  const pod = node.pod("pod", [{ count: 1 }]);
  await before.admit(pod);
  await before.stop();
  await using after = await node.agent();
  const start = () => after.containerDevices(pod, pod.spec.containers[0]!);
  await expect(start()).rejects.toThrow("wants PreStartContainer before the container starts");
  await node.plug(after, plugin);
  await start();
  expect(plugin.preStarted).toEqual([["a"]]);
});

test("a plugin that goes is waited for during its grace; running pods notice nothing", async () => {
  const node = new TestNode();
  await using manager = await node.agent();
  const plugin = await node.plug(manager, new FakePlugin([good("a"), good("b")]));
  const pod = node.pod("pod", [{ count: 1 }]);
  await manager.admit(pod);
  plugin.kill();
  await node.clock.settle();
  expect(node.events("device/PluginStopped")).toMatchObject([{ message: "it ended its list of devices" }]);
  expect((await manager.containerDevices(pod, pod.spec.containers[0]!)).envs).toHaveLength(1);
  const other = node.pod("other", [{ count: 1 }]);
  expect(await manager.admit(other)).toMatchObject({
    kind: "waiting",
    message: `the device plugin of ${RESOURCE} is gone and may come back`,
  });
  await node.clock.advance(300_000);
  expect(await manager.admit(other)).toMatchObject({ kind: "refused" });
  expect((await manager.containerDevices(pod, pod.spec.containers[0]!)).envs).toHaveLength(1);
  expect(manager.allocatedResourcesStatus(pod.metadata.uid, "c0")).toMatchObject([
    { name: RESOURCE, resources: [{ resourceID: "a", health: "Unknown" }] },
  ]);
  await node.plug(manager, plugin);
  expect(await manager.admit(other)).toEqual(ADMITTED);
  expect(idsOf(manager, other)).toEqual(["b"]);
});

test("health of devices in use: events, the pod's status, history", async () => {
  const node = new TestNode();
  await using manager = await node.agent();
  const plugin = await node.plug(manager, new FakePlugin([good("a"), good("b"), good("c")]));
  const pod = node.pod("pod", [{ count: 2 }]);
  await manager.admit(pod);
  // kubelet: TestFeatureGateResourceHealthStatus
  plugin.update([{ id: "a", health: "Unhealthy: XID 79", numaNodes: [] }, bad("c")]);
  await node.clock.settle();
  expect(node.changedPods).toEqual(["uid-pod", "uid-pod"]);
  expect(node.events("device/DeviceHealthChanged")).toEqual([
    {
      eventType: "Warning",
      reason: "DeviceUnhealthy",
      message: `device a of ${RESOURCE} is unhealthy: the plugin says Unhealthy: XID 79`,
      resource: RESOURCE,
      deviceId: "a",
      healthy: false,
    },
    expect.objectContaining({ deviceId: "b", message: expect.stringContaining("no longer lists it") }),
  ]);
  // kubelet: TestUpdateAllocatedResourcesStatus
  expect(manager.allocatedResourcesStatus(pod.metadata.uid, "c0")).toEqual([
    {
      name: RESOURCE,
      resources: [
        { resourceID: "a", health: "Unhealthy", message: "the plugin says Unhealthy: XID 79" },
        { resourceID: "b", health: "Unhealthy", message: "the plugin no longer lists it" },
      ],
    },
  ]);
  expect(manager.snapshot()[0]?.devices.find(({ id }) => id === "b")).toMatchObject({
    podUid: "uid-pod",
    containers: ["c0"],
    history: [{ healthy: false, reason: "the plugin no longer lists it" }],
  });
});

test("a device that keeps turning bad has to stay good for a while", async () => {
  const node = new TestNode();
  await using manager = await node.agent();
  const plugin = await node.plug(manager, new FakePlugin([good("a")]));
  const say = async (device: ReturnType<typeof good>) => {
    plugin.update([device]);
    await node.clock.settle();
    return manager.resources()[0]?.allocatable;
  };
  for (let flap = 1; flap <= 2; flap++) {
    expect(await say(bad("a"))).toBe(0);
    expect(await say(good("a"))).toBe(1);
  }
  expect(await say(bad("a"))).toBe(0);
  expect(await say(good("a"))).toBe(0);
  expect(manager.snapshot()[0]?.devices[0]?.reason).toContain("turned bad too often");
  const changes = node.changes;
  await node.clock.advance(60_000);
  expect(manager.resources()[0]?.allocatable).toBe(1);
  expect(node.changes).toBe(changes + 1);
});

test("a pod that asks for it is moved off a bad device when its container starts again", async () => {
  const node = new TestNode();
  await using manager = await node.agent();
  const plugin = await node.plug(manager, new FakePlugin([good("a"), good("b"), good("c")]));
  const pod = node.pod("pod", [{ count: 2 }]);
  pod.metadata.annotations = { [MOVE_DEVICES_ANNOTATION]: "true" };
  const loyal = node.pod("loyal", [{ count: 1 }]);
  await manager.admit(pod);
  plugin.update([bad("a"), good("b"), good("c")]);
  await node.clock.settle();
  const [app] = pod.spec.containers;
  expect((await manager.containerDevices(pod, app!)).envs).toEqual([{ name: "DEVICES", value: "b,c" }]);
  expect([...manager.records.owners(RESOURCE).keys()].sort()).toEqual(["b", "c"]);
  expect(readCheckpoint(node.checkpoint.text!).records.map(({ ids }) => ids)).toEqual([["b", "c"]]);
  // Nothing else is free: it stays where it is.
  plugin.update([bad("a"), bad("b"), good("c")]);
  await node.clock.settle();
  expect((await manager.containerDevices(pod, app!)).envs).toEqual([{ name: "DEVICES", value: "b,c" }]);
  expect(await manager.admit(loyal)).toMatchObject({ kind: "refused" });
});

test("a damaged checkpoint is told, and nothing is known", async () => {
  const node = new TestNode();
  node.checkpoint.text = '{"Data":{';
  await using manager = await node.agent();
  expect(manager.health().failures[0]).toContain("the device checkpoint is damaged");
  await node.plug(manager, new FakePlugin([good("a")]));
  expect(await manager.admit(node.pod("pod", [{ count: 1 }]))).toEqual(ADMITTED);
  expect(manager.health().failures).toEqual([]);
});

test("without a checkpoint, what runs says what it has; it is asked for again when it starts again", async () => {
  const node = new TestNode();
  const before = await node.agent();
  await node.plug(before, new FakePlugin([good("a"), good("b")]));
  const pod = node.pod("pod", [{ count: 1 }]);
  await before.admit(pod);
  const [app] = pod.spec.containers;
  const annotation = (await before.containerDevices(pod, app!)).annotations[DEVICES_ANNOTATION] ?? "";
  await before.stop();
  for (const text of [undefined, "{damaged"]) {
    node.checkpoint.text = text;
    node.running.add("uid-pod/c0");
    const found = [
      { podUid: "uid-pod", container: "c0", annotation },
      { podUid: "uid-liar", container: "c0", annotation },
      { podUid: "uid-odd", container: "c0", annotation: '{"cpu":["x"],"example.com/x":[1]}' },
      { podUid: "uid-odd", container: "c1", annotation: "[" },
    ];
    await using after = await node.agent({ findRunning: () => Promise.resolve(found) });
    const plugin = await node.plug(after, new FakePlugin([good("a"), good("b")]));
    expect(await after.admit(pod)).toEqual(ADMITTED);
    expect(plugin.allocated).toEqual([]);
    const other = node.pod("other", [{ count: 1 }]);
    expect(await after.admit(other)).toEqual(ADMITTED);
    expect(idsOf(after, other)).toEqual(["b"]);
    expect(after.records.pods().toSorted()).toEqual(["uid-other", "uid-pod"]);
    node.running.clear();
    expect((await after.containerDevices(pod, app!)).envs).toEqual([{ name: "DEVICES", value: "a" }]);
    expect(plugin.allocated).toEqual([["b"], ["a"]]);
  }
});

test("a checkpoint in which one letter changed is damaged", async () => {
  const node = new TestNode();
  const manager = await node.agent();
  await node.plug(manager, new FakePlugin([good("a", 3)]));
  await manager.admit(node.pod("pod", [{ count: 1 }]));
  await manager.stop();
  const text = node.checkpoint.text!;
  const [record] = readCheckpoint(text).records;
  // kubelet: TestCheckpoint
  expect(record).toMatchObject({ podUid: "uid-pod", container: "c0", resource: RESOURCE, ids: ["a"] });
  expect(record?.numaNodes.get("a")).toEqual([3]);
  expect(record?.answer.envs).toEqual({ DEVICES: "a" });
  expect(() => readCheckpoint(text.replace("uid-pod", "uid-pox"))).toThrow("its checksum does not fit");
});

test("the kubelet's own checkpoint is read; its checksum is not", () => {
  const text = JSON.stringify({
    Data: {
      PodDeviceEntries: [
        {
          PodUID: "con1",
          ContainerName: "app",
          ResourceName: RESOURCE,
          DeviceIDs: { "-1": ["x"], "0": ["a", "b"], "1": ["b"] },
          AllocResp: Buffer.from([0x0a, 0x06, 0x0a, 0x01, 0x41, 0x12, 0x01, 0x42]).toString("base64"),
        },
      ],
      RegisteredDevices: { [RESOURCE]: ["a", "b"], "example.com/none": null },
    },
    Checksum: 123456,
  });
  const { records, resources } = readCheckpoint(text);
  expect(records[0]?.ids).toEqual(expect.arrayContaining(["a", "b", "x"]));
  expect(records[0]?.numaNodes.get("b")).toEqual([0, 1]);
  expect(records[0]?.answer.envs).toEqual({ A: "B" });
  expect(records[0]?.bootId).toBe("");
  expect([...resources.keys()]).toEqual([RESOURCE, "example.com/none"]);
});
