// SPDX-License-Identifier: Apache-2.0

/**
 * Writes statuses to a Kubernetes API server. It owns what is known of each pod's status there: the newest of the last answer, of the watch and of the pod as its worker had it.
 *
 * Invariants: nothing is read before it is written; a refused write is looked into once, and only then; a patch names the pod's UID, so that a successor of the same name is
 * never touched; what others write is left alone; a write that would change nothing is not sent; a pod is deleted only when it is finished, has ended in the API too, and is asked to
 * go. Lost on a crash: what is known; the next write of a pod then carries all that the node owns. kubelet: status.Manager.syncPod.
 */
import type { Clock } from "@holdfast/core/clock";
import type { Pod } from "@holdfast/core/pod-types";
import type { ApiPod, ApiPodStatus } from "../api-types.ts";
import { isStaticPod, isTerminalPhase } from "../compute-pod-phase.ts";
import { apiStatus } from "../compute-pod-status.ts";
import { equalPodStatus, normalizePodStatus } from "../normalize-pod-status.ts";
import type { StatusSink, StatusUpdate, StatusWriteOutcome } from "../sync/ports.ts";
import { computeApiAnswer } from "./compute-api-answer.ts";
import type { ApiAnswer } from "./compute-api-answer.ts";
import { computeStatusPatch, computeWholeStatusPatch } from "./compute-status-patch.ts";
import { mergePodStatus } from "./merge-pod-status.ts";
import type { HttpPort, HttpRequest } from "./ports.ts";

/** How an {@link ApiServerSink} is made. */
export interface ApiServerSinkOptions {
  readonly http: HttpPort;
  readonly clock: Pick<Clock, "now">;
  /** For people and metrics. Default `api-server`. */
  readonly name?: string;
  /**
   * The pod as the API's watch shows it; of a static pod, its mirror. Undefined: not known, or no mirror yet. Default: never known, so that static pods are
   * never written.
   */
  readonly apiPod?: (update: StatusUpdate) => ApiPod | undefined;
  /** Whether a container of the pod may still run: the pod workers know. Default: when its status shows one that does. kubelet: PodCouldHaveRunningContainers. */
  readonly couldHaveRunningContainers?: (update: StatusUpdate) => boolean;
  /** Pods of which something is remembered; the one written longest ago goes first. Default 4096. */
  readonly capacity?: number;
}

/** What the API server has of a pod. */
interface Known {
  readonly uid: string;
  readonly status: ApiPodStatus;
  readonly resourceVersion: string | undefined;
  readonly deleting: boolean;
  /** What was written to get there: an answer may say the same in other words (`500m` for `0.5`). */
  readonly wrote?: { readonly status: ApiPodStatus; readonly couldRun: boolean };
}

/** Which object of the API stands for a pod. */
interface Target {
  readonly uid: string;
  readonly path: string;
}

const MERGE_PATCH = "application/strategic-merge-patch+json";

/** See the block above. */
export class ApiServerSink implements StatusSink {
  readonly name: string;
  readonly #options: ApiServerSinkOptions;
  readonly #known = new Map<string, Known>();

  constructor(options: ApiServerSinkOptions) {
    this.#options = options;
    this.name = options.name ?? "api-server";
  }

  async write(update: StatusUpdate, signal: AbortSignal): Promise<StatusWriteOutcome> {
    const target = this.#targetOf(update);
    if (target === undefined) return "waiting";
    let outcome = await this.#patch(update, target, this.#knownOf(update, target), signal);
    if (typeof outcome !== "string") {
      // Refused. Another pod of that name, or ours changed under our hands: look once, and try once more.
      const fresh = await this.#send({ method: "GET", path: target.path }, signal);
      if (fresh.kind === "error" || fresh.kind === "look") throw fresh.error;
      if (fresh.kind === "gone" || fresh.pod?.metadata.uid !== target.uid) outcome = "gone";
      else
        outcome = await this.#patch(
          update,
          target,
          this.#remember(update, knownFrom(update.pod, fresh.pod)),
          signal,
        );
      if (typeof outcome !== "string") throw outcome.error;
    }
    if (outcome === "gone") {
      this.#known.delete(update.uid);
      return "gone";
    }
    if (this.#isDeletable(update, this.#known.get(update.uid))) return this.#delete(update, target, signal);
    return outcome;
  }

  forget(uid: string): void {
    this.#known.delete(uid);
  }

