// SPDX-License-Identifier: Apache-2.0

/**
 * Carries lists through, pod by pod: events, closer look, cache, publication. kubelet: GenericPLEG.reconcilePodRecord.
 *
 * Owns: records, reinspection marks, the quarantine; it is the cache's one writer. Reads: the runtime's status calls.
 * Invariants: one inspection per pod at a time; an older list never undoes a newer one; a record advances only when its status has been
 * read, so that a failed look finds the same difference again; the cache is written before an event is published; a ContainerDied that
 * an exit event announced is not announced again. Lost on a crash: all of it; the first relist brings it back.
 */
import { errorText } from "@holdfast/core/errors";
import { linkSignal } from "@holdfast/core/lifecycle";
import type { LinkedSignal } from "@holdfast/core/lifecycle";
import type { RuntimePodStatus } from "@holdfast/core/runtime-status";
import { computeEvents } from "./compute-events.ts";
import type { LifecycleEvent } from "./compute-events.ts";
import { ContainerDied, ContainerRemoved, ContainerStarted, PodSync } from "./events.ts";
import { ListLacksError } from "./errors.ts";
import { HeardOf } from "./heard-of.ts";
import type { MadeItem } from "./heard-of.ts";
import type { PlegMetrics } from "./pleg-metrics.ts";
import type { ResolvedPlegOptions } from "./options.ts";
import type { PodCache } from "./pod-cache.ts";
import { inspectPod } from "./pod-inspector.ts";
import { isLastOfName, PodRecords } from "./pod-records.ts";
import type { ListedItem, ListedPod, PodRecord } from "./pod-records.ts";
import { Quarantine } from "./quarantine.ts";
import type { Listing, RuntimeCalls } from "./runtime-calls.ts";
import { WantedLooks } from "./wanted-looks.ts";
import { UnconfirmedExits } from "./unconfirmed-exits.ts";
import type { UnconfirmedExit } from "./unconfirmed-exits.ts";

/** What the reconciler does its work with. */
export interface ReconcilerOptions {
  readonly options: ResolvedPlegOptions;
  readonly calls: RuntimeCalls;
  readonly cache: PodCache;
  readonly metrics: PlegMetrics;
  /** A quarantined pod may be looked at again. */
  readonly retry: (podUid: string) => void;
  /** An exit was entered for a container that only now turned out to be ours. */
  readonly onExitEntered: (item: ListedItem) => void;
  readonly onExitConfirmed: (containerId: string) => void;
}

/** A list's word on one pod; `pod` is undefined when the pod is not in it. */
interface Word {
  readonly uid: string;
  readonly pod: ListedPod | undefined;
  readonly listing: Listing;
}

const NOTHING: ReadonlyMap<string, ListedItem> = new Map();
/** A pod of which nothing was listed, only heard. */
const UNLISTED: Omit<ListedPod, "uid"> = { name: "", namespace: "", items: [], labelled: true };
const MAX_MARKS = 4096;
const MAX_LEAVING = 1024;
const EXIT_UNLISTED_MS = 60_000;

/** See the top of the file. */
export class Reconciler {
  readonly records: PodRecords = new PodRecords();
  readonly exits: UnconfirmedExits = new UnconfirmedExits();
  readonly quarantine: Quarantine;
  readonly heardOf: HeardOf;
  readonly #deps: ReconcilerOptions;
  readonly #marks = new Set<string>();
  readonly #wanted = new WantedLooks();
  /** Ids of what is being taken away for us. */
  readonly #leaving = new Set<string>();
  /** Of the inspections under way. Not linked to the one long-lived signal: adding the n-th listener to a signal walks over all others. */
  readonly #inspections = new Set<LinkedSignal>();
  /** Pods that are being inspected, with the newest word that came meanwhile. */
  readonly #busy = new Map<string, { readonly asOf: number; next: Word | undefined }>();

