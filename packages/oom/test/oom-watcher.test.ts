// SPDX-License-Identifier: Apache-2.0

import { expect, test } from "vitest";
import { OomEnvironment } from "./environment.ts";
import { ID_A, ID_B, ID_C, POD_UID, recordsOf } from "./fixtures.ts";

const PATH_A = `/kubepods/pod${POD_UID}/${ID_A}`;

test("a main process that was killed is told with its pod, its memory and the limit", async () => {
  await using env = new OomEnvironment();
  env.add(ID_A, { pid: 28_438 });
  await env.watcher.start();
  env.kmsg.append(recordsOf("linux-3.10-memcg"));
  await env.clock.advance(10_000);
  expect(env.events("oom/")).toMatchObject([
    {
      type: "oom/ContainerOOM",
      subject: { podUid: POD_UID, pod: "default/web", container: "app", containerId: ID_A },
      data: {
        witness: "kmsg",
        mainProcess: true,
        process: "java",
        pid: 28_438,
        memoryBytes: 479_844 * 1024,
        limitBytes: 512 * 2 ** 20,
        limitOf: "container",
        // The record is 88 s younger than the boot, the machine is up for 100 s.
        killedAt: expect.closeTo(env.clock.now() - 88_000, -3),
      },
    },
  ]);
  const labels = { container: "app", namespace: "default", pod: "web" };
  expect(env.metrics.value("container_oom_events_total", labels)).toBe(1);
});

test("a child that was killed while the main process lives is told as one", async () => {
  await using env = new OomEnvironment();
  env.add(ID_B, { pid: 4240 });
  await env.watcher.start();
  env.kmsg.append(recordsOf("linux-4.4-child-sacrificed"));
  await env.watcher.drain();
  expect(env.events("oom/")).toMatchObject([{ data: { mainProcess: false, process: "worker", pid: 4242 } }]);
});

test("where the log's pids are not the runtime's nothing is said of main processes, and the container is known all the same", async () => {
  await using env = new OomEnvironment();
  env.kmsg.foreignPids = true;
  env.add(ID_A, { pid: 28_438 });
  await env.watcher.start();
  env.kmsg.append(recordsOf("linux-3.10-memcg"));
  await env.watcher.drain();
  const [kill] = env.events("oom/");
  expect(kill).toMatchObject({ type: "oom/ContainerOOM", subject: { containerId: ID_A } });
  expect(kill?.data).not.toHaveProperty("mainProcess");
});

test("who the main process is comes from containerd's start event, and without it nothing is claimed", async () => {
  await using env = new OomEnvironment();
  env.add(ID_A);
  env.add(ID_B);
  await env.watcher.start();
  env.watcher.observe({ topic: "/tasks/start", containerId: ID_A, id: ID_A, pid: 28_438 });
  env.watcher.observe({ topic: "/tasks/start", containerId: ID_A, id: "exec", pid: 1 });
  env.kmsg.append([...recordsOf("linux-3.10-memcg"), ...recordsOf("linux-5.4-memcg")]);
  await env.watcher.drain();
  const [first, second] = env.events("oom/");
  expect(first?.data).toMatchObject({ mainProcess: true });
  expect(second?.data).not.toHaveProperty("mainProcess");
});

// kubelet: TestWatcherRecordsEventsForOomEvents, TestWatcherRecordsEventsForOomEventsWithAdditionalInfo
test("a machine out of memory names the node and the victim, and the container it was in", async () => {
  await using env = new OomEnvironment();
  env.add(ID_C, { pid: 1811 });
  await env.watcher.start();
  env.kmsg.append(recordsOf("linux-5.15-global"));
  await env.watcher.drain();
  const [system, container] = env.events("oom/");
  expect(system).toMatchObject({
    type: "oom/SystemOOM",
    subject: { node: "n1" },
    data: { process: "stress-ng", pid: 1811, scope: "node" },
  });
  expect(system?.subject.containerId).toBeUndefined();
  expect(container).toMatchObject({
    type: "oom/ContainerOOM",
    causes: [system?.seq],
    subject: { containerId: ID_C },
    data: { scope: "node", mainProcess: true },
  });
});

// kubelet: TestWatcherRecordsEventsForOomEventsCorrectContainerName
test("a container's limit is no system OOM", async () => {
  await using env = new OomEnvironment();
  await env.watcher.start();
  env.kmsg.append(recordsOf("linux-5.4-memcg"));
  await env.watcher.drain();
  expect(env.events("oom/SystemOOM")).toEqual([]);
});

