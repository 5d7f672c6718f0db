// SPDX-License-Identifier: Apache-2.0

/** A pod as `kubectl get pod NAME -o yaml` shows it: spec with the API's defaults, status with the nulls that the API writes, keys in order. Pure. */
import type { Container, Pod, PodCondition, PodStatus } from "@holdfast/core/pod-types";
import type { ApiContainerStatus, ApiPod, ApiPodSpec, ApiPodStatus } from "./api-types.ts";

/** What neither pod nor status says. */
export interface ApiPodExtras {
  /** Default: not shown. */
  readonly resourceVersion?: string;
}

/**
 * Composes the object. `status` takes the place of `pod.status`; without one the pod is Pending. Fields that are no part of `v1.Pod` are left out, so that the
 * result can be applied to a cluster as it is. A static pod has no creation time of its own: it shows the start.
 */
export function computeApiPod(pod: Pod, status: PodStatus | undefined, extras: ApiPodExtras = {}): ApiPod {
  const { metadata } = pod;
  const shown: ApiPodStatus = status ?? { phase: "Pending" };
  const created = metadata.creationTimestamp ?? shown.startTime;
  const whole = {
    apiVersion: "v1",
    kind: "Pod",
    metadata: {
      ...metadata,
      ...(created === undefined ? {} : { creationTimestamp: created }),
      ...extras,
    },
    spec: defaultedSpec(pod.spec),
    status: shownStatus(shown),
  };
  return sortedKeys(whole) as ApiPod;
}

function defaultedSpec(spec: ApiPodSpec): ApiPodSpec {
  const { initContainers, ephemeralContainers } = spec;
  return {
    dnsPolicy: "ClusterFirst",
    enableServiceLinks: true,
    restartPolicy: "Always",
    schedulerName: "default-scheduler",
    securityContext: {},
    terminationGracePeriodSeconds: 30,
    ...spec,
    containers: spec.containers.map(defaultedContainer),
    ...(initContainers === undefined ? {} : { initContainers: initContainers.map(defaultedContainer) }),
    ...(ephemeralContainers === undefined
      ? {}
      : { ephemeralContainers: ephemeralContainers.map(defaultedContainer) }),
  };
}

function defaultedContainer(container: Container): Container {
  return {
    resources: {},
    terminationMessagePath: "/dev/termination-log",
    terminationMessagePolicy: "File",
    ...container,
  };
}

/** The API writes `null` where a time is not known, and an empty object for resources and for a last state that is none. */
function shownStatus(status: ApiPodStatus): unknown {
  const container = (one: ApiContainerStatus): unknown => ({
    ...one,
    lastState: shownState(one.lastState),
    resources: one.resources ?? {},
    state: shownState(one.state),
  });
  const { conditions, containerStatuses, ephemeralContainerStatuses, initContainerStatuses } = status;
  return {
    ...status,
    ...(conditions === undefined ? {} : { conditions: conditions.map(shownCondition) }),
    ...(containerStatuses === undefined ? {} : { containerStatuses: containerStatuses.map(container) }),
    ...(initContainerStatuses === undefined
      ? {}
      : { initContainerStatuses: initContainerStatuses.map(container) }),
    ...(ephemeralContainerStatuses === undefined
      ? {}
      : { ephemeralContainerStatuses: ephemeralContainerStatuses.map(container) }),
  };
}

function shownState({ terminated, ...rest }: ApiContainerStatus["state"]): unknown {
  return terminated === undefined
    ? rest
    : { ...rest, terminated: { startedAt: null, finishedAt: null, ...terminated } };
}

function shownCondition(condition: PodCondition): PodCondition & { lastProbeTime: null } {
  return { lastProbeTime: null, ...condition };
}

/** kubectl prints keys in order; what is undefined is no field. */
function sortedKeys(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(sortedKeys);
  if (typeof value !== "object" || value === null) return value;
  return Object.fromEntries(
    Object.entries(value)
      .filter(([, inner]) => inner !== undefined)
      .sort(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0))
      .map(([key, inner]) => [key, sortedKeys(inner)]),
  );
}
