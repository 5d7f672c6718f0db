// SPDX-License-Identifier: Apache-2.0
import { Bus } from "@holdfast/bus";
import { silentLogger } from "@holdfast/core/log";
import { ManualClock } from "@holdfast/core/manual-clock";
import { MetricsRegistry } from "@holdfast/core/metrics";
import { HostIPsIPFamilyMismatch, PodStatusChanged, StatusManager } from "@holdfast/status";
import type { StatusCheckpoint, StatusManagerOptions } from "@holdfast/status";
import { expect, test } from "vitest";
import { crashLoop, exited, options, pod, record, runtime } from "./builders.ts";

const HOUR = 3_600_000;

function memoryCheckpoint(): StatusCheckpoint & { readonly values: Map<string, string>; writes: number } {
  const values = new Map<string, string>();
  return {
    values,
    writes: 0,
    get: (key) => values.get(key),
    set(key, value) {
      this.writes += 1;
      values.set(key, value);
    },
    delete: (key) => void values.delete(key),
    entries: (prefix) => [...values].filter(([key]) => key.startsWith(prefix)),
  };
}

function setUp(more: Partial<StatusManagerOptions> = {}) {
  const clock = new ManualClock();
  const bus = new Bus({ clock });
  const metrics = new MetricsRegistry();
  const checkpoint = memoryCheckpoint();
  const manager = new StatusManager({
    clock,
    checkpoint,
    publish: bus,
    metrics,
    hostIPs: () => ["192.0.2.1"],
    ...more,
  });
  const events = bus.subscribe([PodStatusChanged], { name: "test", capacity: 100, overflow: "drop-oldest" });
  const next = () => {
    const event = events.take();
    return event === undefined || event.type === "gap" ? undefined : event;
  };
  return { clock, bus, metrics, checkpoint, manager, next };
}

// kubelet: TestUnchangedStatus, TestUnchangedStatusPreservesLastTransitionTime
test("a change is kept, versioned and published; the same again is nothing", async () => {
  const { clock, manager, next, checkpoint } = setUp();
  const first = manager.update(pod("Always"), runtime([]), options({ causes: [3] }));
  expect(next()).toMatchObject({
    subject: { podUid: "uid-1", pod: "default/web" },
    causes: [3],
    data: { uid: "uid-1", version: 1, phase: "Pending", previousPhase: undefined, ready: false, restarts: 0 },
  });
  await clock.advance(60_000);
  expect(manager.update(pod("Always"), runtime([]), options())).toBe(first);
  expect([next(), checkpoint.writes]).toEqual([undefined, 1]);
  manager.update(pod("Always"), runtime([record("a")]), options());
  expect(next()?.data).toMatchObject({ version: 2, phase: "Running", previousPhase: "Pending", ready: true });
  expect(manager.get("uid-1")?.phase).toBe("Running");
  expect(manager.all()).toMatchObject([{ uid: "uid-1", namespace: "default", name: "web", version: 2 }]);
});

test("containerID has the name that the runtime answers, from when it is known", () => {
  const identity: { name?: string } = {};
  const { manager } = setUp({ runtimeName: () => identity.name });
  const shown = () => manager.update(pod("Always"), runtime([record("a")]), options()).containerStatuses?.[0];
  expect(shown()).toMatchObject({ containerID: "containerd://a-0", restartCount: 0 });
  identity.name = "cri-o";
  expect(shown()).toMatchObject({ containerID: "cri-o://a-0", restartCount: 0 });
});

// kubelet: TestNewStatusPreservesPodStartTime, TestChangedStatusKeepsStartTime
test("start time, transition times, restarts and a terminal phase survive a restart of the agent", async () => {
  const { clock, manager, checkpoint } = setUp();
  manager.update(pod("Always"), runtime([]), options());
  await clock.advance(5000);
  const before = manager.update(pod("Always"), runtime([record("a", { attempt: 3 })]), options());
  await clock.advance(HOUR);
  const after = new StatusManager({ clock, checkpoint });
  expect(after.get("uid-1")?.startTime).toBe(before.startTime);
  const again = after.update(pod("Always"), runtime([record("a")]), options());
  expect(again.startTime).toBe("2026-01-01T00:00:00Z");
  expect(again.conditions).toEqual(before.conditions);
  expect(again.containerStatuses?.[0]?.restartCount).toBe(3);
});

