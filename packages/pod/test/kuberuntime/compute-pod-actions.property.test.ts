// SPDX-License-Identifier: Apache-2.0

import type { Container, Pod } from "@holdfast/core/pod-types";
import type { ContainerRecord, RuntimePodStatus } from "@holdfast/core/runtime-status";
import { newestByName } from "@holdfast/core/runtime-status";
import fc from "fast-check";
import { expect, it } from "vitest";
import { containerChanged } from "../../src/kuberuntime/action-draft.ts";
import { computePodActions } from "../../src/kuberuntime/compute-pod-actions.ts";
import type { ProbeResults } from "../../src/ports.ts";
import { container, makePod, record, sandbox, status } from "./fixtures.ts";

const policy = fc.constantFrom("Always", "OnFailure", "Never") as fc.Arbitrary<
  "Always" | "OnFailure" | "Never"
>;
const verdict = fc.constantFrom("success", "failure", undefined) as fc.Arbitrary<
  "success" | "failure" | undefined
>;

interface World {
  readonly pod: Pod;
  readonly runtime: RuntimePodStatus;
  readonly probes: ProbeResults;
  readonly liveness: ReadonlyMap<string, "success" | "failure" | undefined>;
  readonly startup: ReadonlyMap<string, "success" | "failure" | undefined>;
}

const world: fc.Arbitrary<World> = fc
  .record({
    restartPolicy: policy,
    deleted: fc.boolean(),
    hostPID: fc.boolean(),
    inits: fc.array(fc.record({ sidecar: fc.boolean(), probed: fc.boolean() }), { maxLength: 3 }),
    mains: fc.array(fc.option(policy, { nil: undefined }), { minLength: 1, maxLength: 3 }),
    records: fc.array(
      fc.record({
        index: fc.nat(5),
        state: fc.constantFrom("created", "running", "exited", "unknown") as fc.Arbitrary<
          ContainerRecord["state"]
        >,
        exitCode: fc.constantFrom(0, 1, 137),
        unconfirmed: fc.boolean(),
        sameHash: fc.boolean(),
        liveness: verdict,
        startup: verdict,
      }),
      { maxLength: 8 },
    ),
    sandboxes: fc.array(fc.record({ ready: fc.boolean(), ip: fc.constantFrom("", "10.0.0.1") }), {
      maxLength: 2,
    }),
  })
  .map((made) => {
    const initContainers = made.inits.map(({ sidecar, probed }, index) =>
      container(`init${index}`, {
        ...(sidecar ? { restartPolicy: "Always" as const } : {}),
        ...(probed
          ? { startupProbe: { tcpSocket: { port: 1 } }, livenessProbe: { tcpSocket: { port: 1 } } }
          : {}),
      }),
    );
    const containers = made.mains.map((own, index) =>
      container(`main${index}`, own === undefined ? {} : { restartPolicy: own }),
    );
    const pod = makePod({
      spec: { restartPolicy: made.restartPolicy, hostPID: made.hostPID, initContainers, containers },
      metadata: made.deleted ? { deletionTimestamp: "2026-01-01T00:00:00Z" } : {},
    });
    const all: Container[] = [...initContainers, ...containers];
    const liveness = new Map<string, "success" | "failure" | undefined>();
    const startup = new Map<string, "success" | "failure" | undefined>();
    const records = made.records.map((one, index) => {
      const made2 = record(pod, all[one.index % all.length]?.name ?? "", {
        id: `c${index}`,
        state: one.state,
        exitCode: one.exitCode,
        ...(one.state === "exited" && one.unconfirmed ? { exitUnconfirmed: true } : {}),
        ...(one.sameHash ? {} : { hash: "0" }),
      });
      liveness.set(made2.id, one.liveness);
      startup.set(made2.id, one.startup);
      return made2;
    });
    const sandboxes = made.sandboxes.map(({ ready, ip }, index) =>
      sandbox({ id: `s${index}`, attempt: 9 - index, state: ready ? "ready" : "notready", ip }),
    );
    const probes: ProbeResults = { liveness: (id) => liveness.get(id), startup: (id) => startup.get(id) };
    return { pod, runtime: status(pod, records, sandboxes), probes, liveness, startup };
  });

it("computePodActions keeps its invariants whatever the runtime says", () => {
  fc.assert(
    fc.property(world, ({ pod, runtime, probes, liveness, startup }) => {
      const actions = computePodActions(pod, runtime, probes);
      const newest = newestByName(runtime);
      const started = [...actions.initContainersToStart, ...actions.containersToStart];
      const names = started.map(({ name }) => name);
      const order = [...(pod.spec.initContainers ?? []), ...pod.spec.containers].map(({ name }) => name);

      // Nothing twice, and in spec order.
      expect(names).toEqual(order.filter((name) => names.includes(name)));
      // A pod that is killed gets a new sandbox or nothing; one that is not gets none.
      if (actions.killPod) expect(actions.containersToKill.size === 0 || !actions.createSandbox).toBe(true);
      if (actions.killPod && !actions.createSandbox) expect(names).toEqual([]);
      if (actions.createSandbox) expect(actions.killPod).toBe(true);
      // A deleted pod starts nothing.
      if (pod.metadata.deletionTimestamp !== undefined) expect(names).toEqual([]);
      if (actions.createSandbox) return;
      for (const one of started) {
        const found = newest.get(one.name);
        // What runs is started only after it is killed.
        if (found?.state === "running" || found?.state === "unknown")
          expect(actions.containersToKill.has(found.id)).toBe(true);
        // With the host's processes in sight, an unconfirmed exit waits.
        if (pod.spec.hostPID === true) expect(found?.exitUnconfirmed).not.toBe(true);
      }
      for (const { container: one, record: found } of actions.containersToKill.values()) {
        expect(newest.get(one.name)).toBe(found);
        if (found.state !== "running") continue;
        const sick = liveness.get(found.id) === "failure" || startup.get(found.id) === "failure";
        expect(sick || containerChanged(one, found)).toBe(true);
      }
    }),
    { numRuns: 1500 },
  );
});

it("computePodActions never asks twice: a pod where all that was started runs needs nothing more than its next step", () => {
  fc.assert(
    fc.property(world, ({ pod, runtime }) => {
      const healthy: ProbeResults = { liveness: () => "success", startup: () => "success" };
      let current = status(
        pod,
        runtime.containers.filter(({ state }) => state !== "unknown"),
        [],
      );
      // Runs what is planned, to a fixed point: each round starts at least one container anew.
      for (let round = 0; round < 20; round++) {
        const actions = computePodActions(pod, current, healthy);
        const started = [...actions.initContainersToStart, ...actions.containersToStart];
        if (started.length === 0 && actions.containersToKill.size === 0 && !actions.createSandbox) {
          expect(round).toBeLessThan(20);
          return;
        }
        const isOneShot = (one: Container): boolean =>
          pod.spec.initContainers?.includes(one) === true && one.restartPolicy !== "Always";
        const records = started.map((one) =>
          record(pod, one.name, isOneShot(one) ? { state: "exited" } : { state: "running" }),
        );
        const killed = current.containers.map((old) =>
          actions.killPod || actions.containersToKill.has(old.id)
            ? { ...old, state: "exited" as const }
            : old,
        );
        current = status(
          pod,
          [...records, ...killed],
          actions.createSandbox ? [sandbox()] : current.sandboxes,
        );
      }
      expect.unreachable("no fixed point");
    }),
    { numRuns: 500 },
  );
});
