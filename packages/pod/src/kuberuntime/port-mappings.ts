// SPDX-License-Identifier: Apache-2.0

/** Pure: ports of a pod as the CRI takes them. kubelet: MakePortMappings. */
import type { ContainerPort, Pod } from "@holdfast/core/pod-types";

/** `PortMapping` of the CRI. */
export interface PortMapping {
  readonly hostIp: string;
  readonly hostPort: number;
  readonly containerPort: number;
  readonly protocol: 0 | 1 | 2;
}

const PROTOCOLS: Readonly<Record<string, 0 | 1 | 2>> = { TCP: 0, UDP: 1, SCTP: 2 };

/** Of every regular container. A port given twice within one container counts once. Ports without a hostPort are told too, as 0. */
export function portMappings(pod: Pod): PortMapping[] {
  return pod.spec.containers.flatMap(({ ports = [] }) => {
    const seen = new Set<string>();
    return ports.flatMap((port) => {
      const key = portKey(port);
      if (seen.has(key)) return [];
      seen.add(key);
      const { hostIP = "", hostPort = 0, containerPort, protocol = "TCP" } = port;
      return [{ hostIp: hostIP, hostPort, containerPort, protocol: PROTOCOLS[protocol] ?? 0 }];
    });
  });
}

function portKey({
  name,
  protocol = "TCP",
  hostIP = "",
  containerPort,
  hostPort = 0,
}: ContainerPort): string {
  if (name !== undefined && name !== "") return `name ${name}`;
  const family = hostIP === "" ? "any" : hostIP.includes(":") ? "v6" : "v4";
  return `${protocol}-${family}-${hostIP}-${containerPort}-${hostPort}`;
}
