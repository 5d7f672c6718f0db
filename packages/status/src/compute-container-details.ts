// SPDX-License-Identifier: Apache-2.0

/** Mounts, resources and user of a container as its status shows them. Pure. kubelet: convertContainerStatusResources, convertContainerStatusUser (kubelet_pods.go). */
import type { Container, ContainerStatus, ResourceRequirements } from "@holdfast/core/pod-types";
import type { ContainerRecord } from "@holdfast/core/runtime-status";
import type { ApiContainerStatus, DetailedContainerRecord } from "./api-types.ts";

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
  const detailed: DetailedContainerRecord | undefined = record;
  const mounts = (container.volumeMounts ?? []).map(({ name, mountPath, readOnly }) => ({
    name,
    mountPath,
    // The API refuses anything but Disabled where the manifest asked for nothing more.
    ...(readOnly === true ? { readOnly: true, recursiveReadOnly: "Disabled" as const } : {}),
  }));
  const requests = container.resources?.requests;
  const resources = resourcesOf(container, detailed, old);
  const user = detailed?.user;
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

function resourcesOf(
  container: Container,
  record: DetailedContainerRecord | undefined,
  old: ApiContainerStatus | undefined,
): ResourceRequirements | undefined {
  const spec = container.resources;
  if (record?.state !== "running" || record.resources === undefined) {
    // Not told this time: what the same container was said to have.
    const same = record?.state === "running" && old?.containerID?.endsWith(`//${record.id}`) === true;
    return (same ? old?.resources : undefined) ?? nonEmpty(spec);
  }
  return nonEmpty({
    limits: { ...spec?.limits, ...record.resources.limits },
    requests: { ...spec?.requests, ...record.resources.requests },
  });
}

function nonEmpty(resources: ResourceRequirements | undefined): ResourceRequirements | undefined {
  const { limits = {}, requests = {} } = resources ?? {};
  const made: ResourceRequirements = {
    ...(Object.keys(limits).length === 0 ? {} : { limits }),
    ...(Object.keys(requests).length === 0 ? {} : { requests }),
  };
  return Object.keys(made).length === 0 ? undefined : made;
}