test("an old kernel's machine OOM names no cgroup: a known main process names its container", async () => {
  await using env = new OomEnvironment();
  env.add(ID_A);
  await env.watcher.start();
  env.watcher.observe({ topic: "/tasks/start", containerId: ID_A, id: ID_A, pid: 1200 });
  env.watcher.observe({ topic: "/tasks/exit", containerId: ID_A, id: ID_A, pid: 1200 });
  env.kmsg.append(recordsOf("linux-4.14-global"));
  await env.watcher.drain();
  expect(env.events("oom/").map(({ type }) => type)).toEqual(["oom/SystemOOM", "oom/ContainerOOM"]);
  // Long after its exit the pid may be another's.
  await env.clock.advance(10_000);
  env.kmsg.append(recordsOf("linux-4.14-global"));
  await env.watcher.drain();
  expect(env.events("oom/ContainerOOM")).toHaveLength(1);
});

test("a container that is gone and that nobody knows is told with what its cgroup says", async () => {
  await using env = new OomEnvironment({
    lookup: { find: () => Promise.resolve(undefined), podName: () => "default/old" },
  });
  await env.watcher.start();
  env.kmsg.append(recordsOf("linux-5.4-memcg"));
  await env.watcher.drain();
  expect(env.events("oom/")).toMatchObject([
    { type: "oom/ContainerOOM", subject: { podUid: POD_UID, pod: "default/old", containerId: ID_B } },
  ]);
});

test("a container that is gone but remembered is named", async () => {
  await using env = new OomEnvironment();
  await env.watcher.start();
  await env.watcher.remember(env.add(ID_A, { pid: 28_438 }));
  env.containers.clear();
  env.kmsg.append(recordsOf("linux-3.10-memcg"));
  await env.watcher.drain();
  expect(env.events("oom/")).toMatchObject([
    { subject: { pod: "default/web" }, data: { mainProcess: true } },
  ]);
});

test("a lookup that hangs is given up, and the kill is told without it", async () => {
  await using env = new OomEnvironment({ lookup: { find: () => new Promise(() => undefined) } });
  await env.watcher.start();
  env.kmsg.append(recordsOf("linux-5.4-memcg"));
  await env.clock.advance(14_000);
  expect(env.events("oom/")).toMatchObject([{ subject: { containerId: ID_B } }]);
});

test("group kills count once, and each process is told", async () => {
  await using env = new OomEnvironment();
  env.add(ID_A, { pid: 9000 });
  await env.watcher.start();
  env.kmsg.append(recordsOf("linux-6.1-group"));
  await env.watcher.drain();
  const told = env.events("oom/").map(({ data }) => data);
  expect(told).toMatchObject([
    { pid: 9001, mainProcess: false },
    { pid: 9000, mainProcess: true, groupMember: true },
    { pid: 9002, mainProcess: false, groupMember: true },
  ]);
  expect(env.metrics.exposition()).toContain(
    'container_oom_events_total{container="app",namespace="default",pod="web"} 1',
  );
});

test("agreeing witnesses add nothing", async () => {
  await using env = new OomEnvironment();
  env.add(ID_A, { cgroupPath: PATH_A });
  await env.watcher.start();
  env.watcher.observe({ topic: "/tasks/start", containerId: ID_A, id: ID_A, pid: 28_438 });
  env.kmsg.append(recordsOf("linux-3.10-memcg"));
  env.counters.set(PATH_A, 1);
  env.watcher.observe({ topic: "/tasks/oom", containerId: ID_A, id: ID_A });
  env.watcher.noteExit(ID_A, 137);
  await env.clock.advance(5000);
  expect(env.bus.recent().map(({ type }) => type)).toEqual(["oom/ContainerOOM"]);
});

test("a kill that the log does not tell is told by the counter, with the disagreement", async () => {
  await using env = new OomEnvironment();
  await env.watcher.start();
  env.counters.set(PATH_A, 3);
  await env.watcher.remember(env.add(ID_A, { cgroupPath: PATH_A }));
  env.counters.set(PATH_A, 4);
  env.watcher.noteExit(ID_A, 137);
  await env.clock.advance(5000);
  expect(env.bus.recent()).toMatchObject([
    {
      type: "oom/ContainerOOM",
      subject: { containerId: ID_A, pod: "default/web" },
      data: { witness: "cgroup" },
    },
    { type: "oomwatch/WitnessesDisagree", data: { kind: "kernel-log-silent", kmsg: 0, cgroup: 1 } },
  ]);
  env.watcher.noteExit(ID_A, 137);
  await env.clock.advance(5000);
  expect(env.events("oom/")).toHaveLength(1);
});

