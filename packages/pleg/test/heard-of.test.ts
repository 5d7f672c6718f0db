// SPDX-License-Identifier: Apache-2.0

// What is there and no list of this run has shown yet: just made, or there when an earlier run ended. A list that lacks it is not believed before the runtime
// was asked for it by id.
import { expect, test } from "vitest";
import type { PlegCheckpoint } from "@holdfast/pleg";
import { Environment } from "./environment.ts";
import type { ScriptedRuntime } from "./scripted-runtime.ts";

class MemoryCheckpoint implements PlegCheckpoint {
  readonly values = new Map<string, string>();
  writes = 0;
  set(key: string, value: string): void {
    this.writes += 1;
    this.values.set(key, value);
  }
  delete(key: string): void {
    this.writes += 1;
    this.values.delete(key);
  }
  entries(): [string, string][] {
    return [...this.values];
  }
}

function pod(runtime: ScriptedRuntime): void {
  runtime.sandbox("p1");
  runtime.container("p1", "app-1");
}

const SANDBOX = { kind: "sandbox", id: "p1-sb", podUid: "p1", name: "" } as const;
const CONTAINER = { kind: "container", id: "app-1", podUid: "p1", name: "app" } as const;
const lacks = (what: string): string => `the list lacks ${what}, which the runtime still has`;

test("a list that lacks what was just made is not believed; one that shows it is", async () => {
  await using env = new Environment();
  await env.relist();
  pod(env.runtime);
  env.runtime.hidden.add("p1-sb").add("app-1");
  env.pleg.noteMade(SANDBOX);
  env.pleg.noteMade(CONTAINER);
  await env.relist();
  expect(env.pleg.get("p1").error?.message).toBe(lacks("sandbox p1-sb"));
  env.runtime.hidden.delete("p1-sb");
  await env.clock.advance(1500);
  await env.relist();
  expect(env.pleg.get("p1").error?.message).toBe(lacks('container "app" (app-1)'));
  expect([...env.pleg.podsUp()]).toEqual(["p1"]);
  env.runtime.hidden.clear();
  await env.clock.advance(4000);
  await env.relist();
  expect([env.pleg.get("p1").error, env.stateOf("p1", "app-1")]).toEqual([undefined, "running"]);
  expect(env.published()).toEqual(["ContainerStarted app-1", "ContainerStarted p1-sb"]);
});

test("events of what was just made ask for nothing: who made it looks himself", async () => {
  await using env = new Environment({ withEvents: true });
  await env.pleg.start();
  await env.clock.advance(4000);
  env.runtime.forgetCalls();
  // The sandbox's start comes before whoever makes it knows its id.
  env.events.emit({ topic: "/tasks/start", containerId: "p1-sb", id: "p1-sb" });
  pod(env.runtime);
  env.pleg.noteMade(SANDBOX);
  env.pleg.noteMade(CONTAINER);
  env.events.emit({ topic: "/tasks/start", containerId: "app-1", id: "app-1" });
  await env.clock.advance(500);
  expect(env.runtime.calls).toEqual([]);
  env.events.emit({ topic: "/tasks/start", containerId: "other", id: "other" });
  await env.clock.advance(500);
  expect(env.runtime.count("listContainers")).toBe(1);
});

test("a list that began before it was made says nothing about it", async () => {
  await using env = new Environment();
  await env.relist();
  const { promise: held, resolve: letGo } = Promise.withResolvers<void>();
  env.runtime.delay = () => held;
  const relist = env.pleg.relist();
  await env.clock.settle(4);
  pod(env.runtime);
  env.pleg.noteMade(CONTAINER);
  letGo();
  await relist;
  env.runtime.delay = () => undefined;
  expect(env.pleg.get("p1").error).toBeUndefined();
  await env.relist();
  expect(env.stateOf("p1", "app-1")).toBe("running");
});

test("what was made and is truly gone costs one status call, and no pod is left of it", async () => {
  await using env = new Environment();
  await env.relist();
  env.pleg.noteMade(CONTAINER);
  env.runtime.forgetCalls();
  await env.relist();
  await env.relist();
  expect(env.runtime.count("containerStatus")).toBe(1);
  expect([env.pleg.snapshot().pods, env.pleg.podsUp().size, env.published()]).toEqual([0, 0, []]);
});

