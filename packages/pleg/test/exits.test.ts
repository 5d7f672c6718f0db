// SPDX-License-Identifier: Apache-2.0
import { expect, test } from "vitest";
import { Environment } from "./environment.ts";

async function running(): Promise<Environment> {
  const env = new Environment({ withEvents: true });
  env.runtime.sandbox("p1");
  env.runtime.container("p1", "app-1");
  await env.pleg.start();
  await env.clock.advance(10);
  env.published();
  env.runtime.forgetCalls();
  return env;
}

test("an exit event is in the cache and on the bus at once, and is no look", async () => {
  await using env = await running();
  env.runtime.delay = () => env.clock.sleep(20);
  let looked = false;
  const reader = env.pleg.getNewerThan("p1", env.clock.monotonic(), new AbortController().signal);
  void reader.then(() => (looked = true));
  env.events.exit("app-1", 137);
  await env.clock.settle();
  expect(env.pleg.get("p1").status.containers[0]).toMatchObject({
    id: "app-1",
    state: "exited",
    exitCode: 137,
    reason: "Error",
    finishedAt: 5000,
    exitUnconfirmed: true,
  });
  expect(env.envelopes().map(({ data, type }) => [type, data])).toEqual([
    [
      "pleg/ContainerDied",
      { containerId: "app-1", kind: "container", name: "app", exitCode: 137, unconfirmed: true },
    ],
  ]);
  expect(looked).toBe(false);
  await env.clock.advance(100);
  // The look came, the runtime still said running, and the answer says exited all the same.
  expect((await reader).status.containers[0]).toMatchObject({ state: "exited", exitUnconfirmed: true });
  env.runtime.delay = () => undefined;
  await env.clock.advance(20);
});

test("no late list or status undoes it; the runtime's word confirms it and takes its place", async () => {
  await using env = await running();
  env.events.exit("app-1", 1);
  for (let round = 0; round < 10; round++) {
    await env.clock.advance(300);
    await env.relist();
    env.pleg.requestReinspect("p1");
    expect(env.stateOf("p1", "app-1")).toBe("exited");
  }
  const before = env.envelopes();
  expect(before.filter(({ type }) => type !== "pleg/PodSync")).toHaveLength(1);
  env.runtime.container("p1", "app-1", "exited", { exitCode: 1, reason: "OOMKilled" });
  await env.clock.advance(2000);
  const record = env.pleg.get("p1").status.containers[0];
  expect(record).toMatchObject({ state: "exited", reason: "OOMKilled" });
  expect(record?.exitUnconfirmed).toBeUndefined();
  expect(env.envelopes()).toMatchObject([{ type: "pleg/PodSync", causes: [before[0]?.seq] }]);
  expect(env.pleg.snapshot().unconfirmedExits).toEqual([]);
});

test("the confirmation is waited for with one cheap call at a time: after 60 ms, then 5 ms, doubling", async () => {
  await using env = await running();
  env.events.exit("app-1", 0);
  await env.clock.advance(59);
  expect(env.runtime.count("containerStatus")).toBe(0);
  await env.clock.advance(41);
  env.runtime.container("p1", "app-1", "exited");
  await env.clock.advance(40);
  // at 60, 65, 75, 95 and 135 ms; then one look: two lists and the status of what died
  expect([env.runtime.count("containerStatus"), env.runtime.count("listContainers")]).toEqual([6, 1]);
  expect(env.runtime.count("podSandboxStatus")).toBe(0);
  expect(env.metrics.value("holdfast_pleg_event_to_cache_seconds", { step: "confirmed" })).toBe(1);
});

test("the runtime is asked sooner once it has deleted the task, and not again for a second such event", async () => {
  await using env = await running();
  env.events.exit("app-1", 0);
  await env.clock.advance(20);
  env.runtime.container("p1", "app-1", "exited");
  const deleted = { topic: "/tasks/delete", containerId: "app-1", id: "app-1" } as const;
  env.events.emit(deleted);
  await env.clock.advance(4);
  expect(env.runtime.count("containerStatus")).toBe(0);
  await env.clock.advance(1);
  expect([env.runtime.count("containerStatus"), env.runtime.count("listContainers")]).toEqual([2, 1]);
  env.events.emit(deleted);
  await env.clock.advance(1000);
  expect(env.runtime.count("containerStatus")).toBe(2);
  expect(env.pleg.snapshot().unconfirmedExits).toEqual([]);
});

