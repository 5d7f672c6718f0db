// SPDX-License-Identifier: Apache-2.0
/* The part of `v1.PodSpec` that says where a pod may run, and the part of `v1.Node` that it is compared with. Kubernetes' own field names. */
import type { Pod, PodSpec } from "@holdfast/core/pod-types";

/** kubelet: v1.NodeSelectorRequirement. */
export interface NodeSelectorRequirement {
  readonly key: string;
  readonly operator: "In" | "NotIn" | "Exists" | "DoesNotExist" | "Gt" | "Lt";
  readonly values?: readonly string[];
}

/** All of it must match; an empty term matches nothing. kubelet: v1.NodeSelectorTerm. */
export interface NodeSelectorTerm {
  readonly matchExpressions?: readonly NodeSelectorRequirement[];
  readonly matchFields?: readonly NodeSelectorRequirement[];
}

/** kubelet: v1.Toleration. */
export interface Toleration {
  readonly key?: string;
  readonly operator?: "Exists" | "Equal";
  readonly value?: string;
  readonly effect?: string;
}

/** kubelet: v1.Taint. */
export interface Taint {
  readonly key: string;
  readonly value?: string;
  readonly effect: string;
}

/** What admission reads beyond `PodSpec`. */
export interface SchedulingSpec {
  readonly nodeSelector?: Readonly<Record<string, string>>;
  readonly affinity?: {
    readonly nodeAffinity?: {
      readonly requiredDuringSchedulingIgnoredDuringExecution?: {
        readonly nodeSelectorTerms?: readonly NodeSelectorTerm[];
      };
    };
  };
  readonly os?: { readonly name: string };
  readonly securityContext?: { readonly supplementalGroupsPolicy?: string };
}

/** The node as admission sees it. */
export interface NodeInfo {
  readonly name: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly taints?: readonly Taint[];
  /** What pods may ask for: cpu in thousandths, everything else in whole units. `pods` is the most there may be. */
  readonly allocatable: ReadonlyMap<string, number>;
  /** Default: linux. */
  readonly os?: string;
  /** Whether containers can be given a strict list of groups. Default false. kubelet: status.features.supplementalGroupsPolicy. */
  readonly supplementalGroupsPolicy?: boolean;
}

/** A pod's spec with what {@link SchedulingSpec} adds. */
export function schedulingOf(pod: Pod): PodSpec & SchedulingSpec {
  return pod.spec as PodSpec & SchedulingSpec;
}
