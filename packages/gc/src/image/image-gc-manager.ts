// SPDX-License-Identifier: Apache-2.0

/**
 * Image garbage collection. kubelet: pkg/kubelet/images/image_gc_manager.go.
 *
 *   lists, users, figures ─> records ─> plan ─┬─> plan(): shown
 *                                             └─> collect(), deleteUnusedImages(): users again under a lock, then removed, one by one
 *
 * Owns: when each image was first seen and last used. Reads: the runtime's images and containers of every owner, the image file system.
 * Invariants: an image that anybody uses is never removed; without figures that can be, nothing is removed; one pass at a time; a plan removes nothing.
 * Lost on a crash: at most an hour of an image's last use.
 */
import { nullPublisher } from "@holdfast/bus";
import type { Publisher } from "@holdfast/bus";
import { errorText, HoldfastError } from "@holdfast/core/errors";
import { linkSignal } from "@holdfast/core/lifecycle";
import type { Component, Health, LinkedSignal } from "@holdfast/core/lifecycle";
import { silentLogger } from "@holdfast/core/log";
import type { Logger } from "@holdfast/core/log";
import { noMetrics } from "@holdfast/core/metrics";
import { joinedError } from "../errors.ts";
import { ImageGcFailed, ImageGcStarted } from "../events.ts";
import type { GcEventText } from "../events.ts";
import { memoryCheckpoint } from "../memory-checkpoint.ts";
import { PeriodicLoop } from "../periodic-loop.ts";
import type { GcImage, ImageGcFacts, ImageGcGoal, ImageGcPlan } from "./image-gc-facts.ts";
import { ImageGcLooker } from "./image-gc-looker.ts";
import { ImageGcMetrics } from "./image-gc-metrics.ts";
import type {
  ImageGcManagerOptions,
  ImageGcPassOptions,
  ImageGcResult,
  ImageGcWish,
} from "./image-gc-options.ts";
import { isImageGcOff, resolveImageGcPolicy, withTarget } from "./image-gc-policy.ts";
import type { ImageGcPolicy } from "./image-gc-policy.ts";
import { insufficientSpaceText, whoHoldsSpace } from "./image-gc-text.ts";
import { runtimeImageLayers } from "./image-layers.ts";
import { ImageLocks } from "./image-locks.ts";
import { ImageReader } from "./image-reader.ts";
import { ImageRecords } from "./image-records.ts";
import { ImageRemover } from "./image-remover.ts";
import type { RemovalOutcome } from "./image-remover.ts";
import { LostUsers } from "./lost-users.ts";
import { planImageGc } from "./plan-image-gc.ts";

const DEFAULT_PERIOD_MS = 5 * 60_000;
const NOTHING: RemovalOutcome = {
  removed: [],
  spared: new Map(),
  freedBytes: 0,
  freedBySpaceBytes: 0,
  failures: [],
};

/** See the top of the file. */
export class ImageGcManager implements Component {
  readonly name = "image-gc";
  /** What pulls and creates hold. */
  readonly locks: ImageLocks;
  readonly #options: ImageGcManagerOptions;
  readonly #policy: ImageGcPolicy;
  readonly #records: ImageRecords;
  readonly #reader: ImageReader;
  readonly #lost: LostUsers;
  readonly #metrics: ImageGcMetrics;
  readonly #logger: Logger;
  readonly #publish: Publisher;
  readonly #looker: ImageGcLooker;
  readonly #loop: PeriodicLoop;
  #life: LinkedSignal = linkSignal();
  /** Passes wait for one another. */
  #turn: Promise<unknown> = Promise.resolve();
  #failedInARow = 0;
  #problem: string | undefined;

