// SPDX-License-Identifier: Apache-2.0

/**
 * Keeps a node from running out of memory, disk, inodes and processes by ending pods, one at a time. kubelet: pkg/kubelet/eviction.
 *
 *   figures ──> observations ──> thresholds met ──> grace, hysteresis ──> conditions
 *                                                        └──> reclaim of the node's own ──(not enough)──> rank ──> one pod goes ──> wait
 *   pods' own limits on local storage ──> those pods go
 *
 * Owns: since when thresholds are met, the conditions. Reads: figures through its port. Invariants: without figures that can be true nobody goes; the node gives up
 * its own before a pod goes; at most one pod a round goes for the node's sake; critical pods never go; whoever goes is told first. Lost on a crash: the
 * conditions and the graces, which begin anew.
 */
import { nullPublisher } from "@holdfast/bus";
import { errorText, HoldfastError } from "@holdfast/core/errors";
import { linkSignal, withDeadline } from "@holdfast/core/lifecycle";
import type { Component, Health, LinkedSignal } from "@holdfast/core/lifecycle";
import { silentLogger } from "@holdfast/core/log";
import type { Logger } from "@holdfast/core/log";
import { noMetrics } from "@holdfast/core/metrics";
import type { Histogram } from "@holdfast/core/metrics";
import type { Pod } from "@holdfast/core/pod-types";
import { bounded } from "./bounded.ts";
import { admitUnderPressure } from "./compute-admission.ts";
import type { PressureRefusal } from "./compute-admission.ts";
import { exceededLocalStorageLimit, hasLocalStorageLimit } from "./compute-local-storage.ts";
import { rankPods } from "./compute-rank.ts";
import { evictionGraceSeconds, IMMEDIATE_GRACE_SECONDS, nodeReclaimSteps } from "./compute-reclaim.ts";
import { computeRound, FIRST_ROUND } from "./compute-round.ts";
import type { Round, RoundState } from "./compute-round.ts";
import { thresholdsMet } from "./compute-thresholds.ts";
import { DEFAULT_TRANSITION_PERIOD_MS } from "./default-thresholds.ts";
import { evictionMessage } from "./eviction-message.ts";
import { MemoryWatch } from "./memory-watch.ts";
import { makeSignalObservations } from "./make-observations.ts";
import { DEFAULT_PERIOD_MS, DEFAULT_RECLAIM_DEADLINE_MS, DEFAULT_STATS_DEADLINE_MS } from "./options.ts";
import type { EvictionManagerOptions } from "./options.ts";
import { addContainerFsThresholds } from "./parse-thresholds.ts";
import type { FilesystemLayout } from "./parse-thresholds.ts";
import { PodEvictor } from "./pod-evictor.ts";
import type { NodeSample } from "./ports.ts";
import { PressureRest } from "./pressure-rest.ts";
import { reclaimNode } from "./reclaim-node.ts";
import { PressureTeller } from "./pressure-teller.ts";
import type { TimedPressureCondition } from "./pressure-teller.ts";
import { filesystemOf, isPressureSignal, signalFacts } from "./signals.ts";
import type { PressureConditionType } from "./signals.ts";
import type { SignalObservations, Threshold } from "./threshold.ts";

/** kubelet: podCleanupTimeout, podCleanupPollFreq. */
const CLEANUP_WAIT_MS = 30_000;
const CLEANUP_POLL_MS = 1000;
/** When there is nobody who could go, looking for it again and again would only cost. */
const FIRST_REST_MS = 10_000;
const MAX_REST_MS = 60_000;
const STOP_LIMIT_MS = 5000;

/** A threshold that was met when nobody could go. */
interface Rest {
  readonly key: string;
  readonly until: number;
  readonly ms: number;
}

/** See the top of the file. */
export class EvictionManager implements Component {
  readonly name = "eviction";
  readonly #options: EvictionManagerOptions;
  readonly #logger: Logger;
  readonly #teller: PressureTeller;
  readonly #evictor: PodEvictor;
  readonly #age: Histogram;
  readonly #memoryWatch: MemoryWatch | undefined;
  /** Ends the wait for the next round. */
  #wake: (() => void) | undefined;
  #isWoken = false;
  #life: LinkedSignal | undefined;
  #running: Promise<void> = Promise.resolve();
  #state: RoundState = FIRST_ROUND;
  #thresholds: readonly Threshold[];
  #layout: FilesystemLayout | undefined;
  #problem: string | undefined;
  #rest: Rest | undefined;
  readonly #pressureRest = new PressureRest();

