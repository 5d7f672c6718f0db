// SPDX-License-Identifier: Apache-2.0

/** Pure: labels and annotations of sandboxes and containers: the kubelet's keys, so that crictl and log collectors see what they know, and our two that prove ownership. kubelet: kuberuntime/labels.go. */
import {
  CONTAINER_HASH_ANNOTATION,
  CONTAINER_NAME_LABEL,
  CONTAINER_PORTS_ANNOTATION,
  INSTANCE_LABEL,
  NODE_LABEL,
  POD_DELETION_GRACE_ANNOTATION,
  POD_NAME_LABEL,
  POD_NAMESPACE_LABEL,
  POD_TERMINATION_GRACE_ANNOTATION,
  POD_UID_LABEL,
  PRE_STOP_HANDLER_ANNOTATION,
  RESTART_COUNT_ANNOTATION,
  TERMINATION_MESSAGE_PATH_ANNOTATION,
  TERMINATION_MESSAGE_POLICY_ANNOTATION,
} from "@holdfast/core/names";
import type { Container, LifecycleHandler, Pod } from "@holdfast/core/pod-types";
import { hashContainer } from "./container-hash.ts";

/** Who we are. */
export interface Owner {
  readonly nodeName: string;
  readonly instanceId: string;
}

/** Labels by which a runtime's list shows one pod's things of ours. */
export function ownerSelector(owner: Owner, podUid: string): Record<string, string> {
  return { [POD_UID_LABEL]: podUid, [NODE_LABEL]: owner.nodeName, [INSTANCE_LABEL]: owner.instanceId };
}

/** Pod labels first, so that ours win. kubelet: newPodLabels. */
export function sandboxLabels(pod: Pod, owner: Owner): Record<string, string> {
  return { ...pod.metadata.labels, ...identity(pod), ...ownerSelector(owner, pod.metadata.uid) };
}

/** kubelet: newPodAnnotations. */
export function sandboxAnnotations(pod: Pod): Record<string, string> {
  return { ...pod.metadata.annotations };
}

/** The pod's labels are not copied. kubelet: newContainerLabels. */
export function containerLabels(pod: Pod, container: Container, owner: Owner): Record<string, string> {
  return {
    ...identity(pod),
    [CONTAINER_NAME_LABEL]: container.name,
    ...ownerSelector(owner, pod.metadata.uid),
  };
}

/** kubelet: newContainerAnnotations. */
export function containerAnnotations(
  pod: Pod,
  container: Container,
  restartCount: number,
): Record<string, string> {
  const { deletionGracePeriodSeconds } = pod.metadata;
  const { terminationGracePeriodSeconds } = pod.spec;
  const { preStop } = container.lifecycle ?? {};
  return {
    [CONTAINER_HASH_ANNOTATION]: hashContainer(container),
    [RESTART_COUNT_ANNOTATION]: String(restartCount),
    [TERMINATION_MESSAGE_PATH_ANNOTATION]: terminationMessagePath(container),
    [TERMINATION_MESSAGE_POLICY_ANNOTATION]: container.terminationMessagePolicy ?? "File",
    ...(deletionGracePeriodSeconds === undefined
      ? {}
      : { [POD_DELETION_GRACE_ANNOTATION]: String(deletionGracePeriodSeconds) }),
    ...(terminationGracePeriodSeconds === undefined
      ? {}
      : { [POD_TERMINATION_GRACE_ANNOTATION]: String(terminationGracePeriodSeconds) }),
    ...(preStop === undefined ? {} : { [PRE_STOP_HANDLER_ANNOTATION]: JSON.stringify(preStop) }),
    ...(container.ports === undefined || container.ports.length === 0
      ? {}
      : { [CONTAINER_PORTS_ANNOTATION]: JSON.stringify(container.ports) }),
  };
}

/** Where a container writes its last words; "" when it must not. */
export function terminationMessagePath(container: Container): string {
  return container.terminationMessagePath ?? "/dev/termination-log";
}

/** What of a container survives in its annotations, for killing it without its pod's spec. */
export interface AnnotatedContainer {
  readonly deletionGracePeriodSeconds: number | undefined;
  readonly terminationGracePeriodSeconds: number | undefined;
  readonly preStop: LifecycleHandler | undefined;
}

/** What is missing or unreadable counts as absent. kubelet: getContainerInfoFromAnnotations. */
export function readContainerAnnotations(annotations: Readonly<Record<string, string>>): AnnotatedContainer {
  return {
    deletionGracePeriodSeconds: wholeNumber(annotations[POD_DELETION_GRACE_ANNOTATION]),
    terminationGracePeriodSeconds: wholeNumber(annotations[POD_TERMINATION_GRACE_ANNOTATION]),
    preStop: readHandler(annotations[PRE_STOP_HANDLER_ANNOTATION]),
  };
}

function identity({ metadata }: Pod): Record<string, string> {
  return {
    [POD_NAME_LABEL]: metadata.name,
    [POD_NAMESPACE_LABEL]: metadata.namespace,
    [POD_UID_LABEL]: metadata.uid,
  };
}

function wholeNumber(text: string | undefined): number | undefined {
  return text !== undefined && /^-?\d+$/.test(text) ? Number(text) : undefined;
}

function readHandler(text: string | undefined): LifecycleHandler | undefined {
  try {
    const parsed: unknown = JSON.parse(text ?? "null");
    if (typeof parsed !== "object" || parsed === null) return undefined;
    const { exec, sleep } = parsed as LifecycleHandler;
    if (Array.isArray(exec?.command) && exec.command.every((part) => typeof part === "string"))
      return { exec: { command: exec.command } };
    return typeof sleep?.seconds === "number" ? { sleep: { seconds: sleep.seconds } } : undefined;
  } catch {
    return undefined;
  }
}
