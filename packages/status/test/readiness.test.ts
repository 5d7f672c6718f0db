// SPDX-License-Identifier: Apache-2.0
import { Bus } from "@holdfast/bus";
import { ManualClock } from "@holdfast/core/manual-clock";
import { UNREADY_WHEN_TERMINATING_ANNOTATION } from "@holdfast/core/names";
import type { Pod, PodCondition, PodStatus } from "@holdfast/core/pod-types";
import {
  computeReadinessHold,
  computeReadyCondition,
  findCondition,
  needsReadinessReconcile,
  PodCordonChanged,
  PodStatusChanged,
  StatusManager,
} from "@holdfast/status";
import type { ProbeVerdicts, StatusCheckpoint } from "@holdfast/status";
import { describe, expect, test } from "vitest";
import { exited, options, pod, record, runtime, sidecar } from "./builders.ts";

const HOUR = 3_600_000;
const gated = (...types: string[]): Pod => {
  const of = pod("Always");
  return {
    ...of,
    spec: { ...of.spec, readinessGates: types.map((conditionType) => ({ conditionType })) } as Pod["spec"],
  };
};
const annotated = (value: string): Pod => {
  const of = pod("Always");
  return {
    ...of,
    metadata: { ...of.metadata, annotations: { [UNREADY_WHEN_TERMINATING_ANNOTATION]: value } },
  };
};
const ready: PodCondition = { type: "ContainersReady", status: "True" };
const unready: PodCondition = {
  type: "ContainersReady",
  status: "False",
  reason: "ContainersNotReady",
  message: "containers with unready status: [a]",
};
const of = (status: PodStatus | undefined, type = "Ready"): PodCondition | undefined =>
  findCondition(status?.conditions, type);

function memory(): StatusCheckpoint {
  const values = new Map<string, string>();
  return {
    get: (key) => values.get(key),
    set: (key, value) => void values.set(key, value),
    delete: (key) => void values.delete(key),
    entries: () => [...values],
  };
}

describe("condition Ready", () => {
  const hold = { reason: "Cordoned", message: "taken out" } as const;
  // kubelet: TestGeneratePodReadyCondition
  test.each<[string, Pod, PodCondition, PodCondition[], boolean, Partial<PodCondition>]>([
    ["no gates", pod("Always"), ready, [], false, { status: "True" }],
    ["containers are not ready", gated("g"), unready, [], false, { ...unready, type: "Ready" }],
    [
      "a gate without its condition",
      gated("g"),
      ready,
      [],
      false,
      {
        status: "False",
        reason: "ReadinessGatesNotReady",
        message: 'corresponding condition of pod readiness gate "g" does not exist.',
      },
    ],
    [
      "a gate that is False, one that is missing, one that is True",
      gated("g", "h", "i"),
      ready,
      [
        { type: "g", status: "False" },
        { type: "i", status: "True" },
      ],
      false,
      {
        status: "False",
        reason: "ReadinessGatesNotReady",
        message:
          'the status of pod readiness gate "g" is not "True", but False, corresponding condition of pod readiness gate "h" does not exist.',
      },
    ],
    ["all gates are True", gated("g"), ready, [{ type: "g", status: "True" }], false, { status: "True" }],
    ["held back", pod("Always"), ready, [], true, { status: "False", ...hold }],
    [
      "held back and not ready anyway: the hold is told",
      pod("Always"),
      unready,
      [],
      true,
      { status: "False", ...hold },
    ],
    [
      "an end goes before a hold",
      pod("Never"),
      { type: "ContainersReady", status: "False", reason: "PodFailed" },
      [],
      true,
      { status: "False", reason: "PodFailed" },
    ],
  ])("%s", (_name, web, containersReady, others, held, wanted) => {
    const made = computeReadyCondition(web, containersReady, others, held ? hold : undefined);
    expect(made).toEqual({ type: "Ready", ...wanted });
  });

  test("a gate that changed calls for a new status, one that changes nothing does not", () => {
    const conditions: PodCondition[] = [
      ready,
      { type: "Ready", status: "True" },
      { type: "g", status: "False" },
    ];
    expect(needsReadinessReconcile(gated("g"), conditions)).toBe(true);
    expect(
      needsReadinessReconcile(gated("g"), [...conditions.slice(0, 2), { type: "g", status: "True" }]),
    ).toBe(false);
    expect(needsReadinessReconcile(gated("g"), [ready])).toBe(false);
  });

  test.each([
    ["true", true, "Terminating"],
    ["true", false, undefined],
    ["false", true, undefined],
    ["1", true, undefined],
  ])("annotation %s, on its way down %s: %s", (value, terminating, reason) => {
    expect(computeReadinessHold(annotated(value), { terminating })?.reason).toBe(reason);
    const cordon = { by: "me", at: 0 };
    expect(computeReadinessHold(annotated(value), { terminating, cordon })).toEqual({
      reason: "Cordoned",
      message: "taken out of traffic by me at 1970-01-01T00:00:00Z",
    });
  });
});

