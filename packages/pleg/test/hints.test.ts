// SPDX-License-Identifier: Apache-2.0
import { HoldfastError } from "@holdfast/core/errors";
import { seededRandom } from "@holdfast/core/random";
import { expect, test } from "vitest";
import { Environment } from "./environment.ts";

async function started(pods: number, withEvents = true): Promise<Environment> {
  const env = new Environment({ withEvents });
  for (let pod = 0; pod < pods; pod++) {
    env.runtime.sandbox(`p${pod}`);
    env.runtime.container(`p${pod}`, `c-${pod}`);
  }
  await env.pleg.start();
  await env.clock.advance(2500);
  env.published();
  env.runtime.forgetCalls();
  return env;
}

test("without events a relist comes every second, counted from its end", async () => {
  await using env = await started(1, false);
  env.runtime.delay = (method) => (method === "listContainers" ? env.clock.sleep(500) : undefined);
  await env.clock.advance(15_000);
  expect(env.runtime.count("listContainers")).toBe(10);
});

test("with events a relist comes every 8 to 10 s", async () => {
  await using env = await started(1);
  await env.clock.advance(60_000);
  expect(env.runtime.count("listContainers")).toBeGreaterThanOrEqual(6);
  expect(env.runtime.count("listContainers")).toBeLessThanOrEqual(8);
});

test("a stream that is silent while containers change is made anew, and not trusted until it speaks", async () => {
  await using env = await started(2);
  expect(env.events.subscriptions).toBe(1);
  env.runtime.container("p0", "c-0", "exited");
  await env.clock.advance(10_000);
  expect(env.published()).toEqual(["ContainerDied c-0"]);
  expect(env.events.subscriptions).toBe(2);
  expect(env.pleg.snapshot().events.state).toBe("silent");
  env.runtime.forgetCalls();
  await env.clock.advance(5000);
  expect(env.runtime.count("listContainers")).toBeGreaterThanOrEqual(4);
  env.events.emit({ topic: "/tasks/oom", containerId: "c-1", id: "c-1" });
  await env.clock.advance(2000);
  env.runtime.forgetCalls();
  await env.clock.advance(6000);
  expect([env.pleg.snapshot().events.state, env.runtime.count("listContainers")]).toEqual(["listening", 0]);
});

test("a lost stream means a relist at once and a period of a second until it is back", async () => {
  await using env = await started(2);
  env.runtime.container("p1", "c-1", "exited");
  env.events.fail(new Error("connection lost"));
  await env.clock.advance(300);
  expect(env.published()).toEqual(["ContainerDied c-1"]);
  expect(env.events.subscriptions).toBe(2);
  expect(env.pleg.snapshot().events).toEqual({ state: "listening", problem: "connection lost" });
});

test("a runtime without the event service is asked again once a minute only", async () => {
  await using env = await started(1);
  const unimplemented = (): void =>
    env.events.fail(new HoldfastError("CRI_UNIMPLEMENTED", "unimplemented", "unknown service"));
  unimplemented();
  await env.clock.advance(30_000);
  expect([env.events.subscriptions, env.pleg.snapshot().events.state]).toEqual([1, "unsupported"]);
  expect(env.runtime.count("listContainers")).toBeGreaterThanOrEqual(29);
});

test("every event lost: still right within a relist period", async () => {
  await using env = await started(3, false);
  env.runtime.container("p0", "c-0", "exited");
  env.runtime.containers.delete("c-1");
  await env.clock.advance(1000);
  expect(env.published().toSorted()).toEqual([
    "ContainerDied c-0",
    "ContainerDied c-1",
    "ContainerRemoved c-1",
  ]);
});

test("a storm of events for one pod is a few calls", async () => {
  await using env = await started(3);
  for (let round = 0; round < 1000; round++) {
    env.events.emit({ topic: "/tasks/start", containerId: "c-1", id: "c-1" });
    env.events.emit({ topic: "/tasks/oom", containerId: "c-1", id: "c-1" });
  }
  await env.clock.settle(10);
  await env.clock.advance(500);
  expect(env.runtime.count()).toBeLessThanOrEqual(4);
});

test("a storm over many pods is one relist", async () => {
  await using env = await started(100);
  for (let pod = 0; pod < 100; pod++) env.pleg.requestRelist(`p${pod}`);
  await env.clock.advance(200);
  expect(env.runtime.count()).toBe(2);
});