test("a kill that the counter does not have is a disagreement, too", async () => {
  await using env = new OomEnvironment();
  env.add(ID_A, { cgroupPath: PATH_A });
  env.counters.set(PATH_A, 0);
  await env.watcher.start();
  env.watcher.observe({ topic: "/tasks/start", containerId: ID_A, id: ID_A, pid: 28_438 });
  env.kmsg.append(recordsOf("linux-3.10-memcg"));
  env.watcher.noteExit(ID_A, 137);
  await env.clock.advance(5000);
  expect(env.events("oomwatch/")).toMatchObject([{ data: { kind: "counter-behind", kmsg: 1, cgroup: 0 } }]);
});

test("a counter that was read before the kill was counted, and is gone since, contradicts nobody", async () => {
  await using env = new OomEnvironment();
  env.add(ID_A, { cgroupPath: PATH_A });
  env.counters.set(PATH_A, 0);
  await env.watcher.start();
  env.watcher.observe({ topic: "/tasks/start", containerId: ID_A, id: ID_A, pid: 28_438 });
  // The event comes with the shortage, a moment before the kill.
  env.watcher.observe({ topic: "/tasks/oom", containerId: ID_A, id: ID_A, pid: 0 });
  await env.clock.advance(1);
  env.kmsg.append(recordsOf("linux-3.10-memcg"));
  env.counters.delete(PATH_A);
  env.watcher.noteExit(ID_A, 137);
  await env.clock.advance(5000);
  expect(env.events("oom/")).toHaveLength(1);
  expect(env.events("oomwatch/")).toEqual([]);
});

test("without the log containerd is believed, health says so, and nobody disagrees", async () => {
  await using env = new OomEnvironment();
  env.kmsg.failure = new Error("EACCES: permission denied");
  env.add(ID_A);
  await env.watcher.start();
  expect(env.watcher.health().failures).toEqual([expect.stringContaining("EACCES")]);
  env.watcher.observe({ topic: "/tasks/oom", containerId: ID_A, id: ID_A });
  await env.clock.advance(5000);
  expect(env.bus.recent()).toMatchObject([
    { type: "oomwatch/KmsgChanged" },
    { type: "oom/ContainerOOM", subject: { containerId: ID_A }, data: { witness: "containerd" } },
  ]);
});

test("kills beyond the queue are counted, not kept", async () => {
  await using env = new OomEnvironment({ queueCapacity: 3 });
  await env.watcher.start();
  for (let count = 0; count < 10; count++) env.kmsg.append(recordsOf("linux-5.4-memcg"));
  await env.clock.advance(10_000);
  const told = env.events("oom/").length;
  expect(told + env.metrics.value("holdfast_oom_dropped_total")).toBe(10);
  expect(env.metrics.value("holdfast_oom_dropped_total")).toBeGreaterThan(0);
});

test("containers beyond the label sets share one without names", async () => {
  await using env = new OomEnvironment({ maxLabelSets: 1 });
  env.add(ID_A);
  env.add(ID_B, { container: "other" });
  await env.watcher.start();
  env.kmsg.append([...recordsOf("linux-3.10-memcg"), ...recordsOf("linux-5.4-memcg")]);
  await env.watcher.drain();
  expect(env.metrics.value("container_oom_events_total", { container: "", namespace: "", pod: "" })).toBe(1);
});

test("a group's first victim is counted twice by the kernel: that is no disagreement", async () => {
  await using env = new OomEnvironment();
  const path = `/kubepods.slice/x/${ID_A}`;
  env.add(ID_A, { pid: 9000, cgroupPath: path });
  await env.watcher.start();
  env.watcher.observe({ topic: "/tasks/start", containerId: ID_A, id: ID_A, pid: 9000 });
  env.kmsg.append(recordsOf("linux-6.1-group"));
  env.counters.set(path, 4);
  env.watcher.noteExit(ID_A, 137);
  await env.clock.advance(5000);
  expect(env.events("oom/")).toHaveLength(3);
  expect(env.events("oomwatch/")).toEqual([]);
});

