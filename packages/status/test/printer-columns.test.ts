// SPDX-License-Identifier: Apache-2.0
import type { ContainerStatus, Pod, PodStatus } from "@holdfast/core/pod-types";
import { podPrinterColumns } from "@holdfast/status";
import { expect, test } from "vitest";
import { ended, pod, running, sidecar, status, waiting } from "./builders.ts";

const completed = (exitCode = 0): ContainerStatus["state"] => ({
  terminated: { exitCode, reason: exitCode === 0 ? "Completed" : "Error" },
});
const ready = (name: string, more: Partial<ContainerStatus> = {}): ContainerStatus =>
  status(name, running, { ready: true, started: true, ...more });
const is = (type: string): NonNullable<PodStatus["conditions"]> => [{ type, status: "True" }];
const two = pod("Always", ["a", "b"]);
const withInit = pod("Always", ["a"], ["i", "j"]);
const withSidecar = pod("Always", ["a"], [sidecar("s")]);
const deleted = pod("Always", ["a", "b"], [], { deleted: true });

// kubectl: TestPrintPod, TestPrintPodWithInitContainers... (pkg/printers/internalversion)
test.each<[string, Pod, PodStatus, string]>([
  ["nothing known", two, { phase: "Pending" }, "0/2 Pending 0"],
  [
    "one of two ready",
    two,
    { phase: "Running", containerStatuses: [ready("a", { restartCount: 6 }), status("b", running)] },
    "1/2 Running 6",
  ],
  ["both ready", two, { phase: "Running", containerStatuses: [ready("a"), ready("b")] }, "2/2 Running 0"],
  [
    "creating",
    two,
    { phase: "Pending", containerStatuses: [status("a", waiting("ContainerCreating"))] },
    "0/2 ContainerCreating 0",
  ],
  [
    "pull error",
    two,
    { phase: "Pending", containerStatuses: [status("a", waiting("ImagePullBackOff")), ready("b")] },
    "1/2 ImagePullBackOff 0",
  ],
  [
    "crash loop",
    two,
    {
      phase: "Running",
      containerStatuses: [ready("a"), status("b", waiting("CrashLoopBackOff"), { restartCount: 4 })],
    },
    "1/2 CrashLoopBackOff 4",
  ],
  [
    "completed",
    two,
    { phase: "Succeeded", containerStatuses: [status("a", completed()), status("b", completed())] },
    "0/2 Completed 0",
  ],
  [
    "one completed, one running, ready",
    two,
    { phase: "Running", conditions: is("Ready"), containerStatuses: [status("a", completed()), ready("b")] },
    "1/2 Running 0",
  ],
  [
    "one completed, one running, not ready",
    two,
    { phase: "Running", containerStatuses: [status("a", completed()), ready("b")] },
    "1/2 NotReady 0",
  ],
  [
    "error",
    two,
    { phase: "Failed", containerStatuses: [status("a", completed(1)), status("b", completed())] },
    "0/2 Error 0",
  ],
  [
    "exit code without a reason",
    two,
    { phase: "Failed", containerStatuses: [status("a", ended(3))] },
    "0/2 ExitCode:3 0",
  ],
  [
    "a signal",
    two,
    { phase: "Failed", containerStatuses: [status("a", { terminated: { exitCode: 137, signal: 9 } })] },
    "0/2 Signal:9 0",
  ],
  ["a reason of the pod's", two, { phase: "Failed", reason: "Evicted" }, "0/2 Evicted 0"],
  [
    "deleted",
    deleted,
    { phase: "Running", containerStatuses: [ready("a"), ready("b")] },
    "2/2 Terminating 0",
  ],
  [
    "deleted and ended",
    deleted,
    { phase: "Succeeded", containerStatuses: [status("a", completed())] },
    "0/2 Completed 0",
  ],
  ["deleted on a lost node", deleted, { phase: "Running", reason: "NodeLost" }, "0/2 Unknown 0"],
  [
    "init not begun",
    withInit,
    {
      phase: "Pending",
      initContainerStatuses: [
        status("i", waiting("PodInitializing")),
        status("j", waiting("PodInitializing")),
      ],
    },
    "0/1 Init:0/2 0",
  ],
  [
    "init running",
    withInit,
    {
      phase: "Pending",
      initContainerStatuses: [status("i", completed()), status("j", running, { restartCount: 3 })],
    },
    "0/1 Init:1/2 3",
  ],
  [
    "init waiting",
    withInit,
    {
      phase: "Pending",
      initContainerStatuses: [status("i", waiting("CrashLoopBackOff"), { restartCount: 2 })],
    },
    "0/1 Init:CrashLoopBackOff 2",
  ],
  [
    "init failed",
    withInit,
    { phase: "Failed", initContainerStatuses: [status("i", completed(1))] },
    "0/1 Init:Error 0",
  ],
  [
    "init failed, no reason",
    withInit,
    { phase: "Failed", initContainerStatuses: [status("i", ended(2))] },
    "0/1 Init:ExitCode:2 0",
  ],
  [
    "init done, main about to start",
    withInit,
    {
      phase: "Pending",
      initContainerStatuses: [status("i", completed(), { restartCount: 9 }), status("j", completed())],
      containerStatuses: [status("a", waiting("PodInitializing"))],
    },
    "0/1 PodInitializing 0",
  ],
  [
    "initialised once, an init container runs again",
    withInit,
    {
      phase: "Running",
      conditions: is("Initialized"),
      initContainerStatuses: [status("i", running, { restartCount: 1 })],
      containerStatuses: [ready("a", { restartCount: 2 })],
    },
    "1/1 Init:0/2 2",
  ],
  [
    "sidecar and main ready",
    withSidecar,
    {
      phase: "Running",
      initContainerStatuses: [ready("s", { restartCount: 3 })],
      containerStatuses: [ready("a", { restartCount: 1 })],
    },
    "2/2 Running 4",
  ],
  [
    "sidecar not started",
    withSidecar,
    { phase: "Pending", initContainerStatuses: [status("s", running, { started: false })] },
    "0/2 Init:0/1 0",
  ],
])("%s", (_name, of, one, wanted) => {
  const columns = podPrinterColumns(of, one);
  expect(`${columns.ready} ${columns.status} ${columns.restarts}`).toBe(wanted);
});

test("the age of the last restart, never negative", () => {
  const now = Date.UTC(2026, 0, 1, 0, 10);
  const lastState = { terminated: { exitCode: 1, finishedAt: "2026-01-01T00:05:00Z" } };
  const one: PodStatus = {
    phase: "Running",
    containerStatuses: [ready("a", { restartCount: 3, lastState })],
  };
  expect(podPrinterColumns(pod("Always"), one, now).restarts).toBe("3 (5m ago)");
  expect(podPrinterColumns(pod("Always"), one, now - 3_600_000).restarts).toBe("3 (0s ago)");
  const never: PodStatus = { phase: "Running", containerStatuses: [ready("a", { lastState })] };
  expect(podPrinterColumns(pod("Always"), never, now).restarts).toBe("0");
});
