// SPDX-License-Identifier: Apache-2.0
/*
 * Whether a pod fits on a node beside those that are there, and everything that speaks against it, in the kubelet's order. Pure.
 * kubelet: lifecycle.predicateAdmitHandler, generalFilter.
 */
import { CONFIG_MIRROR_ANNOTATION, CONFIG_SOURCE_ANNOTATION } from "@holdfast/core/names";
import { allContainers } from "@holdfast/core/pod";
import type { Pod } from "@holdfast/core/pod-types";
import { matchesNode, untoleratedTaint } from "./node-affinity.ts";
import { isExtendedResource, podRequests, sumOfRequests } from "./pod-requests.ts";
import type { ResourceAmounts } from "./pod-requests.ts";
import { schedulingOf } from "./scheduling-spec.ts";
import type { NodeInfo } from "./scheduling-spec.ts";

/** A resource of which there is not enough. kubelet: lifecycle.InsufficientResourceError. */
export interface Shortage {
  readonly resource: string;
  readonly requested: number;
  readonly used: number;
  readonly capacity: number;
}

/** One thing that speaks against a pod. */
export interface FitFailure {
  /** The kubelet's word: OutOfcpu, NodeAffinity … */
  readonly reason: string;
  readonly message: string;
  /** What is missing; absent when more resources would not help. */
  readonly shortage?: Shortage;
}

const OS_LABEL = "kubernetes.io/os";
/** Before scalar resources, and always in this order. */
const BASIC = ["cpu", "memory", "ephemeral-storage"] as const;
/** Addresses that mean all addresses. */
const WILDCARDS: ReadonlySet<string> = new Set(["", "0.0.0.0", "::"]);

/** kubelet: types.IsStaticPod. */
export function isStaticPod({ metadata }: Pod): boolean {
  const source = metadata.annotations?.[CONFIG_SOURCE_ANNOTATION];
  return source !== undefined && source !== "api";
}

const SYSTEM_CRITICAL = 2_000_000_000;

/** How {@link isCriticalPod} looks at static pods. */
export interface CriticalOptions {
  /** Static pods below the system's own priority are pods like others: they may be ended, and nobody is for them. Default false, as in the kubelet. */
  readonly staticPodsMayGo?: boolean | undefined;
}

/** kubelet: types.IsCriticalPod. */
export function isCriticalPod(pod: Pod, { staticPodsMayGo = false }: CriticalOptions = {}): boolean {
  if ((pod.spec.priority ?? 0) >= SYSTEM_CRITICAL) return true;
  const isStatic = isStaticPod(pod) || pod.metadata.annotations?.[CONFIG_MIRROR_ANNOTATION] !== undefined;
  return isStatic && !staticPodsMayGo;
}

/** How {@link computeFit} looks at a pod. */
export interface FitOptions {
  /** Static pods run where their manifest lies, whatever node selectors and affinities they have. Default false, as in the kubelet. */
  readonly staticPodsAnywhere?: boolean;
}

/** Everything that speaks against the pod, most important first; empty when it fits. `others`: pods that are here and have not ended. */
export function computeFit(
  pod: Pod,
  node: NodeInfo | undefined,
  others: readonly Pod[],
  { staticPodsAnywhere = false }: FitOptions = {},
): readonly FitFailure[] {
  if (node === undefined) return [{ reason: "InvalidNodeInfo", message: "Kubelet cannot get node info." }];
  const platform = platformFailure(pod, node);
  if (platform !== undefined) return [platform];
  const failures = [...resourceFailures(pod, node, others)];
  const predicate = (name: string, text: string): void =>
    void failures.push({ reason: name, message: `Predicate ${name} failed: ${text}` });
  if (!(staticPodsAnywhere && isStaticPod(pod)) && !matchesNode(pod, node))
    predicate("NodeAffinity", "node(s) didn't match Pod's node affinity/selector");
  const { nodeName = "" } = pod.spec;
  if (nodeName !== "" && nodeName !== node.name)
    predicate("NodeName", "node(s) didn't match the requested node name");
  if (portsClash(pod, others))
    predicate("NodePorts", "node(s) didn't have free ports for the requested pod ports");
  if (!isStaticPod(pod) && untoleratedTaint(pod, node.taints ?? [], ["NoExecute"]) !== undefined)
    predicate("TaintToleration", "node(s) had taints that the pod didn't tolerate");
  return failures;
}

