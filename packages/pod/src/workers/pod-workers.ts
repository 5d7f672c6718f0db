// SPDX-License-Identifier: Apache-2.0

/**
 * One worker per pod UID, one thing at a time in each. kubelet: podWorkers.
 *
 * Owns: the workers, and when each runs again. Reads: nothing but what its steps read. Invariants: of static pods with one full name at most one has started
 * and is not gone; a pod that has to end starts nothing any more; its grace only decreases; nothing that one worker does delays another.
 * Lost on a crash: all of it. Wanted pods come from the sources, the others from the runtime and from the pods' folders.
 */
import { nullPublisher } from "@holdfast/bus";
import type { EventType } from "@holdfast/bus";
import { errorText } from "@holdfast/core/errors";
import { silentLogger } from "@holdfast/core/log";
import type { Logger } from "@holdfast/core/log";
import { noMetrics } from "@holdfast/core/metrics";
import type { Histogram } from "@holdfast/core/metrics";
import { formatPod } from "@holdfast/core/pod";
import type { Pod } from "@holdfast/core/pod-types";
import { seededRandom } from "@holdfast/core/random";
import type { Random } from "@holdfast/core/random";
import { computeNameHolder } from "./compute-pod-start.ts";
import type { NameClaim } from "./compute-pod-start.ts";
import { computeRequeue } from "./compute-requeue.ts";
import { computeThrottle, countAct } from "./compute-throttle.ts";
import { computeWorkerUpdate } from "./compute-worker-update.ts";
import type { TerminationRequest, WorkerDecision } from "./compute-worker-update.ts";
import { PodTerminated, PodTerminating, SyncFailed } from "./events.ts";
import type { PodDirectories } from "./pod-directories.ts";
import { PodWorker } from "./pod-worker.ts";
import type { PendingWork } from "./pod-worker.ts";
import type { PodManagerDeps } from "./ports.ts";
import { SyncSteps } from "./sync-steps.ts";
import type { StepResult } from "./sync-steps.ts";
import { WorkQueue } from "./work-queue.ts";

const DEFAULT_SYNC_FREQUENCY_MS = 60_000;

/** A pod that is on the node although no source has listed it. */
export interface UnclaimedPod {
  readonly pod: Pod;
  /** Its spec is not known. */
  readonly runtimeOnly: boolean;
  readonly live: boolean;
}

/** See the top of the file. */
export class PodWorkers {
  readonly #deps: PodManagerDeps;
  readonly #logger: Logger;
  readonly #random: Random;
  readonly #duration: Histogram;
  readonly #steps: SyncSteps;
  readonly #queue: WorkQueue;
  readonly #workers = new Map<string, PodWorker>();
  readonly #onGone: (uid: string, restart: boolean) => void;
  #open = false;

