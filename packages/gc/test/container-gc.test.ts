// SPDX-License-Identifier: Apache-2.0

import { Bus } from "@holdfast/bus";
import { HoldfastError } from "@holdfast/core/errors";
import { ManualClock } from "@holdfast/core/manual-clock";
import { MetricsRegistry } from "@holdfast/core/metrics";
import {
  CONTAINER_NAME_LABEL,
  INSTANCE_LABEL,
  NODE_LABEL,
  POD_NAME_LABEL,
  POD_NAMESPACE_LABEL,
  POD_UID_LABEL,
  RESTART_COUNT_ANNOTATION,
} from "@holdfast/core/names";
import { FakeRuntime } from "@holdfast/cri-fake";
import { ContainerGcManager } from "@holdfast/gc";
import type { ContainerGcManagerOptions } from "@holdfast/gc";
import { describe, expect, it } from "vitest";
import { MemoryLogs } from "./memory-logs.ts";

const OURS = { [NODE_LABEL]: "node-1", [INSTANCE_LABEL]: "i-1" };
const BUSYBOX = "holdfast.local/busybox:1";

/** Container GC on a fake runtime in virtual time. */
class World implements AsyncDisposable {
  readonly clock = new ManualClock();
  readonly fake = new FakeRuntime({ clock: this.clock, programs: () => ({ exitAfterMs: 5 }) });
  readonly bus = new Bus({ clock: this.clock, ringSize: 10_000 });
  readonly metrics = new MetricsRegistry();
  readonly logs = new MemoryLogs();
  readonly gone = new Set<string>();
  readonly ended = new Set<string>();
  ready = true;
  readonly gc: ContainerGcManager;

  constructor(options: Partial<ContainerGcManagerOptions> = {}) {
    this.gc = new ContainerGcManager({
      runtime: this.fake,
      clock: this.clock,
      labelSelector: OURS,
      files: this.logs,
      pods: {
        allSourcesReady: () => this.ready,
        shouldPodContentBeRemoved: (uid) => this.gone.has(uid),
        shouldPodRuntimeBeRemoved: (uid) => this.ended.has(uid),
        ownsPod: (uid) => uid.startsWith("our"),
      },
      publish: this.bus,
      metrics: this.metrics,
      ...options,
    });
  }

  async sandbox(uid: string, owner: Readonly<Record<string, string>> = OURS, attempt = 0): Promise<string> {
    const config = {
      metadata: { name: uid, namespace: "default", uid, attempt },
      labels: { [POD_UID_LABEL]: uid, [POD_NAME_LABEL]: uid, [POD_NAMESPACE_LABEL]: "default", ...owner },
    };
    return (await this.fake.runPodSandbox({ config })).podSandboxId;
  }

  /** One that has run and ended, `count` times. */
  async dead(
    podSandboxId: string,
    uid: string,
    count: number,
    owner: Readonly<Record<string, string>> = OURS,
  ): Promise<string[]> {
    const ids: string[] = [];
    for (let attempt = 0; attempt < count; attempt++) {
      const { containerId } = await this.fake.createContainer({
        podSandboxId,
        sandboxConfig: { metadata: { name: uid, namespace: "default", uid, attempt: 0 } },
        config: {
          metadata: { name: "app", attempt },
          image: { image: BUSYBOX },
          labels: {
            [POD_UID_LABEL]: uid,
            [POD_NAME_LABEL]: uid,
            [POD_NAMESPACE_LABEL]: "default",
            [CONTAINER_NAME_LABEL]: "app",
            ...owner,
          },
          annotations: { [RESTART_COUNT_ANNOTATION]: String(attempt) },
        },
      });
      await this.fake.startContainer({ containerId });
      await this.clock.advance(10);
      ids.push(containerId);
    }
    return ids;
  }

  left(): string[] {
    return this.fake.containers().map(({ id }) => id);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.gc.stop();
    await this.clock.settle(4);
    if (this.clock.waiting > 0) throw new Error(`${this.clock.waiting} timers are left`);
  }
}

