// SPDX-License-Identifier: Apache-2.0

/**
 * The journal: every event of the bus, in SQLite, and the restart ledger that follows from them.
 *
 * Owns: journal.db, the subscription to all events. Reads: the runtime's records, specs (names of changed fields), places of logs. Invariants: order is
 * `seq`, never a clock; no payload is written that was not redacted; memory, file and time per turn are bounded; what is lost is written down as a gap;
 * a file that cannot be written stops nobody. Lost on kill -9: what was published in the last quarter of a second; in a storm without intents, second.
 */
import { nullPublisher } from "@holdfast/bus";
import type { AnyEnvelope, Gap, Publisher, Subscriber, Subscription } from "@holdfast/bus";
import type { Clock } from "@holdfast/core/clock";
import { errorText, holdfastErrorIn } from "@holdfast/core/errors";
import { linkSignal } from "@holdfast/core/lifecycle";
import type { Component, Health, LinkedSignal } from "@holdfast/core/lifecycle";
import { silentLogger } from "@holdfast/core/log";
import type { Logger } from "@holdfast/core/log";
import { noMetrics } from "@holdfast/core/metrics";
import type { Counter, Gauge, Metrics } from "@holdfast/core/metrics";
import type { EventRow } from "./event-table.ts";
import { GAP_TYPE, JournalStarted, NodeRebooted } from "./events.ts";
import { Followers } from "./followers.ts";
import type { EventFilter, EventQuery, JournalEvent } from "./journal-event.ts";
import type { KubeEvent } from "./kube-event.ts";
import type { JournalReader } from "./journal-reader.ts";
import type { JournalWriter } from "./journal-writer.ts";
import type { TerminationQuery } from "./ledger-table.ts";
import { LogFinder } from "./log-finder.ts";
import { resolveOptions } from "./options.ts";
import type { JournalOptions, ResolvedOptions } from "./options.ts";
import type { LogPosition } from "./ports.ts";
import { redact } from "./redact.ts";
import { SpecMemory } from "./spec-memory.ts";
import type { Story } from "./story.ts";
import type { Termination } from "./termination.ts";

/** Events in one transaction at most. */
const BATCH = 256;
const FIRST_RETRY_MS = 1000;
const MAX_RETRY_MS = 30_000;

/** So many events within one linger time are a storm; then there are so many linger times in all. */
const STORM_EVENTS = 32;
const STORM_ROUNDS = 4;
/** What tells a death that we caused from one that we did not. */
const INTENTS: ReadonlySet<string> = new Set([
  "pod/ContainerKilling",
  "pod/PodTerminating",
  "pod/SandboxStopping",
]);

function isIntent({ event }: EventRow): boolean {
  return INTENTS.has(event.type);
}

/** See the top of the file. */
export class Journal implements Component {
  readonly name = "journal";
  readonly #options: ResolvedOptions;
  readonly #logger: Logger;
  readonly #bus: Subscriber;
  readonly #publish: Publisher;
  readonly #clock: Clock;
  readonly #reader: JournalReader;
  readonly #writer: JournalWriter;
  readonly #specs: SpecMemory;
  readonly #logs: LogFinder;
  readonly #followers = new Followers();
  readonly #written: Counter;
  readonly #lost: Counter;
  readonly #failed: Counter;
  readonly #ends: Counter;
  readonly #rows: Gauge;
  readonly #bytes: Gauge;
  readonly #pending: EventRow[] = [];
  #life: LinkedSignal | undefined;
  #subscription: Subscription<AnyEnvelope> | undefined;
  #running: Promise<void> | undefined;
  /** Lost since the last event that was not. */
  #dropped = 0;
  #problem: string | undefined;

