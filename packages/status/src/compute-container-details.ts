// SPDX-License-Identifier: Apache-2.0

/** Mounts, resources and user of a container as its status shows them. Pure. kubelet: convertContainerStatusResources, convertContainerStatusUser (kubelet_pods.go). */
import type { Container, ContainerStatus, ResourceRequirements } from "@holdfast/core/pod-types";
import { formatBytes, formatMilli, milliValue, wholeValue } from "@holdfast/core/quantity";
import type { ContainerRecord } from "@holdfast/core/runtime-status";
import type { ApiContainerStatus } from "./api-types.ts";

/** Fields beside state and identity. Absent where there is nothing to say, as the API omits what is empty. */
export type ContainerDetails = Pick<
  ApiContainerStatus,
  "volumeMounts" | "allocatedResources" | "resources" | "user"
>;

/** `old` is the status of before: what the runtime does not repeat of a running container is kept from it. */
export function detailsOf(
  container: Container,
  record: ContainerRecord | undefined,
  old: ContainerStatus | undefined,
): ContainerDetails {
  const mounts = (container.volumeMounts ?? []).map(({ name, mountPath, readOnly }) => ({
    name,
    mountPath,
    // The API refuses anything but Disabled where the manifest asked for nothing more.
    ...(readOnly === true ? { readOnly: true, recursiveReadOnly: "Disabled" as const } : {}),
  }));
  const requests = container.resources?.requests;
  const resources = resourcesOf(container, record, old);
  const user = record?.user;
  return {
    ...(mounts.length === 0 ? {} : { volumeMounts: mounts }),
    ...(requests === undefined ? {} : { allocatedResources: requests }),
    ...(resources === undefined ? {} : { resources }),
    ...(user === undefined
      ? {}
      : {
          user: {
            linux: {
              uid: user.uid,
              gid: user.gid,
              ...(user.supplementalGroups === undefined
                ? {}
                : { supplementalGroups: [...user.supplementalGroups] }),
            },
          },
        }),
  };
}

type Quantities = NonNullable<ResourceRequirements["limits"]>;

/** At or below these the kernel has no finer value: 2 shares, and a quota of 1 ms in 100. */
const LEAST_REQUEST_MILLI = 2;
const LEAST_LIMIT_MILLI = 10;

/**
 * What holds for a running container as the runtime says, else what was last said of it, else the spec; of one that does not run, the spec. A kind that the spec
 * does not have at all is not made up. kubelet: convertContainerStatusResources.
 */
function resourcesOf(
  container: Container,
  record: ContainerRecord | undefined,
  old: ApiContainerStatus | undefined,
): ResourceRequirements | undefined {
  const { limits, requests } = container.resources ?? {};
  if (record?.state !== "running") return nonEmpty(container.resources);
  const last = old?.containerID?.endsWith(`//${record.id}`) === true ? old.resources : undefined;
  const { cpuRequestMilli, cpuLimitMilli, memoryLimitBytes } = record.resources ?? {};
  return nonEmpty({
    ...(limits === undefined
      ? {}
      : {
          limits: {
            ...limits,
            ...cpuInForce(limits, last?.limits, cpuLimitMilli, LEAST_LIMIT_MILLI),
            ...memoryInForce(limits, last?.limits, memoryLimitBytes),
          },
        }),
    ...(requests === undefined
      ? {}
      : {
          requests: {
            ...requests,
            ...cpuInForce(requests, last?.requests, cpuRequestMilli, LEAST_REQUEST_MILLI),
            ...memoryInForce(requests, last?.requests, undefined),
          },
        }),
  });
}

/** Nothing where the spec's own words say it. */
function cpuInForce(
  spec: Quantities,
  last: Quantities | undefined,
  milli: number | undefined,
  least: number,
): Quantities {
  if (milli === undefined) return last?.["cpu"] === undefined ? {} : { cpu: last["cpu"] };
  const asked = milliValue(spec["cpu"] ?? 0);
  return asked === milli || (asked <= least && milli <= least) ? {} : { cpu: formatMilli(milli) };
}

function memoryInForce(
  spec: Quantities,
  last: Quantities | undefined,
  bytes: number | undefined,
): Quantities {
  if (bytes === undefined) return last?.["memory"] === undefined ? {} : { memory: last["memory"] };
  const asked = wholeValue(spec["memory"] ?? 0);
  return asked === bytes ? {} : { memory: formatBytes(bytes) };
}

function nonEmpty(resources: ResourceRequirements | undefined): ResourceRequirements | undefined {
  const { limits = {}, requests = {} } = resources ?? {};
  const made: ResourceRequirements = {
    ...(Object.keys(limits).length === 0 ? {} : { limits }),
    ...(Object.keys(requests).length === 0 ? {} : { requests }),
  };
  return Object.keys(made).length === 0 ? undefined : made;
}
