// SPDX-License-Identifier: Apache-2.0

/**
 * Brings each pod's newest status to a sink. It owns what the sink is known to have; it reads the status manager.
 *
 * Invariants: writes of one pod never overlap, and the last one begun carries its newest state, so the last state is never lost, only states between; at most
 * `parallel` writes; becoming ready, ceasing to be and ending go first; a pod that the node has forgotten stays until its last state is written; nothing is armed while
 * everything is written and the sink compares nothing. Lost on a crash: only what the sink is known to have: at start every status is written anew, which a
 * sink that knows better answers with `unchanged`. kubelet: status.Manager's syncBatch, which writes one pod after another, each after a read.
 */
import { nullPublisher } from "@holdfast/bus";
import type { Timer } from "@holdfast/core/clock";
import { errorText, HoldfastError, holdfastErrorIn } from "@holdfast/core/errors";
import { linkSignal, withDeadline } from "@holdfast/core/lifecycle";
import type { Component, Health } from "@holdfast/core/lifecycle";
import { silentLogger } from "@holdfast/core/log";
import { noMetrics } from "@holdfast/core/metrics";
import { jitter } from "@holdfast/core/random";
import { StatusSinkChanged } from "../events.ts";
import type { VersionedPodStatus } from "../status-entries.ts";
import { MAX_RETRY_AFTER_MS, REFUSED_RETRY_MS, SYNC_DEFAULTS, UNHEALTHY_AFTER_MS } from "./options.ts";
import type { StatusSyncOptions } from "./options.ts";
import { OutageGate } from "./outage-gate.ts";
import { StatusSinkError } from "./ports.ts";
import type { StatusUpdate, StatusWriteOutcome } from "./ports.ts";
import { syncMetrics } from "./sync-metrics.ts";
import type { SyncMetrics } from "./sync-metrics.ts";
import { isWritten, newSlot } from "./sync-slot.ts";
import type { SyncSlot } from "./sync-slot.ts";
import { isUrgent, markOf, WriteQueue } from "./write-queue.ts";

const POD_SCOPE = { scope: "pod", retryAfterMs: undefined } as const;

/** See the block above. */
export class StatusSync implements Component {
  readonly name: string;
  readonly #options: StatusSyncOptions & typeof SYNC_DEFAULTS;
  readonly #metrics: SyncMetrics;
  readonly #gate: OutageGate;
  readonly #queue = new WriteQueue();
  readonly #slots = new Map<string, SyncSlot>();
  /** Pods of which the sink has not the newest state, those that are waited for included. */
  readonly #pending = new Set<string>();
  readonly #writes = new Set<Promise<void>>();
  readonly #settled = new Set<PromiseWithResolvers<void>>();
  readonly #stopping = new AbortController();
  #observing: Disposable | undefined;
  #gateTimer: Timer | undefined;
  #reconcileTimer: Timer | undefined;
  #lastError = "";
  #lastFailed = "";
  #running = false;