test("a pod that had ended does not begin again because the runtime has forgotten it", () => {
  const { clock, manager, checkpoint } = setUp();
  manager.update(pod("Never"), runtime([exited("a", 3)]), options());
  const after = new StatusManager({ clock, checkpoint });
  expect(after.get("uid-1")?.phase).toBe("Failed");
  const again = after.update(pod("Never"), runtime([], []), options());
  expect([again.phase, again.containerStatuses?.[0]?.state.terminated?.exitCode]).toEqual(["Failed", 3]);
});

test("after a restart the first status is published, with the phase of before", () => {
  const { clock, manager, checkpoint, bus, next } = setUp();
  manager.update(pod("Always"), runtime([record("a")]), options());
  next();
  new StatusManager({ clock, checkpoint, publish: bus }).update(
    pod("Always"),
    runtime([record("a")]),
    options(),
  );
  expect(next()?.data).toMatchObject({ version: 1, phase: "Running", previousPhase: "Running" });
});

test.each([
  "{",
  "[]",
  '{"format":2,"status":{}}',
  '{"format":1,"status":{"phase":"Sideways","startTime":"2026-01-01T00:00:00Z"}}',
  '{"format":1,"status":{"phase":"Running","startTime":"never"}}',
  '{"format":1,"status":{"phase":"Running","startTime":"2026-01-01T00:00:00Z","containerStatuses":[{"name":1}]}}',
])("a stored status that is damaged is forgotten: %s", (text) => {
  const { manager, checkpoint } = setUp();
  checkpoint.values.set("uid-1", text);
  expect(manager.get("uid-1")).toBe(undefined);
  expect(checkpoint.values.size).toBe(0);
  expect(manager.update(pod("Always"), runtime([]), options()).phase).toBe("Pending");
});

test("an impossible state is refused and named, the rest of the update stands", () => {
  const warnings: unknown[] = [];
  const logger = { ...silentLogger, warn: (_message: string, fields?: object) => void warnings.push(fields) };
  const { manager, metrics } = setUp({ logger });
  manager.update(
    pod("Never", ["a", "b"]),
    runtime([exited("a", 1), record("b", { state: "created" })]),
    options(),
  );
  const next = manager.update(
    pod("Never", ["a", "b"]),
    runtime([record("a", { attempt: 1 }), record("b")]),
    options(),
  );
  expect(next.containerStatuses?.map(({ state }) => Object.keys(state)[0])).toEqual([
    "terminated",
    "running",
  ]);
  expect(warnings).toMatchObject([{ containers: ["a"] }]);
  expect(metrics.value("holdfast_status_refused_transitions_total")).toBe(1);
});

test.each([HOUR, -HOUR])("a wall clock stepped by %i ms bends neither start nor age", async (step) => {
  const { clock, manager } = setUp();
  const first = manager.update(pod("Always"), runtime([]), options());
  await clock.advance(10_000);
  clock.stepWall(step);
  expect(manager.activeForMs("uid-1")).toBe(10_000);
  expect(manager.update(pod("Always"), runtime([record("a")]), options()).startTime).toBe(first.startTime);
  await clock.advance(5000);
  expect(manager.activeForMs("uid-1")).toBe(15_000);
});

test("a start that lies in the future after a restart has the age of now", async () => {
  const { clock, manager, checkpoint } = setUp();
  manager.update(pod("Always"), runtime([]), options());
  clock.stepWall(-HOUR);
  const after = new StatusManager({ clock, checkpoint });
  expect(after.activeForMs("uid-1")).toBe(0);
  await clock.advance(1000);
  expect(after.activeForMs("uid-1")).toBe(1000);
  expect(after.activeForMs("other")).toBe(undefined);
});

// kubelet: TestContainerTerminationMetric
test("each end of a container is counted once", () => {
  const { manager, metrics } = setUp();
  const count = (): number =>
    metrics.value("kubelet_terminated_containers_total", {
      container_type: "container",
      exit_code: "1",
      reason: "Error",
    });
  manager.update(pod("Always"), runtime([record("a")]), options());
  manager.update(pod("Always"), runtime([exited("a", 1)]), options());
  manager.update(pod("Always"), runtime([exited("a", 1)]), crashLoop("a"));
  manager.update(pod("Always"), runtime([exited("a", 1)]), options());
  expect(count()).toBe(1);
  manager.update(pod("Always"), runtime([record("a", { attempt: 1 }), exited("a", 1)]), options());
  manager.update(pod("Always"), runtime([exited("a", 1, { attempt: 1 }), exited("a", 1)]), options());
  expect(count()).toBe(2);
});

