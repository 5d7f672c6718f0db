// SPDX-License-Identifier: Apache-2.0

/**
 * Keeps the pods of the node as the sources want them. kubelet: syncLoop, podManager, HandlePodCleanups.
 *
 *   desired pods ──> updates ──┐
 *   PLEG events ──> wakes ─────┼──> pod workers ──> sync steps ──> runtime, volumes, cgroups, status
 *   due times, housekeeping ───┘
 *
 * Owns: the pod workers. Reads: desired pods, the pod cache, the runtime's labels, pod folders. Invariants: no pod is worked on before what is on the node was
 * listed once; nothing is ended for want of a source before every source has listed and every input can be read; stopping touches no container;
 * an event only wakes. Lost on a crash: nothing that sources, runtime and pod folders do not bring back.
 */
import { mergeCauses, nullPublisher } from "@holdfast/bus";
import type { Subscription } from "@holdfast/bus";
import type { Timer } from "@holdfast/core/clock";
import { errorText, HoldfastError } from "@holdfast/core/errors";
import { linkSignal, withDeadline } from "@holdfast/core/lifecycle";
import type { Component, Health, LinkedSignal } from "@holdfast/core/lifecycle";
import { silentLogger } from "@holdfast/core/log";
import type { Logger } from "@holdfast/core/log";
import { CONFIG_SOURCE_ANNOTATION } from "@holdfast/core/names";
import { noMetrics } from "@holdfast/core/metrics";
import { allContainers } from "@holdfast/core/pod";
import type { Pod, PodStatus } from "@holdfast/core/pod-types";
import { jitter, seededRandom } from "@holdfast/core/random";
import type { Random } from "@holdfast/core/random";
import type { PodUpdate } from "../config/pod-update.ts";
import type { TerminationRequest } from "./compute-worker-update.ts";
import { PodAdded, PodRemoved, PodRetried, PodUpdated } from "./events.ts";
import { computeUnclaimed, findOnNode, readUnclaimed } from "./housekeeping.ts";
import { PodDirectories } from "./pod-directories.ts";
import type { PodWorker, PodWorkerState } from "./pod-worker.ts";
import { PodWorkers } from "./pod-workers.ts";
import type { PodManagerDeps } from "./ports.ts";

/** A pod as people are shown it. */
export interface PodView {
  readonly pod: Pod;
  readonly status: PodStatus | undefined;
  readonly state: PodWorkerState;
  /** Why it does not get on, in one line. */
  readonly problem: string | undefined;
  /** Nothing is left to be done in its state. */
  readonly finished: boolean;
  /** Containers that wait for another attempt. */
  readonly waits: readonly ContainerWait[];
}

/** A container that does not run and will be tried again. */
export interface ContainerWait {
  readonly container: string;
  /** CrashLoopBackOff, ImagePullBackOff, CreateContainerError ... */
  readonly reason: string;
  readonly message: string;
  /** Monotonic: when the next attempt comes at the latest. Undefined: it is being made. */
  readonly nextAttemptAt: number | undefined;
}

const DEFAULT_POD_LOGS_DIR = "/var/log/pods";
const DEFAULT_HOUSEKEEPING_MS = 60_000;
/** Until all sources have listed, and after something failed. */
const IMPATIENT_HOUSEKEEPING_MS = 1000;
const EVENT_CAPACITY = 4096;
const STOP_LIMIT_MS = 5000;
/** kubelet: killPodNow waits 1.5 times the grace, at least 10 s. */
const MIN_KILL_WAIT_SECONDS = 10;

const LIFECYCLES: readonly PodWorkerState[] = ["waiting", "sync", "terminating", "terminated"];

/** See the top of the file. */
export class PodManager implements Component {
  readonly name = "pod-manager";
  readonly #deps: PodManagerDeps;
  readonly #logger: Logger;
  readonly #random: Random;
  readonly #dirs: PodDirectories;
  readonly #workers: PodWorkers;
  #life: LinkedSignal | undefined;
  #desired: Disposable | undefined;
  #events: Subscription<unknown> | undefined;
  #running: Promise<unknown> = Promise.resolve();
  #timer: Timer | undefined;
  #begun = false;
  #cleaning = false;
  #forgotOrphans = false;
  /** Pods were spared because an input could not be read. */
  #spared = false;
  #problem: string | undefined = "has not started";

  constructor(deps: PodManagerDeps) {
    this.#deps = deps;
    this.#logger = deps.logger ?? silentLogger;
    this.#random = deps.random ?? seededRandom(1);
    this.#dirs = new PodDirectories(deps.files, deps.podsDir, deps.podLogsDir ?? DEFAULT_POD_LOGS_DIR);
    this.#workers = new PodWorkers(deps, this.#dirs, (uid, restart) => this.#gone(uid, restart));
  }