  constructor(deps: ReconcilerOptions) {
    this.#deps = deps;
    this.quarantine = new Quarantine(deps.options.clock, deps.retry);
    this.heardOf = new HeardOf(deps.options.checkpoint, deps.options.labelSelector);
  }

  /** The next look at this pod asks for all its statuses. kubelet: RequestReinspect. */
  mark(podUid: string): void {
    if (this.#marks.size < MAX_MARKS) this.#marks.add(podUid);
  }

  /** It was made for us: no list that lacks it is believed without asking for it by its id. */
  noteMade(made: MadeItem): void {
    const old = this.records.get(made.podUid)?.old ?? NOTHING;
    if (!old.has(made.id)) this.heardOf.note(made, this.#deps.calls.newestListing, old.values());
  }

  /** It is being taken away for us: a list that lacks it is right. */
  noteLeaving(podUid: string, id: string): void {
    this.heardOf.leaving(podUid, id);
    this.#leaving.add(id);
    const oldest = this.#leaving.keys().next().value;
    if (this.#leaving.size > MAX_LEAVING && oldest !== undefined) this.#leaving.delete(oldest);
  }

  podsUp(): Set<string> {
    const up = new Set(this.heardOf.uidsUp());
    for (const uid of this.records.uids())
      for (const { state } of this.records.get(uid)?.old.values() ?? []) if (state !== "exited") up.add(uid);
    return up;
  }

  /** When the list began whose word on this pod is being carried through, monotonic; undefined when none is. */
  inspectingAsOf(podUid: string): number | undefined {
    return this.#busy.get(podUid)?.asOf;
  }

  /** An event of `eventAt` asks for a look that begins from now on: how long that takes is measured. */
  lookWanted(podUid: string, eventAt: number): void {
    this.#wanted.add(podUid, eventAt, this.#deps.options.clock.monotonic());
  }

  /**
   * Applies a list of all pods. Returns how many starts and deaths it showed that were not known, and the inspections that it began.
   */
  applyAll(
    listing: Listing,
    signal: AbortSignal,
  ): { readonly news: number; readonly inspections: Promise<void>[] } {
    const inspections: Promise<void>[] = [];
    let news = 0;
    const apply = (uid: string, pod: ListedPod | undefined): void => {
      const outcome = this.apply({ uid, pod, listing }, signal);
      news += outcome.news;
      if (outcome.inspection !== undefined) inspections.push(outcome.inspection);
    };
    for (const [uid, pod] of listing.pods) apply(uid, pod);
    for (const uid of this.records.uids()) if (!listing.pods.has(uid)) apply(uid, undefined);
    if (this.heardOf.size > 0)
      for (const uid of this.heardOf.uids())
        if (!listing.pods.has(uid) && this.records.get(uid) === undefined) apply(uid, undefined);
    this.records.setGlobalOrder(listing.order);
    if (this.exits.size > 0)
      this.exits.expire(
        this.#deps.options.clock.monotonic() - EXIT_UNLISTED_MS,
        (id) => this.records.item(id) !== undefined,
      );
    return { news, inspections };
  }

  /** Applies a list's word on one pod. At once when there is nothing to look at, else the inspection is returned. */
  apply(
    word: Word,
    signal: AbortSignal,
  ): { readonly news: number; readonly inspection: Promise<void> | undefined } {
    const { uid, pod, listing } = word;
    const { cache } = this.#deps;
    const quiet = { news: 0, inspection: undefined };
    if (this.records.isStale(uid, listing.order)) return quiet;
    const busy = this.#busy.get(uid);
    if (busy !== undefined) {
      if (busy.next === undefined || busy.next.listing.order < listing.order) busy.next = word;
      if (pod !== undefined) this.records.learn(pod, listing.order);
      cache.setBehind(uid, true);
      return quiet;
    }
    const record = this.records.get(uid);
    const old = record?.old ?? NOTHING;
    const events = computeEvents(old, this.exits.overlayItems(pod?.items ?? []));
    const unseen = this.heardOf.missing(uid, pod?.items ?? [], listing.order);
    const missing = [...this.#missing(old, events, pod), ...unseen];
    if (pod === undefined && missing.length === 0)
      return { news: this.#gone(word, record, events), inspection: undefined };
    const failing = this.quarantine.has(uid);
    if (
      pod !== undefined &&
      record !== undefined &&
      events.length === 0 &&
      unseen.length === 0 &&
      !failing &&
      !this.#marks.has(uid) &&
      !this.#confirms(pod)
    ) {
      record.order = listing.order;
      cache.setObservedTime(uid, listing.startedAt);
      if (this.#wanted.size > 0) this.#tellLatency(uid, listing, false);
      return quiet;
    }
    const known =
      pod === undefined && record !== undefined
        ? record
        : this.records.learn(pod ?? { ...UNLISTED, uid }, listing.order);
    cache.setBehind(uid, true);
    if (!this.quarantine.isDue(uid, missing.length > 0)) return quiet;
    const slot = { asOf: listing.startedAt, next: undefined };
    this.#busy.set(uid, slot);
    return {
      news: failing ? 0 : countNews(events),
      inspection: this.#carryThrough(known, { ...word, missing }, slot, signal),
    };
  }

  /** Enters a main process's exit, and says so. Returns the item when the container is known to be ours. */
  enterExit(containerId: string, exitCode: number, finishedAt: number): ListedItem | undefined {
    const item = this.records.item(containerId);
    const record = item && this.records.get(item.podUid);
    const before = record?.old.get(containerId);
    if (before?.state === "exited") return item;
    const exit = this.exits.enter(containerId, exitCode, finishedAt, this.#deps.options.clock.monotonic());
    if (record === undefined || item === undefined) return undefined;
    this.#deps.cache.amend(record.uid, (status) => this.exits.overlayStatus(status));
    this.#deps.metrics.eventToCache(exit.enteredAt, "entered");
    // Not in `old` yet: the inspection under way finds the exit when it ends.
    if (before === undefined) return item;
    const dead: ListedItem = { ...before, state: "exited" };
    this.records.enter(record, dead);
    this.#publish(record, { type: "ContainerDied", item: dead }, undefined, []);
    return item;
  }

  stop(reason: Error): void {
    this.quarantine.stop();
    for (const inspection of this.#inspections) inspection.abort(reason);
  }

  async #carryThrough(
    record: PodRecord,
    word: Word & { readonly missing: readonly ListedItem[] },
    slot: { next: Word | undefined },
    parent: AbortSignal,
  ): Promise<void> {
    const { uid, pod, listing, missing } = word;
    const link = linkSignal();
    const { signal } = link;
    this.#inspections.add(link);
    const { cache, calls } = this.#deps;
    const marked = this.#marks.delete(uid);
    const all = marked || this.quarantine.has(uid);
    const cached = cache.get(uid);
    const before = record.old;
    const overlaid = new Map(this.exits.overlayItems(pod?.items ?? []).map((item) => [item.id, item.state]));
    const isDue = (item: ListedItem): boolean =>
      all || before.get(item.id)?.state !== overlaid.get(item.id) || this.#confirmsItem(item);
    try {
      await this.#mustBeGone(missing, signal);
      this.heardOf.drop(missing);
      if (pod === undefined) this.#gone(word, record, computeEvents(record.old, []));
      else {
        const { status, vanished } = await inspectPod(
          calls,
          { pod, cached: cached.status, isDue, urgency: listing.whole ? "usual" : "urgent" },
          signal,
        );
        const confirmed = this.#confirm(pod, status, vanished);
        this.#commit(record, pod, status, listing, { marked, confirmed });
      }
    } catch (error) {
      if (marked) this.#marks.add(uid);
      if (!signal.aborted) this.#failed(uid, listing.startedAt, error);
    } finally {
      this.#busy.delete(uid);
      this.#inspections.delete(link);
    }
    if (slot.next !== undefined && !signal.aborted) {
      const again = this.apply(slot.next, parent);
      await again.inspection;
    }
  }

  /**
   * What must be asked for before its absence is believed: what was not seen to end, and the last of a name, by which it is told whether that must run
   * again; but not what is being taken away for us.
   */
  #missing(
    old: ReadonlyMap<string, ListedItem>,
    events: readonly LifecycleEvent[],
    pod: ListedPod | undefined,
  ): readonly ListedItem[] {
    const gone = events.filter(({ type }) => type === "ContainerRemoved");
    if (gone.length === 0) return [];
    return gone
      .map(({ item }) => item)
      .filter(
        (item) =>
          item.state !== "exited" ||
          (!this.#leaving.delete(item.id) &&
            isLastOfName(item, old.values()) &&
            isLastOfName(item, pod?.items ?? [])),
      );
  }

  /**
   * What is asked for before its absence is believed: nothing that is up vanishes without having ended first, unless by a stranger's hand. Throws when the
   * runtime still has it, so that a list that was stale or cut starts nothing beside what runs. No answer is no objection.
   */
  async #mustBeGone(missing: readonly ListedItem[], signal: AbortSignal): Promise<void> {
    const { calls, options } = this.#deps;
    for (const item of missing) {
      using link = linkSignal(signal);
      const late = options.clock.timer(options.stuckAfterMs, () =>
        link.abort(new Error("no answer in time")),
      );
      const ask =
        item.kind === "sandbox"
          ? calls.sandboxStatus(item, link.signal)
          : calls.containerStatus(item, link.signal);
      const status = await ask.catch(() => undefined).finally(() => late.cancel());
      signal.throwIfAborted();
      if (status === undefined) continue;
      const what = item.kind === "sandbox" ? `sandbox ${item.id}` : `container "${item.name}" (${item.id})`;
      throw new ListLacksError(what);
    }
  }

  /** Writes the cache, advances the record, then says what happened. All on one turn. */
  #commit(
    record: PodRecord,
    pod: ListedPod,
    status: RuntimePodStatus,
    listing: Listing,
    why: { readonly marked: boolean; readonly confirmed: readonly UnconfirmedExit[] },
  ): void {
    const { cache, options } = this.#deps;
    // Exits may have come in during the inspection: computed again, on what is known now.
    const items = this.exits.overlayItems(pod.items);
    const events = computeEvents(record.old, items);
    cache.setBehind(pod.uid, false);
    cache.set(pod.uid, this.exits.overlayStatus(status), undefined, listing.startedAt);
    if (this.quarantine.release(pod.uid)) options.logger.info("pod answers again", { podUid: pod.uid });
    this.records.advance(record, items);
    this.heardOf.shown(pod.uid, items);
    const causes = why.confirmed.flatMap(({ diedSeq }) => (diedSeq === undefined ? [] : [diedSeq]));
    for (const event of events) this.#publish(record, event, status, causes);
    this.#tellLatency(pod.uid, listing, events.length > 0);
    if (events.length === 0 && (why.marked || why.confirmed.length > 0))
      options.publish.publish(PodSync, {}, { subject: subjectOf(record), causes });
    for (const item of pod.items) if (this.exits.get(item.id) !== undefined) this.#deps.onExitEntered(item);
  }

  #failed(uid: string, startedAt: number, error: unknown): void {
    const { cache, options } = this.#deps;
    const failure = error instanceof Error ? error : new Error(String(error));
    if (!this.quarantine.has(uid))
      options.logger.warn("pod is set apart: its status cannot be read", { podUid: uid, err: failure });
    this.quarantine.failed(uid, errorText(failure), startedAt, failure instanceof ListLacksError);
    cache.set(uid, cache.get(uid).status, failure, startedAt);
  }

  #gone(word: Word, record: PodRecord | undefined, events: readonly LifecycleEvent[]): number {
    const { cache } = this.#deps;
    const { uid, listing } = word;
    this.#marks.delete(uid);
    this.quarantine.release(uid);
    this.heardOf.forget(uid);
    const last = cache.get(uid).status;
    if (record !== undefined) {
      for (const id of record.old.keys()) this.#confirmed(id);
      this.records.remove(uid, listing.order);
    }
    cache.setAbsent(uid, listing.startedAt);
    if (record !== undefined) for (const event of events) this.#publish(record, event, last, []);
    this.#tellLatency(uid, listing, record !== undefined && events.length > 0);
    return countNews(events);
  }

  /** How late the cache is: behind the list that showed a change, and behind the event that asked for the look. */
  #tellLatency(uid: string, listing: Listing, changed: boolean): void {
    const { metrics } = this.#deps;
    if (changed) metrics.listToCache(listing.startedAt, listing.whole);
    const eventAt = this.#wanted.served(uid, listing.startedAt);
    if (eventAt !== undefined) metrics.eventToCache(eventAt, "looked");
  }

  #confirms(pod: ListedPod): boolean {
    return this.exits.size > 0 && pod.items.some((item) => this.#confirmsItem(item));
  }

  /** The list itself says exited of a container whose exit was entered: worth a status call. */
  #confirmsItem(item: ListedItem): boolean {
    return item.state === "exited" && this.exits.get(item.id) !== undefined;
  }

