// SPDX-License-Identifier: Apache-2.0

// Pods without the kubelet's labels, as crictl makes them: all of it is seen, and no look takes them for gone.
import { expect, test } from "vitest";
import { Bus } from "@holdfast/bus";
import { ManualClock } from "@holdfast/core/manual-clock";
import { FakeRuntime } from "@holdfast/cri-fake";
import { GenericPLEG, runtimeEvents } from "@holdfast/pleg";

test("a pod of crictl's: its life is told once, by its sandbox's metadata", async () => {
  const clock = new ManualClock();
  const runtime = new FakeRuntime({
    clock,
    programs: () => ({ exitAfterMs: 3000, exitCode: 4 }),
    criLagMs: 20,
  });
  const bus = new Bus({ clock });
  await using pleg = new GenericPLEG({ runtime, events: runtimeEvents(runtime), clock, publish: bus });
  await pleg.start();
  await clock.advance(2500);
  const config = { metadata: { name: "demo", namespace: "default", uid: "uid-demo", attempt: 0 } };
  const { podSandboxId } = await runtime.runPodSandbox({ config });
  await clock.advance(500);
  const { containerId } = await runtime.createContainer({
    podSandboxId,
    sandboxConfig: config,
    config: { metadata: { name: "main", attempt: 0 }, image: { image: "holdfast.local/busybox:1" } },
  });
  await runtime.startContainer({ containerId });
  await clock.advance(500);
  expect(pleg.get("uid-demo").status).toMatchObject({
    name: "demo",
    namespace: "default",
    sandboxes: [{ id: podSandboxId, state: "ready" }],
    containers: [{ id: containerId, name: "main", state: "running" }],
  });
  pleg.requestRelist("uid-demo");
  await clock.advance(3000);
  await runtime.removePodSandbox({ podSandboxId });
  await clock.advance(15_000);
  const told = bus
    .recent()
    .filter(({ type }) => type !== "pleg/PodSync")
    .map(({ type, subject, data }) => `${type} ${subject.pod ?? ""} ${(data as { name: string }).name}`);
  expect(told).toEqual([
    "pleg/ContainerStarted default/demo ",
    "pleg/ContainerStarted default/demo main",
    "pleg/ContainerDied default/demo main",
    "pleg/ContainerRemoved default/demo main",
    "pleg/ContainerDied default/demo ",
    "pleg/ContainerRemoved default/demo ",
  ]);
  expect(pleg.snapshot().pods).toBe(0);
});