  /** Throws `GC_OPTIONS` on a policy that makes no sense. */
  constructor(options: ImageGcManagerOptions) {
    this.#options = options;
    this.#policy = resolveImageGcPolicy(options.policy);
    const { clock, runtime, filesystem } = options;
    this.#logger = options.logger ?? silentLogger;
    this.#publish = options.publish ?? nullPublisher;
    this.locks = options.locks ?? new ImageLocks();
    this.#metrics = new ImageGcMetrics(options.metrics ?? noMetrics);
    const checkpoint = options.checkpoint ?? memoryCheckpoint();
    this.#records = new ImageRecords({ clock, checkpoint, logger: this.#logger });
    const { sandboxImages = [], imageVolumes = true } = options;
    this.#reader = new ImageReader({ runtime, clock, filesystem, sandboxImages, imageVolumes });
    this.#lost = new LostUsers({ clock, reader: this.#reader, publish: this.#publish, logger: this.#logger });
    const { layers = runtimeImageLayers(runtime, clock, options.readBlob) } = options;
    this.#looker = new ImageGcLooker({
      clock,
      policy: this.#policy,
      records: this.#records,
      reader: this.#reader,
      locks: this.locks,
      layers: layers === "sizes" ? undefined : layers,
    });
    this.#loop = new PeriodicLoop({
      clock,
      name: this.name,
      logger: this.#logger,
      periodMs: options.periodMs ?? DEFAULT_PERIOD_MS,
      work: (signal) => this.#round(signal),
    });
  }

  /** Begins to look at once, and then in each period. Resolves at once. */
  start(_signal?: AbortSignal): Promise<void> {
    if (this.#life.signal.aborted) this.#life = linkSignal();
    this.#loop.start();
    return Promise.resolve();
  }

  /** Ends a pass under way after the removal it is at. Idempotent, bounded. */
  async stop(): Promise<void> {
    this.#life.abort(stopped());
    await this.#loop.stop();
    this.#records.flush();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop();
  }

  /** Fails when the last two passes did. */
  health(): Health {
    return { failures: this.#failedInARow >= 2 && this.#problem !== undefined ? [this.#problem] : [] };
  }

  /** What a pass would do now, and why. Removes nothing. Rejects with what the runtime or the file system says. */
  async plan(wish: ImageGcWish = {}): Promise<ImageGcPlan> {
    using link = this.#link(wish.signal);
    const { goal = "thresholds", targetPercent } = wish;
    const policy = withTarget(this.#policy, targetPercent);
    return planImageGc(
      await this.#looker.look(goal, link.signal, { policy, layers: "always" }),
      policy,
      goal,
    );
  }

  /**
   * One pass. Rejects only with the signal's reason, or with `GC_OPTIONS` on a target that is no percentage: what went wrong is in the result.
   * kubelet: GarbageCollect.
   */
  collect(options: ImageGcPassOptions = {}): Promise<ImageGcResult> {
    return this.#inTurn(() => this.#pass("thresholds", options));
  }

  /** Removes every image that may go: what eviction does first when the disk is full. kubelet: DeleteUnusedImages. */
  deleteUnusedImages(options: Omit<ImageGcPassOptions, "targetPercent"> = {}): Promise<ImageGcResult> {
    return this.#inTurn(() => this.#pass("unused", options));
  }

  /** This agent pulled or imported an image; `startedAt` (monotonic) is when it began to. It may go one day. */
  imagePulled(imageId: string, startedAt: number): void {
    this.#records.pulled(imageId, startedAt);
  }

  /** Images, biggest first, at most 30 s old; the last known ones when the runtime fails. kubelet: GetImageList. */
  async images(signal?: AbortSignal): Promise<readonly GcImage[]> {
    using link = this.#link(signal);
    return await this.#looker.images(link.signal);
  }

  /** What it remembers and holds, for people. */
  snapshot(): {
    readonly images: number;
    readonly held: readonly string[];
    readonly failedInARow: number;
    readonly problem: string | undefined;
  } {
    const { held } = this.locks.snapshot();
    return {
      images: this.#records.all.size,
      held,
      failedInARow: this.#failedInARow,
      problem: this.#problem,
    };
  }

  async #round(signal: AbortSignal): Promise<void> {
    if (isImageGcOff(this.#policy)) {
      // Ages go on, for eviction and for the day on which it is turned on.
      await this.#looker.look("unused", signal, { layers: "never" });
      return;
    }
    const { error, freedBytes, removed } = await this.#inTurn(() => this.#pass("thresholds", { signal }));
    if (error === undefined) {
      this.#failedInARow = 0;
      this.#problem = undefined;
      if (removed.length > 0)
        this.#logger.info("image GC freed space", { freedBytes, images: removed.length });
      return;
    }
    this.#failedInARow += 1;
    this.#problem = errorText(error);
    // kubelet: the first failure may be of a start that is not through yet.
    if (this.#failedInARow > 1) this.#tell("ImageGCFailed", this.#problem, "", []);
    if (this.#failedInARow <= 2) this.#logger.warn("image GC failed", { err: this.#problem });
  }

  async #pass(goal: ImageGcGoal, options: ImageGcPassOptions): Promise<ImageGcResult> {
    const { clock } = this.#options;
    const { causes = [], onStep, signal, targetPercent } = options;
    const policy = withTarget(this.#policy, targetPercent);
    using link = this.#link(signal);
    const startedAt = clock.monotonic();
    let result: ImageGcResult;
    try {
      await this.#lost.look(link.signal);
      const facts = await this.#looker.look(goal, link.signal, { policy });
      const plan = planImageGc(facts, policy, goal);
      this.#metrics.planned(plan);
      onStep?.({ kind: "plan", plan });
      result = await this.#carryOut(plan, facts, options, link.signal);
    } catch (cause) {
      link.signal.throwIfAborted();
      const error = this.#failed(cause, causes);
      result = { ...NOTHING, plan: undefined, error };
    }
    this.#metrics.passed(clock.monotonic() - startedAt, result.error !== undefined);
    return result;
  }

  async #carryOut(
    plan: ImageGcPlan,
    facts: ImageGcFacts,
    { by, causes = [], onStep }: ImageGcPassOptions,
    signal: AbortSignal,
  ): Promise<ImageGcResult> {
    const { goal, usage, wantedBytes } = plan;
    const going = plan.entries.filter(({ verdict }) => verdict === "remove").length;
    let outcome = NOTHING;
    let seq: number | undefined;
    if (going > 0) {
      const { toFreeBytes, usagePercent } = usage ?? {};
      seq = this.#publish.publish(
        ImageGcStarted,
        { goal, images: going, usagePercent, toFreeBytes, by },
        { causes, subject: this.#subject() },
      );
      const remover = new ImageRemover(
        {
          runtime: this.#options.runtime,
          reader: this.#reader,
          locks: this.locks,
          lost: this.#lost,
          publish: this.#publish,
          logger: this.#logger,
          onGone: (id) => this.#records.forget(id),
          onRemoved: (entry) => this.#metrics.removed(entry),
          onStep: onStep ?? ignore,
        },
        facts,
        [seq],
      );
      this.#looker.distrustList();
      outcome = await remover.run(plan, signal);
    }
    if (outcome.failures.length > 0)
      return { ...outcome, plan, error: joinedError("GC_REMOVE", outcome.failures) };
    if (goal === "unused" || usage === undefined || outcome.freedBySpaceBytes >= wantedBytes)
      return { ...outcome, plan, error: undefined };
    const message = insufficientSpaceText(usage, outcome.freedBySpaceBytes);
    const onDisk = await this.#options.diskHeldBy?.();
    const detail = `${whoHoldsSpace(plan, outcome)}${onDisk === undefined ? "" : `; on the disk: ${onDisk}`}`;
    this.#tell("FreeDiskSpaceFailed", message, detail, seq === undefined ? causes : [seq]);
    this.#logger.warn("image GC cannot free enough", { usagePercent: usage.usagePercent, detail });
    const error = new HoldfastError("GC_FREE_DISK_SPACE_FAILED", "retryable", message);
    return { ...outcome, plan, error, heldBy: detail };
  }

  #failed(cause: unknown, causes: readonly number[]): HoldfastError {
    const error = HoldfastError.is(cause)
      ? cause
      : new HoldfastError("GC_REMOVE", "retryable", errorText(cause), { cause });
    if (error.code === "GC_INVALID_CAPACITY") this.#tell("InvalidDiskCapacity", error.message, "", causes);
    return error;
  }

  #tell(reason: GcEventText["reason"], message: string, detail: string, causes: readonly number[]): void {
    this.#publish.publish(
      ImageGcFailed,
      { eventType: "Warning", reason, message, detail },
      { causes, subject: this.#subject() },
    );
  }

  #subject(): { readonly node?: string } {
    return this.#options.nodeName === undefined ? {} : { node: this.#options.nodeName };
  }

  #inTurn<T>(work: () => Promise<T>): Promise<T> {
    const mine = this.#turn.then(work);
    this.#turn = mine.catch(() => undefined);
    return mine;
  }

  /** Ends with the caller's signal and with `stop()`. */
  #link(signal: AbortSignal | undefined): LinkedSignal {
    const link = linkSignal(this.#life.signal);
    if (signal === undefined || signal === this.#life.signal) return link;
    const onAbort = (): void => link.abort(signal.reason);
    if (signal.aborted) onAbort();
    else signal.addEventListener("abort", onAbort, { once: true });
    return {
      signal: link.signal,
      abort: (reason) => link.abort(reason),
      [Symbol.dispose]: () => {
        signal.removeEventListener("abort", onAbort);
        link[Symbol.dispose]();
      },
    };
  }
}

function stopped(): HoldfastError {
  return new HoldfastError("GC_STOPPED", "cancelled", "image GC was stopped");
}

function ignore(): void {}