  constructor(options: EvictionManagerOptions) {
    const {
      clock,
      publish = nullPublisher,
      metrics = noMetrics,
      nodeName,
      evictStaticPods = false,
    } = options;
    this.#options = options;
    this.#logger = options.logger ?? silentLogger;
    this.#thresholds = options.thresholds;
    const logger = this.#logger;
    this.#teller = new PressureTeller({ clock, publish, logger, nodeName });
    this.#evictor = new PodEvictor({ clock, pods: options.pods, evictStaticPods, publish, logger, metrics });
    const { memoryUsage: usage, thresholds } = options;
    if (usage !== undefined)
      this.#memoryWatch = new MemoryWatch({
        clock,
        usage,
        thresholds,
        logger,
        onCrossed: () => {
          this.#isWoken = true;
          this.#wake?.();
        },
      });
    this.#age = metrics.histogram(
      "kubelet_eviction_stats_age_seconds",
      "Time between when stats are collected, and when pod is evicted based on those stats by eviction signal",
    );
  }

  /** Begins the first round, which only looks; resolves at once. */
  start(_signal?: AbortSignal): Promise<void> {
    if (this.#life === undefined) {
      this.#life = linkSignal();
      const { signal } = this.#life;
      this.#running = this.#runAll(signal);
    }
    return Promise.resolve();
  }

  /** Ends the round under way; a pod that was told to end still ends. Waits at most 5 s. Idempotent. */
  async stop(): Promise<void> {
    this.#life?.abort(new HoldfastError("EVICTION_STOPPED", "cancelled", "eviction stops"));
    try {
      await withDeadline(this.#options.clock, STOP_LIMIT_MS, "stopping eviction", this.#running);
    } catch (err) {
      this.#logger.warn("a round was left behind", { err });
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop();
  }

  /** Fails while figures cannot be had or cannot be true: nobody is evicted for what is not known. Pressure is no failure. */
  health(): Health {
    return { failures: [...(this.#problem === undefined ? [] : [this.#problem]), ...this.#teller.unknown] };
  }

  /** What the node is short of. */
  conditions(): readonly PressureConditionType[] {
    return this.#state.conditions;
  }

  /** MemoryPressure, DiskPressure, PIDPressure as node conditions, each with True or False. */
  nodeConditions(): readonly TimedPressureCondition[] {
    return this.#teller.conditions();
  }

  /** Why a pod must not come now; undefined: it may. kubelet: Admit. */
  admit(pod: Pod): PressureRefusal | undefined {
    return admitUnderPressure(pod, this.#state.conditions, {
      evictStaticPods: this.#options.evictStaticPods,
    });
  }

  /** What it stands on, for people. */
  snapshot(): {
    readonly thresholds: readonly Threshold[];
    readonly met: readonly Threshold[];
    readonly observations: SignalObservations;
    readonly layout: FilesystemLayout | undefined;
  } {
    const { met, observations } = this.#state;
    return { thresholds: this.#thresholds, met, observations, layout: this.#layout };
  }

  /** One round. Returns the pods that were ended. Rejects when figures could not be had. kubelet: synchronize. */
  async synchronize(signal: AbortSignal = NEVER): Promise<readonly Pod[]> {
    const round = this.#thresholds.length === 0 ? undefined : await this.#look(signal);
    const limited = await this.#enforceLimits(signal);
    if (limited.length > 0 || round === undefined) return limited;
    const toAct = round.toAct.filter((threshold) => this.#canAct(threshold));
    const [threshold] = toAct;
    if (threshold === undefined) return [];
    return await this.#relieve(threshold, toAct, signal);
  }

  async #runAll(signal: AbortSignal): Promise<void> {
    await Promise.all([this.#run(signal), this.#memoryWatch?.run(signal)]);
  }

  async #run(signal: AbortSignal): Promise<void> {
    // An agent that has just started does not know yet which pods have ended: the first round only looks.
    for (let isFirst = true; !signal.aborted; isFirst = false) {
      try {
        const evicted = isFirst ? await this.#firstLook(signal) : await this.synchronize(signal);
        this.#problem = undefined;
        if (evicted.length > 0) {
          await this.#cleanedUp(evicted, signal);
          continue;
        }
      } catch (error) {
        if (signal.aborted) return;
        const problem = errorText(error);
        if (problem !== this.#problem) this.#logger.warn("a round failed", { err: problem });
        this.#problem = problem;
      }
      await this.#untilNextRound(signal);
    }
  }

  /** A period, or less when memory runs short meanwhile; not at all when it did so during the round. */
  async #untilNextRound(signal: AbortSignal): Promise<void> {
    const { clock, periodMs = DEFAULT_PERIOD_MS } = this.#options;
    using nap = linkSignal(signal);
    this.#wake = () => nap.abort();
    if (!this.#isWoken) await clock.sleep(periodMs, { signal: nap.signal }).catch(() => undefined);
    this.#isWoken = false;
    this.#wake = undefined;
  }

  async #firstLook(signal: AbortSignal): Promise<readonly Pod[]> {
    if (this.#thresholds.length > 0) await this.#look(signal);
    return [];
  }

  /** Reads the machine, and brings state and conditions up to date. */
  async #look(signal: AbortSignal): Promise<Round> {
    const { clock, transitionPeriodMs = DEFAULT_TRANSITION_PERIOD_MS } = this.#options;
    const sample = await this.#sample(signal);
    this.#learnLayout(sample.layout);
    this.#memoryWatch?.update(sample.node);
    const { observations, nonsense } = makeSignalObservations(sample);
    this.#pressureRest.look(observations);
    this.#teller.tellUnknown(this.#unknownOf(sample, nonsense));
    const round = computeRound(this.#state, {
      thresholds: this.#thresholds,
      observations,
      now: clock.monotonic(),
      transitionPeriodMs,
    });
    this.#state = round.state;
    this.#teller.forgetAllBut(round.met);
    if (this.#teller.tellConditions(round.state.conditions)) this.#options.onConditionsChanged?.();
    if (round.toAct.length === 0) this.#rest = undefined;
    return round;
  }

  #sample(signal: AbortSignal): Promise<NodeSample> {
    const { clock, stats, statsDeadlineMs: ms = DEFAULT_STATS_DEADLINE_MS } = this.#options;
    return bounded({ clock, ms, what: "reading the node's figures", signal }, (link) => stats.node(link));
  }

  #learnLayout(layout: FilesystemLayout | undefined): void {
    if (layout === undefined) return;
    const { dedicatedImageFs, splitContainerFs } = this.#layout ?? {};
    if (layout.dedicatedImageFs === dedicatedImageFs && layout.splitContainerFs === splitContainerFs) return;
    this.#layout = layout;
    this.#thresholds = addContainerFsThresholds(this.#options.thresholds, layout);
  }

  /** Nonsense only where a threshold stands on it. */
  #unknownOf({ problems }: NodeSample, nonsense: ReadonlyMap<string, string>): ReadonlyMap<string, string> {
    const unknown = new Map(problems.map(({ part, message }) => [part, message] as const));
    for (const [signal, problem] of nonsense)
      if (this.#thresholds.some((threshold) => threshold.signal === signal)) unknown.set(signal, problem);
    return unknown;
  }

  /** Who would help is not known while the layout of the disks is not; and averages of pressure look back. */
  #canAct(threshold: Threshold): boolean {
    const { signal } = threshold;
    if (isPressureSignal(signal))
      return this.#pressureRest.isOver(threshold, this.#state.observations, this.#options.clock.monotonic());
    return filesystemOf(signal) === undefined || this.#layout !== undefined;
  }

  // --- the node's sake ---

  async #relieve(
    threshold: Threshold,
    toAct: readonly Threshold[],
    signal: AbortSignal,
  ): Promise<readonly Pod[]> {
    const active = this.#options.pods.activePods();
    const key = `${threshold.signal} ${active.length}`;
    const now = this.#options.clock.monotonic();
    if (this.#rest?.key === key && now < this.#rest.until) return [];
    const cause = this.#teller.tellThreshold(threshold, this.#state.observations);
    if (await this.#reclaimed(threshold, cause, signal)) return [];
    const candidates = active.filter((pod) => this.#evictor.mayGo(pod));
    const victim =
      candidates.length === 0
        ? undefined
        : await this.#evictFirst(threshold, toAct, candidates, cause, signal);
    if (victim !== undefined) {
      this.#rest = undefined;
      return [victim];
    }
    if (this.#rest?.key !== key)
      this.#logger.warn("nobody can be evicted: all pods are critical, or there is none", {
        signal: threshold.signal,
        pods: active.length,
      });
    const ms = this.#rest?.key === key ? Math.min(this.#rest.ms * 2, MAX_REST_MS) : FIRST_REST_MS;
    this.#rest = { key, until: this.#options.clock.monotonic() + ms, ms };
    return [];
  }

  /** True: what the node gave up of its own was enough. */
  async #reclaimed(threshold: Threshold, cause: number, signal: AbortSignal): Promise<boolean> {
    const { clock, reclaim, reclaimDeadlineMs = DEFAULT_RECLAIM_DEADLINE_MS } = this.#options;
    if (reclaim === undefined) return false;
    const isEnough = async (): Promise<boolean> => {
      const { observations } = makeSignalObservations(await this.#sample(signal));
      const met = thresholdsMet(this.#thresholds, observations, { enforceMinReclaim: true });
      return met.length === 0 && observations.has(threshold.signal);
    };
    return await reclaimNode(nodeReclaimSteps(threshold.signal, this.#layout ?? NO_LAYOUT), {
      clock,
      reclaim,
      deadlineMs: reclaimDeadlineMs,
      logger: this.#logger,
      cause,
      signal,
      isEnough,
    });
  }

  async #evictFirst(
    threshold: Threshold,
    toAct: readonly Threshold[],
    pods: readonly Pod[],
    cause: number,
    signal: AbortSignal,
  ): Promise<Pod | undefined> {
    const {
      clock,
      stats,
      maxPodGraceSeconds = 0,
      statsDeadlineMs: ms = DEFAULT_STATS_DEADLINE_MS,
    } = this.#options;
    const { observations } = this.#state;
    const resource = signalFacts(threshold.signal)?.resource;
    if (resource === undefined) return undefined;
    const bound = { clock, ms, what: "reading the pods' figures", signal };
    const read = await bounded(bound, (link) => stats.pods(link));
    const figures = new Map(read.map((one) => [one.podRef.uid, one] as const));
    const layout = this.#layout ?? NO_LAYOUT;
    this.#observeAges(toAct);
    // While figures were read a pod may have ended by itself.
    const active = new Set(this.#options.pods.activePods().map(({ metadata }) => metadata.uid));
    for (const ranked of rankPods({ signal: threshold.signal, pods, figures, layout })) {
      const { pod } = ranked;
      if (!active.has(pod.metadata.uid)) continue;
      const text = evictionMessage({
        resource,
        pod,
        figures: ranked.figures,
        thresholds: toAct,
        observations,
      });
      const graceSeconds = evictionGraceSeconds(threshold, pod, maxPodGraceSeconds);
      const verdict = { ...text, signal: threshold.signal, graceSeconds, disruption: true, causes: [cause] };
      if (!(await this.#evictor.evict(pod, verdict, signal))) continue;
      if (isPressureSignal(threshold.signal)) this.#pressureRest.begin(threshold.signal, clock.monotonic());
      return pod;
    }
    return undefined;
  }

  /** kubelet: EvictionStatsAge. */
  #observeAges(thresholds: readonly Threshold[]): void {
    const now = this.#options.clock.monotonic();
    for (const { signal } of thresholds) {
      const at = this.#state.observations.get(signal)?.at;
      if (at !== undefined) this.#age.observe((now - at) / 1000, { eviction_signal: signal });
    }
  }

  // --- the pods' own limits ---

  /** kubelet: localStorageEviction. */
  async #enforceLimits(signal: AbortSignal): Promise<readonly Pod[]> {
    const { clock, pods, stats, statsDeadlineMs: ms = DEFAULT_STATS_DEADLINE_MS } = this.#options;
    const limited = pods.activePods().filter((pod) => hasLocalStorageLimit(pod) && this.#evictor.mayGo(pod));
    if (stats.storage === undefined || limited.length === 0) return [];
    const read = await bounded({ clock, ms, what: "measuring pods' storage", signal }, async (link) =>
      stats.storage?.(limited, link),
    );
    const figures = new Map(read?.map((one) => [one.podRef.uid, one] as const));
    const evicted: Pod[] = [];
    for (const pod of limited) {
      const known = figures.get(pod.metadata.uid);
      const exceeded =
        known === undefined
          ? undefined
          : exceededLocalStorageLimit(pod, known, this.#layout?.dedicatedImageFs ?? false);
      if (exceeded === undefined) continue;
      const verdict = {
        ...exceeded,
        annotations: {},
        graceSeconds: IMMEDIATE_GRACE_SECONDS,
        disruption: false,
        causes: [],
      };
      if (await this.#evictor.evict(pod, verdict, signal)) evicted.push(pod);
    }
    return evicted;
  }

  /** kubelet: waitForPodsCleanup. */
  async #cleanedUp(evicted: readonly Pod[], signal: AbortSignal): Promise<void> {
    const { clock, pods } = this.#options;
    const until = clock.monotonic() + CLEANUP_WAIT_MS;
    while (!signal.aborted && evicted.some((pod) => pods.isCleanedUp?.(pod) === false)) {
      if (clock.monotonic() >= until) {
        this.#logger.warn("what evicted pods held is not free yet", { pods: evicted.length });
        return;
      }
      await clock.sleep(CLEANUP_POLL_MS, { signal }).catch(() => undefined);
    }
  }
}

const NEVER = new AbortController().signal;
const NO_LAYOUT: FilesystemLayout = { dedicatedImageFs: false, splitContainerFs: false };