function setUp(checkpoint: StatusCheckpoint = memory(), clock = new ManualClock()) {
  const bus = new Bus({ clock });
  const manager = new StatusManager({ clock, checkpoint, publish: bus });
  const sub = bus.subscribe([PodStatusChanged, PodCordonChanged], {
    name: "test",
    capacity: 100,
    overflow: "drop-oldest",
  });
  const events = () => {
    const all = [];
    for (let event = sub.take(); event !== undefined; event = sub.take()) all.push(event);
    return all;
  };
  return { clock, checkpoint, bus, manager, events };
}

describe("verdicts between two updates", () => {
  const id = { a: "a-0", b: "b-0" };
  // kubelet: TestSetContainerReadiness
  test("the pod is ready when all containers are; what is not known is ignored", () => {
    const probes: ProbeVerdicts = {
      watches: () => true,
      startup: () => "success",
      readiness: () => undefined,
    };
    const other = new StatusManager({ clock: new ManualClock(), probes });
    expect(other.setContainerReadiness("uid-1", id.a, true)).toBe(undefined);
    const two = pod("Always", ["a", "b"]);
    other.update(two, runtime([record("a"), record("b")]), options());
    expect(of(other.get("uid-1"))).toMatchObject({ status: "False" });
    expect(of(other.setContainerReadiness("uid-1", id.a, true))).toMatchObject({
      status: "False",
      message: "containers with unready status: [b]",
    });
    expect(of(other.setContainerReadiness("uid-1", id.b, true))?.status).toBe("True");
    expect(of(other.get("uid-1"), "ContainersReady")?.status).toBe("True");
    expect(other.setContainerReadiness("uid-1", id.b, true)).toBe(undefined);
    expect(other.setContainerReadiness("uid-1", "no-such", true)).toBe(undefined);
    expect(of(other.setContainerReadiness("uid-1", id.a, false))?.status).toBe("False");
  });

  // kubelet: TestSetContainerStartup
  test("started alone: conditions wait for the next update; not known is different from false", () => {
    const { manager } = setUp();
    manager.update(pod("Always", ["a"], [sidecar("s")]), runtime([record("a"), record("s")]), options());
    const before = manager.get("uid-1");
    const next = manager.setContainerStartup("uid-1", "s-0", false);
    expect(next?.initContainerStatuses?.[0]?.started).toBe(false);
    expect(next?.conditions).toEqual(before?.conditions);
    expect(manager.setContainerStartup("uid-1", "s-0", false)).toBe(undefined);
  });
});

describe("on the way down", () => {
  test("with the annotation Ready is False at once, ContainersReady says what the containers are, and it stays so", () => {
    const { manager, events } = setUp();
    const web = annotated("true");
    manager.update(web, runtime([record("a")]), options());
    events();
    const down = manager.setTerminating("uid-1", [7]);
    expect([of(down)?.status, of(down)?.reason, of(down, "ContainersReady")?.status]).toEqual([
      "False",
      "Terminating",
      "True",
    ]);
    expect(events()).toMatchObject([{ causes: [7], data: { ready: false } }]);
    expect(of(manager.update(web, runtime([record("a")]), options()))?.reason).toBe("Terminating");
    expect(events()).toEqual([]);
    expect(of(manager.update(web, runtime([exited("a", 0)]), options({ podIsTerminal: true })))?.status).toBe(
      "False",
    );
  });

  test("without it readiness goes on as the containers say", () => {
    const { manager } = setUp();
    manager.update(pod("Always"), runtime([record("a")]), options());
    expect(of(manager.setTerminating("uid-1"))?.status).toBe("True");
    expect(manager.setTerminating("other")).toBe(undefined);
    const deleted = pod("Always", ["a"], [], { deleted: true });
    expect(of(manager.update(deleted, runtime([record("a")]), options()))?.status).toBe("True");
  });

  test("a deletion by the API, or the worker's word, is enough", () => {
    const { manager } = setUp();
    const web = annotated("true");
    const gone = { ...web, metadata: { ...web.metadata, deletionTimestamp: "2026-01-01T00:00:00Z" } };
    expect(of(manager.update(gone, runtime([record("a")]), options()))?.reason).toBe("Terminating");
    manager.remove("uid-1");
    expect(of(manager.update(web, runtime([record("a")]), options({ terminating: true })))?.reason).toBe(
      "Terminating",
    );
  });
});

