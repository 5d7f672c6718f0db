// SPDX-License-Identifier: Apache-2.0
import { aggregateKubeEvents, computeKubeEvent, EventCorrelator } from "@holdfast/journal";
import type { KubeEventFacts } from "@holdfast/journal";
import { expect, test } from "vitest";
import { ABOUT, Bench, event, POD, UID } from "./builders.ts";

const facts = (message: string, at = 0, reason = "BackOff"): KubeEventFacts => ({
  involvedObject: { apiVersion: "v1", kind: "Pod", namespace: "default", name: "web", uid: UID },
  type: "Warning",
  reason,
  message,
  at,
  seq: at,
});

test.each([
  [
    "its own text",
    event("pod/Pulled", 1, ABOUT, {
      eventType: "Normal",
      reason: "Pulled",
      message: "m",
      fieldPath: "spec.containers{web}",
    }),
    {
      type: "Normal",
      reason: "Pulled",
      message: "m",
      involvedObject: { kind: "Pod", name: "web", fieldPath: "spec.containers{web}" },
    },
  ],
  [
    "a failed sync",
    event("pod/SyncFailed", 1, ABOUT, { step: "sync", message: "boom" }),
    { type: "Warning", reason: "FailedSync", message: "Error syncing pod, skipping: boom" },
  ],
  [
    "an eviction",
    event("pod/PodTerminating", 1, ABOUT, {
      reason: "Evicted",
      message: "The node was low on resource: memory.",
    }),
    { type: "Warning", reason: "Evicted", message: "The node was low on resource: memory." },
  ],
  [
    "an end for a critical pod",
    event("pod/PodTerminating", 1, ABOUT, {
      reason: "Evicted",
      statusReason: "Preempting",
      message: "Preempted in order to admit critical pod",
    }),
    { type: "Warning", reason: "Preempting", message: "Preempted in order to admit critical pod" },
  ],
  [
    "the end of a pod's time",
    event("pod/PodTerminating", 1, ABOUT, { reason: "DeadlineExceeded", message: "late" }),
    { type: "Normal", reason: "DeadlineExceeded", message: "late" },
  ],
  ["a removal", event("pod/PodTerminating", 1, ABOUT, { reason: "Removed", message: "" }), undefined],
  ["an event of the PLEG", event("pleg/ContainerDied", 1, ABOUT, { kind: "container" }), undefined],
  [
    "a pod that does not fit",
    event("resource/PodRefused", 1, ABOUT, { reason: "OutOfcpu", message: "no CPU left" }),
    { type: "Warning", reason: "OutOfcpu", message: "no CPU left" },
  ],
  [
    "a reboot",
    event("journal/NodeRebooted", 1, {}, { bootId: "b" }),
    {
      type: "Warning",
      reason: "Rebooted",
      message: "Node n1 has been rebooted, boot id: b",
      involvedObject: { kind: "Node", name: "n1", uid: "n1" },
    },
  ],
  [
    // kubelet: TestWatcherRecordsEventsForOomEventsWithAdditionalInfo
    "the machine out of memory",
    event("oom/SystemOOM", 1, {}, { process: "fakeProcess", pid: 1000 }),
    {
      type: "Warning",
      reason: "SystemOOM",
      message: "System OOM encountered, victim process: fakeProcess, pid: 1000",
    },
  ],
  [
    "the node is not ready",
    event("node/RuntimeReadinessChanged", 1, {}, { runtime: "down" }),
    { type: "Normal", reason: "NodeNotReady", message: "Node n1 status is now: NodeNotReady" },
  ],
])("the Kubernetes event of %s", (_name, given, expected) => {
  const found = computeKubeEvent(given, "n1");
  if (expected === undefined) expect(found).toBeUndefined();
  else expect(found).toMatchObject(expected);
});

test("equal events are counted", () => {
  const events = aggregateKubeEvents([facts("a", 1000), facts("b", 2000), facts("a", 61_000)], "n1");
  expect(events).toMatchObject([
    { message: "b", count: 1 },
    {
      message: "a",
      count: 2,
      firstTimestamp: "1970-01-01T00:00:01Z",
      lastTimestamp: "1970-01-01T00:01:01Z",
      source: { component: "kubelet", host: "n1" },
    },
  ]);
  expect(events[0]?.name).toMatch(/^web\.[0-9a-f]+$/);
});

test("an event that stands for several counts for several", () => {
  const told = event("probe/Unhealthy", 1, ABOUT, {
    eventType: "Warning",
    reason: "Unhealthy",
    message: "m",
    count: 3,
  });
  const found = computeKubeEvent(told, "n1");
  expect(aggregateKubeEvents(found === undefined ? [] : [found, found], "n1")).toMatchObject([{ count: 6 }]);
});

test("the tenth different message of one reason begins a combined event", () => {
  const correlator = new EventCorrelator("n1");
  const told = Array.from({ length: 12 }, (_, index) => correlator.aggregate(facts(`m${index}`, index)));
  expect(told[8]).toMatchObject({ message: "m8", count: 1 });
  expect(told[9]).toMatchObject({ message: "(combined from similar events): m9", count: 1 });
  expect(told[11]).toMatchObject({ message: "(combined from similar events): m11", count: 3 });
  // Ten minutes of quiet end it.
  expect(correlator.aggregate(facts("m12", 700_000))).toMatchObject({ message: "m12", count: 1 });
});

test("a flood about one object is dropped but for one in five minutes", () => {
  const correlator = new EventCorrelator("n1");
  const told = Array.from({ length: 40 }, () => correlator.correlate(facts("a", 0)));
  expect(told.filter((one) => one !== undefined)).toHaveLength(25);
  expect(correlator.dropped).toBe(15);
  expect(correlator.correlate(facts("a", 299_000))).toBeUndefined();
  expect(correlator.correlate(facts("a", 590_000))?.count).toBe(42);
  // A clock that steps back gives nothing away.
  expect(correlator.correlate(facts("a", -600_000))).toBeUndefined();
});

test("the journal tells them for a pod", async () => {
  await using bench = new Bench({ nodeName: "n1" });
  await bench.journal.start();
  for (let index = 0; index < 3; index++)
    bench.publish("pod/BackOff", { eventType: "Warning", reason: "BackOff", message: "Back-off" });
  bench.publish("pleg/PodSync", {});
  expect(bench.journal.kubeEvents({ pod: POD })).toMatchObject([{ reason: "BackOff", count: 3 }]);
});
