// SPDX-License-Identifier: Apache-2.0

/** READY, STATUS and RESTARTS as `kubectl get pods` prints them. Pure. kubectl: printPod (pkg/printers/internalversion). */
import { formatAge } from "@holdfast/core/duration";
import { isSidecar } from "@holdfast/core/pod";
import type {
  Container,
  ContainerStateStatus,
  ContainerStatus,
  Pod,
  PodStatus,
} from "@holdfast/core/pod-types";
import { isTerminalPhase } from "./compute-pod-phase.ts";
import { parseTime } from "./status-time.ts";

/** The texts of three columns. */
export interface PodPrinterColumns {
  /** `1/2` */
  readonly ready: string;
  /** `Running`, `CrashLoopBackOff`, `Init:0/1`, `Completed`, `Terminating` ... */
  readonly status: string;
  /** `3`, or `3 (5m ago)` when the time is known. */
  readonly restarts: string;
}

interface Tally {
  restarts: number;
  /** Wall milliseconds of the newest end before a restart. */
  lastRestart: number | undefined;
  ready: number;
}

/** `nowMs` is wall time; without it RESTARTS says no age. */
export function podPrinterColumns(pod: Pod, status: PodStatus, nowMs?: number): PodPrinterColumns {
  const inits = pod.spec.initContainers ?? [];
  const total = pod.spec.containers.length + inits.filter(isSidecar).length;
  const all = newTally();
  const sidecars = newTally();
  const initText = initializing(inits, status, all, sidecars);
  let text = status.reason === undefined || status.reason === "" ? status.phase : status.reason;
  let tally = all;
  if (initText !== undefined) text = initText;
  if (initText === undefined || hasCondition(status, "Initialized")) {
    tally = { ...sidecars, ready: all.ready };
    text = regularText(text, status, tally);
  }
  if (pod.metadata.deletionTimestamp !== undefined) {
    if (status.reason === "NodeLost") text = "Unknown";
    else if (!isTerminalPhase(status.phase)) text = "Terminating";
  }
  return { ready: `${tally.ready}/${total}`, status: text, restarts: restartsText(tally, nowMs) };
}

function newTally(): Tally {
  return { restarts: 0, lastRestart: undefined, ready: 0 };
}

/** `Init:...` of the first init container that is not done; undefined when all are. */
function initializing(
  inits: readonly Container[],
  status: PodStatus,
  all: Tally,
  sidecars: Tally,
): string | undefined {
  for (const [index, one] of (status.initContainerStatuses ?? []).entries()) {
    const container = inits.find(({ name }) => name === one.name);
    const sidecar = container !== undefined && isSidecar(container);
    addRestarts(all, one);
    if (sidecar) addRestarts(sidecars, one);
    if (one.state.terminated?.exitCode === 0) continue;
    if (sidecar && one.started === true) {
      if (one.ready) all.ready += 1;
      continue;
    }
    const { terminated, waiting } = one.state;
    if (terminated !== undefined) return `Init:${endText(terminated)}`;
    const reason = waiting?.reason ?? "";
    return reason !== "" && reason !== "PodInitializing" ? `Init:${reason}` : `Init:${index}/${inits.length}`;
  }
  return undefined;
}

/** The first container's word counts, where it has one. */
function regularText(before: string, status: PodStatus, tally: Tally): string {
  let text = before;
  let hasRunning = false;
  for (const one of (status.containerStatuses ?? []).toReversed()) {
    addRestarts(tally, one);
    const { waiting, terminated, running } = one.state;
    if (waiting?.reason !== undefined && waiting.reason !== "") text = waiting.reason;
    else if (terminated !== undefined) text = endText(terminated);
    else if (one.ready && running !== undefined) {
      hasRunning = true;
      tally.ready += 1;
    }
  }
  if (text !== "Completed" || !hasRunning) return text;
  return hasCondition(status, "Ready") ? "Running" : "NotReady";
}

function endText(terminated: NonNullable<ContainerStateStatus["terminated"]>): string {
  if (terminated.reason !== undefined && terminated.reason !== "") return terminated.reason;
  const { signal } = terminated;
  return signal === undefined || signal === 0 ? `ExitCode:${terminated.exitCode}` : `Signal:${signal}`;
}

function addRestarts(tally: Tally, status: ContainerStatus): void {
  tally.restarts += status.restartCount;
  const ended = parseTime(status.lastState.terminated?.finishedAt);
  if (ended !== undefined && ended > 0) tally.lastRestart = Math.max(tally.lastRestart ?? 0, ended);
}

function restartsText(tally: Tally, nowMs: number | undefined): string {
  if (tally.restarts === 0 || tally.lastRestart === undefined || nowMs === undefined)
    return String(tally.restarts);
  return `${tally.restarts} (${formatAge(nowMs - tally.lastRestart)} ago)`;
}

function hasCondition(status: PodStatus, type: string): boolean {
  return (
    status.conditions?.some((condition) => condition.type === type && condition.status === "True") ?? false
  );
}
