// SPDX-License-Identifier: Apache-2.0
import { expect, test } from "vitest";
import { bad, FakePlugin, good, idsOf, NO_ANSWER, RESOURCE, TestNode } from "./fake-plugin.ts";

const UNAVAILABLE = (requested: number, available: number): string =>
  `Allocate failed due to requested number of devices unavailable for ${RESOURCE}. Requested: ${requested}, Available: ${available}, which is unexpected`;

test("allocate, exhaust, free", async () => {
  const node = new TestNode();
  await using manager = await node.agent();
  const plugin = await node.plug(manager, new FakePlugin([good("a"), good("b")]));
  const one = node.pod("one", [{ count: 2 }]);
  expect(await manager.admit(one)).toEqual({ kind: "admitted" });
  expect(idsOf(manager, one)).toEqual(["a", "b"]);
  expect(plugin.allocated).toEqual([["a", "b"]]);
  // kubelet: TestPodContainerDeviceAllocation
  const two = node.pod("two", [{ count: 1 }]);
  expect(await manager.admit(two)).toEqual({
    kind: "refused",
    reason: "UnexpectedAdmissionError",
    message: UNAVAILABLE(1, 0),
  });
  const before = node.changes;
  manager.release(one.metadata.uid);
  expect(node.changes).toBe(before + 1);
  expect(await manager.admit(two)).toEqual({ kind: "admitted" });
  expect(idsOf(manager, two)).toEqual(["a"]);
  const options = await manager.containerDevices(two, two.spec.containers[0]!);
  expect(options.envs).toEqual([{ name: "DEVICES", value: "a" }]);
});

test("a pod that asks for no extended resource costs nothing", async () => {
  const node = new TestNode();
  await using manager = await node.agent();
  const pod = node.pod("plain", [{ limits: { cpu: "1", memory: "1Gi", "ephemeral-storage": 1 } }]);
  expect(manager.wants(pod)).toBe(false);
  expect(await manager.admit(pod)).toEqual({ kind: "admitted" });
  expect((await manager.containerDevices(pod, pod.spec.containers[0]!)).devices).toEqual([]);
  expect(node.checkpoint.writes).toBe(0);
  expect(node.clock.waiting).toBe(0);
});

test("all of a pod or nothing: what its first container got is free when its second cannot be had", async () => {
  const node = new TestNode();
  await using manager = await node.agent();
  await node.plug(manager, new FakePlugin([good("a"), good("b")]));
  const greedy = node.pod("greedy", [{ count: 1 }, { count: 2 }]);
  expect(await manager.admit(greedy)).toMatchObject({ kind: "refused", message: UNAVAILABLE(2, 1) });
  expect(manager.records.all()).toEqual([]);
  expect(manager.records.heldResources()).toEqual([]);
});

test("devices of init containers are taken over, those of sidecars are not", async () => {
  const node = new TestNode();
  await using manager = await node.agent();
  const ids = ["a", "b", "c", "d", "e"];
  await node.plug(manager, new FakePlugin(ids.map((id) => good(id))));
  // kubelet: TestInitContainerDeviceAllocation
  const pod = node.pod("init", [
    { name: "init1", kind: "init", count: 1 },
    { name: "init2", kind: "init", count: 2 },
    { name: "app1", count: 1 },
    { name: "app2", count: 1 },
  ]);
  expect(await manager.admit(pod)).toEqual({ kind: "admitted" });
  const init2 = idsOf(manager, pod, "init2");
  expect(init2).toEqual(expect.arrayContaining([...idsOf(manager, pod, "init1")]));
  const apps = [...idsOf(manager, pod, "app1"), ...idsOf(manager, pod, "app2")];
  expect([...init2].sort()).toEqual([...apps].sort());
  expect(new Set(apps).size).toBe(2);
  // kubelet: TestRestartableInitContainerDeviceAllocation
  const second = node.pod("sidecar", [
    { name: "side", kind: "sidecar", count: 1 },
    { name: "init", kind: "init", count: 1 },
    { name: "app", count: 1 },
  ]);
  expect(await manager.admit(second)).toEqual({ kind: "admitted" });
  expect(idsOf(manager, second, "side")).not.toEqual(idsOf(manager, second, "app"));
  expect(idsOf(manager, second, "init")).toEqual(idsOf(manager, second, "app"));
});

