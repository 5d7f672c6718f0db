// SPDX-License-Identifier: Apache-2.0
import type { Pod } from "@holdfast/core/pod-types";
import { ManualClock } from "@holdfast/core/manual-clock";
import { computeApiPod, LocalStatusSink, StatusManager, StatusSync } from "@holdfast/status";
import { expect, test } from "vitest";
import { exited, options, pod, record, runtime, status } from "./builders.ts";

test("a whole v1.Pod: defaults of the API, its nulls, keys in order, and nothing that is not v1.Pod", () => {
  const of = { ...pod("Always", ["a"], [], { source: "file" }), holdfast: { worker: "sync" } } as Pod;
  const manager = new StatusManager({ clock: new ManualClock() });
  const made = computeApiPod(of, manager.update(of, runtime([record("a"), exited("a", 1)]), options()));
  expect(Object.keys(made)).toEqual(["apiVersion", "kind", "metadata", "spec", "status"]);
  expect(made.metadata).toEqual({
    annotations: { "kubernetes.io/config.source": "file" },
    creationTimestamp: "2026-01-01T00:00:00Z",
    name: "web",
    namespace: "default",
    uid: "uid-1",
  });
  expect(made.spec).toEqual({
    containers: [
      {
        image: "busybox",
        name: "a",
        resources: {},
        terminationMessagePath: "/dev/termination-log",
        terminationMessagePolicy: "File",
      },
    ],
    dnsPolicy: "ClusterFirst",
    enableServiceLinks: true,
    restartPolicy: "Always",
    schedulerName: "default-scheduler",
    securityContext: {},
    terminationGracePeriodSeconds: 30,
  });
  expect(made.status?.conditions?.[3]).toEqual({
    lastProbeTime: null,
    lastTransitionTime: "2026-01-01T00:00:00Z",
    status: "True",
    type: "ContainersReady",
  });
  expect(Object.keys(made.status?.containerStatuses?.[0] ?? {})).toEqual([
    "containerID",
    "image",
    "imageID",
    "lastState",
    "name",
    "ready",
    "resources",
    "restartCount",
    "started",
    "state",
  ]);
});

test("times that are not known are null; a pod without a status is Pending; the given values are not touched", () => {
  const lost = { terminated: { exitCode: 137, reason: "ContainerStatusUnknown" } };
  const of = Object.freeze(pod("Always"));
  const made = computeApiPod(
    of,
    { phase: "Running", containerStatuses: [status("a", lost)] },
    { resourceVersion: "7" },
  );
  expect(made.status?.containerStatuses?.[0]?.state.terminated).toEqual({
    exitCode: 137,
    finishedAt: null,
    reason: "ContainerStatusUnknown",
    startedAt: null,
  });
  expect(made.metadata.resourceVersion).toBe("7");
  expect(computeApiPod(of, undefined)).toMatchObject({ status: { phase: "Pending" } });
  expect("creationTimestamp" in computeApiPod(of, undefined).metadata).toBe(false);
});

test("the local sink shows pods whole, with versions that grow, and lets go of what is gone", async () => {
  const clock = new ManualClock();
  const manager = new StatusManager({ clock });
  const sink = new LocalStatusSink(2);
  await using sync = new StatusSync({ clock, source: manager, sink });
  await sync.start();
  for (const uid of ["1", "2", "3"]) {
    const of = pod("Always");
    manager.update({ ...of, metadata: { ...of.metadata, uid } }, { ...runtime([]), uid }, options());
  }
  await clock.settle();
  const { items, resourceVersion } = sink.list();
  expect([items.map(({ metadata }) => metadata.uid), resourceVersion]).toEqual([["2", "3"], "3"]);
  expect(sink.get("3")).toMatchObject({ metadata: { resourceVersion: "3" }, status: { phase: "Pending" } });
  manager.remove("3");
  expect([sink.get("3"), sink.list().resourceVersion, clock.waiting]).toEqual([undefined, "4", 0]);
});
