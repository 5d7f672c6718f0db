// SPDX-License-Identifier: Apache-2.0

/**
 * The three steps of a pod's life. Each is safe to repeat, and gives up between two actions when its signal aborts. They keep nothing of their own.
 * kubelet: SyncPod, SyncTerminatingPod, SyncTerminatedPod.
 */
import { HoldfastError } from "@holdfast/core/errors";
import { linkSignal, withDeadline } from "@holdfast/core/lifecycle";
import { Limiter } from "@holdfast/core/limiter";
import type { Pod, PodStatus } from "@holdfast/core/pod-types";
import type { RuntimePodStatus } from "@holdfast/core/runtime-status";
import type { KillReason } from "../kuberuntime/events.ts";
import type { CachedPodStatus, WaitingReason } from "../ports.ts";
import { computeDeadlineRemaining, DEADLINE_MESSAGE } from "./compute-active-deadline.ts";
import { computeHostPortConflicts, hostPortConflictText } from "./compute-host-port-conflicts.ts";
import type { StepOutcome } from "./compute-requeue.ts";
import type { TerminationRequest } from "./compute-worker-update.ts";
import type { TerminationReason } from "./events.ts";
import type { PodDirectories } from "./pod-directories.ts";
import type { PendingWork, PodWorker, PreparedPod } from "./pod-worker.ts";
import type { PodManagerDeps } from "./ports.ts";

/** What a step says about what comes next. */
export interface StepResult {
  /** The pod has ended by itself, or must end. `down`: nothing of it is left to be stopped. */
  readonly terminate?: TerminationRequest & { readonly down: boolean };
  readonly waitsFor?: StepOutcome["waitsFor"];
  readonly comeBackAt?: number | undefined;
  /** Something was changed on the runtime. */
  readonly acted?: boolean;
  /** Nothing of the pod is left at all. */
  readonly removed?: boolean;
  readonly error?: Error;
}

/** What the steps need to know of other pods. */
export interface Neighbours {
  /** Pods other than `uid` that were let in and have not ended. */
  admittedBeside(uid: string): readonly Pod[];
}

const KILL_REASON: Readonly<Record<TerminationReason, KillReason>> = {
  Removed: "Removed",
  Completed: "PodKilled",
  DeadlineExceeded: "DeadlineExceeded",
  Orphan: "Orphan",
  Evicted: "Evicted",
};
const DEFAULT_MAX_PODS = 110;
const DEFAULT_LOOK_DEADLINE_MS = 30_000;
/** Of one piece of work on the host. kubelet: podAttachAndMountTimeout. */
const HOST_DEADLINE_MS = 123_000;
/** Pods made ready on the host at once: of a hundred the first ones shall be with the runtime while the others are made ready. */
const PREPARED_AT_ONCE = 8;
/** One that hangs keeps nobody else from it. */
const PREPARE_PLACE_MS = 1000;

/** Carries out the steps for all workers. */
export class SyncSteps {
  readonly #deps: PodManagerDeps;
  readonly #dirs: PodDirectories;
  readonly #neighbours: Neighbours;
  readonly #preparing: Limiter;

  constructor(deps: PodManagerDeps, dirs: PodDirectories, neighbours: Neighbours) {
    this.#deps = deps;
    this.#dirs = dirs;
    this.#neighbours = neighbours;
    const { clock } = deps;
    this.#preparing = new Limiter({ clock, limit: PREPARED_AT_ONCE, releaseAfterMs: PREPARE_PLACE_MS });
  }