test("while a successor is being made nothing is asked: the maker's look confirms; without one it is asked for after a second", async () => {
  await using env = await running();
  // By then its events are trusted, and no relist gets in between.
  await env.clock.advance(4000);
  env.runtime.forgetCalls();
  env.events.exit("app-1", 0);
  await env.clock.settle();
  env.pleg.noteMaking("p1");
  env.runtime.container("p1", "app-1", "exited");
  env.events.emit({ topic: "/tasks/delete", containerId: "app-1", id: "app-1" });
  env.runtime.container("p1", "app-2", "running", { attempt: 1 });
  env.pleg.noteMade({ kind: "container", id: "app-2", podUid: "p1", name: "app" });
  env.events.emit({ topic: "/tasks/start", containerId: "app-2", id: "app-2" });
  await env.clock.advance(200);
  expect(env.runtime.calls).toEqual([]);
  env.pleg.requestRelist("p1");
  await env.clock.advance(10);
  expect([env.runtime.count("containerStatus"), env.runtime.count("listContainers")]).toEqual([2, 1]);
  expect(env.pleg.snapshot().unconfirmedExits).toEqual([]);
  env.events.exit("app-2", 0);
  await env.clock.settle();
  env.pleg.noteMaking("p1");
  env.runtime.container("p1", "app-2", "exited", { attempt: 1 });
  env.runtime.forgetCalls();
  await env.clock.advance(999);
  expect(env.runtime.count("containerStatus")).toBe(0);
  await env.clock.advance(10);
  expect(env.pleg.snapshot().unconfirmedExits).toEqual([]);
});

test("a container that is removed before its exit is confirmed", async () => {
  await using env = await running();
  env.events.exit("app-1", 0);
  await env.clock.settle();
  env.runtime.containers.delete("app-1");
  await env.clock.advance(100);
  expect(env.published()).toEqual(["ContainerDied app-1", "ContainerRemoved app-1"]);
  expect(env.pleg.snapshot().unconfirmedExits).toEqual([]);
  expect(env.pleg.get("p1").status.containers).toEqual([]);
});

test("the exit of an exec means nothing", async () => {
  await using env = await running();
  env.events.exit("app-1", 1, "exec-7");
  await env.clock.advance(100);
  expect([env.published(), env.runtime.calls, env.stateOf("p1", "app-1")]).toEqual([[], [], "running"]);
});

test("an exit that the list had shown already is not told twice", async () => {
  await using env = await running();
  env.runtime.container("p1", "app-1", "exited", { exitCode: 2 });
  await env.relist();
  env.events.exit("app-1", 2);
  await env.clock.advance(100);
  expect(env.published()).toEqual(["ContainerDied app-1"]);
  expect(env.pleg.get("p1").status.containers[0]?.exitUnconfirmed).toBeUndefined();
});

test("a container that dies before any list has shown it is known as dead from its first list on", async () => {
  await using env = await running();
  env.runtime.container("p1", "app-2", "running", { attempt: 1 });
  env.events.exit("app-2", 139);
  await env.clock.settle();
  env.pleg.requestRelist("p1");
  await env.clock.settle(8);
  expect(env.pleg.get("p1").status.containers[0]).toMatchObject({
    id: "app-2",
    state: "exited",
    exitCode: 139,
  });
  expect(env.published()).toEqual(["ContainerDied app-2"]);
  env.runtime.container("p1", "app-2", "exited", { attempt: 1, exitCode: 139 });
  await env.clock.advance(1000);
  expect(env.pleg.snapshot().unconfirmedExits).toEqual([]);
});

test("an exit that comes while its container is being inspected for the first time", async () => {
  await using env = await running();
  env.runtime.container("p1", "app-2", "running", { attempt: 1 });
  env.runtime.delay = (method) => (method === "containerStatus" ? env.clock.sleep(50) : undefined);
  env.pleg.requestRelist("p1");
  await env.clock.advance(10);
  env.events.exit("app-2", 9);
  await env.clock.advance(50);
  expect(env.published()).toEqual(["ContainerDied app-2"]);
  expect(env.stateOf("p1", "app-2")).toBe("exited");
});

test("an oom event names the reason of the exit that follows", async () => {
  await using env = await running();
  env.events.emit({ topic: "/tasks/oom", containerId: "app-1", id: "app-1" });
  env.events.exit("app-1", 137);
  await env.clock.settle();
  expect(env.pleg.get("p1").status.containers[0]?.reason).toBe("OOMKilled");
});

test("a sandbox's exit is a hint, not an exception", async () => {
  await using env = await running();
  env.events.exit("p1-sb", 137);
  await env.clock.settle();
  expect(env.pleg.get("p1").status.sandboxes[0]?.state).toBe("ready");
  await env.clock.advance(10);
  env.runtime.sandbox("p1", "p1-sb", { ready: false });
  await env.clock.advance(40);
  expect(env.pleg.get("p1").status.sandboxes[0]?.state).toBe("notready");
  expect(env.published()).toEqual(["ContainerDied p1-sb"]);
});

test("an exit that nobody confirms for a minute is a warning, not a failure, and stays an exit", async () => {
  await using env = await running();
  env.events.exit("app-1", 1);
  env.events.exit("another client's", 1); // nobody waits for this one
  await env.clock.advance(70_000);
  expect(env.pleg.health()).toEqual({
    failures: [],
    warnings: ["pod p1: the runtime has not confirmed the exit of app-1 for 1m10s"],
  });
  expect(env.stateOf("p1", "app-1")).toBe("exited");
  env.runtime.container("p1", "app-1", "exited");
  await env.clock.advance(11_000);
  expect(env.pleg.health().warnings).toEqual([]);
});