describe("cordon", () => {
  test("Ready is False with a reason of its own, its cause is named; uncordon gives back what is true", async () => {
    const { manager, clock, events } = setUp();
    manager.update(pod("Always"), runtime([record("a")]), options());
    events();
    await clock.advance(5000);
    const out = manager.cordon("uid-1", "anna");
    expect(of(out)).toMatchObject({
      status: "False",
      reason: "Cordoned",
      message: "taken out of traffic by anna at 2026-01-01T00:00:05Z",
      lastTransitionTime: "2026-01-01T00:00:05Z",
    });
    expect([out?.phase, of(out, "ContainersReady")?.status, out?.containerStatuses?.[0]?.ready]).toEqual([
      "Running",
      "True",
      true,
    ]);
    const [first, second] = events();
    expect(first).toMatchObject({ type: "status/PodCordonChanged", data: { cordoned: true, by: "anna" } });
    expect(second).toMatchObject({
      type: "status/PodStatusChanged",
      causes: [first && "seq" in first ? first.seq : 0],
    });
    expect(manager.cordon("uid-1", "someone else")).toBe(out);
    expect(manager.cordonOf("uid-1")).toEqual({ by: "anna", at: clock.now() });
    expect(of(manager.update(pod("Always"), runtime([record("a")]), options()))?.reason).toBe("Cordoned");
    expect(of(manager.uncordon("uid-1", "anna"))).toMatchObject({ status: "True" });
    expect(of(manager.uncordon("uid-1"))?.reason).toBe(undefined);
    expect(manager.cordonOf("uid-1")).toBe(undefined);
    expect(manager.cordon("other", "anna")).toBe(undefined);
  });

  test("containers come and go: still cordoned, and an end is told as an end", () => {
    const { manager } = setUp();
    manager.update(pod("Never"), runtime([record("a")]), options());
    manager.cordon("uid-1", "anna");
    const failed = manager.update(pod("Never"), runtime([exited("a", 1)]), options());
    expect([failed.phase, of(failed)?.reason]).toEqual(["Failed", "PodFailed"]);
  });

  test("it is kept over a restart of the agent, also when the pod was not updated yet", async () => {
    const one = setUp();
    one.manager.update(pod("Always"), runtime([record("a")]), options());
    one.manager.cordon("uid-1", "anna");
    await one.clock.advance(HOUR);
    const two = setUp(one.checkpoint, one.clock);
    expect(two.manager.cordonOf("uid-1")?.by).toBe("anna");
    expect(of(two.manager.get("uid-1"))?.reason).toBe("Cordoned");
    expect(of(two.manager.update(pod("Always"), runtime([record("a")]), options()))?.reason).toBe("Cordoned");

    const three = setUp(one.checkpoint, one.clock);
    // Let in before its worker spoke: nothing is invented, the next update says what is true.
    expect(of(three.manager.uncordon("uid-1"))?.status).toBe("False");
    expect(of(three.manager.update(pod("Always"), runtime([record("a")]), options()))?.status).toBe("True");

    const four = setUp(one.checkpoint, one.clock);
    expect(of(four.manager.cordon("uid-1", "bob"))?.reason).toBe("Cordoned");
    expect(of(setUp(one.checkpoint, one.clock).manager.get("uid-1"))?.message).toContain("bob");
  });

  test("it goes with the pod", () => {
    const { manager, checkpoint } = setUp();
    manager.update(pod("Always"), runtime([record("a")]), options());
    manager.cordon("uid-1", "anna");
    manager.remove("uid-1");
    expect([manager.cordonOf("uid-1"), checkpoint.entries("")]).toEqual([undefined, []]);
    expect(of(manager.update(pod("Always"), runtime([record("a")]), options()))?.status).toBe("True");
  });
});
