// SPDX-License-Identifier: Apache-2.0

/** Pure: users, groups, namespaces, capabilities and paths. kubelet: kuberuntime/security_context.go, pkg/securitycontext. */
import type { DeepPartial, LinuxContainerSecurityContext, LinuxSandboxSecurityContext } from "@holdfast/cri";
import { NamespaceMode, SecurityProfile_ProfileType } from "@holdfast/cri";
import { HoldfastError } from "@holdfast/core/errors";
import { allContainers } from "@holdfast/core/pod";
import type { Container, Pod } from "@holdfast/core/pod-types";

/** The user that an image names. */
export interface ImageUser {
  readonly uid: bigint | undefined;
  readonly username: string;
}

/** kubelet: securitycontext.defaultMaskedPaths. */
export const MASKED_PATHS: readonly string[] = [
  "/proc/asound",
  "/proc/acpi",
  "/proc/interrupts",
  "/proc/kcore",
  "/proc/keys",
  "/proc/latency_stats",
  "/proc/timer_list",
  "/proc/timer_stats",
  "/proc/sched_debug",
  "/proc/scsi",
  "/sys/firmware",
  "/sys/devices/virtual/powercap",
];
/** kubelet: securitycontext.defaultReadonlyPaths. */
export const READONLY_PATHS: readonly string[] = [
  "/proc/bus",
  "/proc/fs",
  "/proc/irq",
  "/proc/sys",
  "/proc/sysrq-trigger",
];

/** kubelet: NamespacesForPod. */
export function namespaceOptions(pod: Pod): {
  network: NamespaceMode;
  pid: NamespaceMode;
  ipc: NamespaceMode;
} {
  const { hostNetwork, hostPID, hostIPC, shareProcessNamespace } = pod.spec;
  const ofPid = hostPID
    ? NamespaceMode.NODE
    : shareProcessNamespace
      ? NamespaceMode.POD
      : NamespaceMode.CONTAINER;
  return {
    network: hostNetwork ? NamespaceMode.NODE : NamespaceMode.POD,
    pid: ofPid,
    ipc: hostIPC ? NamespaceMode.NODE : NamespaceMode.POD,
  };
}

/** fsGroup first. kubelet: generatePodSandboxLinuxConfig, determineEffectiveSecurityContext. */
export function supplementalGroups(pod: Pod): bigint[] {
  const { fsGroup, supplementalGroups: groups = [] } = pod.spec.securityContext ?? {};
  return [...(fsGroup === undefined ? [] : [fsGroup]), ...groups].map(BigInt);
}

/** kubelet: generatePodSandboxLinuxConfig. */
export function sandboxSecurityContext(pod: Pod): DeepPartial<LinuxSandboxSecurityContext> {
  const { runAsUser, runAsGroup } = pod.spec.securityContext ?? {};
  return {
    namespaceOptions: namespaceOptions(pod),
    ...(runAsUser === undefined ? {} : { runAsUser: { value: BigInt(runAsUser) } }),
    ...(runAsGroup === undefined ? {} : { runAsGroup: { value: BigInt(runAsGroup) } }),
    supplementalGroups: supplementalGroups(pod),
    privileged: allContainers(pod.spec).some(({ securityContext }) => securityContext?.privileged === true),
    seccomp: { profileType: SecurityProfile_ProfileType.RuntimeDefault, localhostRef: "" },
  };
}

/** Settings of the agent that matter here. */
export interface SecuritySettings {
  readonly seccompDefault: boolean;
  readonly extraMaskedPaths: readonly string[];
}

/** kubelet: determineEffectiveSecurityContext. The container's own wins over the pod's. */
export function containerSecurityContext(
  pod: Pod,
  container: Container,
  user: ImageUser,
  settings: SecuritySettings,
): DeepPartial<LinuxContainerSecurityContext> {
  const own = container.securityContext ?? {};
  const runAsUser = own.runAsUser ?? pod.spec.securityContext?.runAsUser;
  const runAsGroup = own.runAsGroup ?? pod.spec.securityContext?.runAsGroup;
  const uid = runAsUser === undefined ? user.uid : BigInt(runAsUser);
  const { RuntimeDefault, Unconfined } = SecurityProfile_ProfileType;
  return {
    ...(own.capabilities === undefined
      ? {}
      : {
          capabilities: {
            addCapabilities: [...(own.capabilities.add ?? [])],
            dropCapabilities: [...(own.capabilities.drop ?? [])],
          },
        }),
    privileged: own.privileged === true,
    namespaceOptions: namespaceOptions(pod),
    ...(uid === undefined ? {} : { runAsUser: { value: uid } }),
    ...(runAsGroup === undefined ? {} : { runAsGroup: { value: BigInt(runAsGroup) } }),
    runAsUsername: uid === undefined ? user.username : "",
    readonlyRootfs: own.readOnlyRootFilesystem === true,
    supplementalGroups: supplementalGroups(pod),
    noNewPrivs: own.allowPrivilegeEscalation === false,
    maskedPaths: [...MASKED_PATHS, ...settings.extraMaskedPaths],
    readonlyPaths: [...READONLY_PATHS],
    seccomp: { profileType: settings.seccompDefault ? RuntimeDefault : Unconfined, localhostRef: "" },
  };
}

/** Throws `bad-input` (POD_RUN_AS_NON_ROOT) when the container would, or might, run as root and must not. kubelet: verifyRunAsNonRoot. */
export function verifyRunAsNonRoot(pod: Pod, container: Container, user: ImageUser): void {
  const own = container.securityContext ?? {};
  const ofPod = pod.spec.securityContext ?? {};
  if ((own.runAsNonRoot ?? ofPod.runAsNonRoot) !== true) return;
  const about = `(pod: "${pod.metadata.name}_${pod.metadata.namespace}(${pod.metadata.uid})", container: ${container.name})`;
  const runAsUser = own.runAsUser ?? ofPod.runAsUser;
  const refuse = (message: string): never => {
    throw new HoldfastError("POD_RUN_AS_NON_ROOT", "bad-input", `${message} ${about}`);
  };
  if (runAsUser !== undefined) {
    if (runAsUser === 0) refuse("container's runAsUser breaks non-root policy");
    return;
  }
  if (user.uid === 0n || (user.uid === undefined && user.username === ""))
    refuse("container has runAsNonRoot and image will run as root");
  if (user.uid === undefined)
    refuse(
      `container has runAsNonRoot and image has non-numeric user (${user.username}), cannot verify user is non-root`,
    );
}
