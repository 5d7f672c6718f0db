// SPDX-License-Identifier: Apache-2.0

import { expect, test } from "vitest";
import { OomEnvironment } from "./environment.ts";
import { recordsOf } from "./fixtures.ts";

const OLD = recordsOf("linux-5.4-memcg");
const NEW = recordsOf("linux-3.10-memcg");
const pids = (env: OomEnvironment): readonly unknown[] =>
  env.events("oom/").map(({ data }) => (data as { readonly pid?: number }).pid);

test("what was in the log before the start is not told", async () => {
  await using env = new OomEnvironment();
  env.kmsg.append(OLD);
  await env.watcher.start();
  env.kmsg.append(NEW);
  await env.clock.advance(10_000);
  expect(pids(env)).toEqual([28_438]);
});

test("a replay tells what came after the last kill that is known of this boot", async () => {
  await using env = new OomEnvironment({ bootId: "b1", replay: { bootId: "b1", sequence: OLD.length - 2 } });
  env.kmsg.append(OLD);
  env.kmsg.append(NEW);
  await env.watcher.start();
  await env.watcher.drain();
  expect(pids(env)).toEqual([28_438]);
});

test("after a reboot a replay tells all that the kernel still has", async () => {
  await using env = new OomEnvironment({ bootId: "b2", replay: { bootId: "b1", sequence: 99_999 } });
  env.kmsg.append(OLD);
  await env.watcher.start();
  await env.watcher.drain();
  expect(pids(env)).toEqual([63_214]);
  expect(env.events("oomwatch/KmsgGap")).toEqual([]);
});

test("overwritten records are counted as a gap, and the next kill is told without what is missing", async () => {
  await using env = new OomEnvironment();
  env.kmsg.append(OLD);
  await env.watcher.start();
  env.kmsg.append(NEW);
  env.kmsg.overwrite(2);
  await env.clock.advance(10_000);
  expect(env.events("oomwatch/KmsgGap")).toMatchObject([{ data: { lost: NEW.length - 2 } }]);
  expect(env.events("oom/")).toMatchObject([{ type: "oom/ProcessOOM", data: { pid: 28_438 } }]);
  expect(env.metrics.value("holdfast_oom_kmsg_lost_total")).toBe(NEW.length - 2);
});

test("a log that fails is opened again, ever more seldom, and nothing is told twice or left out", async () => {
  await using env = new OomEnvironment();
  await env.watcher.start();
  env.kmsg.append(OLD);
  await env.clock.advance(10_000);
  env.kmsg.failure = new Error("EIO");
  await env.clock.advance(10_000);
  expect(env.watcher.health().failures).toHaveLength(1);
  const before = env.kmsg.opened;
  await env.clock.advance(600_000);
  expect(env.kmsg.opened).toBe(before);
  env.kmsg.append(NEW);
  env.kmsg.failure = undefined;
  await env.clock.advance(60_000);
  expect(env.watcher.health().failures).toEqual([]);
  expect(pids(env)).toEqual([63_214, 28_438]);
  expect(env.events("oomwatch/KmsgChanged")).toMatchObject([{ data: { problem: "EIO" } }, { data: {} }]);
});

test("a flood is read in batches: the event loop gets its turn in between", async () => {
  await using env = new OomEnvironment();
  await env.watcher.start();
  const before = env.kmsg.reads;
  env.kmsg.append(Array.from({ length: 10_000 }, (_, index) => `6,0,${index},-;eth0: link is up`));
  const drained = env.watcher.drain();
  await Promise.resolve();
  expect(env.kmsg.reads - before).toBeLessThanOrEqual(256);
  await env.clock.advance(0);
  await env.clock.advance(100);
  await drained;
  expect(env.metrics.value("holdfast_oom_kmsg_records_total")).toBe(10_000);
});

test("idle, one read in ten seconds", async () => {
  await using env = new OomEnvironment();
  await env.watcher.start();
  const before = env.kmsg.reads;
  await env.clock.advance(60_000);
  expect(env.kmsg.reads - before).toBe(6);
});

test("a report whose kill line is still to come is looked at again within a second, and then told without it", async () => {
  await using env = new OomEnvironment();
  await env.watcher.start();
  const cut = OLD.findIndex((text) => text.includes("oom-kill:constraint")) + 1;
  env.kmsg.append(OLD.slice(0, cut));
  await env.watcher.drain();
  // Looks in quick succession are no sign that the line was lost.
  await env.watcher.drain();
  await env.watcher.drain();
  expect(pids(env)).toEqual([]);
  env.kmsg.append(OLD.slice(cut));
  await env.clock.advance(1000);
  expect(pids(env)).toEqual([63_214]);
  env.kmsg.append(OLD.slice(0, cut));
  await env.watcher.drain();
  await env.clock.advance(1000);
  expect(pids(env)).toEqual([63_214, 63_214]);
});

test("a watcher that was stopped while it starts leaves nothing", async () => {
  await using env = new OomEnvironment();
  env.kmsg.append(Array.from({ length: 1000 }, (_, index) => `6,0,${index},-;eth0: link is up`));
  const starting = env.watcher.start();
  await env.watcher.stop();
  await starting;
  expect(env.clock.waiting).toBe(0);
});

test("a clock stepped back an hour changes nothing", async () => {
  await using env = new OomEnvironment();
  await env.watcher.start();
  env.clock.stepWall(-3_600_000);
  env.kmsg.append(NEW);
  await env.clock.advance(10_000);
  expect(pids(env)).toEqual([28_438]);
});