  /** Brings the pod to its manifest. */
  async syncPod(worker: PodWorker, work: PendingWork, signal: AbortSignal): Promise<StepResult> {
    const { clock, runtime, status } = this.#deps;
    const { pod } = worker;
    const look = await this.#look(worker, signal);
    if (look.error !== undefined) throw lookFailed(look.error);
    // Before the status is told: it asks which containers are watched, and what was known of them before the agent's restart.
    this.#deps.probes?.addPod(pod);
    const { phase } = this.#updateStatus(worker, look.status, work.causes);
    if (phase === "Succeeded" || phase === "Failed")
      return { terminate: { ...completed(phase), down: isDown(look.status) } };
    const remaining = computeDeadlineRemaining(pod, status.activeForMs(worker.uid));
    if (remaining === 0) return { terminate: deadlineExceeded() };
    const deadlineAt = remaining === undefined ? undefined : clock.monotonic() + remaining;
    const gate = this.#gate(worker, look.status);
    worker.waiting = gate?.reason;
    if (gate !== undefined) {
      this.#updateStatus(worker, look.status, work.causes);
      return { waitsFor: gate.waitsFor, comeBackAt: deadlineAt };
    }
    // From here on nobody else is let in beside it: no await lies between the look at its neighbours and this.
    worker.admitted = true;
    const lacks = await this.#allot(worker, look.status, signal);
    if (lacks !== undefined) {
      worker.admitted = false;
      worker.waiting = lacks;
      this.#updateStatus(worker, look.status, work.causes);
      return { waitsFor: "neighbour", comeBackAt: deadlineAt };
    }
    const prepared = await this.#prepare(worker, look.status, work.resync, signal);
    signal.throwIfAborted();
    const result = await runtime.syncPod(pod, look.status, { ...prepared, signal, causes: work.causes });
    if (result.acted) this.#acted(worker);
    for (const { name } of result.started) worker.waitingReasons.delete(name);
    for (const [name, reason] of result.waiting) worker.waitingReasons.set(name, reason);
    if (result.error !== undefined) worker.prepared = undefined;
    if (result.waiting.size > 0 && !signal.aborted) this.#updateStatus(worker, look.status, work.causes);
    return {
      acted: result.acted,
      comeBackAt: earliest(result.comeBackAt, deadlineAt),
      ...(result.error === undefined ? {} : { error: result.error }),
    };
  }

  /** Stops everything of the pod and makes sure that it has stopped. */
  async syncTerminating(worker: PodWorker, work: PendingWork, signal: AbortSignal): Promise<StepResult> {
    this.#deps.probes?.stopLivenessAndStartup(worker.uid);
    const look = await this.#look(worker, signal);
    if (look.error === undefined) {
      if (isDown(look.status)) return this.#ended(worker, look.status, work);
      this.#updateStatus(worker, look.status, work.causes);
    }
    // Also after a look that failed: what is known to run is stopped.
    await this.#kill(worker, look.status, work, signal);
    if (look.error !== undefined) throw lookFailed(look.error);
    const after = await this.#look(worker, signal);
    if (after.error !== undefined) throw lookFailed(after.error);
    if (!isStopped(after.status)) throw stillRunning();
    return this.#ended(worker, after.status, work);
  }

  /** Frees what a pod that is down still holds. Of one that was evicted only its status is left, of one that is deleted nothing. kubelet: ShouldPodContentBeRemoved. */
  async syncTerminated(worker: PodWorker, work: PendingWork, signal: AbortSignal): Promise<StepResult> {
    const { resources, runtime, status, volumes } = this.#deps;
    const { uid } = worker;
    worker.prepared = undefined;
    const look = await this.#look(worker, signal);
    if (look.error !== undefined) throw lookFailed(look.error);
    // A create that was given up may have happened after all; a pod that ended before it started here may have been started by an earlier agent.
    if (!isDown(look.status)) await this.#kill(worker, look.status, work, signal);
    this.#deps.admission?.release(uid);
    worker.allotted = false;
    await this.#bounded("taking volumes down", volumes.tearDown(uid, this.#dirs.podDir(uid)));
    signal.throwIfAborted();
    await this.#bounded("removing the cgroup", resources.destroy(uid));
    signal.throwIfAborted();
    if (!worker.deleted && !this.#wasEvicted(worker)) return { removed: false };
    if (look.status.sandboxes.length > 0 || look.status.containers.length > 0) {
      await runtime.removePod(look.status, { causes: work.causes, signal });
      this.#acted(worker);
    }
    signal.throwIfAborted();
    await this.#bounded("removing logs", this.#dirs.removeLogs(worker.pod.metadata));
    if (!worker.deleted) return { removed: false };
    await this.#bounded("removing the folder", this.#dirs.remove(worker.pod.metadata));
    runtime.forgetPod(uid);
    status.remove(uid);
    return { removed: true };
  }

  /** By its status, which outlives the agent: it went for the node's sake, or for a limit of its own, and what it left must not go on taking room. */
  #wasEvicted({ uid }: PodWorker): boolean {
    const { phase, reason = "" } = this.#deps.status.get(uid) ?? {};
    return phase === "Failed" && EVICTIONS.has(reason);
  }

