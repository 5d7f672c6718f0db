// SPDX-License-Identifier: Apache-2.0
import { Bus } from "@holdfast/bus";
import { silentLogger } from "@holdfast/core/log";
import { ManualClock } from "@holdfast/core/manual-clock";
import { noMetrics } from "@holdfast/core/metrics";
import { INSTANCE_LABEL, NODE_LABEL } from "@holdfast/core/names";
import type { RuntimePodStatus } from "@holdfast/core/runtime-status";
import { FakeRuntime } from "@holdfast/cri-fake";
import type { LogFiles } from "@holdfast/gc";
import { ContainerStarted } from "@holdfast/pleg";
import type { PodFiles } from "@holdfast/pod";
import { expect, test } from "vitest";
import { parseConfig } from "../src/config/parse-config.ts";
import { keepingLogs, makeGcSide } from "../src/run/gc-side.ts";
import type { GcSide } from "../src/run/gc-side.ts";
import { MemoryState } from "./simulation/memory-state.ts";
import { Life } from "./simulation/mortal.ts";

const NO_LOGS: LogFiles = {
  size: async () => 5,
  list: async () => [],
  folders: async () => [],
  rename: async () => {},
  remove: async () => {},
  removeTree: async () => {},
  compress: async () => {},
};

/** One pod with so many dead containers, as the PLEG has it. */
function statusOf(containers: number): RuntimePodStatus {
  return {
    uid: "u",
    name: "web",
    namespace: "default",
    containers: Array.from({ length: containers }, () => ({})),
    sandboxes: [],
  } as unknown as RuntimePodStatus;
}

function world(
  own: string,
  dead: () => number,
): { side: GcSide; fake: FakeRuntime; clock: ManualClock; bus: Bus } {
  const clock = new ManualClock();
  const fake = new FakeRuntime({ clock });
  const bus = new Bus({ clock });
  const text = own === "" ? "" : `apiVersion: holdfast.agent/v1alpha1\nkind: AgentConfiguration\n${own}`;
  const side = makeGcSide({
    config: parseConfig(text, "config.yaml", "node").config,
    clock,
    logger: silentLogger,
    bus,
    runtime: fake,
    metrics: noMetrics,
    state: new MemoryState().open(new Life()),
    logFiles: NO_LOGS,
    filesystem: async () => ({ capacityBytes: 100, availableBytes: 50 }),
    statuses: () => [statusOf(dead())],
    containerLogsDir: "",
    pods: {
      allSourcesReady: () => true,
      shouldPodContentBeRemoved: () => false,
      shouldPodRuntimeBeRemoved: () => false,
      ownsPod: () => true,
    },
  });
  return { side, fake, clock, bus };
}

test("container GC lists nothing by itself until the list may become too long, and then each minute", async () => {
  let dead = 100;
  const { side, fake, clock } = world("", () => dead);
  await side.containerGc.start();
  await clock.advance(10 * 60_000);
  expect(fake.calls["ListContainers"] ?? 0).toBe(0);
  // 12 MiB, with 8 KiB for each at most.
  dead = 1536;
  await clock.advance(60_000);
  expect(fake.calls["ListContainers"]).toBe(1);
  await side.containerGc.stop();
});

test("limits of dead containers are those of the configuration", async () => {
  const { side, fake, clock } = world("maximumDeadContainersPerContainer: 2\n", () => 0);
  const labels = { [NODE_LABEL]: "node", [INSTANCE_LABEL]: new MemoryState().open(new Life()).instanceId };
  const sandbox = { metadata: { name: "web", namespace: "default", uid: "u", attempt: 0 }, labels };
  const { podSandboxId } = await fake.runPodSandbox({ config: sandbox });
  for (let attempt = 0; attempt < 4; attempt++) {
    const config = {
      metadata: { name: "app", attempt },
      image: { image: "holdfast.local/busybox:1" },
      labels,
    };
    const { containerId } = await fake.createContainer({ podSandboxId, sandboxConfig: sandbox, config });
    await fake.startContainer({ containerId });
    await fake.stopContainer({ containerId, timeout: 0n });
    await clock.advance(10);
  }
  const { containers } = await side.containerGc.plan();
  expect(containers.map(({ rule }) => rule)).toEqual([
    "per-container-limit",
    "per-container-limit",
    "kept",
    "kept",
  ]);
});

test("without image GC there is log rotation and container GC all the same", () => {
  const { side } = world("imageGCScope: none\n", () => 0);
  expect([side.images, side.imageGc]).toEqual([undefined, undefined]);
  expect(side.components.map(({ name }) => name)).toEqual([
    "container-logs",
    "log-announcer",
    "container-gc",
  ]);
});

test("a start on the bus has log rotation look for new containers", async () => {
  const { side, bus, clock } = world("", () => 0);
  let told = 0;
  side.logs.targetsChanged = () => void (told += 1);
  const announcer = side.components.find(({ name }) => name === "log-announcer");
  await announcer?.start();
  for (let index = 0; index < 50; index++)
    bus.publish(ContainerStarted, { containerId: "c", kind: "container" } as never, { subject: {} });
  await clock.settle();
  expect(told).toBeGreaterThan(0);
  expect(told).toBeLessThanOrEqual(2);
  await announcer?.stop();
});

test("who removes a container leaves its logs, and nothing else", async () => {
  const removed: string[] = [];
  const files = {
    removeFile: async (path: string) => void removed.push(path),
    removeTree: async (path: string) => void removed.push(`${path}/`),
    list: async () => ["0.log"],
    readFile: async () => "text",
    mkdir: async () => {},
    writeFile: async () => {},
    symlink: async () => {},
    readLink: async () => undefined,
  } satisfies PodFiles;
  const kept = keepingLogs(files, "/var/log/pods");
  await kept.removeFile("/var/log/pods/default_web_u/app/0.log");
  await kept.removeFile("/var/log/containers/web_default_app-1.log");
  await kept.removeFile("/var/lib/holdfast/pods/u/containers/app/0");
  await kept.removeTree("/var/log/pods/default_web_u");
  expect(removed).toEqual([
    "/var/log/containers/web_default_app-1.log",
    "/var/lib/holdfast/pods/u/containers/app/0",
    "/var/log/pods/default_web_u/",
  ]);
  expect(await kept.list("/x")).toEqual(["0.log"]);
  expect(await kept.readFile("/x", 1)).toBe("text");
});
