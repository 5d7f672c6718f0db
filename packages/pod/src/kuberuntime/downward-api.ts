// SPDX-License-Identifier: Apache-2.0

/** Pure: values of fieldRef and resourceFieldRef. kubelet: pkg/fieldpath, pkg/api/v1/resource. */
import { HoldfastError } from "@holdfast/core/errors";
import type { Container, Pod } from "@holdfast/core/pod-types";
import { allContainers } from "@holdfast/core/pod";
import { parseQuantity } from "@holdfast/core/quantity";

/** What the pod does not know about itself. */
export interface PodFacts {
  readonly nodeName: string;
  /** Main one first. */
  readonly nodeIps: readonly string[];
  /** Of the sandbox; with hostNetwork the node's. */
  readonly podIps: readonly string[];
  readonly nodeAllocatable: Readonly<Record<string, string | number>>;
}

const KEYED = /^metadata\.(labels|annotations)\['(.*)'\]$/;

/** Throws `bad-input` (POD_FIELD_REF) on a path that is no field. kubelet: podFieldSelectorRuntimeValue. */
export function fieldValue(pod: Pod, facts: PodFacts, path: string): string {
  const keyed = KEYED.exec(path);
  if (keyed !== null) {
    const map = keyed[1] === "labels" ? pod.metadata.labels : pod.metadata.annotations;
    return map?.[keyed[2] ?? ""] ?? "";
  }
  switch (path) {
    case "metadata.name":
      return pod.metadata.name;
    case "metadata.namespace":
      return pod.metadata.namespace;
    case "metadata.uid":
      return pod.metadata.uid;
    case "spec.nodeName":
      return facts.nodeName;
    case "spec.serviceAccountName":
      return "";
    case "status.hostIP":
      return facts.nodeIps[0] ?? "";
    case "status.hostIPs":
      return facts.nodeIps.join(",");
    case "status.podIP":
      return oneOfEachFamily(facts)[0] ?? "";
    case "status.podIPs":
      return oneOfEachFamily(facts).join(",");
    default:
      throw new HoldfastError("POD_FIELD_REF", "bad-input", `unsupported fieldPath: ${path}`);
  }
}

/** The node's family first. kubelet: sortPodIPs. */
function oneOfEachFamily({ podIps, nodeIps }: PodFacts): string[] {
  const isV6 = (ip: string): boolean => ip.includes(":");
  const v4 = podIps.find((ip) => !isV6(ip));
  const v6 = podIps.find(isV6);
  const ordered = nodeIps[0] !== undefined && isV6(nodeIps[0]) ? [v6, v4] : [v4, v6];
  return ordered.filter((ip) => ip !== undefined);
}

/** How `resourceFieldRef` is written. */
export interface ResourceFieldRef {
  readonly containerName?: string;
  readonly resource: string;
  readonly divisor?: string | number;
}

/** Throws `bad-input` (POD_RESOURCE_FIELD_REF). Limits that are not set are the node's. kubelet: ExtractResourceValueByContainerName. */
export function resourceFieldValue(
  pod: Pod,
  container: Container,
  facts: PodFacts,
  ref: ResourceFieldRef,
): string {
  const refuse = (message: string): never => {
    throw new HoldfastError("POD_RESOURCE_FIELD_REF", "bad-input", message);
  };
  const wanted =
    ref.containerName === undefined || ref.containerName === "" ? container.name : ref.containerName;
  const target = allContainers(pod.spec).find(({ name }) => name === wanted);
  if (target === undefined) return refuse(`container ${wanted} not found`);
  const match = /^(limits|requests)\.(.+)$/.exec(ref.resource);
  const resource = match?.[2] ?? "";
  if (match === null || !/^(cpu|memory|ephemeral-storage|hugepages-.+)$/.test(resource))
    return refuse(`unsupported container resource : ${ref.resource}`);
  const { limits, requests } = target.resources ?? {};
  const quantity =
    match[1] === "limits"
      ? (limits?.[resource] ?? facts.nodeAllocatable[resource])
      : (requests?.[resource] ?? limits?.[resource]);
  const divisor = parseQuantity(ref.divisor ?? 1) || 1;
  const value = quantity === undefined ? 0 : parseQuantity(quantity) / divisor;
  return String(Math.ceil(Number(value.toPrecision(15))));
}
