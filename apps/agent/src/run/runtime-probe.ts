// SPDX-License-Identifier: Apache-2.0

/** What is asked of the runtime once, before pods are touched: its cgroup driver, and whether a kubelet's pods live there. */
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { HoldfastError, isUnimplemented } from "@holdfast/core/errors";
import type { Logger } from "@holdfast/core/log";
import { NODE_LABEL, POD_UID_LABEL } from "@holdfast/core/names";
import { CgroupDriver as CriCgroupDriver } from "@holdfast/cri";
import type { CriClient } from "@holdfast/cri";
import { readRuntimeSettings } from "@holdfast/node";
import type { CgroupDriver } from "@holdfast/resource";

const DEADLINE_MS = 10_000;

/** RuntimeConfig tells; containerd 1.6 and 1.7 do not know it, there verbose Status shows the setting; else the configuration decides. */
export async function detectCgroupDriver(
  runtime: CriClient,
  configured: CgroupDriver,
  logger: Logger,
  signal: AbortSignal,
): Promise<CgroupDriver> {
  try {
    const answer = await runtime.runtimeConfig({}, { signal, deadlineMs: DEADLINE_MS });
    if (answer.linux !== undefined)
      return answer.linux.cgroupDriver === CriCgroupDriver.SYSTEMD ? "systemd" : "cgroupfs";
  } catch (error) {
    if (!isUnimplemented(error)) throw error;
  }
  const status = await runtime.status({ verbose: true }, { signal, deadlineMs: DEADLINE_MS });
  const { systemdCgroup } = readRuntimeSettings(status.info);
  if (systemdCgroup === undefined)
    logger.warn("the runtime does not tell its cgroup driver; the configured one is used", {
      driver: configured,
    });
  return systemdCgroup === undefined ? configured : systemdCgroup ? "systemd" : "cgroupfs";
}

/** Throws AGENT_KUBELET where a kubelet runs and pods live on this runtime that no Holdfast made. */
export async function refuseWhereKubeletLives(runtime: CriClient, signal: AbortSignal): Promise<void> {
  if (!kubeletRuns()) return;
  const { items } = await runtime.listPodSandbox({}, { signal, deadlineMs: DEADLINE_MS });
  const foreign = items.filter(
    (sandbox) => sandbox.labels[POD_UID_LABEL] !== undefined && sandbox.labels[NODE_LABEL] === undefined,
  );
  if (foreign.length === 0) return;
  throw new HoldfastError(
    "AGENT_KUBELET",
    "permanent",
    `a kubelet runs on this machine and ${foreign.length} of its pods live on ${runtime.endpoint}; give Holdfast a runtime of its own, or start it with --share`,
  );
}

/** Whether a process of that name runs and pods of a kubelet lie on this machine. */
export function kubeletRuns(): boolean {
  if (!existsSync("/var/lib/kubelet/pods")) return false;
  return readdirSync("/proc").some((entry) => {
    if (!/^\d+$/.test(entry)) return false;
    try {
      return readFileSync(`/proc/${entry}/comm`, "utf8").trim() === "kubelet";
    } catch {
      return false; // ended meanwhile
    }
  });
}
