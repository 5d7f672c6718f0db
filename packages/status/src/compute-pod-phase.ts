// SPDX-License-Identifier: Apache-2.0

/** The phase of a pod. Pure. kubelet: getPhase (kubelet_pods.go). */
import { isSidecar } from "@holdfast/core/pod";
import type {
  Container,
  ContainerStateStatus,
  ContainerStatus,
  Pod,
  PodPhase,
} from "@holdfast/core/pod-types";
import type { RuntimePodStatus } from "@holdfast/core/runtime-status";
import { CONFIG_SOURCE_ANNOTATION } from "@holdfast/core/names";
import { RESTARTING_ALL } from "./compute-container-statuses.ts";
import type { ContainerStatusLists } from "./compute-container-statuses.ts";
import { wouldRestart } from "./compute-restart-rules.ts";

/** What {@link computePodPhase} takes beside pod and statuses. */
export interface PodPhaseFacts {
  /** The pod is being taken down and nothing will be started again. */
  readonly podIsTerminal: boolean;
  /** A regular container was created in the sandbox of now: {@link hasAnyActiveRegularContainer}. */
  readonly podHasInitialized: boolean;
}

interface Counts {
  running: number;
  waiting: number;
  stopped: number;
  succeeded: number;
  unknown: number;
  notRestartable: number;
  pendingInit: number;
  pendingSidecar: number;
  failedInitForGood: number;
}

/** A pod that reached it never leaves it. */
export function isTerminalPhase(phase: PodPhase | undefined): boolean {
  return phase === "Succeeded" || phase === "Failed";
}

/** Anything but the API as its source. kubelet: IsStaticPod. */
export function isStaticPod(pod: Pod): boolean {
  const source = pod.metadata.annotations?.[CONFIG_SOURCE_ANNOTATION];
  return source !== undefined && source !== "api";
}

/** kubelet: HasAnyActiveRegularContainerStarted. Only the newest sandbox counts, and only while it is ready. */
export function hasAnyActiveRegularContainer(pod: Pod, runtime: RuntimePodStatus): boolean {
  const active = runtime.sandboxes[0];
  if (active?.state !== "ready") return false;
  return runtime.containers.some(
    (record) =>
      record.sandboxId === active.id &&
      pod.spec.containers.some((container) => container.name === record.name),
  );
}

/** The phase that the statuses alone say; the caller keeps a terminal phase that was reached before. */
export function computePodPhase(pod: Pod, statuses: ContainerStatusLists, facts: PodPhaseFacts): PodPhase {
  const counts = count(pod, statuses);
  if (counts.failedInitForGood > 0) return "Failed";
  if (counts.pendingInit > 0 || (counts.pendingSidecar > 0 && !facts.podHasInitialized)) return "Pending";
  if (counts.waiting > 0) return "Pending";
  if (counts.unknown > 0) return "Pending";
  if (counts.running > 0) return "Running";
  if (counts.stopped === 0) return "Pending";
  const ended = counts.stopped === counts.succeeded ? "Succeeded" : "Failed";
  if (facts.podIsTerminal && !isStaticPod(pod)) return ended;
  return counts.stopped > counts.notRestartable ? "Running" : ended;
}

function count(pod: Pod, statuses: ContainerStatusLists): Counts {
  const counts: Counts = {
    running: 0,
    waiting: 0,
    stopped: 0,
    succeeded: 0,
    unknown: 0,
    notRestartable: 0,
    pendingInit: 0,
    pendingSidecar: 0,
    failedInitForGood: 0,
  };
  for (const container of pod.spec.initContainers ?? []) {
    const status = statuses.init.find(({ name }) => name === container.name);
    if (isSidecar(container)) countSidecar(counts, status);
    else countInit(counts, pod, container, status);
  }
  for (const container of pod.spec.containers)
    countRegular(
      counts,
      pod,
      container,
      statuses.regular.find(({ name }) => name === container.name),
    );
  return counts;
}

/** The end that counts: of now, or of the last life of a container that waits to be started again. */
function endOf(status: ContainerStatus): ContainerStateStatus["terminated"] {
  if (status.state.running !== undefined) return undefined;
  if (status.state.terminated !== undefined) return status.state.terminated;
  return status.state.waiting === undefined ? undefined : status.lastState.terminated;
}

/** A container that was taken away so that all of the pod starts anew comes back whatever its policy says. */
function comesBack(
  pod: Pod,
  container: Container,
  end: NonNullable<ContainerStateStatus["terminated"]>,
): boolean {
  return end.reason === RESTARTING_ALL || wouldRestart(pod, container, end.exitCode);
}

function countInit(
  counts: Counts,
  pod: Pod,
  container: Container,
  status: ContainerStatus | undefined,
): void {
  const end = status === undefined ? undefined : endOf(status);
  if (end === undefined) counts.pendingInit += 1;
  else if (end.exitCode !== 0 && !comesBack(pod, container, end)) counts.failedInitForGood += 1;
}

function countSidecar(counts: Counts, status: ContainerStatus | undefined): void {
  if (status === undefined) counts.unknown += 1;
  else if (status.state.running !== undefined) {
    counts.running += 1;
    if (status.started !== true) counts.pendingSidecar += 1;
  } else if (status.state.waiting !== undefined && status.lastState.terminated === undefined) {
    counts.pendingSidecar += 1;
    counts.waiting += 1;
  } else if (status.state.waiting === undefined && status.state.terminated === undefined) {
    counts.pendingSidecar += 1;
    counts.unknown += 1;
  }
}

function countRegular(
  counts: Counts,
  pod: Pod,
  container: Container,
  status: ContainerStatus | undefined,
): void {
  if (status?.state.running !== undefined) {
    counts.running += 1;
    return;
  }
  const end = status === undefined ? undefined : endOf(status);
  if (end === undefined) {
    if (status?.state.waiting === undefined) counts.unknown += 1;
    else counts.waiting += 1;
    return;
  }
  counts.stopped += 1;
  // Waiting after a success is not a success: it is about to run again.
  if (end.exitCode === 0 && status?.state.terminated !== undefined) counts.succeeded += 1;
  if (!comesBack(pod, container, end)) counts.notRestartable += 1;
}