  /** `onGone`: nothing is left of the pod. `restart`: it was wanted again meanwhile. */
  constructor(deps: PodManagerDeps, dirs: PodDirectories, onGone: (uid: string, restart: boolean) => void) {
    this.#deps = deps;
    this.#logger = deps.logger ?? silentLogger;
    this.#random = deps.random ?? seededRandom(1);
    this.#duration = (deps.metrics ?? noMetrics).histogram(
      "kubelet_pod_worker_duration_seconds",
      "Duration of one step of a pod's worker, by operation type.",
    );
    this.#onGone = onGone;
    this.#queue = new WorkQueue(deps.clock, (uid) => this.wake(uid, [], true));
    this.#steps = new SyncSteps(deps, dirs, { admittedBeside: (uid) => this.#admittedBeside(uid) });
  }

  /** Lets workers run. */
  open(): void {
    this.#open = true;
    for (const worker of this.#workers.values()) this.#run(worker);
  }

  /** Interrupts what is under way and waits for it; the caller bounds the wait. Containers are not touched. */
  async stop(): Promise<void> {
    this.#open = false;
    this.#queue.clear();
    for (const worker of this.#workers.values()) worker.interrupt("the agent stops");
    await Promise.all(Array.from(this.#workers.values(), ({ running }) => running));
  }

  get(uid: string): PodWorker | undefined {
    return this.#workers.get(uid);
  }

  /** In order of arrival. */
  all(): readonly PodWorker[] {
    return [...this.#workers.values()];
  }

  /** Takes up a pod, or the new spec of one. Returns what was decided. */
  update(type: "create" | "update", pod: Pod, causes: readonly number[]): WorkerDecision["kind"] {
    const known = this.#workers.get(pod.metadata.uid);
    const decision = computeWorkerUpdate(known, { type, pod });
    const worker = known ?? new PodWorker(pod);
    switch (decision.kind) {
      case "start":
        this.#workers.set(worker.uid, worker);
        break;
      case "restart-later":
        worker.restartRequested = true;
        return decision.kind;
      case "claim":
        worker.unclaimed = false;
        worker.runtimeOnly = false;
        worker.pod = pod;
        break;
      case "wake":
        if (worker.pod !== pod) worker.prepared = undefined;
        worker.pod = pod;
        break;
      default:
        return decision.kind;
    }
    worker.mark(causes, true);
    if (pod.metadata.deletionTimestamp !== undefined) this.terminate(worker.uid, { ...deletedByApi, causes });
    this.#run(worker);
    return decision.kind;
  }

  /** Remembers a pod that was found on the node: it keeps its name and ports, and nothing is done for it. A known one is told that it lives. */
  addUnclaimed({ pod, runtimeOnly, live }: UnclaimedPod): void {
    const known = this.#workers.get(pod.metadata.uid);
    const worker = known ?? new PodWorker(pod, runtimeOnly);
    worker.live ||= live;
    if (known !== undefined) return;
    worker.unclaimed = true;
    this.#workers.set(worker.uid, worker);
  }

  /** Asks for the end of a pod. Asking again can only shorten its grace, or turn "ended" into "removed". */
  terminate(uid: string, request: TerminationRequest, down = false): void {
    const worker = this.#workers.get(uid);
    const decision = computeWorkerUpdate(worker, { type: "kill", request });
    if (worker === undefined || (decision.kind !== "terminate" && decision.kind !== "hasten")) return;
    worker.unclaimed = false;
    worker.deleted ||= request.deleted;
    worker.graceSeconds = decision.graceSeconds ?? worker.graceSeconds;
    if (decision.kind === "terminate") {
      const next = down ? "terminated" : decision.next;
      this.#beginTermination(worker, request, next);
    } else if (decision.interrupt) worker.interrupt("the grace period was shortened");
    worker.finished = false;
    worker.mark(request.causes ?? [], true);
    this.#run(worker);
  }

  /** Milliseconds until the pod's next step, if it is not woken before; undefined when none is planned. */
  dueIn(uid: string): number | undefined {
    return this.#queue.dueIn(uid);
  }

  /** There may be something to do for this pod. */
  wake(uid: string, causes: readonly number[] = [], resync = false): void {
    const worker = this.#workers.get(uid);
    if (worker === undefined || computeWorkerUpdate(worker, { type: "sync" }).kind !== "wake") return;
    worker.mark(causes, resync);
    this.#run(worker);
  }

  /** Events were missed. */
  wakeAll(): void {
    for (const uid of this.#workers.keys()) this.wake(uid);
  }

  /** Something that others wait for has changed. `failed`: also those whose last step failed. */
  wakeWaiting(causes: readonly number[] = [], failed = false): void {
    for (const worker of this.#workers.values())
      if (worker.waiting !== undefined || (failed && worker.problem !== undefined))
        this.wake(worker.uid, causes, failed);
  }

  #beginTermination(
    worker: PodWorker,
    request: TerminationRequest,
    next: "terminating" | "terminated",
  ): void {
    const { reason, message, failed, causes = [] } = request;
    worker.terminationReason = reason;
    worker.failed = failed ?? worker.failed;
    worker.waiting = undefined;
    worker.nameFreed = next === "terminated" && worker.state === "waiting";
    this.#enter(worker, next);
    worker.interrupt(message);
    if (next === "terminated") return;
    const data = { reason, message, statusReason: failed?.reason, graceSeconds: worker.graceSeconds };
    worker.mark([this.#tell(worker, PodTerminating, data, causes)]);
  }

  #enter(worker: PodWorker, state: "terminating" | "terminated"): void {
    worker.state = state;
    this.#logger.debug("pod worker changes its state", { pod: formatPod(worker.pod), state });
    if (state === "terminating") return;
    worker.admitted = false;
    worker.live = false;
    worker.isDown();
    // Its host ports are free.
    this.wakeWaiting();
  }

  #run(worker: PodWorker): void {
    if (worker.running !== undefined || !this.#open || worker.unclaimed || !worker.dirty) return;
    if (this.#isThrottled(worker)) return;
    worker.running = this.#work(worker)
      .catch((err: unknown) =>
        this.#logger.error("a pod's worker failed", { pod: formatPod(worker.pod), err }),
      )
      .finally(() => {
        worker.running = undefined;
        if (!worker.finished) this.#run(worker);
      });
  }

  async #work(worker: PodWorker): Promise<void> {
    // Whoever marked the worker is done with it before its first step begins.
    await Promise.resolve();
    while (worker.dirty && !worker.finished && this.#open && !this.#isThrottled(worker)) {
      if (worker.state === "waiting" && !this.#start(worker)) return;
      await this.#step(worker, worker.take());
    }
  }

  /** It is woken when the time is over. What ends a pod is never held back. */
  #isThrottled(worker: PodWorker): boolean {
    if (worker.state !== "sync") return false;
    const ms = computeThrottle(worker.actWindow, this.#deps.clock.monotonic());
    if (ms > 0) this.#queue.enqueue(worker.uid, ms);
    return ms > 0;
  }

  /** Whether the pod may begin; if not, it is woken when its namesake is gone. */
  #start(worker: PodWorker): boolean {
    const holder = computeNameHolder(worker.uid, this.#nameClaims());
    if (holder === undefined) {
      worker.waiting = undefined;
      worker.state = "sync";
      return true;
    }
    const { causes } = worker.take();
    const message = `the pod ${holder} of the same name is not gone yet`;
    this.#steps.showWaiting(worker, { reason: "WaitingForTermination", message }, causes);
    return false;
  }

  *#nameClaims(): Iterable<NameClaim> {
    for (const { uid, exclusiveName, state, live, nameFreed } of this.#workers.values())
      yield { uid, exclusiveName, started: state !== "waiting" || live, released: nameFreed };
  }

  async #step(worker: PodWorker, work: PendingWork): Promise<void> {
    const { clock } = this.#deps;
    const { signal, state } = worker;
    const step = state === "waiting" ? "sync" : state;
    const begun = clock.monotonic();
    let result: StepResult;
    try {
      result = await this.#carryOut(step, worker, work, signal);
    } catch (error) {
      result = { error: error as Error };
    }
    this.#duration.observe((clock.monotonic() - begun) / 1000, { operation_type: step });
    if (signal.aborted) {
      // Overtaken: what follows is marked already, by whoever interrupted; what led to this step belongs to it.
      worker.mark(work.causes, work.resync);
      return;
    }
    this.#complete(worker, step, result, work);
  }

  #carryOut(
    step: "sync" | "terminating" | "terminated",
    worker: PodWorker,
    work: PendingWork,
    signal: AbortSignal,
  ): Promise<StepResult> {
    if (step === "sync") return this.#steps.syncPod(worker, work, signal);
    return step === "terminating"
      ? this.#steps.syncTerminating(worker, work, signal)
      : this.#steps.syncTerminated(worker, work, signal);
  }

  /** kubelet: completeWork, completeSync, completeTerminating, completeTerminated. */
  #complete(
    worker: PodWorker,
    step: "sync" | "terminating" | "terminated",
    result: StepResult,
    { causes }: PendingWork,
  ): void {
    const { terminate, error, waitsFor, comeBackAt } = result;
    if (result.acted === true) worker.actWindow = countAct(worker.actWindow, this.#deps.clock.monotonic());
    if (terminate !== undefined) {
      worker.problem = undefined;
      this.terminate(worker.uid, { ...terminate, causes }, terminate.down);
    } else if (error !== undefined || step === "sync") {
      const outcome = { failed: error !== undefined, waitsFor, comeBackAt };
      const { clock, syncFrequencyMs = DEFAULT_SYNC_FREQUENCY_MS } = this.#deps;
      const delay = computeRequeue(outcome, clock.monotonic(), syncFrequencyMs, this.#random);
      this.#queue.enqueue(worker.uid, delay);
      if (error === undefined) worker.problem = undefined;
      else this.#tellFailure(worker, step, error, delay, causes);
    } else if (step === "terminating") {
      worker.problem = undefined;
      this.#enter(worker, "terminated");
      worker.mark(causes, true);
    } else this.#finish(worker, result.removed === true, causes);
  }

  #finish(worker: PodWorker, removed: boolean, causes: readonly number[]): void {
    // It was deleted while the step was under way: the step comes again.
    if (worker.deleted && !removed) return;
    worker.problem = undefined;
    worker.finished = true;
    this.#queue.remove(worker.uid);
    const seq = this.#tell(worker, PodTerminated, { removed }, causes);
    if (!removed) return;
    this.#workers.delete(worker.uid);
    this.#onGone(worker.uid, worker.restartRequested);
    this.wakeWaiting([seq]);
  }

  #tellFailure(
    worker: PodWorker,
    step: "sync" | "terminating" | "terminated",
    error: Error,
    delayMs: number,
    causes: readonly number[],
  ): void {
    const message = errorText(error);
    const retryInMs = Math.round(delayMs);
    if (message !== worker.problem) {
      this.#logger.warn("a pod's step failed and comes again", {
        pod: formatPod(worker.pod),
        podUid: worker.uid,
        step,
        retryInMs,
        err: message,
      });
      this.#tell(worker, SyncFailed, { step, message, retryInMs }, causes);
    }
    worker.problem = message;
    if (step !== "terminated" || worker.nameFreed) return;
    worker.nameFreed = true;
    this.wakeWaiting(causes);
  }

  #admittedBeside(uid: string): readonly Pod[] {
    return this.all()
      .filter((other) => other.uid !== uid && (other.admitted || other.live))
      .map(({ pod }) => pod);
  }

  #tell<Data>(
    worker: PodWorker,
    type: EventType<Data>,
    data: NoInfer<Data>,
    causes: readonly number[],
  ): number {
    const { uid, namespace, name } = worker.pod.metadata;
    const subject = { podUid: uid, pod: `${namespace}/${name}` };
    return (this.#deps.publish ?? nullPublisher).publish(type, data, { subject, causes });
  }
}

/** The API wants the pod to end; its status is still needed there until the pod is removed from the source. */
const deletedByApi: TerminationRequest = {
  reason: "Removed",
  message: "the pod was deleted",
  deleted: false,
};
