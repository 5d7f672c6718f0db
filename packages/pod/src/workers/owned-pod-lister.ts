// SPDX-License-Identifier: Apache-2.0

/** What the runtime has of ours. kubelet: runtimeCache.GetPods, which sees everybody's pods. */
import { ContainerState, PodSandboxState } from "@holdfast/cri";
import {
  INSTANCE_LABEL,
  NODE_LABEL,
  POD_NAME_LABEL,
  POD_NAMESPACE_LABEL,
  POD_UID_LABEL,
} from "@holdfast/core/names";
import type { Owner } from "../kuberuntime/container-labels.ts";
import type { PodRuntime } from "../ports.ts";
import type { OwnedPod, OwnedPods } from "./ports.ts";

const LIST_DEADLINE_MS = 30_000;

/** Lists by the labels of one node and instance; nothing else is ever seen. */
export class OwnedPodLister implements OwnedPods {
  readonly #runtime: Pick<PodRuntime, "listPodSandbox" | "listContainers">;
  readonly #labelSelector: Record<string, string>;

  constructor(runtime: Pick<PodRuntime, "listPodSandbox" | "listContainers">, owner: Owner) {
    this.#runtime = runtime;
    this.#labelSelector = { [NODE_LABEL]: owner.nodeName, [INSTANCE_LABEL]: owner.instanceId };
  }

  /** Rejects with what the runtime says, `deadline` after 30 s. */
  async list(signal: AbortSignal): Promise<readonly OwnedPod[]> {
    const filter = { labelSelector: this.#labelSelector };
    const options = { signal, deadlineMs: LIST_DEADLINE_MS };
    const [{ items }, { containers }] = await Promise.all([
      this.#runtime.listPodSandbox({ filter }, options),
      this.#runtime.listContainers({ filter }, options),
    ]);
    const pods = new Map<string, OwnedPod>();
    const add = (labels: Readonly<Record<string, string>>, live: boolean): void => {
      const uid = labels[POD_UID_LABEL];
      if (uid === undefined || uid === "") return;
      pods.set(uid, {
        uid,
        name: labels[POD_NAME_LABEL] ?? "",
        namespace: labels[POD_NAMESPACE_LABEL] ?? "",
        live: live || pods.get(uid)?.live === true,
      });
    };
    for (const { labels, state } of items) add(labels, state === PodSandboxState.SANDBOX_READY);
    for (const { labels, state } of containers) add(labels, state === ContainerState.CONTAINER_RUNNING);
    return [...pods.values()];
  }
}
