// SPDX-License-Identifier: Apache-2.0

/** Host ports that other pods hold. Pure. kubelet: the NodePorts predicate, which rejects the pod for good; here it waits. */
import { allContainers } from "@holdfast/core/pod";
import type { Pod } from "@holdfast/core/pod-types";

/** One port of the host. */
export interface HostPort {
  readonly port: number;
  readonly protocol: "TCP" | "UDP" | "SCTP";
  /** {@link ANY_ADDRESS} for all addresses. */
  readonly ip: string;
}

/** A port that is wanted, and who has it. */
export interface HostPortConflict {
  readonly port: HostPort;
  readonly holder: Pod;
}

const ANY_ADDRESS = "0.0.0.0";
const WILDCARDS: ReadonlySet<string> = new Set(["", "0.0.0.0", "::"]);

/** All host ports that a pod's containers name; with hostNetwork every container port is one. */
export function hostPortsOf(pod: Pod): readonly HostPort[] {
  return allContainers(pod.spec).flatMap(({ ports = [] }) =>
    ports.flatMap(({ hostPort, containerPort, hostIP = "", protocol = "TCP" }) => {
      const port = hostPort ?? (pod.spec.hostNetwork === true ? containerPort : 0);
      return port > 0 ? [{ port, protocol, ip: WILDCARDS.has(hostIP) ? ANY_ADDRESS : hostIP }] : [];
    }),
  );
}

/** The ports of `pod` that `holders` have, in the order of the pod's spec. kubelet: HostPortInfo.CheckConflict. */
export function computeHostPortConflicts(pod: Pod, holders: readonly Pod[]): readonly HostPortConflict[] {
  const wanted = hostPortsOf(pod);
  if (wanted.length === 0) return [];
  const held = holders.flatMap((holder) => hostPortsOf(holder).map((port) => ({ port, holder })));
  return wanted.flatMap((port) => {
    const found = held.find((other) => clashes(port, other.port));
    return found === undefined ? [] : [{ port, holder: found.holder }];
  });
}

/** `host port 80/TCP is held by pod ns/name`, all of them. */
export function hostPortConflictText(conflicts: readonly HostPortConflict[]): string {
  return conflicts
    .map(({ port: { ip, port, protocol }, holder: { metadata } }) => {
      const address = ip === ANY_ADDRESS ? "" : `${ip}:`;
      return `host port ${address}${port}/${protocol} is held by pod ${metadata.namespace}/${metadata.name}`;
    })
    .join(", ");
}

function clashes(a: HostPort, b: HostPort): boolean {
  return (
    a.port === b.port &&
    a.protocol === b.protocol &&
    (a.ip === b.ip || a.ip === ANY_ADDRESS || b.ip === ANY_ADDRESS)
  );
}
