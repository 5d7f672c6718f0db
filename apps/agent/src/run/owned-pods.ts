// SPDX-License-Identifier: Apache-2.0

/** What the runtime has of ours, as its list says and as the PLEG knows besides: a pod that is up has its name, also when a list lacks it. */
import type { GenericPLEG } from "@holdfast/pleg";
import type { OwnedPod, OwnedPods } from "@holdfast/pod";

/** `listed`, and nothing of it forgotten that `pleg` knows to be up. */
export function withPodsUp(listed: OwnedPods, pleg: Pick<GenericPLEG, "podsUp">): OwnedPods {
  return {
    async list(signal: AbortSignal): Promise<readonly OwnedPod[]> {
      const pods = await listed.list(signal);
      const up = pleg.podsUp();
      const known = pods.map((pod) => (up.delete(pod.uid) && !pod.live ? { ...pod, live: true } : pod));
      // Their names are in their stored manifests.
      return [...known, ...Array.from(up, (uid) => ({ uid, name: "", namespace: "", live: true }))];
    },
  };
}