  /** Shows why a pod that has not begun does not begin. */
  showWaiting(worker: PodWorker, reason: WaitingReason, causes: readonly number[]): void {
    worker.waiting = reason;
    this.#updateStatus(worker, this.#deps.cache.get(worker.uid).status, causes);
  }

  /** A look that is newer than what the worker did last. It comes from the cache at once unless it did something. */
  async #look(worker: PodWorker, signal: AbortSignal): Promise<CachedPodStatus> {
    const { cache, clock, lookDeadlineMs = DEFAULT_LOOK_DEADLINE_MS } = this.#deps;
    using link = linkSignal(signal);
    const late = new HoldfastError(
      "POD_LOOK_DEADLINE",
      "deadline",
      `no look at the pod for ${lookDeadlineMs / 1000} s`,
    );
    const timer = clock.timer(lookDeadlineMs, () => link.abort(late));
    try {
      return await cache.getNewerThan(worker.uid, worker.actedAt, link.signal);
    } catch (error) {
      signal.throwIfAborted();
      // What was known before is better than nothing when something has to be stopped.
      return { status: cache.get(worker.uid).status, error: error as Error };
    } finally {
      timer.cancel();
    }
  }

  async #kill(
    worker: PodWorker,
    status: RuntimePodStatus,
    { causes }: PendingWork,
    signal: AbortSignal,
  ): Promise<void> {
    if (status.sandboxes.length === 0 && status.containers.length === 0) return;
    try {
      const { error } = await this.#deps.runtime.killPod(
        worker.runtimeOnly ? undefined : worker.pod,
        status,
        {
          ...(worker.graceSeconds === undefined ? {} : { gracePeriodSeconds: worker.graceSeconds }),
          reason: KILL_REASON[worker.terminationReason],
          causes,
          signal,
        },
      );
      if (error !== undefined) throw error;
    } finally {
      this.#acted(worker);
    }
  }

  /** A hung mount must not hold the worker for ever. */
  #bounded<T>(what: string, work: Promise<T>): Promise<T> {
    return withDeadline(this.#deps.clock, HOST_DEADLINE_MS, what, work);
  }

  #ended(worker: PodWorker, status: RuntimePodStatus, { causes }: PendingWork): StepResult {
    this.#deps.probes?.removePod(worker.uid);
    this.#updateStatus(worker, status, causes, true);
    return {};
  }

  /** The time is taken first: a look that begins now must count as newer. */
  #acted(worker: PodWorker): void {
    worker.actedAt = this.#deps.clock.monotonic();
    this.#deps.cache.requestRelist(worker.uid);
  }

  #updateStatus(
    worker: PodWorker,
    runtime: RuntimePodStatus,
    causes: readonly number[],
    podIsTerminal = false,
  ): PodStatus {
    // Nothing can be said of a pod whose containers' names are not known.
    if (worker.runtimeOnly) return { phase: "Unknown" };
    return this.#deps.status.update(worker.pod, runtime, {
      podIsTerminal,
      terminating: worker.state !== "sync" && worker.state !== "waiting",
      waitingReasons: worker.waitingReasons,
      causes,
      ...(worker.failed === undefined ? {} : { failed: worker.failed }),
      ...(worker.waiting === undefined ? {} : { waiting: worker.waiting }),
    });
  }

  /** What a new sandbox has to wait for. A pod that has its sandbox is never held back. */
  #gate(
    worker: PodWorker,
    runtime: RuntimePodStatus,
  ): { readonly waitsFor: "network" | "neighbour"; readonly reason: WaitingReason } | undefined {
    const { readiness, maxPods = DEFAULT_MAX_PODS } = this.#deps;
    const { pod, uid } = worker;
    if (hasSandbox(runtime)) return undefined;
    const wait = (waitsFor: "network" | "neighbour", reason: string, message: string) => ({
      waitsFor,
      reason: { reason, message },
    });
    const down = readiness.runtimeProblem();
    if (down !== undefined) return wait("network", "RuntimeNotReady", `runtime is not ready: ${down}`);
    const network = pod.spec.hostNetwork === true ? undefined : readiness.networkProblem();
    if (network !== undefined) return wait("network", "NetworkNotReady", `network is not ready: ${network}`);
    if (worker.admitted) return undefined;
    const neighbours = this.#neighbours.admittedBeside(uid);
    const conflicts = computeHostPortConflicts(pod, neighbours);
    if (conflicts.length > 0) return wait("neighbour", "HostPortConflict", hostPortConflictText(conflicts));
    if (neighbours.length >= maxPods)
      return wait("neighbour", "OutOfpods", `the node has its ${maxPods} pods (maxPods)`);
    return undefined;
  }

  /** Devices and the like. Why a new pod has to wait; one that has its sandbox is never held back. */
  async #allot(
    worker: PodWorker,
    runtime: RuntimePodStatus,
    signal: AbortSignal,
  ): Promise<WaitingReason | undefined> {
    const { admission } = this.#deps;
    if (admission === undefined || worker.allotted) return undefined;
    const lacks = await admission.admit(worker.pod, signal);
    signal.throwIfAborted();
    worker.allotted = lacks === undefined;
    return hasSandbox(runtime) ? undefined : lacks;
  }

  /** Folder, volumes and cgroup: made once, and made sure of at each resync, after a failure and for each new sandbox. */
  async #prepare(
    worker: PodWorker,
    runtime: RuntimePodStatus,
    resync: boolean,
    signal: AbortSignal,
  ): Promise<PreparedPod> {
    if (worker.prepared !== undefined && hasSandbox(runtime) && !resync) return worker.prepared;
    return this.#preparing.run(() => this.#makeReady(worker), { signal });
  }

  async #makeReady(worker: PodWorker): Promise<PreparedPod> {
    const { resources, volumes } = this.#deps;
    const { pod } = worker;
    if (worker.writtenPod !== pod) {
      await this.#bounded("making the folder", this.#dirs.create(pod));
      worker.writtenPod = pod;
    }
    // Both come to their end before a failure is told: nothing may be under way when they are taken down again.
    const [mounted, cgroup] = await Promise.allSettled([
      this.#bounded("making volumes ready", volumes.setUp(pod, this.#dirs.podDir(worker.uid))),
      this.#bounded("making the cgroup", resources.ensureExists(pod)),
    ]);
    if (mounted.status === "rejected") throw mounted.reason;
    if (cgroup.status === "rejected") throw cgroup.reason;
    worker.prepared = { volumes: mounted.value, cgroupParent: cgroup.value };
    return worker.prepared;
  }
}

