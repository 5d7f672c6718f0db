// SPDX-License-Identifier: Apache-2.0

/** A status as text on the disk, and back: what comes back is checked, for whoever reads it next has no other truth. Pure. */
import type { ContainerStatus, PodPhase } from "@holdfast/core/pod-types";
import type { ApiPodStatus } from "./api-types.ts";
import type { Cordon } from "./compute-readiness.ts";
import { parseTime } from "./status-time.ts";

const FORMAT = 1;
const PHASES: ReadonlySet<string> = new Set<PodPhase>([
  "Pending",
  "Running",
  "Succeeded",
  "Failed",
  "Unknown",
]);

/** What is read back. */
export interface StoredStatus {
  readonly status: ApiPodStatus;
  readonly cordon: Cordon | undefined;
}

/** The text of a status, and of who took its pod out of traffic. */
export function storedStatusText(status: ApiPodStatus, cordon?: Cordon): string {
  return JSON.stringify({ format: FORMAT, status, cordon });
}

/** The status, or undefined when the text is damaged or of another format: then the runtime's word is all there is. */
export function parseStoredStatus(text: string): StoredStatus | undefined {
  let stored: unknown;
  try {
    stored = JSON.parse(text);
  } catch {
    return undefined;
  }
  if (!isObject(stored) || stored["format"] !== FORMAT || !isObject(stored["status"])) return undefined;
  const { phase, startTime, conditions, ...lists } = stored["status"];
  const sound =
    typeof phase === "string" &&
    PHASES.has(phase) &&
    typeof startTime === "string" &&
    parseTime(startTime) !== undefined &&
    isListOf(conditions, (one) => typeof one["type"] === "string" && typeof one["status"] === "string") &&
    isListOf(lists["containerStatuses"], isContainerStatus) &&
    isListOf(lists["initContainerStatuses"], isContainerStatus) &&
    isListOf(lists["ephemeralContainerStatuses"], isContainerStatus);
  if (!sound) return undefined;
  return { status: stored["status"] as unknown as ApiPodStatus, cordon: cordonIn(stored["cordon"]) };
}

function cordonIn(value: unknown): Cordon | undefined {
  if (!isObject(value)) return undefined;
  const { by, at } = value;
  return typeof by === "string" && typeof at === "number" ? { by, at } : undefined;
}

/**
 * What makes a status worth a write to the disk: phase, start, the conditions' values, restarts and ends. The rest comes back from the
 * runtime at the next look.
 */
export function storedStatusSignature(status: ApiPodStatus): string {
  const container = (one: ContainerStatus): string =>
    `${one.name}=${one.restartCount}${one.state.terminated === undefined ? "" : "!"}${one.started === true ? "+" : ""}`;
  return [
    status.phase,
    status.reason ?? "",
    status.startTime ?? "",
    // A change of the node's address is told once, not at each start of the agent.
    status.hostIP ?? "",
    // The reason tells a pod that is held back from one that is not ready.
    ...(status.conditions ?? []).map(({ type, status: value, reason = "" }) => `${type}:${value}:${reason}`),
    ...(status.initContainerStatuses ?? []).map(container),
    ...(status.containerStatuses ?? []).map(container),
  ].join(" ");
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function isListOf(value: unknown, isGood: (one: Record<string, unknown>) => boolean): boolean {
  return value === undefined || (Array.isArray(value) && value.every((one) => isObject(one) && isGood(one)));
}

function isContainerStatus(one: Record<string, unknown>): boolean {
  return (
    typeof one["name"] === "string" &&
    typeof one["restartCount"] === "number" &&
    isObject(one["state"]) &&
    isObject(one["lastState"])
  );
}
