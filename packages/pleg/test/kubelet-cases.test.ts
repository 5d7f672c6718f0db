// SPDX-License-Identifier: Apache-2.0

// The kubelet's own unit cases that are not told elsewhere in this folder, under their names and with their meaning.
import { ContainerDied, ContainerStarted, buildPodStatus } from "@holdfast/pleg";
import type { InspectedSandbox } from "@holdfast/pleg";
import { emptyRuntimePodStatus } from "@holdfast/core/runtime-status";
import { expect, test } from "vitest";
import { Environment } from "./environment.ts";

interface ReinspectCase {
  readonly name: string;
  /** The pod is marked before the request. */
  readonly marked: boolean;
  readonly request: boolean;
  readonly fails: boolean;
  readonly inspections: number;
  readonly published: readonly string[];
  /** What a second relist, on which nothing fails, does. */
  readonly afterwards: readonly string[];
}

// kubelet: TestReinspect
test.each<ReinspectCase>([
  {
    name: "RequestReinspect a pod not previously listed, success",
    marked: false,
    request: true,
    fails: false,
    inspections: 1,
    published: ["PodSync p1"],
    afterwards: [],
  },
  {
    name: "RequestReinspect a pod not previously listed, failure",
    marked: false,
    request: true,
    fails: true,
    inspections: 1,
    published: [],
    afterwards: ["PodSync p1"],
  },
  {
    name: "RequestReinspect a pod already listed for reinspection, success",
    marked: true,
    request: true,
    fails: false,
    inspections: 1,
    published: ["PodSync p1"],
    afterwards: [],
  },
  {
    name: "RequestReinspect a pod already listed for reinspection, failure",
    marked: true,
    request: true,
    fails: true,
    inspections: 1,
    published: [],
    afterwards: ["PodSync p1"],
  },
  {
    name: "Don't request reinspection, pod not listed for it",
    marked: false,
    request: false,
    fails: false,
    inspections: 0,
    published: [],
    afterwards: [],
  },
  {
    name: "Don't request reinspection, but already listed",
    marked: true,
    request: false,
    fails: false,
    inspections: 1,
    published: ["PodSync p1"],
    afterwards: [],
  },
])("TestReinspect: $name", async ({ marked, request, fails, inspections, published, afterwards }) => {
  await using env = new Environment();
  env.runtime.container("p1", "c1");
  await env.relist();
  if (marked) env.pleg.requestReinspect("p1");
  if (request) env.pleg.requestReinspect("p1");
  env.published();
  env.runtime.forgetCalls();
  env.runtime.fault = (method) =>
    fails && method === "containerStatus" ? new Error("no status") : undefined;
  await env.relist();
  expect([env.runtime.count("containerStatus"), env.published()]).toEqual([inspections, published]);
  env.runtime.fault = () => undefined;
  await env.clock.advance(1000);
  await env.relist();
  expect(env.published()).toEqual(afterwards);
});

// kubelet: TestWorkerLoop
test("TestWorkerLoop: a stop comes before all else: nothing is looked at after it, whatever waits", async () => {
  await using env = new Environment({ parallelLooks: 1 });
  for (const pod of ["p1", "p2", "p3"]) env.runtime.container(pod, `${pod}-c`);
  await env.pleg.start();
  await env.clock.advance(10);
  env.runtime.forgetCalls();
  for (const pod of ["p1", "p2", "p3"]) env.pleg.requestRelist(pod);
  const stopped = env.pleg.stop();
  env.pleg.requestRelist("p1");
  await stopped;
  await env.clock.advance(20_000);
  expect(env.runtime.calls).toEqual([]);
});

