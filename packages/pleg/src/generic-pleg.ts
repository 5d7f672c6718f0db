// SPDX-License-Identifier: Apache-2.0

/**
 * The pod lifecycle event generator. kubelet: pkg/kubelet/pleg/generic.go.
 *
 *   relist loop ──┐                               ┌─> pod cache ─> get, getNewerThan
 *   look queue  ──┼─> lists ─> reconciler ────────┤
 *   task events ──┘      (status calls, if needed)└─> bus: Started, Died, Removed, PodSync
 *
 * Owns: the pod cache, through the reconciler, its one writer. Reads: CRI lists and statuses, containerd's events as hints.
 * Invariants: list is truth; one exception, a main process's exit event (see unconfirmed-exits.ts); no call is trusted to return; a pod
 * whose calls hang delays no other pod. Lost on a crash: all of it; the first relist brings it back.
 */
import { linkSignal, withDeadline } from "@holdfast/core/lifecycle";
import type { Component, Health, LinkedSignal } from "@holdfast/core/lifecycle";
import type { Timer } from "@holdfast/core/clock";
import { errorText } from "@holdfast/core/errors";
import { jitter } from "@holdfast/core/random";
import { computeHealth, computeStuckMs } from "./compute-health.ts";
import { stoppedError } from "./errors.ts";
import { EventHints } from "./event-hints.ts";
import { EventSource } from "./event-source.ts";
import type { EventSourceState } from "./event-source.ts";
import type { MadeItem } from "./heard-of.ts";
import { LookQueue } from "./look-queue.ts";
import { resolveOptions } from "./options.ts";
import type { GenericPlegOptions, ResolvedPlegOptions } from "./options.ts";
import { PlegMetrics } from "./pleg-metrics.ts";
import { PodCache } from "./pod-cache.ts";
import type { CachedPodStatus } from "./pod-cache.ts";
import type { EventService, TaskEvent } from "./ports.ts";
import type { QuarantinedPod } from "./quarantine.ts";
import { Reconciler } from "./reconciler.ts";
import { RuntimeCalls } from "./runtime-calls.ts";
import type { CallUnderWay } from "./runtime-calls.ts";

/** What {@link GenericPLEG.health} says: besides failures, what concerns single pods only. */
export interface PlegHealth extends Health {
  /** Trouble that harms no other pod and does not make the node unhealthy. */
  readonly warnings: readonly string[];
}

/** An exit that the CRI has not confirmed yet. */
export interface UnconfirmedExitSnapshot {
  readonly containerId: string;
  readonly podUid: string | undefined;
  readonly ageMs: number;
}

/** What {@link GenericPLEG.snapshot} shows. Milliseconds. */
export interface PlegSnapshot {
  readonly pods: number;
  /** Since the last relist that listed all began; undefined before the first. */
  readonly lastRelistAgeMs: number | undefined;
  /** Why the last lists could not be had, and since the first time in a row. */
  readonly listProblem: string | undefined;
  readonly listProblemForMs: number | undefined;
  /** `service` where the stream tells which one it chose (`runtimeEvents` does). */
  readonly events: {
    readonly state: EventSourceState;
    readonly problem: string | undefined;
    readonly service: EventService | undefined;
  };
  /** Pods whose status cannot be read. */
  readonly quarantined: readonly QuarantinedPod[];
  /** Calls older than the stuck limit, oldest first. */
  readonly stuckCalls: readonly CallUnderWay[];
  readonly unconfirmedExits: readonly UnconfirmedExitSnapshot[];
  readonly waiting: { readonly looks: number; readonly readers: number; readonly hints: number };
}

const MIN_RELIST_GAP_MS = 100;
const EVENTS_JITTER = 0.2;
const STOP_LIMIT_MS = 5000;

/** See the top of the file. Fits the pod workers' `PodCache` port. */
export class GenericPLEG implements Component {
  readonly name = "PLEG";
  readonly #options: ResolvedPlegOptions;
  readonly #metrics: PlegMetrics;
  readonly #calls: RuntimeCalls;
  readonly #cache: PodCache;
  readonly #reconciler: Reconciler;
  readonly #looks: LookQueue;
  /** Aborted by `stop()`; made anew by `start()`. */
  #life: LinkedSignal = linkSignal();
  #hints: EventHints;
  #events: EventSource | undefined;
  #running: Promise<unknown> | undefined;
  #relisting: Promise<boolean> | undefined;
  #relistAgain: Promise<boolean> | undefined;
  #lastRelistAt: number | undefined;
  #lastRelistOrder = 0;
  #lastTriedAt: number | undefined;
  #listProblem: string | undefined;
  #listProblemSince: number | undefined;
  #watch: Timer | undefined;
  #wakeLoop: (() => void) | undefined;
  #relistWanted = false;
  /** Who waits for the first relist. */
  readonly #listedOnce = new Set<() => void>();