test("the counter is read at the exit, before the cgroup goes", async () => {
  await using env = new OomEnvironment();
  env.add(ID_A, { cgroupPath: PATH_A });
  env.counters.set(PATH_A, 1);
  await env.watcher.start();
  env.watcher.observe({ topic: "/tasks/start", containerId: ID_A, id: ID_A, pid: 5 });
  env.watcher.noteExit(ID_A, 137);
  await env.clock.settle();
  env.counters.delete(PATH_A);
  await env.clock.advance(5000);
  expect(env.events("oom/")).toMatchObject([{ data: { witness: "cgroup" } }]);
});

test("an exit with 137 that no witness calls an OOM is none", async () => {
  await using env = new OomEnvironment();
  env.add(ID_A, { cgroupPath: PATH_A });
  env.counters.set(PATH_A, 0);
  await env.watcher.start();
  env.watcher.observe({ topic: "/tasks/start", containerId: ID_A, id: ID_A, pid: 5 });
  env.watcher.noteExit(ID_A, 137);
  await env.clock.advance(5000);
  expect(env.bus.recent()).toEqual([]);
});

test("a pod of another agent on this machine is no pod of ours", async () => {
  const lookup = { find: () => Promise.resolve(undefined), ownsPod: () => false };
  await using env = new OomEnvironment({ lookup });
  await env.watcher.start();
  env.kmsg.append(recordsOf("linux-5.4-memcg"));
  await env.watcher.drain();
  expect(env.events("oom/")).toMatchObject([
    { type: "oom/ProcessOOM", subject: { node: "n1", podUid: POD_UID } },
  ]);
});

test.each([
  ["an exit with 137 that containerd tells", { topic: "/tasks/exit", exitStatus: 137 }],
  ["any other exit: a child may have been the victim", { topic: "/tasks/exit", exitStatus: 1 }],
  ["an OOM that containerd tells", { topic: "/tasks/oom" }],
] as const)("the log is looked at right after %s", async (_name, event) => {
  await using env = new OomEnvironment();
  env.add(ID_A);
  await env.watcher.start();
  env.kmsg.append(recordsOf("linux-3.10-memcg"));
  env.watcher.observe({ ...event, containerId: ID_A, id: ID_A });
  await env.clock.settle();
  expect(env.events("oom/")).toMatchObject([{ subject: { containerId: ID_A }, data: { witness: "kmsg" } }]);
});

test("an exec's exit asks nobody", async () => {
  await using env = new OomEnvironment();
  await env.watcher.start();
  const before = env.kmsg.reads;
  env.watcher.observe({ topic: "/tasks/exit", containerId: ID_A, id: "exec", exitStatus: 137 });
  await env.clock.settle();
  expect(env.kmsg.reads).toBe(before);
});

test("the counter is read when containerd tells of a kill, and of the exit: later the cgroup is gone", async () => {
  await using env = new OomEnvironment();
  env.kmsg.failure = new Error("EACCES");
  await env.watcher.start();
  await env.watcher.remember(env.add(ID_A, { cgroupPath: PATH_A }), { isNew: true });
  env.counters.set(PATH_A, 2);
  env.watcher.observe({ topic: "/tasks/oom", containerId: ID_A, id: ID_A });
  await env.clock.settle();
  env.counters.delete(PATH_A);
  env.watcher.observe({ topic: "/tasks/exit", containerId: ID_A, id: ID_A, exitStatus: 137 });
  await env.clock.advance(5000);
  expect(env.events("oom/")).toMatchObject([{ data: { witness: "cgroup" } }]);
  expect(
    env.metrics.value("container_oom_events_total", { container: "app", namespace: "default", pod: "web" }),
  ).toBe(1);
});

test("what is new has counted nothing, and what ran before is asked once", async () => {
  const asked: string[] = [];
  const read = async (path: string): Promise<number> => asked.push(path);
  await using env = new OomEnvironment({ counters: { read } });
  await env.watcher.start();
  await env.watcher.remember(env.add(ID_A, { cgroupPath: PATH_A }), { isNew: true });
  await env.watcher.remember(env.add(ID_A, { cgroupPath: PATH_A }));
  expect(asked).toEqual([]);
  expect([ID_A, ID_B].map((id) => env.watcher.knows(id))).toEqual([true, false]);
  await env.watcher.remember(env.add(ID_B, { cgroupPath: "/b" }));
  await env.watcher.remember(env.add(ID_B, { cgroupPath: "/b" }));
  expect(asked).toEqual(["/b"]);
});