test("the three refusals", async () => {
  const node = new TestNode();
  await using manager = await node.agent({ pluginWaitMs: 0 });
  // kubelet: TestPodContainerDeviceToAllocate
  const pod = node.pod("pod", [{ count: 1 }]);
  expect(await manager.admit(pod)).toMatchObject({
    message: `Allocate failed due to cannot allocate unregistered device ${RESOURCE}, which is unexpected`,
  });
  const plugin = await node.plug(manager, new FakePlugin([bad("a")]));
  expect(await manager.admit(pod)).toMatchObject({
    message: `Allocate failed due to no healthy devices present; cannot allocate unhealthy devices ${RESOURCE}, which is unexpected`,
  });
  plugin.update([good("a")]);
  await node.clock.settle();
  expect(await manager.admit(pod)).toEqual({ kind: "admitted" });
  await manager.stop();

  node.bootId = "boot-2";
  await using rebooted = await node.agent();
  await node.plug(rebooted, new FakePlugin([bad("a"), good("b")]));
  const other = node.pod("other", [{ count: 1 }]);
  await rebooted.admit(other);
  expect(await rebooted.admit(pod)).toMatchObject({
    message: `Allocate failed due to previously allocated devices are no longer healthy; cannot allocate unhealthy devices ${RESOURCE}, which is unexpected`,
  });
});

test("a changed request is refused", async () => {
  const node = new TestNode();
  await using manager = await node.agent();
  await node.plug(manager, new FakePlugin([good("a"), good("b")]));
  await manager.admit(node.pod("pod", [{ count: 1 }]));
  expect(await manager.admit(node.pod("pod", [{ count: 2 }]))).toMatchObject({
    kind: "refused",
    message: expect.stringContaining(
      `pod "uid-pod" container "c0" changed request for resource "${RESOURCE}" from 1 to 2`,
    ),
  });
});

test("capacity and allocatable", async () => {
  const node = new TestNode();
  await using manager = await node.agent();
  const counts = () => manager.resources().find(({ name }) => name === RESOURCE);
  // kubelet: TestUpdateCapacityAllocatable
  const plugin = await node.plug(manager, new FakePlugin([good("1"), good("2"), bad("3")]));
  expect(counts()).toEqual({ name: RESOURCE, capacity: 3, allocatable: 2 });
  const list = async (...devices: Parameters<FakePlugin["update"]>[0]) => {
    plugin.update(devices);
    await node.clock.settle();
    return counts();
  };
  expect(await list(good("1"), good("2"))).toMatchObject({ capacity: 2, allocatable: 2 });
  expect(await list(bad("1"), bad("2"), good("4"))).toMatchObject({ capacity: 3, allocatable: 1 });
  expect(await list(bad("1"), bad("2"))).toMatchObject({ capacity: 2, allocatable: 0 });
  const second = "example.com/other";
  await node.plug(manager, new FakePlugin([good("x")]), { resource: second, socket: "other.sock" });
  expect(manager.resources()).toContainEqual({ name: second, capacity: 1, allocatable: 1 });
  // kubelet: TestEndpointSyncOnDisconnect
  plugin.kill();
  await node.clock.settle();
  expect(counts()).toMatchObject({ capacity: 2, allocatable: 0 });
  await node.clock.advance(300_000);
  expect(counts()).toMatchObject({ capacity: 0, allocatable: 0 });
  expect(manager.pool(RESOURCE)?.phase).toBe("removed");
});

test("a plugin that registers again replaces the one before, whenever the old stream ends", async () => {
  const node = new TestNode();
  await using manager = await node.agent();
  // kubelet: TestDevicePluginReRegistration
  const first = await node.plug(manager, new FakePlugin([good("1"), good("2")]));
  await node.plug(manager, first);
  expect(manager.resources()[0]).toMatchObject({ capacity: 2, allocatable: 2 });
  await node.plug(manager, new FakePlugin([good("3")]), { socket: "second.sock" });
  expect(manager.resources()[0]).toMatchObject({ capacity: 1, allocatable: 1 });
  expect(first.open).toBe(0);
  first.kill();
  await node.clock.settle();
  expect(manager.pool(RESOURCE)?.phase).toBe("listing");
});

