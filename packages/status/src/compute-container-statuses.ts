// SPDX-License-Identifier: Apache-2.0

/**
 * Container statuses from what the runtime has, what was said before, and why starts failed. Pure.
 * kubelet: convertToAPIContainerStatuses and convertStatusToAPIStatus (kubelet_pods.go).
 */
import { isSidecar } from "@holdfast/core/pod";
import type {
  Container,
  ContainerStateStatus,
  ContainerStatus,
  Pod,
  PodStatus,
} from "@holdfast/core/pod-types";
import { newestByName } from "@holdfast/core/runtime-status";
import type { ContainerRecord, RuntimePodStatus } from "@holdfast/core/runtime-status";
import type { ApiContainerStatus, ApiPodSpec, ApiPodStatus } from "./api-types.ts";
import { detailsOf } from "./compute-container-details.ts";
import { wouldRestart } from "./compute-restart-rules.ts";
import type { WaitingReason } from "./ports.ts";
import { formatTime } from "./status-time.ts";

/** What {@link computeContainerStatuses} reads. */
export interface ContainerStatusesInput {
  readonly pod: Pod;
  readonly runtime: RuntimePodStatus;
  /** The last status that was set; undefined for a new pod. */
  readonly previous: PodStatus | undefined;
  readonly waitingReasons: ReadonlyMap<string, WaitingReason>;
  /** The runtime's name in `containerID`. Default `containerd`. */
  readonly runtimeName?: string;
  /** All containers are being removed to be started anew, by a rule. Default false. */
  readonly restartingAll?: boolean;
}

/** Statuses of init containers, of regular and of ephemeral ones, each in the order of the spec, `started` and `ready` not yet filled. */
export interface ContainerStatusLists {
  readonly init: readonly ApiContainerStatus[];
  readonly regular: readonly ApiContainerStatus[];
  /** Default none. They count for no phase and no condition. */
  readonly ephemeral?: readonly ApiContainerStatus[];
}

/** Exit code of a container that was lost: as if it had been killed. */
export const LOST_EXIT_CODE = 137;
/** Reason of a container whose end nobody saw. */
export const STATUS_UNKNOWN = "ContainerStatusUnknown";
/** What is said of it. */
export const LOST_AT_TERMINATION = "The container could not be located when the pod was terminated";
/** Reason of a container that was removed because a rule restarts all of the pod. */
export const RESTARTING_ALL = "RestartingAllContainers";
const REMOVED_FOR_RESTART = "The container is removed because RestartAllContainers in place";
const LOST_WHILE_RUNNING =
  "The container could not be located when the pod was deleted.  The container used to be Running";
const INFERRED_COMPLETION =
  "Unable to get init container status from container runtime and pod has been initialized, treat it as exited normally";

/** Converts all containers of the spec; records of unknown names are left out. */
export function computeContainerStatuses(input: ContainerStatusesInput): ContainerStatusLists {
  const { pod } = input;
  const spec: ApiPodSpec = pod.spec;
  const previous: ApiPodStatus | undefined = input.previous;
  const newest = newestByName(input.runtime);
  const started = pod.spec.containers.some((container) => {
    const state = newest.get(container.name)?.state;
    return state !== undefined && state !== "unknown";
  });
  const convert = (
    containers: readonly Container[] | undefined,
    olds: readonly ContainerStatus[] | undefined,
    isInit: boolean,
  ): readonly ApiContainerStatus[] =>
    (containers ?? []).map((container) => {
      const old = olds?.find((status) => status.name === container.name);
      const record = newest.get(container.name);
      let status =
        record === undefined ? withoutRecord(input, container, old) : fromRecords(input, record, old);
      if (isInit && record === undefined && started) status = inferCompletion(container, status);
      // What ended before and is no longer known is shown as it was.
      if (record === undefined && status === old)
        return withWaitingReason(input, container, { status, record, isInit });
      const detailed = { ...status, ...detailsOf(container, record, old) };
      return withWaitingReason(input, container, { status: detailed, record, isInit });
    });
  const ephemeral = convert(spec.ephemeralContainers, previous?.ephemeralContainerStatuses, false);
  return {
    init: convert(spec.initContainers, previous?.initContainerStatuses, true),
    regular: convert(spec.containers, previous?.containerStatuses, false),
    ...(ephemeral.length === 0 ? {} : { ephemeral }),
  };
}

/**
 * Whether a container that is not running would be started by the next sync. kubelet: ShouldContainerBeRestarted.
 */
export function shouldContainerBeRestarted(
  pod: Pod,
  container: Container,
  record: ContainerRecord | undefined,
): boolean {
  if (pod.metadata.deletionTimestamp !== undefined) return false;
  if (record === undefined) return true;
  if (record.state === "running") return false;
  if (record.state !== "exited") return true;
  return wouldRestart(pod, container, record.exitCode);
}

function withoutRecord(
  input: ContainerStatusesInput,
  container: Container,
  old: ContainerStatus | undefined,
): ContainerStatus {
  if (input.restartingAll === true && old !== undefined && old.state.waiting === undefined)
    return removedForRestart(container, old);
  if (old?.state.terminated !== undefined) return old;
  const hasInit = (input.pod.spec.initContainers?.length ?? 0) > 0;
  const status: ContainerStatus = {
    name: container.name,
    state: { waiting: { reason: hasInit ? "PodInitializing" : "ContainerCreating" } },
    lastState: old?.lastState ?? {},
    ready: false,
    restartCount: old?.restartCount ?? 0,
    image: container.image,
    imageID: "",
  };
  if (old?.state.running === undefined || status.lastState.terminated !== undefined) return status;
  // It used to run and is gone: without a last termination the pod would fall back to Pending as if it had never started.
  status.lastState = {
    terminated: { reason: STATUS_UNKNOWN, message: LOST_WHILE_RUNNING, exitCode: LOST_EXIT_CODE },
  };
  if (input.pod.metadata.deletionTimestamp === undefined) status.restartCount += 1;
  return status;
}

