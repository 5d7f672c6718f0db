// SPDX-License-Identifier: Apache-2.0

/** One form for equal statuses: order, length of messages; and the comparison that ignores times. Pure. kubelet: normalizeStatus, isPodStatusByKubeletEqual. */
import { equalJson } from "@holdfast/core/equal-json";
import { allContainers } from "@holdfast/core/pod";
import type { ContainerStateStatus, Pod, PodCondition, PodStatus } from "@holdfast/core/pod-types";
import type { ApiContainerStatus, ApiPodSpec, ApiPodStatus } from "./api-types.ts";
import { isKubeletCondition } from "./condition-owners.ts";
import { formatTime, parseTime } from "./status-time.ts";

/** Bytes of all termination messages of a pod together. kubelet: MaxPodTerminationMessageLogLength. */
export const MAX_TERMINATION_MESSAGES_BYTES = 12_288;

/** Cuts termination messages to their share, and times to whole seconds; regular and ephemeral containers by name, init containers in the order of the spec. */
export function normalizePodStatus(pod: Pod, status: ApiPodStatus): ApiPodStatus {
  const spec: ApiPodSpec = pod.spec;
  const containers = allContainers(spec).length + (spec.ephemeralContainers?.length ?? 0);
  const limit = Math.floor(MAX_TERMINATION_MESSAGES_BYTES / Math.max(containers, 1));
  const cut = (one: ApiContainerStatus): ApiContainerStatus => {
    const state = normalState(one.state, limit);
    const lastState = normalState(one.lastState, limit);
    return state === one.state && lastState === one.lastState ? one : { ...one, state, lastState };
  };
  const order = new Map(spec.initContainers?.map(({ name }, index) => [name, index]));
  const init = status.initContainerStatuses
    ?.map(cut)
    .sort((a, b) => (order.get(a.name) ?? 0) - (order.get(b.name) ?? 0));
  const regular = status.containerStatuses?.map(cut).sort(byName);
  const ephemeral = status.ephemeralContainerStatuses?.map(cut).sort(byName);
  return {
    ...status,
    ...(status.startTime === undefined ? {} : { startTime: wholeSeconds(status.startTime) }),
    ...(status.conditions === undefined ? {} : { conditions: status.conditions.map(normalCondition) }),
    ...(init === undefined ? {} : { initContainerStatuses: init }),
    ...(regular === undefined ? {} : { containerStatuses: regular }),
    ...(ephemeral === undefined ? {} : { ephemeralContainerStatuses: ephemeral }),
  };
}

function byName(a: ApiContainerStatus, b: ApiContainerStatus): number {
  return a.name < b.name ? -1 : a.name > b.name ? 1 : 0;
}

/** What has no fraction stays as it is written. */
function wholeSeconds(text: string): string {
  if (!text.includes(".")) return text;
  const wallMs = parseTime(text);
  return wallMs === undefined ? text : formatTime(wallMs);
}

function normalCondition(condition: PodCondition): PodCondition {
  const { lastTransitionTime } = condition;
  return lastTransitionTime?.includes(".") === true
    ? { ...condition, lastTransitionTime: wholeSeconds(lastTransitionTime) }
    : condition;
}

/** Whether nothing changed that the node has a say in: times of conditions do not count, nor conditions and claims that others write. */
export function equalPodStatus(a: PodStatus, b: PodStatus): boolean {
  if (a === b) return true;
  const { conditions: ofA = [], ...restA } = withoutClaims(a);
  const { conditions: ofB = [], ...restB } = withoutClaims(b);
  const ours = ofA.filter(({ type }) => isKubeletCondition(type));
  const theirs = new Map(ofB.filter(({ type }) => isKubeletCondition(type)).map((one) => [one.type, one]));
  if (ours.length !== theirs.size) return false;
  const same = ours.every((one) => {
    const other = theirs.get(one.type);
    return (
      other?.status === one.status &&
      (other.reason ?? "") === (one.reason ?? "") &&
      (other.message ?? "") === (one.message ?? "")
    );
  });
  return same && equalJson(restA, restB);
}

function withoutClaims(status: ApiPodStatus): ApiPodStatus {
  const {
    resourceClaimStatuses: _claims,
    extendedResourceClaimStatus: _extended,
    nodeAllocatableResourceClaimStatuses: _allocatable,
    nominatedNodeName: _nominated,
    ...rest
  } = status;
  return rest;
}

function normalState(state: ContainerStateStatus, limit: number): ContainerStateStatus {
  if (state.running !== undefined) {
    const startedAt = wholeSeconds(state.running.startedAt);
    return startedAt === state.running.startedAt ? state : { running: { startedAt } };
  }
  if (state.terminated === undefined) return state;
  const { message, startedAt, finishedAt } = state.terminated;
  const normal = {
    ...(message === undefined ? {} : { message: cutBytes(message, limit) }),
    ...(startedAt === undefined ? {} : { startedAt: wholeSeconds(startedAt) }),
    ...(finishedAt === undefined ? {} : { finishedAt: wholeSeconds(finishedAt) }),
  };
  const same =
    normal.message === message && normal.startedAt === startedAt && normal.finishedAt === finishedAt;
  return same ? state : { terminated: { ...state.terminated, ...normal } };
}

/** The longest beginning of `text` that has at most `limit` bytes in UTF-8 and ends with a whole character. */
function cutBytes(text: string, limit: number): string {
  // No character has more than three bytes per UTF-16 unit.
  if (text.length * 3 <= limit) return text;
  let bytes = 0;
  let end = 0;
  for (const character of text) {
    const code = character.codePointAt(0) ?? 0;
    bytes += code < 0x80 ? 1 : code < 0x800 ? 2 : code < 0x10000 ? 3 : 4;
    if (bytes > limit) return text.slice(0, end);
    end += character.length;
  }
  return text;
}
