// SPDX-License-Identifier: Apache-2.0

import { ManualClock } from "@holdfast/core/manual-clock";
import { FakeRuntime } from "@holdfast/cri-fake";
import { listCriPods, SummaryProvider } from "@holdfast/stats";
import { expect, test } from "vitest";
import { MemoryHost, v1Tree } from "./fixtures.ts";

async function runPod(
  runtime: FakeRuntime,
  name: string,
  attempt = 0,
): Promise<{ sandbox: string; container: string }> {
  const metadata = { name, namespace: "default", uid: `uid-${name}`, attempt };
  const { podSandboxId } = await runtime.runPodSandbox({ config: { metadata } });
  const { containerId } = await runtime.createContainer({
    podSandboxId,
    config: { metadata: { name: "main", attempt }, image: { image: "holdfast.local/busybox:1" } },
  });
  await runtime.startContainer({ containerId });
  return { sandbox: podSandboxId, container: containerId };
}

// kubelet: TestCRIListPodStats
test("lists what runs; of several sandboxes the ready one counts", async () => {
  const clock = new ManualClock();
  const runtime = new FakeRuntime({ clock });
  const old = await runPod(runtime, "web");
  await runtime.stopPodSandbox({ podSandboxId: old.sandbox });
  await clock.advance(1000);
  const fresh = await runPod(runtime, "web", 1);
  const other = await runPod(runtime, "log");
  await runtime.stopContainer({ containerId: other.container, timeout: 0n });
  const pods = await listCriPods(runtime, { podLogsDir: "/var/log/pods" })(new AbortController().signal);
  expect(pods).toMatchObject([
    {
      uid: "uid-web",
      name: "web",
      namespace: "default",
      sandboxId: fresh.sandbox,
      containers: [
        { id: fresh.container, name: "main", logFolder: "/var/log/pods/default_web_uid-web/main" },
      ],
    },
    { name: "log", containers: [] },
  ]);
});

test("with a runtime and no cgroups of its containers, the runtime's figures are shown", async () => {
  const clock = new ManualClock();
  const runtime = new FakeRuntime({ clock });
  await runPod(runtime, "web");
  await using provider = new SummaryProvider({
    clock,
    host: new MemoryHost(v1Tree()),
    pods: listCriPods(runtime),
    runtime,
    nodeName: "here",
    nodeFsPath: "/var/lib/holdfast",
  });
  const { summary } = await provider.sample();
  const [container] = summary.pods[0]?.containers ?? [];
  expect(container?.name).toBe("main");
  expect(container?.cpu?.usageCoreNanoSeconds).toBeTypeOf("number");
  expect(container?.memory?.workingSetBytes).toBeTypeOf("number");
});
