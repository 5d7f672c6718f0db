// SPDX-License-Identifier: Apache-2.0

import type { RuntimePodStatus } from "@holdfast/core/runtime-status";
import { describe, expect, it } from "vitest";
import { computeContainerGc } from "../../src/kuberuntime/compute-container-gc.ts";
import type { ContainerGcPolicy } from "../../src/kuberuntime/compute-container-gc.ts";
import type { GarbagePredicates } from "../../src/kuberuntime/sync-result.ts";
import { container, exited, makePod, record, sandbox, status } from "./fixtures.ts";
import { Harness } from "./harness.ts";
import { criError } from "./scripted-runtime.ts";

/** `pod/name attempt...`, oldest first; the attempt is the creation time too. */
function world(lines: readonly string[], states: Readonly<Record<string, string>> = {}): RuntimePodStatus[] {
  const pods = new Map<string, { pod: ReturnType<typeof makePod>; records: ReturnType<typeof record>[] }>();
  for (const line of lines) {
    const [path = "", ...attempts] = line.split(" ");
    const [uid = "", name = ""] = path.split("/");
    const entry = pods.get(uid) ?? {
      pod: makePod({ metadata: { uid, name: uid }, spec: { containers: [container(name)] } }),
      records: [],
    };
    pods.set(uid, entry);
    for (const attempt of attempts) {
      const id = `${path}#${attempt}`;
      const state = (states[id] ?? "exited") as "exited";
      entry.records.push(
        record(entry.pod, name, {
          ...exited(0),
          id,
          state,
          attempt: Number(attempt),
          createdAt: Number(attempt),
        }),
      );
    }
  }
  return [...pods.values()].map(({ pod, records }) => status(pod, records.toReversed()));
}

const DEFAULT: ContainerGcPolicy = { minAgeMs: 0, maxPerPodContainer: 1, maxContainers: -1 };
const keepAll: GarbagePredicates = {
  allSourcesReady: true,
  shouldPodContentBeRemoved: () => false,
  shouldPodRuntimeBeRemoved: () => false,
};
const deleted: GarbagePredicates = { ...keepAll, shouldPodContentBeRemoved: (uid) => uid === "a" };

// kubelet: TestContainerGC
describe("computeContainerGc: containers", () => {
  it.each<
    [string, string[], Partial<ContainerGcPolicy>, GarbagePredicates, Record<string, string>, string[]]
  >([
    [
      "all containers should be removed when max container limit is 0",
      ["a/x 0"],
      { maxPerPodContainer: 1, maxContainers: 0 },
      keepAll,
      {},
      ["a/x#0"],
    ],
    [
      "max containers should be complied when no max per pod container limit is set",
      ["a/x 0 1 2 3 4"],
      { maxPerPodContainer: -1, maxContainers: 4 },
      keepAll,
      {},
      ["a/x#0"],
    ],
    [
      "no containers should be removed if both max container and per pod container limits are not set",
      ["a/x 0 1 2"],
      { maxPerPodContainer: -1, maxContainers: -1 },
      keepAll,
      {},
      [],
    ],
    ["recently started containers should not be removed", ["a/x 0 9 10"], { minAgeMs: 995 }, keepAll, {}, []],
    [
      "oldest containers should be removed when per pod container limit exceeded",
      ["a/x 0 1 2"],
      {},
      keepAll,
      {},
      ["a/x#1", "a/x#0"],
    ],
    [
      "max container count should apply per (UID, container) pair",
      ["a/x 0 1", "a/y 0 1", "b/x 0 1"],
      {},
      keepAll,
      {},
      ["a/x#0", "a/y#0", "b/x#0"],
    ],
    [
      "max limit should apply and try to keep from every pod",
      ["a/x 0 1", "b/x 2 3", "c/x 4 5"],
      { maxPerPodContainer: 2, maxContainers: 3 },
      keepAll,
      {},
      ["a/x#0", "b/x#2", "c/x#4"],
    ],
    [
      "oldest pods should be removed if limit exceeded",
      ["a/x 1", "b/x 2", "c/x 3"],
      { maxPerPodContainer: 2, maxContainers: 2 },
      keepAll,
      {},
      ["a/x#1"],
    ],
    [
      "running containers are no garbage",
      ["a/x 0 1"],
      { maxPerPodContainer: 0 },
      keepAll,
      { "a/x#1": "running" },
      ["a/x#0"],
    ],
    ["containers for deleted pods should be removed", ["a/x 0", "b/x 0"], {}, deleted, {}, ["a/x#0"]],
    [
      "containers for deleted pods may not be removed if allSourcesReady is set false",
      ["a/x 0"],
      {},
      { ...deleted, allSourcesReady: false },
      {},
      [],
    ],
    [
      "all non-running containers should be removed when evictTerminatingPods is set",
      ["a/x 0 1", "b/x 0"],
      {},
      { ...keepAll, evictTerminatedPods: true, shouldPodRuntimeBeRemoved: (uid) => uid === "a" },
      {},
      ["a/x#1", "a/x#0"],
    ],
  ])("%s", (_title, lines, policy, predicates, states, removed) => {
    const plan = computeContainerGc(world(lines, states), { ...DEFAULT, ...policy }, predicates, 1000);
    expect(plan.containers.map((dead) => dead.record.id).toSorted()).toEqual(removed.toSorted());
  });

  it("an exit that the runtime has not confirmed is not dead yet", () => {
    const pod = makePod();
    const dead = record(pod, "foo1", { ...exited(1), exitUnconfirmed: true });
    const plan = computeContainerGc(
      [status(pod, [dead])],
      { ...DEFAULT, maxPerPodContainer: 0 },
      keepAll,
      1e6,
    );
    expect(plan.containers).toEqual([]);
  });
});