test("topology and the plugin's preference decide", async () => {
  const node = new TestNode();
  await using manager = await node.agent({ machineNodes: [0, 1] });
  const devices = [0, 1, 2, 3].map((n) => good(`Dev${n}`, n < 2 ? 0 : 1));
  const plugin = new FakePlugin(devices);
  plugin.options = { preStartRequired: false, getPreferredAllocationAvailable: true };
  plugin.onPreferred = () => Promise.resolve(["Dev3", "Bogus"]);
  await node.plug(manager, plugin);
  const pod = node.pod("pod", [{ count: 1 }]);
  const [container] = pod.spec.containers;
  expect(manager.topologyHints(pod, container!).get(RESOURCE)).toEqual([
    { numaNodes: [0], preferred: true },
    { numaNodes: [1], preferred: true },
    { numaNodes: [0, 1], preferred: false },
  ]);
  await manager.allocate(pod, container!, { numaNodes: [1], preferred: true });
  expect(idsOf(manager, pod)).toEqual(["Dev3"]);
  expect(plugin.questions).toEqual([{ available: ["Dev2", "Dev3"], mustInclude: [], size: 1 }]);
  expect(manager.topologyHints(pod, container!).get(RESOURCE)).toEqual([
    { numaNodes: [1], preferred: true },
    { numaNodes: [0, 1], preferred: false },
  ]);
  manager.undo(pod.metadata.uid);
  expect(manager.records.all()).toEqual([]);
});

test("PreStartContainer is called with the container's devices at each start, and not for none", async () => {
  const node = new TestNode();
  await using manager = await node.agent();
  const plugin = new FakePlugin([good("a"), good("b")]);
  plugin.options = { preStartRequired: true, getPreferredAllocationAvailable: false };
  await node.plug(manager, plugin);
  // kubelet: TestDevicePreStartContainer
  const pod = node.pod("pod", [{ count: 2 }, { count: 0 }]);
  await manager.admit(pod);
  await manager.containerDevices(pod, pod.spec.containers[0]!);
  await manager.containerDevices(pod, pod.spec.containers[1]!);
  expect(plugin.preStarted).toEqual([["a", "b"]]);
  plugin.onPreStart = () => Promise.reject(new Error("the device burns"));
  await expect(manager.containerDevices(pod, pod.spec.containers[0]!)).rejects.toThrow(
    "device plugin PreStartContainer rpc failed with err: the device burns",
  );
});

test("a pod that is not active and has nothing gets nothing", async () => {
  const node = new TestNode();
  await using manager = await node.agent();
  await node.plug(manager, new FakePlugin([good("a")]));
  // kubelet: TestGetDeviceRunContainerOptions
  const pod = node.pod("pod", [{ count: 1 }]);
  await manager.admit(pod);
  node.active?.delete(pod.metadata.uid);
  manager.collectGarbage();
  expect((await manager.containerDevices(pod, pod.spec.containers[0]!)).envs).toEqual([]);
  // Active again, with nothing recorded: it is given some now.
  node.active?.add(pod.metadata.uid);
  expect((await manager.containerDevices(pod, pod.spec.containers[0]!)).envs).toHaveLength(1);
  expect(idsOf(manager, pod)).toEqual(["a"]);
});

test("nothing is given back before all sources have listed", async () => {
  const node = new TestNode();
  await using manager = await node.agent();
  await node.plug(manager, new FakePlugin([good("a")]));
  await manager.admit(node.pod("pod", [{ count: 1 }]));
  node.active = undefined;
  manager.collectGarbage();
  expect(manager.records.all()).toHaveLength(1);
  node.active = new Set();
  manager.collectGarbage();
  expect(manager.records.all()).toHaveLength(0);
});

