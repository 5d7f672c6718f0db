// SPDX-License-Identifier: Apache-2.0

// 10,000 containers in 5,000 pods: what is counted here are calls and what is kept, never times.
import { expect, test } from "vitest";
import { Environment } from "./environment.ts";

const PODS = 5000;

async function crowd(withEvents: boolean): Promise<Environment> {
  const env = new Environment({ withEvents });
  for (let pod = 0; pod < PODS; pod++) {
    env.runtime.sandbox(`p${pod}`);
    for (const name of ["a", "b"]) env.runtime.container(`p${pod}`, `${name}-${pod}`);
  }
  await env.relist();
  env.published();
  env.runtime.forgetCalls();
  return env;
}

test("the first pass asks for each container and sandbox once, at most 8 at a time", async () => {
  await using env = new Environment();
  let underWay = 0;
  let most = 0;
  env.runtime.delay = async (method) => {
    if (!method.endsWith("Status")) return;
    most = Math.max(most, (underWay += 1));
    await Promise.resolve();
    underWay -= 1;
  };
  for (let pod = 0; pod < PODS; pod++) {
    env.runtime.sandbox(`p${pod}`);
    for (const name of ["a", "b"]) env.runtime.container(`p${pod}`, `${name}-${pod}`);
  }
  await env.relist();
  expect([env.runtime.count("containerStatus"), env.runtime.count("podSandboxStatus")]).toEqual([
    10_000, 5000,
  ]);
  expect([env.runtime.count("listContainers"), most]).toEqual([1, 8]);
  expect(env.pleg.snapshot()).toMatchObject({ pods: PODS, quarantined: [], stuckCalls: [] });
});

test("an idle pass is two calls; one death in a hundred costs that many statuses more", async () => {
  await using env = await crowd(false);
  await env.relist();
  expect(env.runtime.calls).toHaveLength(2);
  env.runtime.forgetCalls();
  for (let pod = 0; pod < 100; pod++) env.runtime.container(`p${pod}`, `a-${pod}`, "exited");
  await env.relist();
  expect([env.runtime.count(), env.runtime.count("containerStatus")]).toEqual([102, 100]);
  expect(env.published()).toHaveLength(100);
});

test("a storm of 10,000 events is a few lists, and one status for each that died", async () => {
  await using env = await crowd(true);
  await env.pleg.start();
  await env.clock.advance(2500);
  env.published();
  env.runtime.forgetCalls();
  for (let pod = 0; pod < PODS; pod++)
    for (const name of ["a", "b"])
      env.events.emit({ topic: "/tasks/oom", containerId: `${name}-${pod}`, id: `${name}-${pod}` });
  await env.clock.advance(1000);
  expect(env.runtime.count("listContainers")).toBeLessThanOrEqual(4);
  expect(env.runtime.count("containerStatus")).toBe(0);
  expect(env.pleg.snapshot().waiting).toEqual({ looks: 0, readers: 0, hints: 0 });
});

test("what is gone leaves nothing behind: records, cache, gauges, timers", async () => {
  await using env = await crowd(false);
  env.runtime.containers.clear();
  env.runtime.sandboxes.clear();
  await env.relist();
  expect(env.pleg.snapshot()).toMatchObject({
    pods: 0,
    quarantined: [],
    unconfirmedExits: [],
    waiting: { looks: 0, readers: 0, hints: 0 },
  });
  expect(env.metrics.value("kubelet_running_pods")).toBe(0);
  expect(env.clock.waiting).toBe(0);
});

test("an exit during a pass over thousands of pods does not wait behind them", async () => {
  await using env = new Environment({ withEvents: true });
  for (let pod = 0; pod < 500; pod++) {
    env.runtime.sandbox(`p${pod}`);
    env.runtime.container(`p${pod}`, `a-${pod}`);
  }
  env.runtime.delay = (method) => (method.endsWith("Status") ? env.clock.sleep(10) : undefined);
  await env.pleg.start();
  await env.clock.advance(15);
  env.runtime.forgetCalls();
  env.runtime.container("p499", "a-499", "exited", { exitCode: 1 });
  env.events.exit("a-499", 1);
  env.events.emit({ topic: "/tasks/delete", containerId: "a-499", id: "a-499" });
  await env.clock.advance(20);
  const asked = env.runtime.calls.findIndex(({ id }) => id === "a-499");
  expect(asked).toBeGreaterThanOrEqual(0);
  expect(asked).toBeLessThan(17);
  env.runtime.delay = () => undefined;
  await env.clock.advance(10);
});
