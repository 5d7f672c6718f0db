// SPDX-License-Identifier: Apache-2.0

/**
 * The fields of `v1.Pod` that only its status is made from, or that only the API server sends: `Pod` of `@holdfast/core` and more, all of it optional, so that every
 * `Pod` is an {@link ApiPod} as it is.
 */
import type {
  Container,
  ContainerStatus,
  ObjectMeta,
  Pod,
  PodCondition,
  PodSpec,
  PodStatus,
  ResourceRequirements,
} from "@holdfast/core/pod-types";

/** One rule of a container about an exit. kubelet: ContainerRestartRule. */
export interface ContainerRestartRule {
  readonly action: "Restart" | "RestartAllContainers";
  readonly exitCodes?: { readonly operator: "In" | "NotIn"; readonly values?: readonly number[] };
}

/** A container with its restart rules. */
export interface ApiContainer extends Container {
  restartPolicyRules?: ContainerRestartRule[];
}

/** `v1.PodSpec` with what only pods of the API server have. */
export interface ApiPodSpec extends PodSpec {
  containers: ApiContainer[];
  initContainers?: ApiContainer[];
  /** Containers added to the pod as it runs, for debugging. */
  ephemeralContainers?: Container[];
  readinessGates?: { conditionType: string }[];
}

/** `v1.ObjectMeta` as the API server sends it. */
export interface ApiObjectMeta extends ObjectMeta {
  resourceVersion?: string;
}

/** `v1.Pod`. */
export interface ApiPod extends Pod {
  metadata: ApiObjectMeta;
  spec: ApiPodSpec;
  status?: ApiPodStatus;
}

/** One mount as a container status shows it. */
export interface VolumeMountStatus {
  name: string;
  mountPath: string;
  readOnly?: boolean;
  recursiveReadOnly?: "Enabled" | "Disabled";
}

/** `v1.ContainerStatus` with what newer kubelets show. */
export interface ApiContainerStatus extends ContainerStatus {
  volumeMounts?: VolumeMountStatus[];
  /** The spec's requests that the node holds for the container. */
  allocatedResources?: Record<string, string | number>;
  /** What is in force: of a running container as the runtime says it, else as the spec does. */
  resources?: ResourceRequirements;
  user?: { linux: { uid: number; gid: number; supplementalGroups?: number[] } };
  allocatedResourcesStatus?: readonly AllocatedResourceStatus[];
}

/** `v1.ResourceStatus`: health of what a container was given for one resource. kubelet: ResourceHealthStatus. */
export interface AllocatedResourceStatus {
  /** Name of the resource. */
  readonly name: string;
  readonly resources: readonly {
    readonly resourceID: string;
    readonly health: "Healthy" | "Unhealthy" | "Unknown";
    /** Why it is not healthy. */
    readonly message?: string;
  }[];
}

/** `v1.PodStatus` with ephemeral containers, and with fields that others write and the kubelet leaves alone. */
export interface ApiPodStatus extends PodStatus {
  initContainerStatuses?: ApiContainerStatus[];
  containerStatuses?: ApiContainerStatus[];
  ephemeralContainerStatuses?: ApiContainerStatus[];
  nominatedNodeName?: string;
  resourceClaimStatuses?: unknown[];
  extendedResourceClaimStatus?: unknown;
  nodeAllocatableResourceClaimStatuses?: unknown[];
}

/** The condition of this type. */
export function findCondition(
  conditions: readonly PodCondition[] | undefined,
  type: string,
): PodCondition | undefined {
  return conditions?.find((condition) => condition.type === type);
}