  constructor(options: StatusSyncOptions) {
    this.#options = { ...SYNC_DEFAULTS, ...options } as StatusSyncOptions & typeof SYNC_DEFAULTS;
    const { clock, random, initialBackoffMs, maxBackoffMs } = this.#options;
    this.name = `status-sync-${options.sink.name}`;
    this.#metrics = syncMetrics(options.metrics ?? noMetrics);
    this.#gate = new OutageGate({
      clock,
      random,
      initialMs: initialBackoffMs,
      maxMs: maxBackoffMs,
      maxRetryAfterMs: MAX_RETRY_AFTER_MS,
    });
  }

  /** Begins with everything that is known. Resolves at once: the sink need not be there. */
  async start(): Promise<void> {
    if (this.#observing !== undefined || this.#stopping.signal.aborted) return;
    this.#running = true;
    this.#observing = this.#options.source.observe({
      changed: (status) => this.#changed(status),
      removed: (uid) => this.#removed(uid),
    });
    for (const status of this.#options.source.all()) this.#changed(status);
    if (this.#options.sink.differs !== undefined) this.#armReconcile();
  }

  /** Gives up what is under way: at the next start all is written anew. */
  async stop(): Promise<void> {
    this.#running = false;
    this.#observing?.[Symbol.dispose]();
    this.#gateTimer?.cancel();
    this.#reconcileTimer?.cancel();
    for (const slot of this.#slots.values()) slot.timer?.cancel();
    this.#stopping.abort();
    this.#rejectSettled();
    await Promise.allSettled(this.#writes);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop();
  }

  health(): Health {
    const { clock, sink } = this.#options;
    const since = this.#gate.downSince;
    const downMs = since === undefined ? 0 : clock.monotonic() - since;
    if (downMs < UNHEALTHY_AFTER_MS) return { failures: [] };
    const seconds = Math.round(downMs / 1000);
    return {
      failures: [`pod statuses have not reached ${sink.name} for ${seconds} s: ${this.#lastError}`],
    };
  }

  /** Figures for the debug endpoint. */
  snapshot(): {
    readonly pods: number;
    readonly pending: number;
    readonly writing: number;
    readonly queued: number;
    readonly down: boolean;
    readonly lastError: string;
  } {
    return {
      pods: this.#slots.size,
      pending: this.#pending.size,
      writing: this.#writes.size,
      queued: this.#queue.size,
      down: this.#gate.downSince !== undefined,
      lastError: this.#lastError,
    };
  }

  /** Whether the sink has the newest of every pod, those apart that it waits for. */
  isSettled(): boolean {
    return [...this.#pending].every((uid) => this.#slots.get(uid)?.state === "parked");
  }

  /** Resolves when that is so: for a stop that is in no hurry, and for tests. Rejects with the signal's reason, and when the sync is stopped. */
  async whenSettled(signal?: AbortSignal): Promise<void> {
    signal?.throwIfAborted();
    if (this.isSettled()) return;
    const settled = Promise.withResolvers<void>();
    const onAbort = (): void => settled.reject(signal?.reason);
    signal?.addEventListener("abort", onAbort, { once: true });
    this.#settled.add(settled);
    if (this.#stopping.signal.aborted) this.#rejectSettled();
    try {
      await settled.promise;
    } finally {
      this.#settled.delete(settled);
      signal?.removeEventListener("abort", onAbort);
    }
  }

  /** The sink may know this pod now (its mirror came), or know it otherwise: look again at once. */
  wake(uid: string): void {
    const slot = this.#slots.get(uid);
    if (slot === undefined) return;
    if (slot.state === "parked") this.#enqueue(slot);
    else if (slot.state === "idle") this.#compare(slot);
    this.#pump();
  }

  #changed(status: VersionedPodStatus): void {
    const { pod, uid } = status;
    // Of before the agent's restart: its worker will say what is true now.
    if (pod === undefined) return;
    const update = { ...status, pod, removed: false };
    const slot = this.#slots.get(uid) ?? newSlot(update);
    this.#slots.set(uid, slot);
    slot.update = update;
    slot.wanted += 1;
    slot.since ??= this.#options.clock.monotonic();
    this.#pending.add(uid);
    if (slot.state === "resting" && slot.refused) slot.timer?.cancel();
    if (slot.state !== "writing" && (slot.state !== "resting" || slot.refused)) this.#enqueue(slot);
    if (this.#slots.size > this.#options.capacity) this.#makeRoom();
    this.#pump();
  }

  #removed(uid: string): void {
    const slot = this.#slots.get(uid);
    if (slot === undefined) return;
    slot.update = { ...slot.update, removed: true };
    const hopeless = slot.state === "parked" || slot.refused;
    if (hopeless) this.#metrics.lost.inc();
    if (hopeless || (slot.state === "idle" && isWritten(slot))) this.#drop(slot);
  }

  #enqueue(slot: SyncSlot): void {
    slot.state = "queued";
    this.#queue.add(slot.uid, isUrgent(slot.update, slot.mark));
  }

  /** Begins as many writes as may be under way. */
  #pump(): void {
    const { parallel, clock } = this.#options;
    while (this.#running && this.#queue.size > 0 && this.#writes.size < this.#gate.limit(parallel)) {
      const waitMs = this.#gate.waitMs();
      if (waitMs > 0) {
        this.#gateTimer ??= clock.timer(waitMs, () => {
          this.#gateTimer = undefined;
          this.#pump();
        });
        break;
      }
      const slot = this.#slots.get(this.#takeNext());
      if (slot === undefined) continue;
      const write = this.#write(slot).finally(() => {
        this.#writes.delete(write);
        this.#pump();
        this.#tellSettled();
      });
      this.#writes.add(write);
    }
    this.#metrics.pending.set(this.#pending.size);
  }

  /** While the sink is down it is not the pod that failed last that finds out, if there is another. */
  #takeNext(): string {
    const uid = this.#queue.take() ?? "";
    if (this.#gate.downSince === undefined || uid !== this.#lastFailed) return uid;
    const other = this.#queue.take() ?? "";
    const [first, last] = other === "" ? [uid, other] : [other, uid];
    const slot = this.#slots.get(last);
    if (slot !== undefined) this.#enqueue(slot);
    return first;
  }

  /** Never rejects. */
  async #write(slot: SyncSlot): Promise<void> {
    const { clock, deadlineMs, sink } = this.#options;
    const { update, wanted } = slot;
    slot.state = "writing";
    using link = linkSignal(this.#stopping.signal);
    try {
      const what = `writing the status of ${update.namespace}/${update.name}`;
      const outcome = await withDeadline(clock, deadlineMs, what, sink.write(update, link.signal));
      this.#done(slot, { update, wanted }, outcome);
    } catch (error) {
      link.abort();
      if (this.#stopping.signal.aborted) return;
      if (holdfastErrorIn(error)?.kind === "not-found") this.#done(slot, { update, wanted }, "gone");
      else this.#failed(slot, wanted, error);
    }
  }

  #done(
    slot: SyncSlot,
    { update, wanted }: { readonly update: StatusUpdate; readonly wanted: number },
    outcome: StatusWriteOutcome,
  ): void {
    const { clock } = this.#options;
    this.#metrics.writes.inc({ outcome });
    slot.failures = 0;
    slot.alone = false;
    slot.refused = false;
    if (this.#gate.succeeded()) this.#reachable();
    if (outcome === "waiting") {
      slot.state = "parked";
      if (slot.update.removed) {
        this.#metrics.lost.inc();
        this.#drop(slot);
      } else if (slot.wanted > wanted) this.#enqueue(slot);
      else this.#armReconcile();
      return;
    }
    slot.written = wanted;
    slot.mark = markOf(update);
    if (outcome === "written" && slot.since !== undefined)
      this.#metrics.duration.observe((clock.monotonic() - slot.since) / 1000);
    slot.since = undefined;
    if (!isWritten(slot)) {
      slot.since = clock.monotonic();
      this.#enqueue(slot);
      return;
    }
    slot.state = "idle";
    this.#pending.delete(slot.uid);
    if (slot.update.removed) this.#drop(slot);
  }

  #failed(slot: SyncSlot, wanted: number, error: unknown): void {
    const { clock, initialBackoffMs, logger = silentLogger, maxBackoffMs, random, sink } = this.#options;
    const known = holdfastErrorIn(error);
    const { uid } = slot;
    this.#lastError = errorText(error);
    if (known?.kind === "bad-input" || known?.kind === "permanent") {
      this.#metrics.writes.inc({ outcome: "refused" });
      if (this.#gate.succeeded()) this.#reachable();
      this.#refused(slot, wanted);
      logger.warn("pod status refused", { sink: sink.name, podUid: uid, err: error });
      return;
    }
    this.#metrics.writes.inc({ outcome: "failed" });
    const { scope: said, retryAfterMs } = known instanceof StatusSinkError ? known : POD_SCOPE;
    if (slot.failures > 0 && slot.failedAfter !== this.#gate.recoveries) slot.alone = true;
    const scope = slot.alone ? "pod" : said;
    this.#lastFailed = uid;
    slot.failedAfter = this.#gate.recoveries;
    if (this.#gate.failed(uid, scope, retryAfterMs)) this.#unreachable();
    slot.failures += 1;
    if (scope === "sink") {
      // Not its fault: it goes to the end of the queue, and another one finds out when the sink is back.
      this.#enqueue(slot);
      return;
    }
    const delay = Math.min(initialBackoffMs * 2 ** Math.min(slot.failures - 1, 20), maxBackoffMs);
    const asked = Math.min(retryAfterMs ?? 0, MAX_RETRY_AFTER_MS);
    this.#rest(slot, Math.max(jitter(delay, 0.2, random), asked));
    logger.debug("pod status not written", { sink: sink.name, podUid: uid, err: error, at: clock.now() });
  }

  #refused(slot: SyncSlot, wanted: number): void {
    if (slot.wanted > wanted) this.#enqueue(slot);
    else if (slot.update.removed) {
      this.#metrics.lost.inc();
      this.#drop(slot);
    } else {
      slot.refused = true;
      this.#rest(slot, REFUSED_RETRY_MS);
    }
  }

  #rest(slot: SyncSlot, ms: number): void {
    slot.state = "resting";
    slot.timer = this.#options.clock.timer(ms, () => {
      this.#enqueue(slot);
      this.#pump();
    });
  }

  #unreachable(): void {
    const { logger = silentLogger, publish = nullPublisher, sink } = this.#options;
    logger.warn("pod statuses do not reach their sink", { sink: sink.name, error: this.#lastError });
    publish.publish(StatusSinkChanged, { sink: sink.name, reachable: false, message: this.#lastError });
  }

  /** Whoever rests because of failures goes now. */
  #reachable(): void {
    const { logger = silentLogger, publish = nullPublisher, sink } = this.#options;
    this.#gateTimer?.cancel();
    this.#gateTimer = undefined;
    for (const slot of this.#slots.values()) {
      if (slot.state !== "resting" || slot.refused) continue;
      slot.timer?.cancel();
      this.#enqueue(slot);
    }
    logger.info("pod statuses reach their sink again", { sink: sink.name });
    publish.publish(StatusSinkChanged, { sink: sink.name, reachable: true, message: "" });
  }

  #armReconcile(): void {
    this.#reconcileTimer ??= this.#options.clock.timer(this.#options.reconcileMs, () => {
      this.#reconcileTimer = undefined;
      for (const slot of this.#slots.values()) {
        if (slot.state === "parked") this.#enqueue(slot);
        else if (slot.state === "idle") this.#compare(slot);
      }
      if (this.#options.sink.differs !== undefined) this.#armReconcile();
      this.#pump();
    });
  }

  #compare(slot: SyncSlot): void {
    if (this.#options.sink.differs?.(slot.update) !== true) return;
    slot.wanted += 1;
    slot.since = this.#options.clock.monotonic();
    this.#pending.add(slot.uid);
    this.#enqueue(slot);
  }

  /** Of a pod that the node has forgotten, or that there is no room for. */
  #drop(slot: SyncSlot): void {
    slot.timer?.cancel();
    this.#queue.delete(slot.uid);
    this.#pending.delete(slot.uid);
    this.#slots.delete(slot.uid);
    if (slot.update.removed) this.#options.sink.forget(slot.uid);
    this.#tellSettled();
  }

  /** First goes who is gone from the node; then who is written, and would only be written once more. */
  #makeRoom(): void {
    const still = [...this.#slots.values()].filter(({ state }) => state !== "writing");
    const victim = still.find(({ update }) => update.removed) ?? still.find(isWritten) ?? still[0];
    if (victim === undefined) return;
    if (!isWritten(victim)) this.#metrics.lost.inc();
    this.#drop(victim);
  }

  #tellSettled(): void {
    if (this.#settled.size === 0 || !this.isSettled()) return;
    for (const { resolve } of this.#settled) resolve();
  }

  #rejectSettled(): void {
    const stopped = new HoldfastError("STATUS_SYNC_STOPPED", "cancelled", "the status sync was stopped");
    for (const { reject } of this.#settled) reject(stopped);
  }
}