test("every event doubled and in reverse: the same end, each death told once", async () => {
  await using env = await started(4);
  for (const pod of [0, 1, 2]) env.runtime.container(`p${pod}`, `c-${pod}`, "exited", { exitCode: pod });
  for (const pod of [2, 1, 0, 2, 1, 0]) {
    env.events.emit({ topic: "/tasks/delete", containerId: `c-${pod}`, id: `c-${pod}` });
    env.events.exit(`c-${pod}`, pod);
    env.events.exit(`c-${pod}`, pod);
  }
  await env.clock.advance(2000);
  expect(
    env
      .published()
      .filter((line) => line.startsWith("ContainerDied"))
      .toSorted(),
  ).toEqual(["ContainerDied c-0", "ContainerDied c-1", "ContainerDied c-2"]);
  expect([0, 1, 2, 3].map((pod) => env.stateOf(`p${pod}`, `c-${pod}`))).toEqual([
    "exited",
    "exited",
    "exited",
    "running",
  ]);
  expect(env.pleg.snapshot().unconfirmedExits).toEqual([]);
});

test("a start is waited for until the runtime says so", async () => {
  await using env = await started(1);
  env.runtime.container("p0", "d-0", "created");
  env.pleg.requestRelist("p0");
  await env.clock.settle(8);
  env.events.emit({ topic: "/tasks/start", containerId: "d-0", id: "d-0" });
  await env.clock.advance(20);
  env.runtime.container("p0", "d-0", "running");
  await env.clock.advance(30);
  expect(env.stateOf("p0", "d-0")).toBe("running");
});

test("the pod of an unknown id is found by the id; a stranger's costs two small calls", async () => {
  await using env = await started(1);
  env.runtime.container("p9", "e-9", "running");
  env.events.emit({ topic: "/tasks/start", containerId: "e-9", id: "e-9" });
  env.events.emit({ topic: "/tasks/start", containerId: "stranger", id: "stranger" });
  await env.clock.advance(200);
  expect(env.stateOf("p9", "e-9")).toBe("running");
  expect(env.runtime.calls.filter(({ id }) => id === "stranger")).toHaveLength(2);
});

test("a waiting reader gets a look at once, and an empty status of a pod that is not there", async () => {
  await using env = await started(1);
  const signal = new AbortController().signal;
  const here = env.pleg.getNewerThan("p0", env.clock.monotonic(), signal);
  const gone = env.pleg.getNewerThan("nobody", env.clock.monotonic(), signal);
  await env.clock.settle(4);
  expect((await here).status.containers).toHaveLength(1);
  expect((await gone).status.containers).toEqual([]);
  expect(env.runtime.count("listContainers")).toBe(2);
});

// kubelet: TestWorkerLoop
test("a request that a later relist served is thrown away", async () => {
  await using env = new Environment();
  env.runtime.container("p1", "c1");
  env.pleg.requestRelist("p1"); // waits: not started
  await env.pleg.start();
  await env.clock.advance(10);
  const looks = env.runtime.count("listContainers");
  expect(looks).toBeLessThanOrEqual(2);
  await env.relist();
  env.runtime.forgetCalls();
  await env.clock.settle(8);
  expect(env.runtime.count()).toBe(0);
});

test("a list that comes in late does not undo a newer look", async () => {
  await using env = await started(1, false);
  let release = (): void => {};
  env.runtime.delay = (method, { filter }) =>
    method === "listContainers" && Object.keys(filter?.labelSelector ?? {}).length === 0
      ? new Promise<void>((resolve) => (release = resolve))
      : undefined;
  const slow = env.pleg.relist();
  await env.clock.settle();
  env.runtime.container("p0", "c-0", "exited");
  env.pleg.requestRelist("p0");
  await env.clock.settle(8);
  expect(env.published()).toEqual(["ContainerDied c-0"]);
  release();
  await slow;
  expect([env.published(), env.stateOf("p0", "c-0")]).toEqual([[], "exited"]);
});

test("the wall clock steps by an hour either way and nothing notices", async () => {
  await using env = await started(1);
  env.clock.stepWall(3_600_000);
  env.runtime.container("p0", "c-0", "exited");
  env.events.exit("c-0", 0);
  await env.clock.advance(100);
  env.clock.stepWall(-7_200_000);
  await env.clock.advance(20_000);
  expect(env.pleg.health()).toEqual({ failures: [], warnings: [] });
  expect(env.published()).toEqual(["ContainerDied c-0", "PodSync p0"]);
});

