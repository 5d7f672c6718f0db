// SPDX-License-Identifier: Apache-2.0

/**
 * What is known about one pod UID. Its steps and `PodWorkers` change it, nobody else; it does one thing at a time.
 *
 *   waiting ──> sync ──> terminating ──> terminated ──(not wanted any more)──> gone
 *      └───────────────────────────────────^ (has to end before it started)
 */
import { mergeCauses } from "@holdfast/bus";
import { linkSignal } from "@holdfast/core/lifecycle";
import type { LinkedSignal } from "@holdfast/core/lifecycle";
import { CONFIG_SOURCE_ANNOTATION } from "@holdfast/core/names";
import { podFullName } from "@holdfast/core/pod";
import type { Pod } from "@holdfast/core/pod-types";
import type { MountedVolume, WaitingReason } from "../ports.ts";
import type { ActWindow } from "./compute-throttle.ts";
import type { TerminationReason } from "./events.ts";

/** kubelet: PodWorkerState, with the wait for a namesake named. */
export type PodWorkerState = "waiting" | "sync" | "terminating" | "terminated";

/** Volumes and cgroup of a pod, made ready by an earlier step of this process. */
export interface PreparedPod {
  readonly volumes: ReadonlyMap<string, MountedVolume>;
  readonly cgroupParent: string;
}

/** What is to be done next, from everything that came in since the last step began. kubelet: the pending slot. */
export interface PendingWork {
  readonly causes: readonly number[];
  /** What is usually taken as still right is made sure of too. */
  readonly resync: boolean;
}

/** kubelet: podSyncStatus. */
export class PodWorker {
  pod: Pod;
  /** The spec is not known: only what the runtime's labels say. */
  runtimeOnly: boolean;
  /** On the node, in no source yet: nothing is done for it until a source claims it or all sources have listed. */
  unclaimed = false;
  /** Found alive on the runtime at the agent's start: it holds its name and ports although no step ran yet. */
  live = false;
  state: PodWorkerState = "waiting";
  /** No source wants it: everything of it goes. */
  deleted = false;
  /** It was wanted again while it was being removed. */
  restartRequested = false;
  terminationReason: TerminationReason = "Removed";
  graceSeconds: number | undefined;
  /** Forces phase Failed. */
  failed: WaitingReason | undefined;
  /** Why containers do not run, by name, from the last start: at most one for each container. kubelet: reasonCache. */
  readonly waitingReasons: Map<string, WaitingReason> = new Map();
  /** Why the pod as a whole does not get on. */
  waiting: WaitingReason | undefined;
  /** The last step's failure. */
  problem: string | undefined;
  /** Looks at the runtime must be newer (monotonic): the end of the last step that acted on it. */
  actedAt: number = Number.NEGATIVE_INFINITY;
  /** It may have host ports and counts against maxPods: it was let in and has not ended. */
  admitted = false;
  /** It was given what it asked for, in this process. */
  allotted = false;
  /** How often it acted on the runtime lately. */
  actWindow: ActWindow = { since: 0, count: 0 };
  prepared: PreparedPod | undefined;
  /** `manifest.json` holds this very object. */
  writtenPod: Pod | undefined;
  /** Nothing is left to do in its state. */
  finished = false;
  /** It could not be cleaned away, but nothing of it runs: it must not keep its name for ever. */
  nameFreed = false;
  /** The loop that runs its steps. */
  running: Promise<void> | undefined;
  /** Resolve when nothing of the pod runs. */
  readonly onDown: Set<() => void> = new Set();
  #dirty = false;
  #resync = false;
  #causes: readonly number[] = [];
  #link: LinkedSignal = linkSignal();

  constructor(pod: Pod, runtimeOnly = false) {
    this.pod = pod;
    this.runtimeOnly = runtimeOnly;
  }

  get uid(): string {
    return this.pod.metadata.uid;
  }

  get dirty(): boolean {
    return this.#dirty;
  }

  /** Aborts when what the worker does now has been overtaken. */
  get signal(): AbortSignal {
    return this.#link.signal;
  }

  /** Only static pods wait for their namesakes; of a pod without a spec the source is not known. kubelet: IsStaticPod. */
  get exclusiveName(): string | undefined {
    const source = this.pod.metadata.annotations?.[CONFIG_SOURCE_ANNOTATION];
    const isStatic = source !== undefined && source !== "api";
    return isStatic || this.runtimeOnly ? podFullName(this.pod) : undefined;
  }

  /** There is something to do. */
  mark(causes: readonly number[], resync = false): void {
    this.#dirty = true;
    this.#resync ||= resync;
    this.#causes = mergeCauses(this.#causes, causes);
  }

  /** Takes what was marked. */
  take(): PendingWork {
    const taken = { causes: this.#causes, resync: this.#resync };
    this.#dirty = false;
    this.#resync = false;
    this.#causes = [];
    return taken;
  }

  /** Ends what the worker does now. */
  interrupt(reason: string): void {
    const link = this.#link;
    this.#link = linkSignal();
    link.abort(new Error(reason));
  }

  /** Nothing of the pod runs any more. */
  isDown(): void {
    for (const resolve of this.onDown) resolve();
    this.onDown.clear();
  }
}
