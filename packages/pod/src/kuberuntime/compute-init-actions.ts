// SPDX-License-Identifier: Apache-2.0

/** Pure: which init containers and sidecars to start or kill, walking from the last to the first. kubelet: computeInitContainerActions. */
import { effectiveRestartPolicy, isSidecar } from "@holdfast/core/pod";
import type { Container, Pod } from "@holdfast/core/pod-types";
import type { ContainerRecord } from "@holdfast/core/runtime-status";
import type { ProbeResults } from "../ports.ts";
import { containerChanged, killUnknown } from "./action-draft.ts";
import type { ActionDraft } from "./action-draft.ts";
import { isInitContainerFailed, mustAwaitConfirmation } from "./should-restart.ts";

interface Walk {
  readonly pod: Pod;
  readonly inits: readonly Container[];
  readonly probes: ProbeResults;
  readonly draft: ActionDraft;
  /** Every init container has done its part. */
  initialised: boolean;
  /** A later init container has a record, or the pod was initialised: this one has done its part too. */
  later: boolean;
}

/** Fills the draft; returns whether regular containers may be looked at. */
export function computeInitActions(
  pod: Pod,
  newest: ReadonlyMap<string, ContainerRecord>,
  probes: ProbeResults,
  draft: ActionDraft,
): boolean {
  const inits = pod.spec.initContainers ?? [];
  // Exited ones do not count: after a reboot everything looks exited.
  const initialised = pod.spec.containers.some(({ name }) => {
    const state = newest.get(name)?.state;
    return state === "running" || state === "created";
  });
  if (pod.metadata.deletionTimestamp !== undefined) return initialised;
  const walk: Walk = { pod, inits, probes, draft, initialised, later: initialised };
  for (let index = inits.length - 1; index >= 0; index--) {
    const container = inits[index] as Container;
    const record = newest.get(container.name);
    if (record === undefined) {
      if (isSidecar(container) && walk.later) start(walk, container);
      continue;
    }
    if (isSidecar(container)) sidecarAction(walk, index, container, record);
    else if (!walk.later) initAction(walk, index, container, record);
    if (draft.killPod) {
      draft.initContainersToStart = [];
      return false;
    }
    walk.later = true;
  }
  if (!walk.later) {
    const first = inits[0];
    if (first !== undefined) start(walk, first);
  }
  draft.initContainersToStart.reverse();
  return walk.initialised;
}

function start({ draft }: Walk, container: Container): void {
  if (!draft.initContainersToStart.includes(container)) draft.initContainersToStart.push(container);
}

/** This one is done: the pod is initialised, or the next one's turn has come. */
function advance(walk: Walk, index: number): void {
  const next = walk.inits[index + 1];
  if (next === undefined) walk.initialised = true;
  else if (!walk.later) start(walk, next);
}

function initAction(walk: Walk, index: number, container: Container, record: ContainerRecord): void {
  const { pod, draft } = walk;
  const retries = effectiveRestartPolicy(pod, container) !== "Never";
  if (record.state === "running") return;
  if (record.state === "created") start(walk, container);
  else if (record.state === "exited" && !isInitContainerFailed(record)) advance(walk, index);
  else if (!retries) draft.killPod = true;
  else if (mustAwaitConfirmation(pod, record)) draft.awaitingConfirmation.push(container.name);
  else {
    if (record.state === "unknown") killUnknown(draft, container, record);
    start(walk, container);
  }
}

function sidecarAction(walk: Walk, index: number, container: Container, record: ContainerRecord): void {
  const { pod, draft } = walk;
  if (record.state === "running") runningSidecar(walk, index, container, record);
  else if (mustAwaitConfirmation(pod, record)) draft.awaitingConfirmation.push(container.name);
  else {
    if (record.state === "unknown") killUnknown(draft, container, record);
    start(walk, container);
  }
}

function runningSidecar(walk: Walk, index: number, container: Container, record: ContainerRecord): void {
  const { probes, draft } = walk;
  const restart = (reason: "StartupProbe" | "LivenessProbe" | "SpecChanged", what: string): void => {
    draft.containersToKill.set(record.id, {
      container,
      record,
      reason,
      message: `Init container ${container.name} ${what}, will be restarted`,
    });
    start(walk, container);
  };
  if (container.startupProbe !== undefined) {
    const startup = probes.startup(record.id);
    if (startup === "failure") restart("StartupProbe", "failed startup probe");
    if (startup !== "success") return;
  }
  advance(walk, index);
  if (containerChanged(container, record)) restart("SpecChanged", "definition changed");
  else if (container.livenessProbe !== undefined && probes.liveness(record.id) === "failure")
    restart("LivenessProbe", "failed liveness probe");
}