test("two pods at once never get the same device, also while the plugin is asked", async () => {
  const node = new TestNode();
  await using manager = await node.agent();
  const plugin = new FakePlugin([good("a"), good("b"), good("c")]);
  plugin.options = { preStartRequired: false, getPreferredAllocationAvailable: true };
  const asked: (() => void)[] = [];
  plugin.onPreferred = (question) =>
    new Promise((resolve) => asked.push(() => resolve(question.available.slice(0, 1))));
  await node.plug(manager, plugin);
  const pods = ["p", "q", "r", "s"].map((name) => node.pod(name, [{ count: 1 }]));
  const admitted = Promise.all(pods.map((pod) => manager.admit(pod)));
  for (let turn = 0; turn < 4; turn++) {
    // kubelet: TestDevicesToAllocateConflictWithUpdateAllocatedDevices
    manager.collectGarbage();
    await node.clock.settle();
    asked.shift()?.();
  }
  const kinds = (await admitted).map(({ kind }) => kind);
  expect(kinds.filter((kind) => kind === "admitted")).toHaveLength(3);
  expect(new Set(pods.flatMap((pod) => idsOf(manager, pod))).size).toBe(3);
});

test("a pod that ends while its plugin is asked gets nothing", async () => {
  const node = new TestNode();
  await using manager = await node.agent();
  const plugin = await node.plug(manager, new FakePlugin([good("a")]));
  let answer: () => void = () => {};
  plugin.onAllocate = () => new Promise((resolve) => (answer = () => resolve([NO_ANSWER])));
  const pod = node.pod("pod", [{ count: 1 }]);
  const admission = manager.admit(pod);
  const settled = expect(admission).rejects.toThrow("the pod has ended");
  await node.clock.settle();
  manager.release(pod.metadata.uid);
  answer();
  await settled;
  expect(manager.records.owners(RESOURCE).size).toBe(0);
});

test("a pod that is refused for another reason gives back what it got, and wakes nobody", async () => {
  const node = new TestNode();
  await using manager = await node.agent();
  await node.plug(manager, new FakePlugin([good("a")]));
  const pod = node.pod("pod", [{ count: 1 }]);
  expect(await manager.admit(pod)).toEqual({ kind: "admitted" });
  const { changes } = node;
  manager.undo(pod.metadata.uid);
  expect(manager.records.owners(RESOURCE).size).toBe(0);
  expect(node.changes).toBe(changes);
  manager.undo(pod.metadata.uid);
});

test("CDI names are given only where the runtime can resolve them", async () => {
  const node = new TestNode();
  const runtime: { problem?: string } = {};
  await using manager = await node.agent({ cdiProblem: () => runtime.problem });
  const plugin = await node.plug(manager, new FakePlugin([good("a")]));
  plugin.onAllocate = () => Promise.resolve([{ ...NO_ANSWER, cdiDevices: ["example.com/gpu=a"] }]);
  const pod = node.pod("pod", [{ count: 1 }]);
  await manager.admit(pod);
  const start = () => manager.containerDevices(pod, pod.spec.containers[0]!);
  expect((await start()).cdiDevices).toEqual(["example.com/gpu=a"]);
  runtime.problem = "containerd 1.6 knows none";
  await expect(start()).rejects.toThrow(
    "CDI devices example.com/gpu=a cannot be given: containerd 1.6 knows none",
  );
});

test("what cannot be written down is not given", async () => {
  const node = new TestNode();
  await using manager = await node.agent();
  await node.plug(manager, new FakePlugin([good("a")]));
  node.checkpoint.failure = new Error("no space left on device");
  const pod = node.pod("pod", [{ count: 1 }]);
  expect(await manager.admit(pod)).toMatchObject({
    kind: "refused",
    message: expect.stringContaining("no space left on device"),
  });
  expect(manager.records.all()).toEqual([]);
  expect(manager.health().failures).toEqual([expect.stringContaining("no space left on device")]);
  node.checkpoint.failure = undefined;
  expect(await manager.admit(pod)).toEqual({ kind: "admitted" });
  expect(manager.health().failures).toEqual([]);
});
