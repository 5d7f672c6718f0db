// SPDX-License-Identifier: Apache-2.0

import { DEFAULT_CONTAINER_GC_POLICY, planContainerGc } from "@holdfast/gc";
import type { ContainerGcFacts, ContainerGcPolicy, GcContainer, GcSandbox } from "@holdfast/gc";
import fc from "fast-check";
import { describe, expect, it } from "vitest";

const NOW = 1_000_000;
const OFF: ContainerGcPolicy = {
  minAgeMs: 0,
  maxPerPodContainer: -1,
  maxContainers: -1,
  maxListBytes: -1,
};

/** A dead container: pod and name, how old, and what is unlike others. */
function dead(pod: string, name: string, age: number, other: Partial<GcContainer> = {}): GcContainer {
  return {
    id: `${pod}/${name}@${age}`,
    podUid: pod,
    podName: pod,
    podNamespace: "default",
    name,
    sandboxId: `sandbox-${pod}`,
    state: "exited",
    createdAt: NOW - age,
    attempt: 0,
    listBytes: 100,
    graceSeconds: 30,
    ...other,
  };
}

function sandbox(pod: string, age: number, other: Partial<GcSandbox> = {}): GcSandbox {
  return {
    id: `sandbox-${pod}@${age}`,
    podUid: pod,
    podName: pod,
    podNamespace: "default",
    ready: false,
    createdAt: NOW - age,
    attempt: 0,
    ...other,
  };
}

function facts(given: Partial<ContainerGcFacts>): ContainerGcFacts {
  return {
    containers: [],
    sandboxes: [],
    logFolders: [],
    allSourcesReady: true,
    isGone: (uid) => uid.startsWith("gone"),
    isTerminated: (uid) => uid.startsWith("gone") || uid.startsWith("ended"),
    isOurs: () => true,
    now: NOW,
    evictTerminated: false,
    ...given,
  };
}

function taken(given: Partial<ContainerGcFacts>, policy: Partial<ContainerGcPolicy>): string[] {
  const { containers } = planContainerGc(facts(given), { ...OFF, ...policy });
  return containers.flatMap(({ thing, verdict, rule }) =>
    verdict === "remove" ? [`${thing.id} ${rule}`] : [],
  );
}

const THREE = [dead("a", "app", 3), dead("a", "app", 2), dead("a", "app", 1)];
const GRID = ["a", "b", "c"].flatMap((pod) => [dead(pod, "app", 20), dead(pod, "app", 10)]);