// kubelet: TestSandboxGC
describe("computeContainerGc: sandboxes", () => {
  const pod = makePod({ metadata: { uid: "a" } });
  const old = sandbox({ id: "old", createdAt: 1, state: "notready" });
  const newest = sandbox({ id: "new", createdAt: 2, state: "notready" });
  const ready = sandbox({ id: "new", createdAt: 2 });
  const inOld = record(pod, "foo1", { ...exited(0), sandboxId: "old", createdAt: 5 });
  it.each([
    ["the newest is kept", [newest, old], [], keepAll, ["old"]],
    ["older exited sandboxes beside a ready one", [ready, old], [], keepAll, ["old"]],
    ["sandbox with containers should not be garbage collected", [newest, old], [inOld], keepAll, []],
    ["a deleted pod keeps none", [newest, old], [], deleted, ["new", "old"]],
    [
      "ready sandboxes without containers for deleted pods should not be garbage collected",
      [ready],
      [],
      deleted,
      [],
    ],
    ["a sandbox goes with its last container", [newest, old], [inOld], deleted, ["new", "old"]],
  ])("%s", (_title, sandboxes, containers, predicates, removed) => {
    const plan = computeContainerGc([status(pod, containers, sandboxes)], DEFAULT, predicates, 1000);
    expect(plan.sandboxes.map((one) => one.sandbox.id)).toEqual(removed);
  });
});

describe("garbageCollect", () => {
  const pod = makePod({ spec: { containers: [container("foo1")] } });
  it("removes a deleted pod with its logs, and an unknown container after it is killed", async () => {
    const harness = new Harness();
    await harness.sync(pod);
    Object.assign(harness.runtime.containers[0] ?? {}, { state: 3 });
    for (const one of harness.runtime.sandboxes) one.ready = false;
    harness.files.contents.set("/var/log/pods/default_web_uid-1/foo1/0.log", "x");
    harness.calls();
    const gone = { ...keepAll, shouldPodContentBeRemoved: () => true };
    expect(await harness.manager.garbageCollect([harness.status(pod)], gone)).toEqual({
      containers: 1,
      sandboxes: 1,
    });
    // kubelet: TestUnknownStateContainerGC
    expect(harness.calls()).toEqual([
      "containerStatus",
      "stopContainer",
      "removeContainer",
      "stopPodSandbox",
      "removePodSandbox",
    ]);
    expect(harness.files.contents.has("/var/log/pods/default_web_uid-1/foo1/0.log")).toBe(false);
  });

  it("a failure keeps the sandbox, is logged and comes again", async () => {
    const harness = new Harness();
    await harness.sync(pod);
    await harness.manager.killPod(pod, harness.status(pod), { reason: "PodKilled", causes: [] });
    harness.runtime.before.removeContainer = () => {
      throw criError("CRI_UNKNOWN", "RemoveContainer");
    };
    const gone = { ...keepAll, shouldPodContentBeRemoved: () => true };
    expect(await harness.manager.garbageCollect([harness.status(pod)], gone)).toEqual({
      containers: 0,
      sandboxes: 0,
    });
    delete harness.runtime.before.removeContainer;
    expect(await harness.manager.garbageCollect([harness.status(pod)], gone)).toEqual({
      containers: 1,
      sandboxes: 1,
    });
  });
});