  /** kubelet: needsReconcile, and canBeDeleted in needsUpdate. */
  differs(update: StatusUpdate): boolean {
    const shown = this.#options.apiPod?.(update);
    if (shown?.status === undefined) return false;
    if (!isStaticPod(update.pod) && shown.metadata.uid !== update.uid) return false;
    const known = this.#known.get(update.uid);
    // The watch has not caught up with what was written.
    if (known?.uid === shown.metadata.uid && isOlder(shown.metadata.resourceVersion, known.resourceVersion))
      return false;
    const seen = this.#sameAs(known, knownFrom(update.pod, shown));
    if (this.#isDeletable(update, seen)) return true;
    // Times do not count here: they alone are not worth a write.
    return !this.#wrote(update, seen) && !equalPodStatus(seen.status, this.#merge(update, seen));
  }

  async #patch(
    update: StatusUpdate,
    target: Target,
    known: Known | undefined,
    signal: AbortSignal,
  ): Promise<"written" | "unchanged" | "gone" | Extract<ApiAnswer, { kind: "look" }>> {
    if (known !== undefined && this.#wrote(update, known)) return "unchanged";
    const patch =
      known === undefined
        ? computeWholeStatusPatch(target.uid, update.status, this.#delaysPhase(update))
        : computeStatusPatch(target.uid, known.status, this.#merge(update, known));
    if (patch === undefined) return "unchanged";
    const answer = await this.#send(
      {
        method: "PATCH",
        path: `${target.path}/status`,
        contentType: MERGE_PATCH,
        body: JSON.stringify(patch),
      },
      signal,
    );
    switch (answer.kind) {
      case "ok":
        if (answer.pod === undefined) this.#known.delete(update.uid);
        else
          this.#remember(update, {
            ...knownFrom(update.pod, answer.pod),
            wrote: { status: update.status, couldRun: this.#couldRun(update) },
          });
        return "written";
      case "gone":
        return "gone";
      case "look":
        return answer;
      case "error":
        throw answer.error;
      default:
        return answer satisfies never;
    }
  }

  async #delete(update: StatusUpdate, target: Target, signal: AbortSignal): Promise<StatusWriteOutcome> {
    const options = {
      apiVersion: "v1",
      kind: "DeleteOptions",
      gracePeriodSeconds: 0,
      preconditions: { uid: target.uid },
    };
    const request = { path: target.path, contentType: "application/json", body: JSON.stringify(options) };
    const answer = await this.#send({ method: "DELETE", ...request }, signal);
    // A conflict: another pod has its name by now.
    const conflict = answer.kind === "look" && answer.error.details["status"] === 409;
    if ((answer.kind === "error" || answer.kind === "look") && !conflict) throw answer.error;
    this.#known.delete(update.uid);
    return "gone";
  }

  async #send(request: HttpRequest, signal: AbortSignal): Promise<ApiAnswer> {
    const answer = await this.#options.http.request(request, signal);
    return computeApiAnswer(answer, this.#options.clock.now());
  }

  #targetOf(update: StatusUpdate): Target | undefined {
    const isStatic = isStaticPod(update.pod);
    const mirror = isStatic ? this.#options.apiPod?.(update) : undefined;
    if (isStatic && mirror === undefined) return undefined;
    const { namespace, name, uid } = mirror?.metadata ?? update.pod.metadata;
    return {
      uid,
      path: `/api/v1/namespaces/${encodeURIComponent(namespace)}/pods/${encodeURIComponent(name)}`,
    };
  }

  /** The newest that is known: of the last answer, of the watch, else of the pod as the API gave it to the worker. */
  #knownOf(update: StatusUpdate, target: Target): Known | undefined {
    const shown = this.#options.apiPod?.(update);
    const seen = shown?.metadata.uid === target.uid ? knownFrom(update.pod, shown) : undefined;
    const answered = this.#known.get(update.uid);
    if (answered?.uid === target.uid) {
      const newer = seen !== undefined && isOlder(answered.resourceVersion, seen.resourceVersion);
      return newer ? this.#sameAs(answered, seen) : answered;
    }
    if (seen !== undefined) return seen;
    const given = apiStatus(update.pod);
    return given === undefined ? undefined : knownFrom(update.pod, { ...update.pod, status: given });
  }

  #remember(update: StatusUpdate, answered: Known): Known {
    // The objects that the manager holds anyway are kept in place of copies, where they say the same.
    const merged = this.#merge(update, answered);
    const known = equalPodStatus(answered.status, merged) ? { ...answered, status: merged } : answered;
    this.#known.delete(update.uid);
    this.#known.set(update.uid, known);
    const oldest = this.#known.keys().next().value;
    if (this.#known.size > (this.#options.capacity ?? 4096) && oldest !== undefined)
      this.#known.delete(oldest);
    return known;
  }

  /** `seen`, and what was written to get there if it is still so. */
  #sameAs(answered: Known | undefined, seen: Known): Known {
    const same = answered?.wrote !== undefined && equalPodStatus(answered.status, seen.status);
    return same ? { ...seen, wrote: answered.wrote } : seen;
  }

  #wrote(update: StatusUpdate, { wrote }: Known): boolean {
    return wrote?.status === update.status && wrote.couldRun === this.#couldRun(update);
  }

  #merge(update: StatusUpdate, known: Known): ApiPodStatus {
    return mergePodStatus(known.status, update.status, this.#couldRun(update));
  }

  #couldRun(update: StatusUpdate): boolean {
    if (update.finished) return false;
    const asked = this.#options.couldHaveRunningContainers?.(update);
    if (asked !== undefined) return asked;
    const { containerStatuses = [], initContainerStatuses = [] } = update.status;
    return [...initContainerStatuses, ...containerStatuses].some(({ state }) => state.running !== undefined);
  }

  #delaysPhase(update: StatusUpdate): boolean {
    return isTerminalPhase(update.status.phase) && this.#couldRun(update);
  }

  /** kubelet: canBeDeleted. */
  #isDeletable(update: StatusUpdate, known: Known | undefined): boolean {
    if (!update.finished || isStaticPod(update.pod) || known === undefined) return false;
    const asked = known.deleting || update.pod.metadata.deletionTimestamp !== undefined;
    return asked && isTerminalPhase(known.status.phase);
  }
}

function knownFrom(pod: Pod, shown: ApiPod): Known {
  return {
    uid: shown.metadata.uid,
    // Fractions of seconds, orders and nulls that the API may show make no difference.
    status: normalizePodStatus(pod, shown.status ?? { phase: "Pending" }),
    resourceVersion: shown.metadata.resourceVersion,
    deleting: shown.metadata.deletionTimestamp !== undefined,
  };
}

/** Whether version `a` is known to be before `b`: they are numbers that grow, where they are numbers at all. */
function isOlder(a: string | undefined, b: string | undefined): boolean {
  if (a === undefined || b === undefined || !/^\d+$/.test(a) || !/^\d+$/.test(b)) return false;
  return BigInt(a) < BigInt(b);
}
