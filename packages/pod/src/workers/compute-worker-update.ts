// SPDX-License-Identifier: Apache-2.0

/** What an update does to a pod's worker. Pure. kubelet: podWorkers.UpdatePod. */
import type { Pod } from "@holdfast/core/pod-types";
import { computeGrace } from "./compute-grace.ts";
import type { TerminationReason } from "./events.ts";
import type { PodWorkerState } from "./pod-worker.ts";
import type { WaitingReason } from "../ports.ts";

/** How a pod's end is asked for. kubelet: KillPodOptions. */
export interface TerminationRequest {
  readonly reason: TerminationReason;
  readonly message: string;
  /** No source wants the pod: nothing of it is to be left. */
  readonly deleted: boolean;
  /** Replaces the pod's own grace if it is shorter than what holds already. */
  readonly graceSeconds?: number;
  /** Forces phase Failed with this. */
  readonly failed?: WaitingReason;
  readonly causes?: readonly number[];
}

/** kubelet: SyncPodType. */
export type WorkerUpdate =
  | { readonly type: "create" | "update"; readonly pod: Pod }
  | { readonly type: "sync" }
  | { readonly type: "kill"; readonly request: TerminationRequest };

/** What counts of a worker. */
export interface WorkerFacts {
  readonly pod: Pod;
  readonly state: PodWorkerState;
  readonly unclaimed: boolean;
  readonly live: boolean;
  readonly runtimeOnly: boolean;
  readonly deleted: boolean;
  readonly finished: boolean;
  readonly graceSeconds: number | undefined;
}

/** What is to be done. */
export type WorkerDecision =
  | { readonly kind: "ignore"; readonly why: string }
  /** A new worker. */
  | { readonly kind: "start" }
  /** The pod found on the node belongs to a source. */
  | { readonly kind: "claim" }
  /** The UID is being removed: it comes back when nothing is left of it. */
  | { readonly kind: "restart-later" }
  | { readonly kind: "wake" }
  /** The first wish to end it. `next` is terminated when nothing of it can run. */
  | {
      readonly kind: "terminate";
      readonly next: "terminating" | "terminated";
      readonly graceSeconds: number | undefined;
    }
  /** It is ending already. `interrupt`: the grace became shorter. */
  | { readonly kind: "hasten"; readonly graceSeconds: number | undefined; readonly interrupt: boolean };

/** `worker` is undefined for a UID that is not known. */
export function computeWorkerUpdate(worker: WorkerFacts | undefined, update: WorkerUpdate): WorkerDecision {
  switch (update.type) {
    case "create":
    case "update":
      return takeUp(worker, update.type);
    case "sync":
      if (worker === undefined) return ignore("the pod is not known");
      if (worker.unclaimed) return ignore("no source has claimed the pod");
      return worker.finished ? ignore("the pod has finished") : { kind: "wake" };
    case "kill":
      return worker === undefined ? ignore("the pod is not known") : end(worker, update.request);
    default:
      return update satisfies never;
  }
}

function takeUp(worker: WorkerFacts | undefined, type: "create" | "update"): WorkerDecision {
  if (worker === undefined) return { kind: "start" };
  if (worker.unclaimed) return { kind: "claim" };
  if (worker.deleted) return { kind: "restart-later" };
  if (worker.finished) return ignore("the pod has finished");
  return type === "create" && worker.state !== "waiting" && worker.state !== "sync"
    ? ignore("the pod is ending")
    : { kind: "wake" };
}

function end(worker: WorkerFacts, request: TerminationRequest): WorkerDecision {
  if (worker.finished && (worker.deleted || !request.deleted)) return ignore("the pod has finished");
  const { seconds, shortened } = computeGrace(worker.pod, worker.graceSeconds, request.graceSeconds);
  // Without a spec each container's annotations know best.
  const graceSeconds = worker.runtimeOnly && request.graceSeconds === undefined ? undefined : seconds;
  if (worker.state === "waiting" && !worker.live)
    return { kind: "terminate", next: "terminated", graceSeconds };
  if (worker.state === "waiting" || worker.state === "sync")
    return { kind: "terminate", next: "terminating", graceSeconds };
  return { kind: "hasten", graceSeconds, interrupt: shortened && worker.state === "terminating" };
}

function ignore(why: string): WorkerDecision {
  return { kind: "ignore", why };
}
