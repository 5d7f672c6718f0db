// SPDX-License-Identifier: Apache-2.0

/** Pure: everything that the runtime is told about a container. kubelet: generateContainerConfig. */
import type { ContainerConfig, DeepPartial, LinuxContainerResources } from "@holdfast/cri";
import type { Container, Pod } from "@holdfast/core/pod-types";
import type { ContainerDevices, ContainerResources, MountedVolume } from "../ports.ts";
import { containerAnnotations, containerLabels } from "./container-labels.ts";
import type { Owner } from "./container-labels.ts";
import { containerMounts } from "./container-mounts.ts";
import type { ManagedFiles } from "./container-mounts.ts";
import type { PodFacts } from "./downward-api.ts";
import { environment, expandAll } from "./environment.ts";
import { containerLogPath } from "./log-paths.ts";
import { containerSecurityContext, verifyRunAsNonRoot } from "./security-context.ts";
import type { ImageUser, SecuritySettings } from "./security-context.ts";

/** What does not stand in the container's spec. */
export interface ContainerConfigInput {
  readonly owner: Owner;
  readonly restartCount: number;
  readonly imageId: string;
  readonly imageUser: ImageUser;
  readonly facts: PodFacts;
  readonly volumes: ReadonlyMap<string, MountedVolume>;
  readonly files: ManagedFiles;
  readonly resources: ContainerResources;
  readonly devices?: ContainerDevices | undefined;
  readonly security: SecuritySettings;
}

/** Throws `bad-input`: the container's waiting reason is then CreateContainerConfigError. */
export function containerConfig(
  pod: Pod,
  container: Container,
  input: ContainerConfigInput,
): DeepPartial<ContainerConfig> {
  const { restartCount, imageUser, owner, devices = NO_DEVICES } = input;
  verifyRunAsNonRoot(pod, container, imageUser);
  const variables = environment(pod, container, input.facts);
  return {
    metadata: { name: container.name, attempt: restartCount },
    image: { image: input.imageId, userSpecifiedImage: container.image },
    command: expandAll(container.command, variables),
    args: expandAll(container.args, variables),
    workingDir: container.workingDir ?? "",
    envs: [
      ...devices.envs
        .filter(({ name }) => !variables.has(name))
        .map(({ name, value }) => ({ key: name, value: Buffer.from(value) })),
      ...[...variables].map(([key, value]) => ({ key, value: Buffer.from(value) })),
    ],
    devices: [...devices.devices],
    CDIDevices: devices.cdiDevices.map((name) => ({ name })),
    mounts: [
      ...devices.mounts.map(({ containerPath, hostPath, readOnly }) => ({
        containerPath,
        hostPath,
        readonly: readOnly,
      })),
      ...containerMounts(container, input.volumes, input.files),
    ],
    labels: containerLabels(pod, container, owner),
    annotations: { ...devices.annotations, ...containerAnnotations(pod, container, restartCount) },
    logPath: containerLogPath(container.name, restartCount),
    stdin: container.stdin === true,
    stdinOnce: container.stdinOnce === true,
    tty: container.tty === true,
    linux: {
      resources: linuxResources(input.resources),
      securityContext: containerSecurityContext(pod, container, imageUser, input.security),
    },
  };
}

const NO_DEVICES: ContainerDevices = { envs: [], mounts: [], devices: [], annotations: {}, cdiDevices: [] };

function linuxResources(resources: ContainerResources): DeepPartial<LinuxContainerResources> {
  return {
    cpuPeriod: BigInt(resources.cpuPeriod),
    cpuQuota: BigInt(resources.cpuQuota),
    cpuShares: BigInt(resources.cpuShares),
    memoryLimitInBytes: BigInt(resources.memoryLimitInBytes),
    oomScoreAdj: BigInt(resources.oomScoreAdj),
    cpusetCpus: resources.cpusetCpus,
    cpusetMems: resources.cpusetMems,
    unified: { ...resources.unified },
  };
}