test("after a restart the first list is not believed either; without a checkpoint it would be", async () => {
  const checkpoint = new MemoryCheckpoint();
  await using first = new Environment({ checkpoint });
  pod(first.runtime);
  first.runtime.container("p1", "job-1", "exited");
  await first.relist();
  await first.pleg.stop();
  expect([...checkpoint.values.keys()]).toEqual(["p1"]);

  for (const [kept, error] of [
    [checkpoint, lacks('container "app" (app-1)')],
    [undefined, undefined],
  ] as const) {
    await using second = new Environment(kept === undefined ? {} : { checkpoint: kept });
    pod(second.runtime);
    second.runtime.hidden.add("app-1");
    await second.pleg.start();
    await second.clock.advance(500);
    expect(second.pleg.get("p1").error?.message).toBe(error);
  }
});

test("a list that lacks the last of a name, which has ended, is not believed either, also after a restart", async () => {
  const checkpoint = new MemoryCheckpoint();
  await using env = new Environment({ checkpoint });
  pod(env.runtime);
  env.runtime.container("p1", "job-1", "exited");
  await env.relist();
  env.runtime.hidden.add("job-1");
  await env.relist();
  expect(env.pleg.get("p1").error?.message).toBe(lacks('container "job" (job-1)'));
  await env.pleg.stop();

  await using second = new Environment({ checkpoint });
  pod(second.runtime);
  second.runtime.container("p1", "job-1", "exited");
  second.runtime.hidden.add("job-1");
  await second.pleg.start();
  await second.clock.advance(500);
  expect(second.pleg.get("p1").error?.message).toBe(lacks('container "job" (job-1)'));
  expect([...second.pleg.podsUp()]).toEqual(["p1"]);
});

test("what has ended and is taken away for us, or has a successor, is gone without a question", async () => {
  await using env = new Environment();
  pod(env.runtime);
  env.runtime.container("p1", "app-1", "exited");
  await env.relist();
  const removed = async (id: string): Promise<number> => {
    env.runtime.containers.delete(id);
    env.runtime.forgetCalls();
    await env.relist();
    return env.runtime.calls.filter((call) => call.id === id).length;
  };
  env.runtime.container("p1", "app-2", "exited");
  expect(await removed("app-1")).toBe(0);
  env.pleg.noteLeaving("p1", "app-2");
  expect(await removed("app-2")).toBe(0);
  env.runtime.container("p1", "app-3", "exited");
  await env.relist();
  expect(await removed("app-3")).toBe(1);
  expect(env.pleg.get("p1").error).toBeUndefined();
});

test("what went while nobody looked is forgotten, with its place in the checkpoint; so is what is another's or damaged", async () => {
  const checkpoint = new MemoryCheckpoint();
  const own = JSON.stringify({ owner: "{}", up: [["container", "app-1", "app"]] });
  const others = JSON.stringify({ owner: '{"node":"other"}', up: [["container", "app-2", "app"]] });
  checkpoint.values.set("p1", own).set("p2", others).set("p3", "{");
  await using env = new Environment({ checkpoint });
  await env.pleg.start();
  await env.clock.advance(2500);
  expect([...checkpoint.values]).toEqual([]);
  expect(env.runtime.calls.filter(({ method }) => method === "containerStatus")).toEqual([
    { method: "containerStatus", id: "app-1" },
  ]);
  expect(env.pleg.health()).toEqual({ failures: [], warnings: [] });
});

test("the checkpoint is written when what is up changes, and not else", async () => {
  const checkpoint = new MemoryCheckpoint();
  await using env = new Environment({ checkpoint });
  pod(env.runtime);
  await env.relist();
  expect(checkpoint.writes).toBe(1);
  for (let round = 0; round < 5; round++) await env.relist();
  expect(checkpoint.writes).toBe(1);
  env.runtime.container("p1", "app-1", "exited");
  await env.relist();
  const kept = JSON.parse(checkpoint.values.get("p1") ?? "") as { readonly up: unknown };
  expect(kept.up).toEqual([
    ["container", "app-1", "app", "ended"],
    ["sandbox", "p1-sb", ""],
  ]);
  expect(checkpoint.writes).toBe(2);
  env.runtime.containers.clear();
  env.runtime.sandboxes.clear();
  await env.relist();
  expect([checkpoint.writes, checkpoint.values.size]).toEqual([3, 0]);
});