/** Its end was seen or not; it counts as a restart either way. */
function removedForRestart(container: Container, old: ContainerStatus): ContainerStatus {
  const said = { reason: RESTARTING_ALL, message: REMOVED_FOR_RESTART };
  return {
    name: container.name,
    state: { waiting: said },
    lastState: { terminated: { ...said, exitCode: LOST_EXIT_CODE } },
    ready: false,
    restartCount: old.restartCount + 1,
    image: container.image,
    imageID: "",
  };
}

function fromRecords(
  input: ContainerStatusesInput,
  record: ContainerRecord,
  old: ContainerStatus | undefined,
): ContainerStatus {
  const runtimeName = input.runtimeName ?? "containerd";
  const containerID = `${runtimeName}://${record.id}`;
  // By the id alone: the runtime's name may have been unknown when the old status was made.
  const replaced = old?.containerID !== undefined && !old.containerID.endsWith(`://${record.id}`);
  return {
    name: record.name,
    state: stateOf(record, old, input),
    lastState: lastStateOf(input, record, old, replaced),
    ready: false,
    restartCount: restartCountOf(record, old, replaced),
    image: record.image,
    imageID: record.imageRef,
    containerID,
    // Taken over until the probe verdicts are filled in: a restart of the agent starts no startup probe anew.
    ...(record.state === "running" && old?.started !== undefined && !replaced
      ? { started: old.started }
      : {}),
  };
}

function stateOf(
  record: ContainerRecord,
  old: ContainerStatus | undefined,
  { runtimeName = "containerd", restartingAll = false }: ContainerStatusesInput,
): ContainerStateStatus {
  if (record.state === "running") return { running: { startedAt: formatTime(record.startedAt) } };
  if (record.state === "exited") return { terminated: terminationOf(record, runtimeName) };
  if (record.state === "unknown" && old?.state.running !== undefined) {
    const reason = restartingAll ? RESTARTING_ALL : STATUS_UNKNOWN;
    return { terminated: { reason, message: LOST_AT_TERMINATION, exitCode: LOST_EXIT_CODE } };
  }
  return { waiting: {} };
}

/** As containerd reports it: a death by signal is exit code 128 + signal, and the CRI names no signal, so `signal` is never set. */
function terminationOf(
  record: ContainerRecord,
  runtimeName: string,
): NonNullable<ContainerStateStatus["terminated"]> {
  // The exit event has no reason; containerd will say one of these two, or OOMKilled, once it is asked.
  const inferred = record.exitUnconfirmed === true ? (record.exitCode === 0 ? "Completed" : "Error") : "";
  const reason = record.reason === "" ? inferred : record.reason;
  return {
    exitCode: record.exitCode,
    ...(reason === "" ? {} : { reason }),
    ...(record.message === "" ? {} : { message: record.message }),
    startedAt: formatTime(record.startedAt),
    finishedAt: formatTime(record.finishedAt),
    containerID: `${runtimeName}://${record.id}`,
  };
}

/** The second newest record; without one, what is remembered of the predecessor. */
function lastStateOf(
  input: ContainerStatusesInput,
  record: ContainerRecord,
  old: ContainerStatus | undefined,
  replaced: boolean,
): ContainerStateStatus {
  const second = input.runtime.containers.filter((other) => other.name === record.name)[1];
  if (second?.state === "exited")
    return { terminated: terminationOf(second, input.runtimeName ?? "containerd") };
  if (old === undefined) return {};
  if (replaced && old.state.terminated !== undefined) return old.state;
  // While it waited to be started again its own death stood there; that is its state again.
  return old.lastState.terminated?.containerID === old.containerID && !replaced ? {} : old.lastState;
}

/** Never less than it was. A successor without its annotation still counts as one restart more. */
function restartCountOf(
  record: ContainerRecord,
  old: ContainerStatus | undefined,
  replaced: boolean,
): number {
  if (old === undefined) return record.restartCount;
  if (record.state === "unknown" && old.state.running !== undefined) return old.restartCount + 1;
  const ended = old.state.terminated ?? (old.state.waiting && old.lastState.terminated);
  const successor = replaced && record.state === "running" && ended !== undefined;
  if (successor && old.restartCount >= record.restartCount) return old.restartCount + 1;
  return Math.max(record.restartCount, old.restartCount);
}

function inferCompletion(container: Container, status: ContainerStatus): ContainerStatus {
  if (isSidecar(container) || status.state.waiting === undefined) return status;
  return {
    ...status,
    state: { terminated: { reason: "Completed", message: INFERRED_COMPLETION, exitCode: 0 } },
  };
}

/** What could not be started is Waiting, with its last death beside it. Without an entry the death itself stays visible. */
function withWaitingReason(
  input: ContainerStatusesInput,
  container: Container,
  made: {
    readonly status: ApiContainerStatus;
    readonly record: ContainerRecord | undefined;
    readonly isInit: boolean;
  },
): ApiContainerStatus {
  const { status, record, isInit } = made;
  const why = input.waitingReasons.get(container.name);
  if (why === undefined || !shouldContainerBeRestarted(input.pod, container, record)) return status;
  const succeeded = status.state.terminated?.exitCode === 0;
  if (isInit && !isSidecar(container) && succeeded) return status;
  return {
    ...status,
    lastState: status.state.terminated === undefined ? status.lastState : status.state,
    state: {
      waiting: { reason: why.reason, ...(why.message === "" ? {} : { message: why.message }) },
    },
  };
}