function platformFailure(pod: Pod, node: NodeInfo): FitFailure | undefined {
  const { os, securityContext } = schedulingOf(pod);
  const host = node.os ?? "linux";
  const label = pod.metadata.labels?.[OS_LABEL];
  if (label !== undefined && label !== host)
    return {
      reason: "PodOSSelectorNodeLabelDoesNotMatch",
      message: "Failed to admit pod as the `kubernetes.io/os` label doesn't match node label",
    };
  if (os !== undefined && os.name !== host)
    return {
      reason: "PodOSNotSupported",
      message: "Failed to admit pod as the OS field doesn't match node OS",
    };
  if (securityContext?.supplementalGroupsPolicy === "Strict" && node.supplementalGroupsPolicy !== true)
    return {
      reason: "SupplementalGroupsPolicyNotSupported",
      message: "SupplementalGroupsPolicy=Strict is not supported in this node",
    };
  return undefined;
}

/** kubelet: noderesources.Fits. Extended resources that the node does not list at all are nobody's business here. */
function* resourceFailures(pod: Pod, node: NodeInfo, others: readonly Pod[]): Generator<FitFailure> {
  const asked = withoutMissing(podRequests(pod), node.allocatable);
  const most = node.allocatable.get("pods") ?? 0;
  if (others.length + 1 > most)
    yield outOf({ resource: "pods", requested: 1, used: others.length, capacity: most });
  const used = sumOfRequests(others);
  const scalar = [...asked.keys()].filter(
    (name) => name !== "pods" && !(BASIC as readonly string[]).includes(name),
  );
  for (const resource of [...BASIC, ...scalar]) {
    const requested = asked.get(resource) ?? 0;
    const capacity = node.allocatable.get(resource) ?? 0;
    const taken = used.get(resource) ?? 0;
    if (requested > 0 && requested > capacity - taken)
      yield outOf({ resource, requested, used: taken, capacity });
  }
}

/** kubelet: removeMissingExtendedResources. One that is listed as 0 counts. */
function withoutMissing(asked: ResourceAmounts, allocatable: ReadonlyMap<string, number>): ResourceAmounts {
  return new Map([...asked].filter(([name]) => !isExtendedResource(name) || allocatable.has(name)));
}

function outOf(shortage: Shortage): FitFailure {
  const { resource, requested, used, capacity } = shortage;
  const figures = `requested: ${requested}, used: ${used}, capacity: ${capacity}`;
  return {
    reason: `OutOf${resource}`,
    message: `Node didn't have enough resource: ${resource}, ${figures}`,
    shortage,
  };
}

interface Port {
  readonly port: number;
  readonly protocol: string;
  readonly address: string;
}

function portsOf({ spec }: Pod): readonly Port[] {
  return allContainers(spec).flatMap(({ ports = [] }) =>
    ports.flatMap(({ hostPort, containerPort, hostIP = "", protocol = "TCP" }) => {
      const port = hostPort ?? (spec.hostNetwork === true ? containerPort : 0);
      return port > 0 ? [{ port, protocol, address: WILDCARDS.has(hostIP) ? "" : hostIP }] : [];
    }),
  );
}

/** kubelet: nodeports.Fits. */
function portsClash(pod: Pod, others: readonly Pod[]): boolean {
  const wanted = portsOf(pod);
  if (wanted.length === 0) return false;
  const held = others.flatMap(portsOf);
  return wanted.some((a) =>
    held.some(
      (b) =>
        a.port === b.port &&
        a.protocol === b.protocol &&
        (a.address === b.address || a.address === "" || b.address === ""),
    ),
  );
}