/** Reasons of a status. kubelet: what kills with `Evict`. */
const EVICTIONS: ReadonlySet<string> = new Set(["Evicted", "Preempting"]);

/** Nothing runs, and no sandbox is ready: there is nothing to stop. */
export function isDown({ sandboxes, containers }: RuntimePodStatus): boolean {
  return (
    sandboxes.every(({ state }) => state === "notready") &&
    containers.every(({ state }) => state === "exited" || state === "created")
  );
}

/** After a stop that succeeded: a container in unknown state went with its sandbox. */
function isStopped({ sandboxes, containers }: RuntimePodStatus): boolean {
  return (
    sandboxes.every(({ state }) => state === "notready") &&
    containers.every(({ state }) => state !== "running")
  );
}

function hasSandbox({ sandboxes }: RuntimePodStatus): boolean {
  return sandboxes.some(({ state }) => state === "ready");
}

function completed(phase: "Succeeded" | "Failed"): TerminationRequest {
  return { reason: "Completed", message: `the pod has ${phase.toLowerCase()}`, deleted: false };
}

function deadlineExceeded(): TerminationRequest & { readonly down: boolean } {
  const failed = { reason: "DeadlineExceeded", message: DEADLINE_MESSAGE };
  return { ...failed, reason: "DeadlineExceeded", deleted: false, failed, down: false };
}

function earliest(a: number | undefined, b: number | undefined): number | undefined {
  if (a === undefined || b === undefined) return a ?? b;
  return Math.min(a, b);
}

function lookFailed(cause: Error): HoldfastError {
  const message = `error determining status: ${cause.message}`;
  return new HoldfastError("POD_STATUS_UNKNOWN", "retryable", message, { cause });
}

function stillRunning(): HoldfastError {
  const message =
    "the runtime said that the pod has stopped, and still shows something of it running (CRI violation)";
  return new HoldfastError("POD_STILL_RUNNING", "retryable", message);
}