// kubelet: TestContainerGC
describe("dead containers", () => {
  it("all are removed when the node may keep none", () => {
    expect(taken({ containers: [dead("a", "app", 1)] }, { maxContainers: 0 })).toEqual([
      "a/app@1 node-limit",
    ]);
  });

  it("the node's limit holds when there is none per container", () => {
    const containers = [5, 4, 3, 2, 1].map((age) => dead("a", "app", age));
    expect(taken({ containers }, { maxContainers: 4 })).toEqual(["a/app@5 node-limit"]);
  });

  it("none is removed without limits", () => {
    expect(taken({ containers: THREE }, {})).toEqual([]);
  });

  it("recently created ones are not removed, whenever they ended", () => {
    const containers = [dead("a", "app", 3000), dead("a", "app", 60_000)];
    expect(taken({ containers }, { minAgeMs: 60_000, maxPerPodContainer: 0 })).toEqual([
      "a/app@60000 per-container-limit",
    ]);
    // A clock that was stepped back by an hour makes them younger, and a limit waits.
    expect(taken({ containers, now: NOW - 3_600_000 }, { minAgeMs: 60_000, maxPerPodContainer: 0 })).toEqual(
      [],
    );
  });

  it("the oldest go when there are too many of a name, in whatever order they are listed", () => {
    expect(taken({ containers: THREE }, { maxPerPodContainer: 1 })).toEqual([
      "a/app@3 per-container-limit",
      "a/app@2 per-container-limit",
    ]);
    expect(taken({ containers: THREE.toReversed() }, { maxPerPodContainer: 2 })).toEqual([
      "a/app@3 per-container-limit",
    ]);
  });

  it("limits are per pod and name", () => {
    const containers = [dead("a", "app", 2), dead("a", "other", 2), dead("b", "app", 2)];
    expect(taken({ containers }, { maxPerPodContainer: 1 })).toEqual([]);
  });

  it("a running one is no dead one", () => {
    const containers = [dead("a", "app", 3), dead("a", "app", 2), dead("a", "app", 1, { state: "running" })];
    expect(taken({ containers }, { maxPerPodContainer: 1 })).toEqual(["a/app@3 per-container-limit"]);
  });

  it("the node's limit takes from every pod first, then the oldest", () => {
    expect(taken({ containers: GRID }, { maxContainers: 4 })).toEqual([
      "a/app@20 node-limit",
      "b/app@20 node-limit",
      "c/app@20 node-limit",
    ]);
    const ages = [30, 20, 10].map((age, index) => dead(`pod${index}`, "app", age));
    expect(taken({ containers: ages }, { maxContainers: 2 })).toEqual(["pod0/app@30 node-limit"]);
  });

  it("those of pods that are gone are removed, once every source has listed", () => {
    const containers = [
      dead("gone", "app", 2),
      dead("gone", "app", 1, { state: "created" }),
      dead("a", "app", 1),
    ];
    expect(taken({ containers }, { maxPerPodContainer: 1 })).toEqual([
      "gone/app@2 pod-gone",
      "gone/app@1 pod-gone",
    ]);
    expect(taken({ containers, allSourcesReady: false }, {})).toEqual([]);
  });

  it("under disk pressure those of ended pods go, too", () => {
    const containers = [
      dead("ended", "app", 1),
      dead("a", "app", 1),
      dead("ended", "b", 1, { state: "running" }),
    ];
    expect(taken({ containers, evictTerminated: true }, { maxPerPodContainer: 1 })).toEqual([
      "ended/app@1 pod-terminated",
    ]);
    expect(taken({ containers }, { maxPerPodContainer: 1 })).toEqual([]);
  });

  it("one that was just created is about to be started, and stays", () => {
    const containers = [dead("a", "app", 2), dead("a", "app", 1, { state: "created" })];
    expect(taken({ containers }, { maxPerPodContainer: 0 })).toEqual(["a/app@2 per-container-limit"]);
    expect(taken({ containers }, { maxPerPodContainer: 1 })).toEqual(["a/app@2 per-container-limit"]);
    expect(taken({ containers }, { maxContainers: 0 })).toEqual(["a/app@2 node-limit"]);
  });

  it("a list that grows too long loses the oldest, the last of a name after all others", () => {
    const containers = [dead("a", "app", 9), dead("b", "app", 5), dead("b", "app", 1)];
    const running = dead("c", "app", 1, { state: "running", listBytes: 500 });
    expect(taken({ containers: [...containers, running] }, { maxListBytes: 700 })).toEqual([
      "b/app@5 list-bytes",
    ]);
    expect(taken({ containers: [...containers, running] }, { maxListBytes: 650 })).toEqual([
      "b/app@5 list-bytes",
      "a/app@9 list-bytes",
    ]);
    const plan = planContainerGc(facts({ containers: [...containers, running] }), {
      ...OFF,
      maxListBytes: 0,
    });
    expect([plan.listBytes, plan.listBytesAfter]).toEqual([800, 500]);
  });

  it("every line has a reason", () => {
    const { containers } = planContainerGc(facts({ containers: THREE }), DEFAULT_CONTAINER_GC_POLICY);
    expect(containers.map(({ rule, reason }) => `${rule}: ${reason}`)).toEqual([
      "per-container-limit: older than the 1 dead that are kept of its name",
      "per-container-limit: older than the 1 dead that are kept of its name",
      "kept: within the limits",
    ]);
  });
});

// kubelet: TestSandboxGC
describe("sandboxes", () => {
  const going = (given: Partial<ContainerGcFacts>): string[] =>
    planContainerGc(facts(given), DEFAULT_CONTAINER_GC_POLICY).sandboxes.flatMap(({ thing, verdict, rule }) =>
      verdict === "remove" ? [`${thing.id} ${rule}`] : [],
    );

  it("a ready one stays, also of a pod that is gone", () => {
    expect(going({ sandboxes: [sandbox("gone", 1, { ready: true })] })).toEqual([]);
  });

  it("older ones go, the newest stays, unless the pod is gone", () => {
    expect(going({ sandboxes: [sandbox("a", 1), sandbox("a", 2), sandbox("a", 3)] })).toEqual([
      "sandbox-a@3 older-sandbox",
      "sandbox-a@2 older-sandbox",
    ]);
    expect(going({ sandboxes: [sandbox("gone", 1)] })).toEqual(["sandbox-gone@1 pod-gone"]);
    // The kubelet's predicate does not wait for sources here.
    expect(going({ sandboxes: [sandbox("gone", 1)], allSourcesReady: false })).toEqual([
      "sandbox-gone@1 pod-gone",
    ]);
    expect(going({ sandboxes: [sandbox("ended", 1)] })).toEqual([]);
    expect(going({ sandboxes: [sandbox("ended", 1)], evictTerminated: true })).toEqual([
      "sandbox-ended@1 pod-terminated",
    ]);
  });

  it("one with a container that is left stays", () => {
    const old = sandbox("a", 5);
    const containers = [
      dead("a", "app", 5, { sandboxId: old.id }),
      dead("a", "app", 1, { sandboxId: "sandbox-a@1" }),
    ];
    const sandboxes = [old, sandbox("a", 1, { ready: true })];
    expect(going({ sandboxes, containers })).toEqual([`${old.id} older-sandbox`]);
    expect(going({ sandboxes, containers: containers.slice(0, 1) })).toEqual([]);
  });
});

