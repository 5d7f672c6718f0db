// SPDX-License-Identifier: Apache-2.0

/** Finds the log file of a pod's container. */
import { readdir } from "node:fs/promises";
import { join } from "node:path";
import { allContainers } from "@holdfast/core/pod";
import { HoldfastError } from "@holdfast/core/errors";
import type { PodObject } from "../api/types.ts";

/** The container whose log is meant. Throws AGENT_REQUEST where that is not clear. kubelet: validateContainerLogStatus. */
export function chooseContainer(pod: PodObject, wanted: string | undefined): string {
  const names = allContainers(pod.spec).map((container) => container.name);
  if (wanted !== undefined) {
    if (names.includes(wanted)) return wanted;
    throw new HoldfastError(
      "AGENT_NO_CONTAINER",
      "not-found",
      `container ${wanted} is not in pod ${pod.metadata.name}; it has ${names.join(", ")}`,
    );
  }
  const [only, ...others] = pod.spec.containers;
  if (only === undefined || others.length > 0) {
    throw new HoldfastError(
      "AGENT_REQUEST",
      "bad-input",
      `pod ${pod.metadata.name} has several containers; name one of ${names.join(", ")}`,
    );
  }
  return only.name;
}

/**
 * The newest log file of the container, or the one before it. Files are named by restart count, as the kubelet's.
 * Throws AGENT_NO_LOG when there is none. Names come from a validated manifest and lead nowhere else.
 */
export async function logFileOf(
  podLogsDir: string,
  pod: PodObject,
  container: string,
  previous: boolean,
): Promise<string> {
  const { namespace, name, uid } = pod.metadata;
  const folder = join(podLogsDir, `${namespace}_${name}_${uid}`, container);
  const files = await readdir(folder).catch((error: NodeJS.ErrnoException) => {
    if (error.code === "ENOENT") return [] as string[];
    throw error;
  });
  const counts = files
    .filter((file) => /^\d+\.log$/.test(file))
    .map((file) => Number.parseInt(file, 10))
    .toSorted((a, b) => b - a);
  const count = counts[previous ? 1 : 0];
  if (count === undefined) {
    throw new HoldfastError(
      "AGENT_NO_LOG",
      "not-found",
      `${missingLogText(pod, container, previous)} (pod ${name})`,
    );
  }
  return join(folder, `${count}.log`);
}

function missingLogText({ status }: PodObject, container: string, previous: boolean): string {
  if (previous) return `no earlier log of container ${container}: it was not restarted, or its log is gone`;
  // What an evicted pod leaves takes room that the node was short of.
  if (status.phase === "Failed" && (status.reason === "Evicted" || status.reason === "Preempting"))
    return `the logs of container ${container} went when the pod was evicted; its end: holdfast why`;
  return `container ${container} has no log yet`;
}