describe("container GC", () => {
  it("removes what the plan says, each with its reason and its cause", async () => {
    await using world = new World();
    const box = await world.sandbox("our-a");
    const [first, second, third] = await world.dead(box, "our-a", 3);
    const { containers, error } = await world.gc.collect({ causes: [] });
    expect([containers, error]).toEqual([[first, second], undefined]);
    expect(world.left()).toEqual([third]);
    const events = world.bus.recent();
    expect(events.map(({ type }) => type)).toEqual([
      "gc/ContainerGcStarted",
      "gc/DeadContainerRemoving",
      "gc/DeadContainerRemoved",
      "gc/DeadContainerRemoving",
      "gc/DeadContainerRemoved",
    ]);
    expect(events[1]).toMatchObject({
      causes: [events[0]?.seq],
      subject: { podUid: "our-a", pod: "default/our-a", container: "app", containerId: first },
      data: { id: first, rule: "per-container-limit" },
    });
    expect(events[2]?.causes).toEqual([events[1]?.seq]);
    expect((await world.gc.collect()).containers).toEqual([]);
    expect(world.bus.lastSeq).toBe(5);
  });

  it("touches nothing of another owner, nor of another instance of ours", async () => {
    await using world = new World({ policy: { maxPerPodContainer: 0 } });
    world.gone.add("foreign").add("other");
    const other = { ...OURS, [INSTANCE_LABEL]: "i-2" };
    await world.dead(await world.sandbox("foreign", {}), "foreign", 2, {});
    await world.dead(await world.sandbox("other", other), "other", 2, other);
    world.logs.write("/var/log/pods/default_foreign_foreign/app/0.log", 5);
    const { containers, sandboxes, logFolders } = await world.gc.collect();
    expect([containers, sandboxes, logFolders, world.left().length]).toEqual([[], [], [], 4]);
  });

  it("removes all of a pod that is gone: containers, sandboxes, logs", async () => {
    await using world = new World();
    const box = await world.sandbox("our-a");
    await world.dead(box, "our-a", 2);
    await world.fake.stopPodSandbox({ podSandboxId: box });
    world.logs.write("/var/log/pods/default_our-a_our-a/app/0.log", 5);
    world.logs.write("/var/log/pods/default_our-b_our-b/app/0.log", 5);
    world.gone.add("our-a");
    world.ready = false;
    expect((await world.gc.plan()).containers.filter(({ rule }) => rule === "pod-gone")).toEqual([]);
    world.ready = true;
    const result = await world.gc.collect();
    expect([result.containers.length, result.sandboxes, result.logFolders]).toEqual([
      2,
      [box],
      ["default_our-a_our-a"],
    ]);
    expect(world.logs.paths()).toEqual(["/var/log/pods/default_our-b_our-b/app/0.log"]);
    expect(
      world.metrics.value("holdfast_container_gc_removed_total", { kind: "sandbox", rule: "pod-gone" }),
    ).toBe(1);
  });

  it("under disk pressure takes the dead of ended pods", async () => {
    await using world = new World();
    world.ended.add("our-a");
    const [id] = await world.dead(await world.sandbox("our-a"), "our-a", 1);
    expect((await world.gc.collect()).containers).toEqual([]);
    expect((await world.gc.collect({ evictTerminated: true })).containers).toEqual([id]);
  });

  it("stops a container whose state is unknown before it removes it", async () => {
    // kubelet: TestUnknownStateContainerGC
    await using world = new World({ policy: { maxPerPodContainer: 0 } });
    const [id] = await world.dead(await world.sandbox("our-a"), "our-a", 1);
    world.fake.addFault({ match: { method: "ListContainers", times: 1 }, wrongState: 3 });
    expect((await world.gc.collect()).containers).toEqual([id]);
    expect(world.fake.calls["StopContainer"]).toBe(1);
  });

  it("keeps logs for retention, or removes them with their container", async () => {
    // kubelet: TestRemoveContainer, TestRemoveContainer_keepLogs
    for (const removeLogsWithContainer of [false, true]) {
      await using world = new World({ policy: { maxPerPodContainer: 1 }, removeLogsWithContainer });
      await world.dead(await world.sandbox("our-a"), "our-a", 2);
      const folder = "/var/log/pods/default_our-a_our-a/app";
      for (const name of ["0.log", "0.log.20260101-000000.gz", "1.log", "10.log"])
        world.logs.write(`${folder}/${name}`, 5);
      await world.gc.collect();
      expect(world.logs.paths()).toHaveLength(removeLogsWithContainer ? 2 : 4);
    }
  });

  it("a removal that fails is told, leaves the pod's sandbox alone, and comes again", async () => {
    await using world = new World();
    const box = await world.sandbox("our-a");
    const [id] = await world.dead(box, "our-a", 1);
    await world.fake.stopPodSandbox({ podSandboxId: box });
    world.gone.add("our-a");
    const fault = world.fake.addFault({ match: { method: "RemoveContainer" }, error: { message: "busy" } });
    const { error, sandboxes } = await world.gc.collect();
    expect([error?.code, sandboxes]).toEqual(["GC_REMOVE", []]);
    expect(world.bus.recent().at(-1)).toMatchObject({
      type: "gc/ContainerGcFailed",
      data: { reason: "ContainerGCFailed", message: expect.stringMatching(/busy/) as string },
    });
    expect(world.gc.health().failures).toHaveLength(1);
    fault.lift();
    expect(await world.gc.collect()).toMatchObject({ containers: [id], sandboxes: [box] });
    expect(world.gc.health().failures).toEqual([]);
  });

  it("a runtime that hangs ends the pass after three removals", async () => {
    await using world = new World({ policy: { maxPerPodContainer: 0 } });
    for (let pod = 0; pod < 5; pod++) await world.dead(await world.sandbox(`our-${pod}`), `our-${pod}`, 1);
    world.fake.addFault({ match: { method: "RemoveContainer" }, hang: true });
    const pass = world.gc.collect();
    await world.clock.advance(5 * 60_000);
    expect((await pass).containers).toEqual([]);
    expect(world.fake.calls["RemoveContainer"]).toBe(3);
  });

  it("a list that does not fit into an answer is had sandbox by sandbox", async () => {
    await using world = new World();
    const [first] = await world.dead(await world.sandbox("our-a"), "our-a", 2);
    await world.dead(await world.sandbox("our-b"), "our-b", 1);
    const runtime = {
      ...world.fake,
      listContainers: (...args: Parameters<typeof world.fake.listContainers>) =>
        (args[0].filter?.podSandboxId ?? "") === ""
          ? Promise.reject(new HoldfastError("CRI_MESSAGE_TOO_LARGE", "permanent", "larger than max"))
          : world.fake.listContainers(...args),
    };
    const pods = {
      allSourcesReady: () => true,
      shouldPodContentBeRemoved: () => false,
      shouldPodRuntimeBeRemoved: () => false,
      ownsPod: () => true,
    };
    const gc = new ContainerGcManager({ runtime, clock: world.clock, labelSelector: OURS, pods });
    expect((await gc.collect()).containers).toEqual([first]);
  });

  it("2,000 dead containers cost two lists and a call each", async () => {
    await using world = new World({ policy: { maxPerPodContainer: 0 } });
    const box = await world.sandbox("our-a");
    for (let attempt = 0; attempt < 2000; attempt++)
      await world.fake.createContainer({
        podSandboxId: box,
        config: {
          metadata: { name: `c${attempt}`, attempt },
          image: { image: BUSYBOX },
          labels: { ...OURS, [POD_UID_LABEL]: "our-a" },
        },
      });
    world.gone.add("our-a");
    expect((await world.gc.collect()).containers).toHaveLength(2000);
    expect(world.fake.calls).toMatchObject({ ListContainers: 1, ListPodSandbox: 1, RemoveContainer: 2000 });
  });

  it("runs at once and every minute, and stops in the middle of a pass", async () => {
    await using world = new World();
    await world.gc.start();
    await world.clock.advance(60_000);
    expect(world.fake.calls["ListContainers"]).toBe(2);
    world.fake.addFault({ match: { method: "ListContainers" }, hang: true });
    await world.clock.advance(60_000);
    await world.gc.stop();
    await world.gc.stop();
    expect(world.clock.waiting).toBe(0);
  });

  it("asks before each pass of its own whether it is needed; one that is asked for is made in any case", async () => {
    let needed = false;
    await using world = new World({ isNeeded: () => needed });
    await world.gc.start();
    await world.clock.advance(180_000);
    expect(world.fake.calls["ListContainers"] ?? 0).toBe(0);
    needed = true;
    await world.clock.advance(60_000);
    expect(world.fake.calls["ListContainers"]).toBe(1);
    needed = false;
    await world.gc.collect();
    expect(world.fake.calls["ListContainers"]).toBe(2);
  });

  it("no link of a log collector outlives its container", async () => {
    await using world = new World({ containerLogsDir: "/var/log/containers" });
    const box = await world.sandbox("our-a");
    const ids = await world.dead(box, "our-a", 2);
    for (const id of ids) world.logs.write(`/var/log/containers/our-a_default_app-${id}.log`, 0);
    await world.gc.collect();
    expect(world.logs.names("/var/log/containers")).toEqual([`our-a_default_app-${ids[1]}.log`]);
  });

  it("refuses to work without labels that prove ownership", () => {
    expect(() => new World({ labelSelector: {} })).toThrow(/labelSelector is empty/);
  });
});
