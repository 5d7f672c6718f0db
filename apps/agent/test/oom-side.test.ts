// SPDX-License-Identifier: Apache-2.0

import { Bus } from "@holdfast/bus";
import { silentLogger } from "@holdfast/core/log";
import { ManualClock } from "@holdfast/core/manual-clock";
import { MetricsRegistry } from "@holdfast/core/metrics";
import { SINGLE_PROCESS_OOM_KILL_ANNOTATION } from "@holdfast/core/names";
import type { Pod } from "@holdfast/core/pod-types";
import type { JournalEvent } from "@holdfast/journal";
import { ContainerDied, ContainerStarted } from "@holdfast/pleg";
import { ContainerCreated } from "@holdfast/pod";
import type { ContainerResources } from "@holdfast/resource";
import { expect, test } from "vitest";
import { parseConfig } from "../src/config/parse-config.ts";
import { OomSide, replayPoint, withOomGroup } from "../src/run/oom-side.ts";

const pod = (annotation?: string): Pod => ({
  apiVersion: "v1",
  kind: "Pod",
  metadata: {
    name: "web",
    namespace: "default",
    uid: "u",
    ...(annotation !== undefined && { annotations: { [SINGLE_PROCESS_OOM_KILL_ANNOTATION]: annotation } }),
  },
  spec: {
    containers: [
      { name: "a", image: "i" },
      { name: "b", image: "i" },
    ],
  },
});

// kubelet: TestGenerateLinuxContainerResources, the cases of memory.oom.group
test.each([
  [2, undefined, undefined, ["1", "1"]],
  [2, true, undefined, [undefined, undefined]],
  [2, false, undefined, ["1", "1"]],
  [2, true, "false; b: true", ["1", undefined]],
  [2, undefined, "b: true", ["1", undefined]],
  [1, undefined, "false", [undefined, undefined]],
] as const)(
  "cgroup v%i, singleProcessOOMKill %s, annotation %s: memory.oom.group %j",
  (version, node, text, groups) => {
    const base = {
      unified: { "memory.oom.group": "1", "memory.high": "7" },
    } as unknown as ContainerResources;
    const resources = withOomGroup({ containerResources: () => base }, version, node);
    const given = pod(text);
    const of = given.spec.containers.map(
      (container) => resources.containerResources(given, container).unified,
    );
    expect(of.map((unified) => unified["memory.oom.group"])).toEqual(groups);
    expect(of.map((unified) => unified["memory.high"])).toEqual(["7", "7"]);
  },
);

function kept(...events: readonly (readonly [seq: number, type: string, data: object])[]): {
  events(query: { readonly types?: readonly string[]; readonly before?: number }): readonly JournalEvent[];
} {
  return {
    events: ({ types = [], before = Number.POSITIVE_INFINITY }) =>
      events
        .filter(([seq, type]) => seq < before && types.some((one) => type.startsWith(one.replace("*", ""))))
        .map(([seq, type, data]) => ({ seq, at: 0, monotonic: 0, type, subject: {}, causes: [], data })),
  };
}

test.each([
  ["nothing is known", kept(), { bootId: "", sequence: -1 }],
  ["no kill is known", kept([5, "journal/Started", { bootId: "b1" }]), { bootId: "", sequence: -1 }],
  [
    "the last kill that the log told counts, of the boot in which it was told",
    kept(
      [9, "journal/Started", { bootId: "b2" }],
      [8, "oom/ContainerOOM", { witness: "cgroup" }],
      [7, "oom/ContainerOOM", { kmsgSequence: 70 }],
      [6, "oom/ContainerOOM", { kmsgSequence: 60 }],
      [5, "journal/Started", { bootId: "b1" }],
    ),
    { bootId: "b1", sequence: 70 },
  ],
])("a replay begins after what the journal knows: %s", (_name, journal, point) => {
  expect(replayPoint(journal)).toEqual(point);
});

test("a journal that cannot be read replays nothing", () => {
  const events = (): never => {
    throw new Error("disk I/O error");
  };
  expect(replayPoint({ events })).toBeUndefined();
});

test("a new container's counter is not read, an older one's once, and both have their cgroup", async () => {
  const clock = new ManualClock();
  const bus = new Bus({ clock });
  const asked: string[] = [];
  const device = {
    open: () => ({ read: () => ({ kind: "empty" }) as const, close: () => {} }),
    uptimeMs: () => 0,
  };
  await using side = new OomSide({
    clock,
    bus,
    device,
    metrics: new MetricsRegistry(),
    logger: silentLogger,
    nodeName: "n",
    statuses: () => [],
    counters: { read: async (path) => asked.push(path) },
    cgroupOf: (uid, id) => `/kubepods/pod${uid}/${id}`,
  });
  await side.start();
  const about = (containerId: string) => ({
    subject: { podUid: "u", pod: "default/web", container: "a", containerId },
  });
  bus.publish(ContainerCreated, { containerId: "new" } as never, about("new"));
  const state = (containerId: string) => ({ containerId, kind: "container" as const, name: "a" });
  for (const id of ["new", "old", "old"]) bus.publish(ContainerStarted, state(id), about(id));
  await clock.settle();
  expect(asked).toEqual(["/kubepods/podu/old"]);
  bus.publish(ContainerDied, { ...state("new"), exitCode: 137, unconfirmed: false }, about("new"));
  await clock.settle();
  expect(asked).toEqual(["/kubepods/podu/old", "/kubepods/podu/new"]);
  // Where containerd has told the end, the PLEG's word on it asks for nothing more.
  side.watcher.observe({ topic: "/tasks/exit", containerId: "old", id: "old", exitStatus: 137 });
  bus.publish(ContainerDied, { ...state("old"), exitCode: 137, unconfirmed: true }, about("old"));
  await clock.settle();
  expect(asked.slice(2)).toEqual(["/kubepods/podu/old"]);
});

test("a log that cannot be read is a warning about the node, and no failure", async () => {
  const clock = new ManualClock();
  const open = (): never => {
    throw new Error("EPERM: operation not permitted");
  };
  await using side = new OomSide({
    clock,
    bus: new Bus({ clock }),
    device: { open, uptimeMs: () => 0 },
    metrics: new MetricsRegistry(),
    logger: silentLogger,
    nodeName: "n",
    statuses: () => [],
    cgroupOf: () => undefined,
  });
  await side.start();
  expect(side.health().failures).toEqual([]);
  expect(side.warnings().join()).toContain("EPERM");
});

test("what the kernel kills at a limit is the node's setting; unset is the kubelet's default", () => {
  const parse = (text: string) => parseConfig(text, "config.yaml", "n").config;
  const kubelet = "apiVersion: kubelet.config.k8s.io/v1beta1\nkind: KubeletConfiguration\n";
  const agent = "apiVersion: holdfast.agent/v1alpha1\nkind: AgentConfiguration\n";
  expect(parse("")).toMatchObject({
    singleProcessOOMKill: undefined,
    oomReplay: false,
    bootIdFile: "/proc/sys/kernel/random/boot_id",
  });
  expect(parse(`${kubelet}singleProcessOOMKill: true`).singleProcessOOMKill).toBe(true);
  expect(parse(`${kubelet}singleProcessOOMKill: false`).singleProcessOOMKill).toBe(false);
  expect(parse(`${agent}oomReplay: true`).oomReplay).toBe(true);
});
