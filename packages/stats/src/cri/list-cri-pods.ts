// SPDX-License-Identifier: Apache-2.0

import { PodSandboxState, ContainerState } from "@holdfast/cri";
import type { CriClient, PodSandbox } from "@holdfast/cri";
import type { ListStatsPods, StatsPod } from "../ports.ts";

/** What of a runtime is asked. */
export type CriPodLister = Pick<CriClient, "listContainers" | "listPodSandbox">;

/** How pods are listed. */
export interface ListCriPodsOptions {
  /** Where pods' log folders lie. Default: logs are not counted. kubelet: podLogsDir, /var/log/pods. */
  readonly podLogsDir?: string;
}

/** Less than what a whole sample may take: a runtime that hangs costs its own figures only. */
const CALL_MS = 5000;
const NANOS_PER_MS = 1_000_000n;
const NO_CONTAINERS: readonly never[] = [];

/**
 * All pods of a CRI runtime that have a container that runs, whoever made them. Of several sandboxes of one pod the ready one counts, else the newest.
 * kubelet: ListPodStats of the CRI provider.
 */
export function listCriPods(runtime: CriPodLister, { podLogsDir }: ListCriPodsOptions = {}): ListStatsPods {
  return async (signal) => {
    const [{ containers }, { items }] = await Promise.all([
      runtime.listContainers(
        { filter: { state: { state: ContainerState.CONTAINER_RUNNING } } },
        { signal, deadlineMs: CALL_MS },
      ),
      runtime.listPodSandbox({}, { signal, deadlineMs: CALL_MS }),
    ]);
    const bySandbox = Map.groupBy(containers, ({ podSandboxId }) => podSandboxId);
    return newestSandboxes(items).map((sandbox): StatsPod => {
      const { name = "", namespace = "", uid = "" } = sandbox.metadata ?? {};
      return {
        uid,
        name,
        namespace,
        sandboxId: sandbox.id,
        createdAt: Number(sandbox.createdAt / NANOS_PER_MS),
        containers: (bySandbox.get(sandbox.id) ?? NO_CONTAINERS).map((container) => ({
          id: container.id,
          name: container.metadata?.name ?? "",
          createdAt: Number(container.createdAt / NANOS_PER_MS),
          logFolder:
            podLogsDir === undefined
              ? undefined
              : `${podLogsDir}/${namespace}_${name}_${uid}/${container.metadata?.name ?? ""}`,
        })),
      };
    });
  };
}

function newestSandboxes(items: readonly PodSandbox[]): readonly PodSandbox[] {
  const chosen = new Map<string, PodSandbox>();
  for (const sandbox of items) {
    const key = `${sandbox.metadata?.namespace}/${sandbox.metadata?.name}`;
    const other = chosen.get(key);
    if (other === undefined || isBetter(sandbox, other)) chosen.set(key, sandbox);
  }
  return [...chosen.values()];
}

function isBetter(one: PodSandbox, other: PodSandbox): boolean {
  const ready = (sandbox: PodSandbox): boolean => sandbox.state === PodSandboxState.SANDBOX_READY;
  return ready(one) === ready(other) ? one.createdAt > other.createdAt : ready(one);
}