  /** Takes up all desired pods; resolves at once. Work begins when the runtime has listed what it has of ours. */
  start(_signal?: AbortSignal): Promise<void> {
    if (this.#life !== undefined) return Promise.resolve();
    this.#life = linkSignal();
    this.#problem = "the runtime has not listed its pods yet";
    this.#events = this.#subscribe();
    this.#desired = this.#deps.desired.subscribe((updates) => this.#take(updates));
    this.#running = this.#keepHouse();
    return Promise.resolve();
  }

  /** Gives up what is under way. Never touches a container; waits for calls at most 5 s. Idempotent. */
  async stop(): Promise<void> {
    const life = this.#life;
    this.#life = undefined;
    if (life === undefined) return;
    life.abort(new HoldfastError("POD_MANAGER_STOPPED", "cancelled", "the pod manager stops"));
    this.#desired?.[Symbol.dispose]();
    this.#events?.[Symbol.dispose]();
    this.#timer?.cancel();
    this.#begun = false;
    const done = Promise.all([this.#workers.stop(), this.#running]);
    try {
      await withDeadline(this.#deps.clock, STOP_LIMIT_MS, "stopping the pod manager", done);
    } catch (err) {
      this.#logger.warn("the pod manager left a call behind", { err });
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop();
  }

  /** Fails while what is on the node cannot be listed. A pod's trouble is its own. */
  health(): Health {
    return { failures: this.#problem === undefined ? [] : [this.#problem] };
  }

  /** All pods: wanted ones, and those that are being ended. In order of arrival. */
  pods(): readonly PodView[] {
    return this.#workers.all().map((worker) => this.#view(worker));
  }

  /** `namespace/name`. Of namesakes the one that has started. */
  getPod(name: string): PodView | undefined {
    const named = this.pods().filter(
      ({ pod: { metadata } }) => `${metadata.namespace}/${metadata.name}` === name,
    );
    return named.find(({ state }) => state !== "waiting") ?? named[0];
  }

  /** Readiness of the runtime or its network changed: what waits for it goes on at once. */
  readinessChanged(): void {
    this.#workers.wakeWaiting([], true);
  }

  /** Something that a pod's sync reads has changed (a probe's verdict, a device). Pods that are not known are ignored. */
  wake(uid: string, causes: readonly number[] = []): void {
    this.#workers.wake(uid, causes);
  }

  /**
   * Ends a pod and waits until nothing of it runs: at most 1.5 times the grace, at least 10 s, then rejects with `deadline`; the pod still ends.
   * An unknown pod is down. kubelet: killPodNow.
   */
  async killPodNow(uid: string, request: TerminationRequest): Promise<void> {
    const worker = this.#workers.get(uid);
    if (worker === undefined || worker.state === "terminated") return;
    const down = new Promise<void>((resolve) => worker.onDown.add(resolve));
    this.#workers.terminate(uid, request);
    const seconds = Math.max(MIN_KILL_WAIT_SECONDS, 1.5 * (worker.graceSeconds ?? 0));
    await withDeadline(this.#deps.clock, seconds * 1000, `killing pod ${uid}`, down);
  }

  /**
   * The pod's waiting containers, or one of them, are tried now: their back-offs begin anew. A step of the pod that failed
   * comes again, too. Returns who waited; undefined: nothing did, and nothing happens. Publishes `pod/PodRetried`, which is the cause of what
   * follows. Not the kubelet's.
   */
  retry(uid: string, by: string, container?: string): readonly string[] | undefined {
    const worker = this.#workers.get(uid);
    if (worker === undefined || worker.state !== "sync") return undefined;
    const { pod } = worker;
    const names = [...worker.waitingReasons.keys()].filter(
      (name) => container === undefined || name === container,
    );
    const waiting = allContainers(pod.spec).filter(({ name }) => names.includes(name));
    if (waiting.length === 0 && worker.problem === undefined) return undefined;
    for (const one of waiting) this.#deps.runtime.retry(pod, one);
    const containers = waiting.map(({ name }) => name);
    const what = containers.length === 0 ? "the pod" : containers.join(", ");
    const message = `${by} asked for ${what} to be tried now`;
    const seq = this.#publisher.publish(PodRetried, { by, containers, message }, { subject: subjectOf(pod) });
    this.#workers.wake(uid, [seq], true);
    return containers;
  }

  /** One housekeeping pass soon, without waiting for its time. */
  requestHousekeeping(): void {
    if (this.#begun && !this.#cleaning) this.#arm(0);
  }

  // --- what comes in ---

  #take(updates: readonly PodUpdate[]): void {
    for (const { op, pods, source } of updates) {
      for (const pod of pods) {
        if (op === "REMOVE") this.#remove(pod, source);
        else if (op === "ADD") this.#add(pod, source);
        // Nothing in a status that a source brings changes what is to be done, yet.
        else if (op !== "RECONCILE") this.#update(pod, source);
      }
    }
    if (this.#begun && (!this.#deps.desired.seenAllSources() || this.#doubtsAreOver()))
      this.requestHousekeeping();
  }

  #add(pod: Pod, source: string): void {
    // Whether it is adopted is known when the runtime has listed.
    const causes = this.#begun ? [this.#announce(pod, source)] : [];
    this.#workers.update("create", pod, causes);
  }

  #announce(pod: Pod, source: string): number {
    const adopted = this.#workers.get(pod.metadata.uid)?.live === true;
    return this.#publisher.publish(PodAdded, { source, adopted }, { subject: subjectOf(pod) });
  }

  #update(pod: Pod, source: string): void {
    const seq = this.#publisher.publish(PodUpdated, { source }, { subject: subjectOf(pod) });
    this.#workers.update("update", pod, [seq]);
  }

  #remove(pod: Pod, source: string): void {
    // Another source may yet claim it: housekeeping decides when all have listed.
    if (!this.#deps.desired.seenAllSources()) return;
    const seq = this.#publisher.publish(PodRemoved, { source }, { subject: subjectOf(pod) });
    this.#workers.terminate(pod.metadata.uid, removed([seq]));
  }

  /** Wanted again while it was being removed: from the beginning. */
  #gone(uid: string, restart: boolean): void {
    const pod = restart ? this.#deps.desired.get(uid) : undefined;
    if (pod === undefined || pod.metadata.deletionTimestamp !== undefined) return;
    this.#add(pod, sourceOf(pod));
  }

  #subscribe(): Subscription<unknown> | undefined {
    const { bus, wakeOn = [] } = this.#deps;
    if (bus === undefined || wakeOn.length === 0) return undefined;
    const subscription = bus.subscribe(wakeOn, {
      name: this.name,
      capacity: EVENT_CAPACITY,
      overflow: "latest-by-key",
      keyOf: ({ subject, seq }) => subject.podUid ?? String(seq),
    });
    void (async () => {
      for await (const event of subscription) {
        if (event.type === "gap") this.#workers.wakeAll();
        else if ("subject" in event && event.subject.podUid !== undefined)
          this.#workers.wake(event.subject.podUid, mergeCauses(event.causes, [event.seq]));
      }
    })();
    return subscription;
  }

  // --- housekeeping ---

  async #keepHouse(): Promise<void> {
    const signal = this.#life?.signal;
    if (signal === undefined || this.#cleaning) return;
    this.#cleaning = true;
    try {
      await this.#cleanUp(signal);
      this.#problem = undefined;
    } catch (error) {
      if (signal.aborted) return;
      const problem = `housekeeping failed: ${errorText(error)}`;
      if (problem !== this.#problem) this.#logger.warn("housekeeping failed", { err: errorText(error) });
      this.#problem = problem;
    } finally {
      this.#cleaning = false;
      if (!signal.aborted) this.#arm(this.#nextHousekeeping());
    }
  }

  /** kubelet: HandlePodCleanups. */
  async #cleanUp(signal: AbortSignal): Promise<void> {
    const { owned, desired } = this.#deps;
    // A pod that goes away while the node is looked at is no find.
    const before = new Set(this.#workers.all().map(({ uid }) => uid));
    const found = await findOnNode(owned, this.#dirs, signal);
    signal.throwIfAborted();
    const isKnown = (uid: string): boolean => before.has(uid) || this.#workers.get(uid) !== undefined;
    if (!this.#begun) this.#markLive(found.runtime.filter(({ live }) => live).map(({ uid }) => uid));
    for (const [uid, pod] of computeUnclaimed(found, isKnown)) {
      const unclaimed = await readUnclaimed(uid, pod, this.#dirs, this.#logger);
      signal.throwIfAborted();
      this.#workers.addUnclaimed(unclaimed);
    }
    if (desired.seenAllSources()) this.#endUnwanted();
    if (!this.#begun) this.#begin();
    this.#forgetOrphans();
    this.#count();
    await this.#collectGarbage();
  }

  /** Once: of a pod that never came to have anything on the node, an earlier agent may have left its status or verdicts. */
  #forgetOrphans(): void {
    const { desired, status } = this.#deps;
    if (this.#forgotOrphans || !desired.seenAllSources() || desired.unknownInputs().length > 0) return;
    this.#forgotOrphans = true;
    const known = new Set(this.#workers.all().map(({ uid }) => uid));
    status.removeOrphanedStatuses?.(known);
    this.#deps.probes?.cleanupPods(known);
  }

  #count(): void {
    const { metrics = noMetrics, desired } = this.#deps;
    metrics.gauge("kubelet_desired_pods", "Pods that the sources want.").set(desired.pods().length);
    const working = metrics.gauge("kubelet_working_pods", "Pods that have a worker, by lifecycle.");
    for (const lifecycle of LIFECYCLES)
      working.set(this.#workers.all().filter(({ state }) => state === lifecycle).length, { lifecycle });
  }

  #begin(): void {
    this.#begun = true;
    for (const { uid, pod, unclaimed, deleted } of this.#workers.all())
      if (!unclaimed && !deleted) this.#workers.wake(uid, [this.#announce(pod, sourceOf(pod))]);
    this.#workers.open();
  }

  /** What runs already keeps its name and its ports. */
  #markLive(uids: readonly string[]): void {
    for (const uid of uids) {
      const worker = this.#workers.get(uid);
      if (worker !== undefined) worker.live = true;
    }
  }

  /** Every source has listed: what none of them wants ends, by its own stored manifest. */
  #endUnwanted(): void {
    const { desired } = this.#deps;
    const doubtful = desired.unknownInputs().length > 0;
    this.#spared = doubtful && this.#workers.all().some(({ unclaimed }) => unclaimed);
    for (const worker of this.#workers.all()) {
      if (desired.get(worker.uid) !== undefined || worker.deleted || (doubtful && worker.unclaimed)) continue;
      const seq = this.#publisher.publish(
        PodRemoved,
        { source: sourceOf(worker.pod) },
        { subject: subjectOf(worker.pod) },
      );
      const request = removed([seq]);
      this.#workers.terminate(
        worker.uid,
        worker.runtimeOnly ? { ...request, reason: "Orphan", message: "no source knows the pod" } : request,
      );
    }
  }

  async #collectGarbage(): Promise<void> {
    const { runtime, cache, desired } = this.#deps;
    const statuses = this.#workers.all().flatMap((worker) => {
      const { status, error } = cache.get(worker.uid);
      // A pod that is being removed is its worker's; one without a look is nobody's.
      return error === undefined && !worker.deleted && !worker.unclaimed ? [status] : [];
    });
    await runtime.garbageCollect(statuses, {
      allSourcesReady: desired.seenAllSources(),
      shouldPodContentBeRemoved: () => false,
      shouldPodRuntimeBeRemoved: (uid) => this.#workers.get(uid)?.state === "terminated",
    });
  }

  #nextHousekeeping(): number {
    const { desired, housekeepingMs = DEFAULT_HOUSEKEEPING_MS } = this.#deps;
    const calm = this.#problem === undefined && desired.seenAllSources() && !this.#doubtsAreOver();
    return calm ? jitter(housekeepingMs, 0.2, this.#random) : IMPATIENT_HOUSEKEEPING_MS;
  }

  #doubtsAreOver(): boolean {
    return this.#spared && this.#deps.desired.unknownInputs().length === 0;
  }

  #arm(ms: number): void {
    this.#timer?.cancel();
    this.#timer = this.#deps.clock.timer(ms, () => {
      this.#running = this.#keepHouse();
    });
  }

  get #publisher(): NonNullable<PodManagerDeps["publish"]> {
    return this.#deps.publish ?? nullPublisher;
  }

  #view(worker: PodWorker): PodView {
    const { pod, state, finished, unclaimed, waiting } = worker;
    const problem =
      worker.problem ?? waiting?.message ?? (unclaimed ? "no source has listed this pod yet" : undefined);
    const status = this.#deps.status.get(worker.uid);
    return { pod, state, finished, problem, status, waits: this.#waits(worker) };
  }

  #waits({ uid, state, waitingReasons }: PodWorker): readonly ContainerWait[] {
    if (waitingReasons.size === 0 || state !== "sync") return [];
    const dueIn = this.#workers.dueIn(uid);
    const due = dueIn === undefined ? undefined : this.#deps.clock.monotonic() + dueIn;
    return Array.from(waitingReasons, ([container, { reason, message, nextAttemptAt = due }]) => ({
      container,
      reason,
      message,
      nextAttemptAt,
    }));
  }
}

function sourceOf(pod: Pod): string {
  return pod.metadata.annotations?.[CONFIG_SOURCE_ANNOTATION] ?? "";
}

function removed(causes: readonly number[]): TerminationRequest {
  return { reason: "Removed", message: "the pod's manifest was removed", deleted: true, causes };
}

function subjectOf({ metadata }: Pod): { readonly podUid: string; readonly pod: string } {
  return { podUid: metadata.uid, pod: `${metadata.namespace}/${metadata.name}` };
}