test("what is removed or orphaned is forgotten, also on the disk", () => {
  const { manager, checkpoint } = setUp();
  manager.update(pod("Always"), runtime([]), options());
  manager.remove("uid-1");
  expect([manager.get("uid-1"), checkpoint.values.size]).toEqual([undefined, 0]);
  manager.update(pod("Always"), runtime([]), options());
  checkpoint.values.set("uid-of-before", "{}");
  manager.removeOrphanedStatuses(new Set(["uid-1"]));
  expect([...checkpoint.values.keys()]).toEqual(["uid-1"]);
  manager.removeOrphanedStatuses(new Set());
  expect([manager.all().length, checkpoint.values.size]).toEqual([0, 0]);
});

test("there is a limit to how many are kept", () => {
  const { manager, metrics } = setUp({ capacity: 2 });
  for (const uid of ["1", "2", "3"]) {
    const one = pod("Always");
    one.metadata.uid = uid;
    manager.update(one, { ...runtime([]), uid }, options());
  }
  expect(manager.all().map(({ uid }) => uid)).toEqual(["2", "3"]);
  expect(metrics.value("holdfast_status_dropped_total")).toBe(1);
  // It comes back from the disk.
  expect(manager.get("1")?.phase).toBe("Pending");
});

// kubelet: TestUpdateAllocatedResourcesStatus
test("health of devices stands in the statuses of the pod's own containers, and a change of it is a change", () => {
  const health = new Map([["main", "Healthy" as "Healthy" | "Unhealthy"]]);
  const { manager } = setUp({
    devices: {
      allocatedResourcesStatus: (_uid, container) => {
        const word = health.get(container);
        return word === undefined
          ? []
          : [{ name: "example.com/gpu", resources: [{ resourceID: "gpu-0", health: word }] }];
      },
    },
  });
  const web = pod("Always");
  const [container] = web.spec.containers;
  health.set(container?.name ?? "", "Healthy");
  const told = () =>
    JSON.stringify(
      manager.update(web, runtime([record(container?.name ?? "")]), options()).containerStatuses,
    );
  expect(told()).toContain(
    '"allocatedResourcesStatus":[{"name":"example.com/gpu","resources":[{"resourceID":"gpu-0","health":"Healthy"}]}]',
  );
  health.set(container?.name ?? "", "Unhealthy");
  expect(told()).toContain('"health":"Unhealthy"');
  health.clear();
  expect(told()).not.toContain("allocatedResourcesStatus");
});

test("a node address of the other family is told once, also when it changed while no agent ran", () => {
  let hostIPs: readonly string[] = [];
  const { bus, manager, checkpoint, next } = setUp({ hostIPs: () => hostIPs });
  const told = bus.subscribe([HostIPsIPFamilyMismatch], {
    name: "told",
    capacity: 10,
    overflow: "drop-oldest",
  });
  const update = (of: StatusManager, ips: readonly string[]) => {
    hostIPs = ips;
    return of.update(pod("Always"), runtime([record("a")]), options({ causes: [1] })).hostIP;
  };
  const taken = () => {
    const event = told.take();
    return event === undefined || event.type === "gap" ? undefined : event;
  };
  for (const ips of [[], ["192.0.2.1"], ["192.0.2.2", "2001:db8::1"], ["192.0.2.2"]]) {
    update(manager, ips);
    next();
  }
  expect(taken()).toBeUndefined();

  expect(update(manager, ["2001:db8::1", "192.0.2.2"])).toBe("2001:db8::1");
  const event = taken();
  expect(event).toMatchObject({
    subject: { podUid: "uid-1", pod: "default/web" },
    data: { eventType: "Warning", reason: "HostIPsIPFamilyMismatch" },
  });
  expect(event?.data.message).toContain("IPv4 address 192.0.2.2");
  expect(event?.data.message).toContain("IPv6 address 2001:db8::1");
  expect(next()?.causes).toEqual([1, event?.seq]);

  for (const wanted of ["192.0.2.1", undefined]) {
    const restarted = new StatusManager({
      clock: new ManualClock(),
      checkpoint,
      publish: bus,
      hostIPs: () => hostIPs,
    });
    update(restarted, ["192.0.2.1"]);
    expect(taken() === undefined).toBe(wanted === undefined);
  }
  // No address is no change of it.
  update(manager, []);
  expect(taken()).toBeUndefined();
});