  #confirm(pod: ListedPod, status: RuntimePodStatus, vanished: ReadonlySet<string>): UnconfirmedExit[] {
    if (this.exits.size === 0) return [];
    const fresh = new Map(status.containers.map((record) => [record.id, record]));
    const confirmed: UnconfirmedExit[] = [];
    const known = [...pod.items.map(({ id }) => id), ...(this.records.get(pod.uid)?.old.keys() ?? [])];
    for (const id of new Set(known)) {
      const record = fresh.get(id);
      const agrees = record === undefined || (record.state === "exited" && record.exitUnconfirmed !== true);
      if (!agrees && !vanished.has(id)) continue;
      const exit = this.#confirmed(id);
      if (exit !== undefined) confirmed.push(exit);
    }
    return confirmed;
  }

  #confirmed(id: string): UnconfirmedExit | undefined {
    const exit = this.exits.confirm(id);
    if (exit === undefined) return undefined;
    this.#deps.metrics.eventToCache(exit.enteredAt, "confirmed");
    this.#deps.onExitConfirmed(id);
    return exit;
  }

  #publish(
    record: PodRecord,
    { type, item }: LifecycleEvent,
    status: RuntimePodStatus | undefined,
    causes: readonly number[],
  ): void {
    const { publish } = this.#deps.options;
    const subject = {
      ...subjectOf(record),
      containerId: item.id,
      ...(item.name === "" ? {} : { container: item.name }),
    };
    const data = { containerId: item.id, kind: item.kind, name: item.name };
    switch (type) {
      case "ContainerStarted":
        publish.publish(ContainerStarted, data, { subject, causes });
        return;
      case "ContainerDied": {
        const exit = this.exits.get(item.id);
        const exitCode = exit?.exitCode ?? status?.containers.find(({ id }) => id === item.id)?.exitCode;
        const seq = publish.publish(
          ContainerDied,
          { ...data, exitCode, unconfirmed: exit !== undefined },
          { subject, causes },
        );
        if (exit !== undefined) exit.diedSeq = seq;
        return;
      }
      case "ContainerRemoved":
        publish.publish(ContainerRemoved, data, { subject, causes });
        return;
      case "ContainerChanged":
        return; // computed so that the pod is inspected, never published
      default:
        return type satisfies never;
    }
  }
}

function subjectOf({ uid, name, namespace }: PodRecord): { readonly podUid: string; readonly pod?: string } {
  return name === "" ? { podUid: uid } : { podUid: uid, pod: `${namespace}/${name}` };
}

/** Starts and deaths: what a working event stream would have told of. */
function countNews(events: readonly LifecycleEvent[]): number {
  let news = 0;
  for (const { type } of events) if (type === "ContainerStarted" || type === "ContainerDied") news += 1;
  return news;
}