// kubelet: TestPodLogDirectoryGC
describe("folders of logs", () => {
  const rules = (given: Partial<ContainerGcFacts>): string[] =>
    planContainerGc(facts(given), DEFAULT_CONTAINER_GC_POLICY).logFolders.map(
      ({ thing, rule }) => `${thing} ${rule}`,
    );
  const logFolders = ["default_web_a", "default_my_pod_gone", "gone2"];

  it("those of pods that are gone go, by the text after the last underline", () => {
    expect(rules({ logFolders })).toEqual([
      "default_my_pod_gone pod-gone",
      "gone2 pod-gone",
      "default_web_a pod-known",
    ]);
  });

  it("none goes before every source has listed, without proof of ownership, or while containers are left", () => {
    expect(rules({ logFolders, allSourcesReady: false })).not.toContainEqual(
      expect.stringContaining("pod-gone"),
    );
    expect(rules({ logFolders, isOurs: (uid) => uid === "gone" })).toEqual([
      "default_my_pod_gone pod-gone",
      "default_web_a not-ours",
      "gone2 not-ours",
    ]);
    const containers = [dead("gone", "app", 1, { state: "running" })];
    expect(rules({ logFolders, containers })[0]).toBe("gone2 pod-gone");
  });
});

describe("any plan", () => {
  const container = fc.record({
    pod: fc.constantFrom("a", "b", "gone", "ended"),
    name: fc.constantFrom("x", "y"),
    age: fc.integer({ min: 0, max: 50 }),
    state: fc.constantFrom("created" as const, "running" as const, "exited" as const, "unknown" as const),
  });
  const policy = fc.record({
    minAgeMs: fc.integer({ min: 0, max: 20 }),
    maxPerPodContainer: fc.integer({ min: -1, max: 3 }),
    maxContainers: fc.integer({ min: -1, max: 6 }),
    maxListBytes: fc.integer({ min: -1, max: 2000 }),
  });

  it("removes no running, no young and no unlisted container, names each once, and keeps its limits", () => {
    fc.assert(
      fc.property(fc.array(container, { maxLength: 30 }), policy, fc.boolean(), (specs, limits, ready) => {
        const containers = specs.map(({ pod, name, age, state }, index) =>
          dead(pod, name, age, { id: String(index), state }),
        );
        const plan = planContainerGc(facts({ containers, allSourcesReady: ready }), limits);
        expect(plan.containers.map(({ thing }) => thing.id).sort()).toEqual(
          containers.map(({ id }) => id).sort(),
        );
        const removed = plan.containers
          .filter(({ verdict }) => verdict === "remove")
          .map(({ thing }) => thing);
        for (const { state, createdAt } of removed) {
          expect(state).not.toBe("running");
          expect(NOW - createdAt).toBeGreaterThanOrEqual(limits.minAgeMs);
        }
        const gone = new Set(removed.map(({ id }) => id));
        const left = containers.filter(
          ({ id, state, createdAt }) =>
            !gone.has(id) && state !== "running" && state !== "created" && NOW - createdAt >= limits.minAgeMs,
        );
        if (limits.maxContainers >= 0) expect(left.length).toBeLessThanOrEqual(limits.maxContainers);
        if (limits.maxPerPodContainer >= 0)
          for (const group of Map.groupBy(left, ({ podUid, name }) => `${podUid}/${name}`).values())
            expect(group.length).toBeLessThanOrEqual(limits.maxPerPodContainer);
        expect(plan.listBytesAfter).toBe((containers.length - removed.length) * 100);
      }),
    );
  });
});