  constructor(options: GenericPlegOptions) {
    this.#options = resolveOptions(options);
    const { clock, metrics, lookQueueCapacity, parallelLooks, stuckAfterMs } = this.#options;
    this.#metrics = new PlegMetrics(metrics, clock);
    this.#calls = new RuntimeCalls(this.#options);
    this.#cache = new PodCache((uid, minTime) => this.#lookSince(uid, minTime));
    this.#reconciler = new Reconciler({
      options: this.#options,
      calls: this.#calls,
      cache: this.#cache,
      metrics: this.#metrics,
      retry: (uid) => this.requestRelist(uid),
      onExitEntered: (item) => this.#hints.expectExit(item),
      onExitConfirmed: (id) => this.#hints.exitConfirmed(id),
    });
    this.#looks = new LookQueue({
      clock,
      capacity: lookQueueCapacity,
      parallel: parallelLooks,
      stuckAfterMs,
      stormSize: () => Math.max(16, this.#reconciler.records.itemCount / 64),
      newestListing: () => this.#calls.newestListing,
      lastRelist: () => this.#lastRelistOrder,
      look: (uid) => this.#look(uid),
      relist: (why) => this.#relistSoon(why),
    });
    this.#hints = this.#makeHints();
  }

  /** Begins to relist and to listen. Resolves at once, also when no runtime answers: see {@link GenericPLEG.whenListedOnce}. */
  start(_signal?: AbortSignal): Promise<void> {
    if (this.#running !== undefined) return Promise.resolve();
    if (this.#life.signal.aborted) {
      this.#life = linkSignal();
      this.#hints = this.#makeHints();
    }
    const { signal } = this.#life;
    const { clock, events: subscribe, logger, random } = this.#options;
    if (subscribe !== undefined)
      this.#events = new EventSource({
        clock,
        logger,
        random,
        subscribe,
        onEvent: (event) => this.takeEvent(event),
        onGap: () => this.#relistSoon("gap"),
      });
    this.#reconciler.heardOf.load();
    this.#looks.open();
    // Subscribed first, listed then: nothing falls between the two.
    this.#running = Promise.all([this.#events?.run(signal), this.#loop(signal)]);
    return Promise.resolve();
  }

  /** Gives up all calls and waiters. Idempotent, bounded. */
  async stop(): Promise<void> {
    const running = this.#running;
    this.#running = undefined;
    this.#looks.close();
    this.#watchEnds();
    this.#life.abort(stoppedError());
    this.#hints.stop();
    this.#reconciler.stop(stoppedError());
    this.#cache.rejectAll(stoppedError());
    if (running === undefined) return;
    try {
      await withDeadline(this.#options.clock, STOP_LIMIT_MS, "stopping the PLEG", running);
    } catch (err) {
      this.#options.logger.warn("PLEG left a call behind", { err });
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop();
  }

  /** Fails only when nothing could be listed for `relistThresholdMs`. One pod's trouble is a warning. kubelet: Healthy. */
  health(): PlegHealth {
    if (this.#lastRelistAt !== undefined) this.#metrics.lastSeen(this.#lastRelistAt);
    this.#tellTrouble();
    return computeHealth(this.snapshot(), this.#options.relistThresholdMs);
  }

  /** Resolves after the first relist that listed everything. Rejects with the signal's reason. */
  whenListedOnce(signal: AbortSignal): Promise<void> {
    if (signal.aborted) return Promise.reject(signal.reason as Error);
    if (this.#lastRelistAt !== undefined) return Promise.resolve();
    return new Promise((resolve, reject) => {
      const done = (): void => {
        signal.removeEventListener("abort", onAbort);
        this.#listedOnce.delete(done);
        resolve();
      };
      const onAbort = (): void => {
        this.#listedOnce.delete(done);
        reject(signal.reason as Error);
      };
      signal.addEventListener("abort", onAbort, { once: true });
      this.#listedOnce.add(done);
    });
  }

  /**
   * Lists all pods and carries the changes through. Waits for the closer looks that it began, but not for stuck ones. Resolves to whether
   * the lists could be had. During a relist it means one more after it. kubelet: Relist.
   */
  relist(): Promise<boolean> {
    if (this.#relisting === undefined) {
      this.#relisting = this.#relist(this.#life.signal).finally(() => (this.#relisting = undefined));
      return this.#relisting;
    }
    this.#relistAgain ??= this.#relisting.then(() => {
      this.#relistAgain = undefined;
      return this.relist();
    });
    return this.#relistAgain;
  }

  /** Asks for a look at one pod soon. Coalesced; when too many wait, one relist takes their place. kubelet: RequestRelist. */
  requestRelist(uid: string): void {
    this.#looks.request(uid);
  }

  /** The next look at this pod, by whatever cause, reads all its statuses and ends with a PodSync at least. kubelet: RequestReinspect. */
  requestReinspect(uid: string): void {
    this.#reconciler.mark(uid);
  }

  /** What the runtime was last seen to say of a pod; an empty status when nothing. */
  get(uid: string): CachedPodStatus {
    return this.#cache.get(uid);
  }

  /**
   * Waits for a look that began after `minTime` (monotonic), and asks for one when it has to wait. An exit entered from an event does not
   * count as a look, but shows in the answer. Rejects with the signal's reason, or with `PLEG_STOPPED`.
   */
  getNewerThan(uid: string, minTime: number, signal: AbortSignal): Promise<CachedPodStatus> {
    return this.#cache.getNewerThan(uid, minTime, signal);
  }

  /** Takes a hint, as the event stream gives it. */
  takeEvent(event: TaskEvent): void {
    this.#hints.take(event);
  }

  /** UIDs of pods of which something is up as far as is known: listed, or only heard of. The set is the caller's. */
  podsUp(): Set<string> {
    return this.#reconciler.podsUp();
  }

  /** Tells of something that the runtime has just made for the caller: a list that lacks it is stale or cut, unless the runtime itself has lost it. */
  noteMade(made: MadeItem): void {
    this.#reconciler.noteMade(made);
  }

  /** Tells that something is about to be made in this pod for the caller, who asks for a look at it once that is done, well or not. */
  noteMaking(podUid: string): void {
    this.#hints.makingIn(podUid);
  }

  /** Tells of something that is about to be removed for the caller: once a list lacks it, it is gone, and nobody asks for it. */
  noteLeaving(podUid: string, id: string): void {
    this.#reconciler.noteLeaving(podUid, id);
  }

  /** What it is doing and what it is waiting for. */
  snapshot(): PlegSnapshot {
    const { clock, stuckAfterMs } = this.#options;
    const now = clock.monotonic();
    const { exits, quarantine, records } = this.#reconciler;
    return {
      pods: records.size,
      lastRelistAgeMs: this.#lastRelistAt === undefined ? undefined : now - this.#lastRelistAt,
      listProblem: this.#listProblem,
      listProblemForMs: this.#listProblemSince === undefined ? undefined : now - this.#listProblemSince,
      events: {
        state: this.#events?.state ?? "off",
        problem: this.#events?.problem,
        service: this.#events?.service,
      },
      quarantined: quarantine.list(),
      stuckCalls: this.#calls.underWay().filter(({ ageMs }) => ageMs >= stuckAfterMs),
      unconfirmedExits: Array.from(exits.values(), ({ containerId, enteredAt }) => ({
        containerId,
        podUid: records.item(containerId)?.podUid,
        ageMs: now - enteredAt,
      })),
      waiting: { looks: this.#looks.waiting, readers: this.#cache.waiting, hints: this.#hints.unconfirmed },
    };
  }

  async #loop(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      this.#relistWanted = false;
      await this.relist();
      await this.#pause(signal);
    }
  }

  /** Until the period is over, or a relist is wanted sooner. The timer is armed after the relist ended, as the kubelet's. */
  #pause(signal: AbortSignal): Promise<void> {
    const { clock, random, relistPeriodMs, relistPeriodWithEventsMs } = this.#options;
    const calm = this.#lastRelistAt !== undefined && this.#listProblem === undefined;
    const trusted = calm && this.#events?.isTrusted(this.#lastRelistAt ?? 0) === true;
    const period = trusted
      ? jitter(relistPeriodWithEventsMs * (1 - EVENTS_JITTER), EVENTS_JITTER / (1 - EVENTS_JITTER), random)
      : relistPeriodMs;
    return new Promise((resolve) => {
      let timer: Timer | undefined;
      const end = (): void => {
        timer?.cancel();
        this.#wakeLoop = undefined;
        signal.removeEventListener("abort", end);
        resolve();
      };
      const soon = (): void => {
        timer?.cancel();
        const gap = (this.#lastTriedAt ?? 0) + MIN_RELIST_GAP_MS - clock.monotonic();
        timer = clock.timer(Math.max(gap, 0), end);
      };
      signal.addEventListener("abort", end, { once: true });
      if (signal.aborted) end();
      else if (this.#relistWanted) soon();
      else {
        timer = clock.timer(period, end);
        this.#wakeLoop = soon;
      }
    });
  }

  #relistSoon(why: string): void {
    if (why !== "gap") this.#metrics.hintDropped(why);
    this.#relistWanted = true;
    const wake = this.#wakeLoop;
    this.#wakeLoop = undefined;
    wake?.();
  }

  async #relist(signal: AbortSignal): Promise<boolean> {
    const { clock, logger, stuckAfterMs } = this.#options;
    const previousAt = this.#lastRelistAt;
    const startedAt = clock.monotonic();
    this.#lastTriedAt = startedAt;
    this.#watchOver();
    try {
      const known = (id: string): ReturnType<Reconciler["records"]["item"]> =>
        this.#reconciler.records.item(id);
      const listing = await this.#calls.list(undefined, known, signal);
      this.#lastRelistAt = startedAt;
      this.#lastRelistOrder = listing.order;
      this.#metrics.running(listing.pods);
      const { inspections, news } = this.#reconciler.applyAll(listing, signal);
      if (previousAt !== undefined) this.#events?.judge(news, previousAt);
      if (inspections.length > 0) await this.#unlessStuck(Promise.all(inspections), stuckAfterMs, signal);
      // Last, after the pods' own writes; a pod that is still behind is not meant by it.
      this.#cache.updateTime(startedAt);
      if (this.#listProblem !== undefined) logger.info("the runtime lists again");
      this.#listProblem = this.#listProblemSince = undefined;
      for (const listed of this.#listedOnce) listed();
      this.#looks.relisted();
      return true;
    } catch (err) {
      if (signal.aborted) return false;
      const problem = errorText(err);
      if (this.#listProblem === undefined) logger.warn("cannot list pods", { err });
      this.#listProblem = problem;
      this.#listProblemSince ??= startedAt;
      return false;
    } finally {
      this.#metrics.relisted(startedAt, previousAt);
      if (this.#tellTrouble() === 0 || signal.aborted) this.#watchEnds();
      else this.#watchOver();
    }
  }

  /** Somebody waits for what a look that began after `minTime` shows: one that is under way, or being carried through, is not repeated. */
  #lookSince(uid: string, minTime: number): void {
    const asOf = this.#reconciler.inspectingAsOf(uid);
    if (asOf === undefined || asOf < minTime) this.#looks.requestSince(uid, minTime);
  }

  /** Looks at one pod: two filtered lists, then what changed. The queue's place is left as soon as the lists are there. */
  async #look(uid: string): Promise<void> {
    const { clock, logger } = this.#options;
    const { signal } = this.#life;
    const startedAt = clock.monotonic();
    try {
      const listing = await this.#calls.list(uid, (id) => this.#reconciler.records.item(id), signal);
      const { inspection } = this.#reconciler.apply({ uid, pod: listing.pods.get(uid), listing }, signal);
      if (inspection === undefined) this.#metrics.podRelisted(startedAt);
      else void inspection.then(() => this.#metrics.podRelisted(startedAt));
    } catch (err) {
      if (signal.aborted) return;
      logger.debug("look at a pod failed, the relist will see", { podUid: uid, err });
      this.#relistSoon("failed look");
    }
  }

  async #unlessStuck(work: Promise<unknown>, ms: number, signal: AbortSignal): Promise<void> {
    using link = linkSignal(signal);
    await Promise.race([
      work.finally(() => link.abort(stoppedError())),
      this.#options.clock.sleep(ms, { signal: link.signal }).catch(() => undefined),
    ]);
  }

  /** Gauges grow while something is stuck, also when nobody asks for the health and no relist ends. */
  #watchOver(): void {
    const { clock, stuckAfterMs } = this.#options;
    this.#watch ??= clock.timer(stuckAfterMs, () => {
      this.#watch = undefined;
      if (this.#tellTrouble() > 0) this.#watchOver();
    });
  }

  #watchEnds(): void {
    this.#watch?.cancel();
    this.#watch = undefined;
  }

  #tellTrouble(): number {
    const { exits, quarantine } = this.#reconciler;
    const stuckMs = computeStuckMs(this.snapshot());
    this.#metrics.trouble({
      stuckMs,
      quarantined: quarantine.size,
      unconfirmed: exits.size,
      oldestCallMs: this.#calls.underWay()[0]?.ageMs ?? 0,
      streamUp: this.#events?.state === "listening",
    });
    return stuckMs;
  }

  #makeHints(): EventHints {
    return new EventHints({
      options: this.#options,
      calls: this.#calls,
      reconciler: this.#reconciler,
      look: (uid) => this.requestRelist(uid),
      relistSoon: (why) => this.#relistSoon(why),
      signal: this.#life.signal,
    });
  }
}