// kubelet: TestWorkerLoop
test("TestWorkerLoop: a relist that begins after a request serves it; one that began before does not", async () => {
  await using env = new Environment({ parallelLooks: 1 });
  for (const pod of ["p1", "p2"]) env.runtime.container(pod, `${pod}-c`);
  await env.pleg.start();
  await env.clock.advance(10);
  env.runtime.forgetCalls();
  // p1's look holds the only place; p2's request waits meanwhile.
  let release = (): void => {};
  env.runtime.delay = (method, { filter }) =>
    method === "listContainers" && Object.keys(filter?.labelSelector ?? {}).length > 0
      ? new Promise<void>((resolve) => (release = resolve))
      : undefined;
  env.pleg.requestRelist("p1");
  await env.clock.settle();
  env.pleg.requestRelist("p2");
  await env.relist();
  release();
  await env.clock.settle(8);
  const looks = (): number => env.runtime.calls.filter(({ method }) => method === "listContainers").length;
  expect([looks(), env.pleg.snapshot().waiting.looks]).toEqual([2, 0]);
  env.runtime.delay = () => undefined;
  env.pleg.requestRelist("p2");
  await env.clock.settle(8);
  expect(looks()).toBe(3);
});

// kubelet: TestHealthyEventedPLEG. There the health fails while the channel is full; here nothing is ever full for good: what does not fit is
// a gap for its reader, or one relist, and the node stays healthy.
test("TestHealthyEventedPLEG: healthy with room and at full capacity alike; what did not fit is made up for", async () => {
  await using env = new Environment({ withEvents: true, lookQueueCapacity: 4 });
  using reader = env.bus.subscribe([ContainerStarted, ContainerDied], {
    name: "full",
    capacity: 4,
    overflow: "drop-oldest",
  });
  for (let pod = 0; pod < 20; pod++) env.runtime.container(`p${pod}`, `c-${pod}`);
  await env.pleg.start();
  await env.clock.advance(2500);
  expect(reader.take()).toEqual({ type: "gap", dropped: 16 });
  for (let pod = 0; pod < 20; pod++) {
    env.runtime.container(`p${pod}`, `c-${pod}`, "exited");
    env.events.emit({ topic: "cri/other", containerId: `c-${pod}`, id: `c-${pod}`, podUid: `p${pod}` });
  }
  await env.clock.advance(500);
  expect(env.metrics.value("holdfast_pleg_hints_dropped_total", { why: "hints" })).toBe(1);
  expect(env.pleg.health()).toEqual({ failures: [], warnings: [] });
  expect(env.stateOf("p19", "c-19")).toBe("exited");
});

// kubelet: TestUpdateRunningPodMetric
test.each([
  ["a pod starts", false, true, 1],
  ["a pod stops", true, false, 0],
  ["a pod goes on", true, true, 1],
  ["a pod stays down", false, false, 0],
])("TestUpdateRunningPodMetric: %s", async (_name, before, after, expected) => {
  await using env = new Environment();
  env.runtime.sandbox("p1", "s1", { ready: before });
  await env.relist();
  expect(env.metrics.value("kubelet_running_pods")).toBe(before ? 1 : 0);
  env.runtime.sandbox("p1", "s1", { ready: after });
  await env.relist();
  expect(env.metrics.value("kubelet_running_pods")).toBe(expected);
});

const sandbox = (state: "ready" | "notready", ips: readonly string[]): InspectedSandbox => ({
  record: { id: "s", attempt: 0, state, createdAt: 0, ip: ips[0], hostNetwork: false },
  ips,
});

// kubelet: TestEventedPLEG_getPodIPs
test.each<[string, readonly InspectedSandbox[], readonly string[], readonly string[]]>([
  [
    "status ips is not empty",
    [sandbox("ready", ["192.168.0.10", "2001::a"])],
    ["10.0.0.1"],
    ["192.168.0.10", "2001::a"],
  ],
  ["status ips empty, a READY sandbox", [sandbox("ready", [])], ["10.0.0.1"], []],
  ["status and cache both empty", [sandbox("notready", [])], [], []],
  ["no READY sandbox", [sandbox("notready", [])], ["10.0.0.1"], ["10.0.0.1"]],
])("TestEventedPLEG_getPodIPs: %s", (_name, sandboxes, cached, expected) => {
  const status = buildPodStatus({
    uid: "p",
    name: "n",
    namespace: "ns",
    sandboxes,
    containers: [],
    cached: { ...emptyRuntimePodStatus("p"), ips: cached },
  });
  expect(status.ips).toEqual(expected);
});
