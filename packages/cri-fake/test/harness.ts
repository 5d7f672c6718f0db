// SPDX-License-Identifier: Apache-2.0

import { ManualClock } from "@holdfast/core/manual-clock";
import { FakeRuntime } from "@holdfast/cri-fake";
import type { FakeRuntimeOptions, Program } from "@holdfast/cri-fake";
import type { CriClient, DeepPartial, PodSandboxConfig } from "@holdfast/cri";

export const BUSYBOX = "holdfast.local/busybox:1";

/** A sandbox's configuration. */
export const sandboxConfig = (name = "web", attempt = 0) => ({
  metadata: { name, namespace: "default", uid: `uid-${name}`, attempt },
  labels: { pod: name },
  logDirectory: `/var/log/pods/${name}`,
});

/** A fake in virtual time whose containers do what `program` says. */
export function fakeWith(
  program: Program = {},
  options: Partial<FakeRuntimeOptions> = {},
): { clock: ManualClock; fake: FakeRuntime } {
  const clock = new ManualClock();
  return { clock, fake: new FakeRuntime({ clock, programs: () => program, ...options }) };
}

export async function runSandbox(
  cri: CriClient,
  name = "web",
  attempt = 0,
  more: DeepPartial<PodSandboxConfig> = {},
): Promise<string> {
  const { podSandboxId } = await cri.runPodSandbox({ config: { ...sandboxConfig(name, attempt), ...more } });
  return podSandboxId;
}

export async function create(
  cri: CriClient,
  podSandboxId: string,
  { name = "app", attempt = 0, pod = "web" } = {},
): Promise<string> {
  const { containerId } = await cri.createContainer({
    podSandboxId,
    sandboxConfig: sandboxConfig(pod),
    config: {
      metadata: { name, attempt },
      image: { image: BUSYBOX },
      labels: { name },
      logPath: `${name}/${attempt}.log`,
    },
  });
  return containerId;
}

/** A sandbox with one started container. */
export async function start(
  cri: CriClient,
  options: { pod?: string; name?: string; attempt?: number } = {},
): Promise<{ sandboxId: string; containerId: string }> {
  const sandboxId = await runSandbox(cri, options.pod);
  const containerId = await create(cri, sandboxId, options);
  await cri.startContainer({ containerId });
  return { sandboxId, containerId };
}

export async function statusOf(cri: CriClient, containerId: string) {
  const { status } = await cri.containerStatus({ containerId });
  if (status === undefined) throw new Error(`no status of ${containerId}`);
  return status;
}

/** The error of a call that must fail. */
export async function errorOf(call: Promise<unknown>): Promise<unknown> {
  try {
    await call;
  } catch (error) {
    return error;
  }
  throw new Error("the call succeeded");
}
