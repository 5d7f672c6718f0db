// SPDX-License-Identifier: Apache-2.0

/** One form for equal statuses: order, length of messages; and the comparison that ignores times. Pure. kubelet: normalizeStatus, isPodStatusByKubeletEqual. */
import { allContainers } from "@holdfast/core/pod";
import type { ContainerStateStatus, ContainerStatus, Pod, PodStatus } from "@holdfast/core/pod-types";

/** Bytes of all termination messages of a pod together. kubelet: MaxPodTerminationMessageLogLength. */
export const MAX_TERMINATION_MESSAGES_BYTES = 12_288;

/** Cuts termination messages to their share; regular containers by name, init containers in the order of the spec. */
export function normalizePodStatus(pod: Pod, status: PodStatus): PodStatus {
  const limit = Math.floor(MAX_TERMINATION_MESSAGES_BYTES / Math.max(allContainers(pod.spec).length, 1));
  const cut = (one: ContainerStatus): ContainerStatus => ({
    ...one,
    state: cutMessage(one.state, limit),
    lastState: cutMessage(one.lastState, limit),
  });
  const order = new Map(pod.spec.initContainers?.map(({ name }, index) => [name, index]));
  const init = status.initContainerStatuses
    ?.map(cut)
    .sort((a, b) => (order.get(a.name) ?? 0) - (order.get(b.name) ?? 0));
  const regular = status.containerStatuses
    ?.map(cut)
    .sort((a, b) => (a.name < b.name ? -1 : a.name > b.name ? 1 : 0));
  return {
    ...status,
    ...(init === undefined ? {} : { initContainerStatuses: init }),
    ...(regular === undefined ? {} : { containerStatuses: regular }),
  };
}

/** Whether nothing changed that anybody would want to know: times of conditions do not count. */
export function equalPodStatus(a: PodStatus, b: PodStatus): boolean {
  return comparable(a) === comparable(b);
}

function comparable(status: PodStatus): string {
  const conditions = (status.conditions ?? [])
    .map(({ type, status: value, reason, message }) => [type, value, reason ?? "", message ?? ""])
    .sort(([a = ""], [b = ""]) => (a < b ? -1 : a > b ? 1 : 0));
  return JSON.stringify(sorted({ ...status, conditions }));
}

/** The same value with the keys of its objects in order. */
function sorted(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(sorted);
  if (typeof value !== "object" || value === null) return value;
  return Object.fromEntries(
    Object.entries(value)
      .sort(([a], [b]) => (a < b ? -1 : 1))
      .map(([key, inner]) => [key, sorted(inner)]),
  );
}

function cutMessage(state: ContainerStateStatus, limit: number): ContainerStateStatus {
  const message = state.terminated?.message;
  if (state.terminated === undefined || message === undefined) return state;
  const cut = cutBytes(message, limit);
  return cut === message ? state : { terminated: { ...state.terminated, message: cut } };
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
