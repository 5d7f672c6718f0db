// SPDX-License-Identifier: Apache-2.0

/**
 * Keeps a cordoned pod for inspection: what its liveness and startup probes find kills nothing until it is given back. Not the kubelet's, which
 * has no cordon for pods.
 */
import type { ProbeManager } from "@holdfast/probe";

type Verdict = ReturnType<ProbeManager["liveness"]>;

/** What decides about kills reads this. A failure of a cordoned pod is no result. */
export function spareCordoned(
  probes: Pick<ProbeManager, "liveness" | "startup" | "podOf">,
  isCordoned: (podUid: string) => boolean,
): Pick<ProbeManager, "liveness" | "startup"> {
  const spared = (verdict: Verdict, containerId: string): Verdict => {
    if (verdict !== "failure") return verdict;
    const uid = probes.podOf(containerId);
    return uid !== undefined && isCordoned(uid) ? undefined : verdict;
  };
  return {
    liveness: (id) => spared(probes.liveness(id), id),
    startup: (id) => spared(probes.startup(id), id),
  };
}
