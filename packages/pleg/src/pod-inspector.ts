// SPDX-License-Identifier: Apache-2.0

/**
 * Looks closer at one pod: which status calls are needed, and the status that comes of them. Holds no state.
 * What a list shows unchanged and the cache has already is not asked for again: a record of it cannot have changed.
 */
import { linkSignal } from "@holdfast/core/lifecycle";
import type { RuntimePodStatus } from "@holdfast/core/runtime-status";
import { buildContainer, buildPodStatus, buildSandbox } from "./build-pod-status.ts";
import type { InspectedSandbox } from "./build-pod-status.ts";
import { inOrder } from "./pod-records.ts";
import type { ListedItem, ListedPod } from "./pod-records.ts";
import type { RuntimeCalls, Urgency } from "./runtime-calls.ts";

/** What is to be looked at. */
export interface Inspection {
  readonly pod: ListedPod;
  readonly cached: RuntimePodStatus | undefined;
  /** Whether this item must be asked for although the cache has it. */
  readonly isDue: (item: ListedItem) => boolean;
  readonly urgency: Urgency;
}

/** What was found. */
export interface Inspected {
  readonly status: RuntimePodStatus;
  /** Ids that the runtime did not know any more. */
  readonly vanished: ReadonlySet<string>;
}

/** Makes the calls, in parallel; the first failure gives up the others and is thrown. */
export async function inspectPod(
  calls: RuntimeCalls,
  { pod, cached, isDue, urgency }: Inspection,
  signal: AbortSignal,
): Promise<Inspected> {
  using link = linkSignal(signal);
  const vanished = new Set<string>();
  const isNewest = (index: number): boolean => index === 0;
  const sandboxes = inOrder(pod.items, "sandbox").map(
    async (item, index): Promise<InspectedSandbox | undefined> => {
      const record = isDue(item) ? undefined : cached?.sandboxes.find(({ id }) => id === item.id);
      // The pod's addresses are those of the newest sandbox: it is the only one of which more than the record matters.
      if (record !== undefined && cached !== undefined)
        return { record, ips: isNewest(index) && record.state === "ready" ? cached.ips : [] };
      const status = await calls.sandboxStatus(item, link.signal, urgency);
      if (status === undefined) vanished.add(item.id);
      return status && buildSandbox(status);
    },
  );
  const containers = inOrder(pod.items, "container").map(async (item) => {
    const record = isDue(item) ? undefined : cached?.containers.find(({ id }) => id === item.id);
    if (record !== undefined) return record;
    const status = await calls.containerStatus(item, link.signal, urgency);
    if (status === undefined) vanished.add(item.id);
    return status && buildContainer(status, item);
  });
  try {
    const [foundSandboxes, foundContainers] = await Promise.all([
      Promise.all(sandboxes),
      Promise.all(containers),
    ]);
    const status = buildPodStatus({
      uid: pod.uid,
      name: pod.name,
      namespace: pod.namespace,
      sandboxes: foundSandboxes.filter((sandbox) => sandbox !== undefined),
      containers: foundContainers.filter((container) => container !== undefined),
      cached,
    });
    return { status, vanished };
  } catch (error) {
    link.abort(error);
    await Promise.allSettled([...sandboxes, ...containers]);
    throw error;
  }
}
