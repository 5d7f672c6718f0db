// SPDX-License-Identifier: Apache-2.0

/** What a pod is told when its node's address has changed from one family to the other. Pure. kubelet: generateAPIPodStatus, HostIPsIPFamilyMismatch. */

/** Undefined while either address is unknown, and while both are of one family. */
export function computeHostIpMismatch(
  before: string | undefined,
  nodeIPs: readonly string[],
): string | undefined {
  const [now] = nodeIPs;
  if (before === undefined || now === undefined || before === "" || family(before) === family(now))
    return undefined;
  return `The pod was told that its node has the ${family(before)} address ${before}, and the node's own address is now the ${family(now)} address ${now}; what the pod was given by the first one may not reach it any more`;
}

function family(ip: string): "IPv4" | "IPv6" {
  return ip.includes(":") ? "IPv6" : "IPv4";
}