test("both latencies are measured: event to cache, and list to cache", async () => {
  await using env = await started(2);
  const late = (name: string, labels: Record<string, string>): number | undefined =>
    env.metrics.value(`holdfast_pleg_${name}_seconds`, labels);
  const before = late("relist_to_cache", { list: "pod" }) ?? 0;
  env.runtime.container("p0", "d-0", "running");
  env.events.emit({ topic: "cri/started", containerId: "d-0", id: "d-0", podUid: "p0" });
  await env.clock.advance(50);
  expect(late("event_to_cache", { step: "looked" })).toBe(1);
  expect(late("relist_to_cache", { list: "pod" })).toBe(before + 1);

  env.runtime.container("p1", "c-1", "exited");
  env.events.exit("c-1", 0);
  await env.clock.advance(100);
  expect(late("event_to_cache", { step: "entered" })).toBe(1);
  expect(late("event_to_cache", { step: "confirmed" })).toBe(1);

  const all = late("relist_to_cache", { list: "all" }) ?? 0;
  env.runtime.container("p0", "c-0", "exited");
  await env.relist();
  expect(late("relist_to_cache", { list: "all" })).toBe(all + 1);
  // What changes nothing is no figure.
  await env.relist();
  expect(late("relist_to_cache", { list: "all" })).toBe(all + 1);
});

test("a hint for a pod that changes nothing is looked into once, and measured", async () => {
  await using env = await started(1);
  for (let time = 0; time < 5; time++)
    env.events.emit({ topic: "/tasks/oom", containerId: "c-0", id: "c-0" });
  await env.clock.advance(100);
  expect(env.runtime.count("listContainers")).toBe(1);
  expect(env.metrics.value("holdfast_pleg_event_to_cache_seconds", { step: "looked" })).toBe(1);
});

test("subscriptions that fail come at most 3 s apart, and not all at the same pace", async () => {
  const paces: number[] = [];
  for (const seed of [1, 2, 3, 4]) {
    await using env = new Environment({ withEvents: true, random: seededRandom(seed) });
    await env.pleg.start();
    const at: number[] = [];
    for (let ms = 0; ms < 30_000; ms += 10) {
      const before = env.events.subscriptions;
      env.events.fail(new Error("connection refused"));
      await env.clock.advance(10);
      if (env.events.subscriptions > before) at.push(env.clock.monotonic());
    }
    const gaps = at.slice(1).map((time, index) => time - (at[index] ?? 0));
    expect(Math.max(...gaps)).toBeLessThanOrEqual(3010);
    expect(at.length).toBeLessThan(20);
    paces.push(gaps.at(-1) ?? 0);
  }
  expect(new Set(paces).size).toBeGreaterThan(1);
});

test("who waits for what a look under way will show asks for no other; one that fails is followed by a relist", async () => {
  await using env = await started(1);
  const wait = (minTime: number): Promise<unknown> =>
    env.pleg.getNewerThan("p0", minTime, new AbortController().signal);
  const before = env.clock.monotonic();
  env.runtime.delay = () => env.clock.sleep(10);
  env.runtime.container("p0", "c-0", "exited");
  env.pleg.requestRelist("p0");
  await env.clock.advance(5);
  const duringLists = wait(before);
  await env.clock.advance(8);
  // The lists are there, the status is not.
  const duringInspection = wait(before);
  await env.clock.advance(20);
  await Promise.all([duringLists, duringInspection]);
  expect([env.runtime.count("listContainers"), env.runtime.count("containerStatus")]).toEqual([1, 1]);
  const now = env.clock.monotonic();
  env.pleg.requestRelist("p0");
  await env.clock.advance(5);
  const later = wait(now + 1);
  await env.clock.advance(40);
  await later;
  expect(env.runtime.count("listContainers")).toBe(3);
  env.runtime.delay = (method) =>
    method === "listContainers" ? Promise.reject(new Error("no answer")) : undefined;
  env.pleg.requestRelist("p0");
  const failing = wait(env.clock.monotonic() + 1);
  await env.clock.advance(1);
  env.runtime.delay = () => undefined;
  // Long before the relist that would have come by itself.
  await env.clock.advance(1200);
  await failing;
});
