// SPDX-License-Identifier: Apache-2.0
import { ContainerDied, ContainerStarted } from "@holdfast/pleg";
import { expect, test } from "vitest";
import { Environment } from "./environment.ts";

// kubelet: TestRelisting
test("new containers and state changes become events, an identical list does not", async () => {
  await using env = new Environment();
  env.runtime.container("p1", "c1", "exited");
  env.runtime.container("p1", "c2", "running");
  env.runtime.container("p1", "c3", "unknown");
  env.runtime.container("p2", "c4", "running");
  env.runtime.container("p2", "c5", "running");
  await env.relist();
  expect(env.published().toSorted()).toEqual([
    "ContainerDied c1",
    "ContainerStarted c2",
    "ContainerStarted c4",
    "ContainerStarted c5",
  ]);
  await env.relist();
  expect(env.published()).toEqual([]);
  env.runtime.containers.delete("c1");
  env.runtime.container("p1", "c2", "exited");
  env.runtime.container("p2", "c5", "exited");
  env.runtime.containers.delete("c4");
  await env.relist();
  expect(env.published().toSorted()).toEqual([
    "ContainerDied c2",
    "ContainerDied c4",
    "ContainerDied c5",
    "ContainerRemoved c1",
    "ContainerRemoved c4",
  ]);
});

// kubelet: TestRelistingWithSandboxes
test("sandboxes are compared as containers are", async () => {
  await using env = new Environment();
  env.runtime.sandbox("p1");
  env.runtime.container("p1", "c1", "created");
  await env.relist();
  expect(env.published()).toEqual(["ContainerStarted p1-sb"]);
  env.runtime.sandbox("p1", "p1-sb", { ready: false });
  await env.relist();
  expect(env.published()).toEqual(["ContainerDied p1-sb"]);
  env.runtime.sandboxes.delete("p1-sb");
  await env.relist();
  expect(env.published()).toEqual(["ContainerRemoved p1-sb"]);
});

// kubelet: TestEventChannelFull
test("what a full subscriber cannot take is a gap, and the record advances", async () => {
  await using env = new Environment();
  using reader = env.bus.subscribe([ContainerStarted, ContainerDied], {
    name: "t",
    capacity: 4,
    overflow: "drop-oldest",
  });
  for (const id of ["c1", "c2", "c3", "c4", "c5"]) env.runtime.container("p1", id);
  await env.relist();
  expect(reader.take()).toEqual({ type: "gap", dropped: 1 });
  expect(reader.pending).toBe(4);
  await env.relist();
  expect(reader.dropped).toBe(1);
});

// kubelet: TestDetectingContainerDeaths
test.each([
  ["missing container", 1, false],
  ["missing container, seen three times", 3, false],
  ["missing pod", 1, true],
  ["missing pod, seen three times", 3, true],
] as const)("deaths: %s", async (_name, relists, wholePod) => {
  await using env = new Environment();
  env.runtime.container("p1", "c1", "running");
  env.runtime.container("p1", "c2", "exited");
  if (!wholePod) env.runtime.container("p1", "c3", "running");
  for (let round = 0; round < relists; round++) await env.relist();
  env.published();
  env.runtime.containers.delete("c1");
  env.runtime.containers.delete("c2");
  await env.relist();
  expect(env.published().toSorted()).toEqual([
    "ContainerDied c1",
    "ContainerRemoved c1",
    "ContainerRemoved c2",
  ]);
});

// kubelet: TestRelistWithCache
test("a failed status is in the cache, holds events back and is tried again; an unchanged pod is not asked for", async () => {
  await using env = new Environment();
  env.runtime.container("p1", "c1");
  env.runtime.container("p2", "c2");
  env.runtime.fault = (method, { containerId }) =>
    method === "containerStatus" && containerId === "c1" ? new Error("unable to get status") : undefined;
  await env.relist();
  expect(env.published()).toEqual(["ContainerStarted c2"]);
  expect(env.pleg.get("p1").error?.message).toMatch(
    /ContainerStatus of container "c1" \(c1\) failed after \d+ ms: unable to get status/,
  );
  expect(env.pleg.get("p2")).toMatchObject({ error: undefined, status: { containers: [{ id: "c2" }] } });
  env.runtime.fault = () => undefined;
  env.runtime.forgetCalls();
  await env.clock.advance(1000);
  await env.relist();
  expect(env.published()).toEqual(["ContainerStarted c1"]);
  expect(env.pleg.get("p1").error).toBeUndefined();
  expect(env.runtime.calls.filter(({ id }) => id !== "")).toEqual([{ method: "containerStatus", id: "c1" }]);
});

// kubelet: TestRemoveCacheEntry
test("a vanished pod leaves the cache", async () => {
  await using env = new Environment();
  env.runtime.container("p1", "c1");
  await env.relist();
  env.runtime.containers.clear();
  await env.relist();
  expect(env.pleg.get("p1").status).toEqual({
    uid: "p1",
    name: "",
    namespace: "",
    ips: [],
    sandboxes: [],
    containers: [],
  });
  expect(env.pleg.snapshot().pods).toBe(0);
});