  constructor(options: JournalOptions) {
    const resolved = resolveOptions(options);
    this.#options = resolved;
    this.#bus = options.bus;
    this.#publish = options.publish ?? nullPublisher;
    this.#clock = options.clock;
    this.#logger = options.logger ?? silentLogger;
    this.#reader = resolved.reader;
    this.#writer = resolved.writer;
    this.#specs = new SpecMemory(options.specs);
    this.#logs = new LogFinder(options.logs, options.clock);
    const metrics: Metrics = options.metrics ?? noMetrics;
    this.#written = metrics.counter("holdfast_journal_events_total", "Events written down.");
    this.#lost = metrics.counter("holdfast_journal_lost_total", "Events that could not be written down.");
    this.#failed = metrics.counter("holdfast_journal_write_failures_total", "Batches whose writing failed.");
    this.#ends = metrics.counter(
      "holdfast_container_terminations_total",
      "Ends of containers, by cause class.",
    );
    this.#rows = metrics.gauge("holdfast_journal_rows", "Events in the journal.");
    this.#bytes = metrics.gauge("holdfast_journal_bytes", "Bytes of the journal's file in use.");
  }

  /** Begins to write. Tells of this run, and of a boot since the last one. Resolves at once, whatever the file is like. */
  start(_signal?: AbortSignal): Promise<void> {
    if (this.#life !== undefined) return Promise.resolve();
    this.#life = linkSignal();
    const subscription = this.#bus.subscribeAll({
      name: this.name,
      capacity: this.#options.queueCapacity,
    });
    this.#subscription = subscription;
    this.#announce();
    this.#running = this.#run(subscription, this.#life.signal);
    return Promise.resolve();
  }

  /** Writes what is left, once. Idempotent. */
  async stop(): Promise<void> {
    const life = this.#life;
    this.#life = undefined;
    if (life === undefined) return;
    this.#subscription?.[Symbol.dispose]();
    life.abort(new Error("the journal stops"));
    await this.#running;
    this.flush();
    await this.#logs.stop();
    this.#followers.end();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop();
  }

  /** Fails while nothing can be written. History is lost then, never a pod. */
  health(): Health {
    return { failures: this.#problem === undefined ? [] : [this.#problem] };
  }

  /** Writes what has come in so far, now. False when that failed: it is tried again by itself. */
  flush(): boolean {
    this.#fill();
    while (this.#pending.length > 0) {
      if (!this.#write()) return false;
      this.#fill();
    }
    return true;
  }

  // --- reading: throws what the store throws ---

  /** One page, newest first. */
  events(query: EventQuery = {}): readonly JournalEvent[] {
    this.flush();
    return this.#reader.events(query);
  }

  event(seq: number): JournalEvent | undefined {
    return this.#reader.event(seq);
  }

  /** First what is there (oldest first, at most `limit`), then events as they are written. Ends with the signal or the journal. */
  follow(query: EventFilter & { readonly limit?: number }, signal: AbortSignal): AsyncIterable<JournalEvent> {
    return this.#followers.follow(query, () => this.events(query), signal);
  }

  /** The restart ledger, newest first. */
  terminations(query: TerminationQuery = {}): readonly Termination[] {
    this.flush();
    return this.#reader.terminations(query);
  }

  /** Kubernetes-style events of a pod (or of everything), aggregated as the kubelet does, oldest first. */
  kubeEvents(query: EventQuery = {}): readonly KubeEvent[] {
    this.flush();
    return this.#reader.kubeEvents(query);
  }

  /** Why a pod's containers ended, and what it waits for, newest first. Undefined: nothing is known of that name. */
  whyPod(pod: string, container?: string): Story | undefined {
    this.flush();
    return this.#reader.whyPod(pod, container);
  }

  /** What befell the node. */
  whyNode(): Story {
    this.flush();
    return this.#reader.whyNode();
  }

  /** What became of an image. */
  whyImage(image: string): Story {
    this.flush();
    return this.#reader.whyImage(image);
  }

  /** `namespace/name` of the pods of that name (with or without a namespace) of which something is known, newest first: for a command line. */
  podsNamed(name: string): readonly string[] {
    this.flush();
    return this.#reader.podsNamed(name);
  }

  /** The last lines of an ended container; undefined when the file was rotated or removed. */
  readLog(position: LogPosition): Promise<readonly string[] | undefined> {
    return this.#logs.read(position);
  }

  // --- writing ---

  #announce(): void {
    const { bootId, version } = this.#options;
    let lastSeq = 0;
    let previousBootId: string | undefined;
    try {
      lastSeq = this.#reader.lastSeq();
      previousBootId = this.#writer.previousBootId();
    } catch (error) {
      this.#told(error);
    }
    this.#publish.publish(JournalStarted, { version, bootId, lastSeq });
    if (previousBootId === undefined || previousBootId === bootId || bootId === "") return;
    this.#publish.publish(NodeRebooted, { bootId, previousBootId });
  }

  /** Waits for an event, lets others join it, writes them. Never rejects. */
  async #run(subscription: Subscription<AnyEnvelope>, signal: AbortSignal): Promise<void> {
    const events = subscription[Symbol.asyncIterator]();
    let retryMs = FIRST_RETRY_MS;
    while (!signal.aborted) {
      // What is there is taken at once: a reader's flush must not miss an event that is on its way here.
      this.#fill();
      if (this.#pending.length === 0) {
        const next = await events.next();
        if (next.done === true) return;
        this.#take(next.value);
      }
      try {
        await this.#linger(signal);
        const isWritten = await this.#writeBurst(subscription, signal);
        if (!isWritten) await this.#clock.sleep(retryMs, { signal });
        retryMs = isWritten ? FIRST_RETRY_MS : Math.min(retryMs * 2, MAX_RETRY_MS);
      } catch {
        return; // stop() was called
      }
    }
  }

  /**
   * Lets others join what has come. In a storm a bigger batch costs less for each event, so it is waited for longer; but not with an intent in it, which
   * a kill -9 of the agent must not lose, and not while somebody follows.
   */
  async #linger(signal: AbortSignal): Promise<void> {
    for (let round = 0; round < STORM_ROUNDS; round++) {
      await this.#clock.sleep(this.#options.lingerMs, { signal });
      this.#fill();
      const isStorm = this.#pending.length >= STORM_EVENTS && this.#pending.length < BATCH;
      if (!isStorm || this.#followers.size > 0 || this.#pending.some(isIntent)) return;
    }
  }

  /** Others get their turn between two batches. */
  async #writeBurst(subscription: Subscription<AnyEnvelope>, signal: AbortSignal): Promise<boolean> {
    for (;;) {
      this.#fill();
      if (!this.#write()) return false;
      if (subscription.pending === 0) return true;
      await this.#clock.sleep(1, { signal });
    }
  }

  #fill(): void {
    while (this.#pending.length < BATCH) {
      const next = this.#subscription?.take();
      if (next === undefined) return;
      this.#take(next);
    }
  }

  #take(next: AnyEnvelope | Gap): void {
    if (!("seq" in next)) {
      this.#dropped += next.dropped;
      this.#lost.inc({}, next.dropped);
      return;
    }
    if (this.#dropped > 0) {
      // The number before belongs to one of those that were lost.
      const { at, monotonic, seq } = next;
      const data = { dropped: this.#dropped };
      this.#queue({ seq: seq - 1, at, monotonic, type: GAP_TYPE, subject: {}, causes: [], data });
      this.#dropped = 0;
    }
    this.#queue(this.#specs.enrich(next));
  }

  #queue(event: JournalEvent): void {
    // Followers and the ledger see what is written, and nothing else.
    const { json, data } = redact(event.type, event.data, this.#options.redaction);
    this.#pending.push({ event: { ...event, data }, json });
  }

  /** False when the batch has to be tried again. */
  #write(): boolean {
    // One event may be on its way to `run` while a reader's flush takes those behind it.
    this.#pending.sort((a, b) => a.event.seq - b.event.seq);
    const batch = this.#pending.slice(0, BATCH);
    if (batch.length === 0) return true;
    try {
      const { ended, trimmed } = this.#writer.write(batch);
      this.#pending.splice(0, batch.length);
      this.#written.inc({}, batch.length);
      if (this.#problem !== undefined) this.#logger.info("the journal is written again");
      this.#problem = undefined;
      for (const { cause } of ended) this.#ends.inc({ cause });
      this.#logs.find(ended, (found) => this.#noteLogs(found));
      this.#followers.push(batch.map(({ event }) => event));
      if (trimmed > 0) this.#measure();
      return true;
    } catch (error) {
      this.#failed.inc();
      this.#told(error);
      if (holdfastErrorIn(error)?.kind === "retryable") return false;
      // A batch that can never be written must not stand in the way of those that can.
      this.#pending.splice(0, batch.length);
      this.#lost.inc({}, batch.length);
      return true;
    }
  }

  #noteLogs(found: Parameters<JournalWriter["setLogs"]>[0]): void {
    try {
      this.#writer.setLogs(found);
    } catch (error) {
      this.#told(error);
    }
  }

  #measure(): void {
    const { rows, bytes } = this.#writer.extent();
    this.#rows.set(rows);
    this.#bytes.set(bytes);
  }

  #told(error: unknown): void {
    const problem = `events cannot be written down: ${errorText(error)}`;
    if (problem !== this.#problem) this.#logger.error("the journal cannot be written", { err: error });
    this.#problem = problem;
  }
}