// kubelet: TestHealthy
test("health: before the first relist, within the threshold, after it", async () => {
  await using env = new Environment();
  expect(env.pleg.health().failures).toEqual(["pleg has yet to be successful"]);
  await env.relist();
  expect(env.pleg.health().failures).toEqual([]);
  await env.clock.advance(180_000);
  expect(env.pleg.health().failures).toEqual([]);
  await env.clock.advance(60_000);
  expect(env.pleg.health().failures).toEqual(["pleg was last seen active 4m0s ago; threshold is 3m0s"]);
});

// kubelet: TestRelistIPChange
test("addresses stay while no sandbox is ready, and change with a ready one", async () => {
  await using env = new Environment();
  env.runtime.sandbox("p1", "s1", { ip: "10.0.0.5" });
  env.runtime.container("p1", "c1");
  await env.relist();
  expect(env.pleg.get("p1").status.ips).toEqual(["10.0.0.5"]);
  env.runtime.sandbox("p1", "s1", { ip: "", ready: false });
  env.runtime.container("p1", "c1", "exited");
  await env.relist();
  expect(env.pleg.get("p1").status.ips).toEqual(["10.0.0.5"]);
  env.runtime.sandbox("p1", "s2", { ip: "10.0.0.6", attempt: 1 });
  await env.relist();
  expect(env.pleg.get("p1").status.ips).toEqual(["10.0.0.6"]);
});

// kubelet: TestRunningPodAndContainerCount
test("gauges of running pods and containers", async () => {
  await using env = new Environment();
  env.runtime.sandbox("p1");
  env.runtime.sandbox("p2", "p2-sb", { ready: false });
  env.runtime.container("p1", "c1", "running");
  env.runtime.container("p1", "c2", "exited");
  env.runtime.container("p2", "c3", "unknown");
  await env.relist();
  expect(env.metrics.value("kubelet_running_pods")).toBe(1);
  for (const state of ["running", "exited", "unknown"])
    expect(env.metrics.value("kubelet_running_containers", { container_state: state })).toBe(1);
});

// kubelet: TestReinspect
test("a mark forces one inspection and a PodSync; a failure marks again", async () => {
  await using env = new Environment();
  env.pleg.requestReinspect("p1");
  env.runtime.container("p1", "c1");
  await env.relist();
  expect(env.published()).toEqual(["ContainerStarted c1"]);
  env.runtime.forgetCalls();
  await env.relist();
  expect([env.published(), env.runtime.count("containerStatus")]).toEqual([[], 0]);
  env.pleg.requestReinspect("p1");
  env.runtime.fault = (method) => (method === "containerStatus" ? new Error("no") : undefined);
  await env.relist();
  expect([env.published(), env.runtime.count("containerStatus")]).toEqual([[], 1]);
  env.runtime.fault = () => undefined;
  await env.clock.advance(1000);
  await env.relist();
  expect([env.published(), env.runtime.count("containerStatus")]).toEqual([["PodSync p1"], 2]);
  await env.relist();
  expect(env.runtime.count("containerStatus")).toBe(2);
});

// kubelet: TestReinspect "Pod deleted, should clear reinspect"
test("a mark leaves with its pod", async () => {
  await using env = new Environment();
  env.runtime.container("p1", "c1");
  await env.relist();
  env.pleg.requestReinspect("p1");
  env.runtime.containers.clear();
  await env.relist();
  env.published();
  env.runtime.container("p1", "c1");
  await env.relist();
  await env.relist();
  expect(env.published()).toEqual(["ContainerStarted c1"]);
});

test("an idle pass is two calls, whatever runs", async () => {
  await using env = new Environment();
  for (let pod = 0; pod < 50; pod++) {
    env.runtime.sandbox(`p${pod}`);
    env.runtime.container(`p${pod}`, `c-${pod}`);
  }
  await env.relist();
  env.runtime.forgetCalls();
  await env.relist();
  expect(env.runtime.calls).toHaveLength(2);
});

test("a change costs the status of what changed, not of the pod", async () => {
  await using env = new Environment();
  env.runtime.sandbox("p1");
  env.runtime.container("p1", "a-1");
  env.runtime.container("p1", "b-1");
  await env.relist();
  env.runtime.forgetCalls();
  env.runtime.container("p1", "b-1", "exited", { exitCode: 3, reason: "Error" });
  await env.relist();
  expect(env.runtime.calls.filter(({ id }) => id !== "")).toEqual([{ method: "containerStatus", id: "b-1" }]);
  expect(
    env.pleg.get("p1").status.containers.map(({ id, state, exitCode }) => [id, state, exitCode]),
  ).toEqual([
    ["b-1", "exited", 3],
    ["a-1", "running", 0],
  ]);
  expect(env.pleg.get("p1").status).toMatchObject({ name: "name-p1", namespace: "ns", ips: ["10.0.0.1"] });
});

test("only what has our labels is seen", async () => {
  await using env = new Environment({ labelSelector: { "holdfast.agent/instance": "i1" } });
  env.runtime.container("p1", "c1", "running", { labels: { "holdfast.agent/instance": "i1" } });
  env.runtime.container("p2", "c2", "running", { labels: { "holdfast.agent/instance": "other" } });
  await env.relist();
  expect(env.published()).toEqual(["ContainerStarted c1"]);
});
