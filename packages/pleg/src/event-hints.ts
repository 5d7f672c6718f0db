// SPDX-License-Identifier: Apache-2.0

/**
 * What a task event means: an exit to enter, something to wait for, a pod to look at, or nothing.
 *
 * Owns: the confirmer's expectations and ids that no list has shown yet. Bounded; what does not fit is left to the relist.
 * Invariants: an exec's events mean nothing; nothing but a main process's exit touches the cache. Lost on a crash: hints.
 */
import type { Timer } from "@holdfast/core/clock";
import { errorText } from "@holdfast/core/errors";
import { CONTAINER_EXITED, CONTAINER_RUNNING, SANDBOX_READY } from "./cri-states.ts";
import { HintConfirmer } from "./hint-confirmer.ts";
import type { Expectation } from "./hint-confirmer.ts";
import type { ResolvedPlegOptions } from "./options.ts";
import type { ListedItem } from "./pod-records.ts";
import type { TaskEvent } from "./ports.ts";
import type { Reconciler } from "./reconciler.ts";
import type { RuntimeCalls } from "./runtime-calls.ts";

/** What the hints do their work with. */
export interface EventHintsOptions {
  readonly options: ResolvedPlegOptions;
  readonly calls: RuntimeCalls;
  readonly reconciler: Reconciler;
  readonly look: (podUid: string) => void;
  readonly relistSoon: (why: string) => void;
  readonly signal: AbortSignal;
}

const MAX_UNKNOWN = 200;
/**
 * containerd's CRI says a container's end when it has deleted the task, 20 ms later or more, which an event tells. To ask before only takes CPU from
 * the restart that is under way: four calls of it, on a machine with two cores.
 */
const ENTERED_PAUSE_MS = 60;
/** Who started it looks itself as soon as its call returns, a moment after the event. */
const STARTED_PAUSE_MS = 15;
/** What tells of no change of state can come in thousands: one look per pod and pause. */
const SOON_MS = 20;
/** From so many on, one list of everything is cheaper. */
const UNKNOWN_STORM = 8;
const NS_PER_MS = 1_000_000n;

/** See the top of the file. */
export class EventHints {
  readonly #deps: EventHintsOptions;
  readonly #confirmer: HintConfirmer;
  /** Pods to look at in a moment, each with its first event's time. More than can wait for a look: one list of everything instead. */
  #soon: Map<string, number> | "all" = new Map();
  #soonTimer: Timer | undefined;
  readonly #unknown = new Set<string>();
  #unknownTimer: Timer | undefined;

  constructor(deps: EventHintsOptions) {
    this.#deps = deps;
    this.#confirmer = new HintConfirmer({
      clock: deps.options.clock,
      check: (expectation) => this.#check(expectation),
      done: (expectation, confirmed, since) => this.#settled(expectation, confirmed, since),
      overflow: () => deps.relistSoon("hints"),
    });
  }

  /** How many events wait to be confirmed. */
  get unconfirmed(): number {
    return this.#confirmer.size;
  }

  /** Takes one event. Never throws. */
  take({ topic, containerId, id, exitStatus, exitedAt, podUid }: TaskEvent): void {
    if (id !== containerId || containerId === "") return; // an exec
    const { reconciler } = this.#deps;
    const item = reconciler.records.item(containerId);
    if (item !== undefined) reconciler.quarantine.hurry(item.podUid);
    const look = (): void => {
      const uid = item?.podUid ?? podUid;
      if (uid === undefined) this.#addUnknown(containerId);
      else this.#lookSoon(uid);
    };
    switch (topic) {
      case "/tasks/exit":
        this.#exit(item, containerId, exitStatus ?? 0, exitedAt ?? 0n);
        return;
      case "/tasks/oom":
        reconciler.exits.noteOom(containerId);
        break;
      case "/tasks/start":
      case "cri/started":
        if (item === undefined) {
          // Whoever had it made looks himself.
          if (!reconciler.heardOf.has(containerId)) look();
        } else if (item.state !== "running")
          this.#confirmer.expect({ item, want: "started", pauseMs: STARTED_PAUSE_MS });
        return;
      case "/tasks/delete":
        this.#confirmer.ripen(containerId);
        // The exit came before; without it, this says the same.
        if (item !== undefined && item.state !== "exited") this.#expect(item, "exited");
        return;
      case "cri/stopped":
        // The CRI itself says so, with an exit code that only its status is believed to have: nothing is entered.
        if (item === undefined) look();
        else if (item.state !== "exited") this.#expect(item, "exited");
        return;
    }
    look();
  }

  /** The runtime is waited for to say what an exit event said. */
  expectExit(item: ListedItem): void {
    this.#confirmer.expect({ item, want: "exited", pauseMs: ENTERED_PAUSE_MS });
  }

  /** Something is being made in this pod, after which it is looked at: until then nobody needs a confirmation, and the making needs the machine. */
  makingIn(podUid: string): void {
    this.#confirmer.hold(podUid);
  }

  /** The exit has been confirmed by a look. */
  exitConfirmed(containerId: string): void {
    this.#confirmer.forget(containerId);
  }

  stop(): void {
    this.#confirmer.stop();
    this.#unknownTimer?.cancel();
    this.#unknownTimer = undefined;
    this.#unknown.clear();
    this.#soonTimer?.cancel();
    this.#soonTimer = undefined;
    this.#soon = new Map();
  }

  #lookSoon(podUid: string): void {
    const { options } = this.#deps;
    const eventAt = options.clock.monotonic();
    if (this.#soon !== "all" && !this.#soon.has(podUid)) {
      if (this.#soon.size >= options.lookQueueCapacity) this.#soon = "all";
      else this.#soon.set(podUid, eventAt);
    }
    this.#soonTimer ??= options.clock.timer(SOON_MS, () => {
      this.#soonTimer = undefined;
      this.#lookNow();
    });
  }

  #lookNow(): void {
    const { look, reconciler, relistSoon } = this.#deps;
    const soon = this.#soon;
    this.#soon = new Map();
    if (soon === "all") {
      relistSoon("hints");
      return;
    }
    for (const [uid, eventAt] of soon) {
      reconciler.lookWanted(uid, eventAt);
      look(uid);
    }
  }

  #exit(item: ListedItem | undefined, containerId: string, exitCode: number, exitedAt: bigint): void {
    const { options, reconciler } = this.#deps;
    if (item?.kind === "sandbox") {
      if (item.state !== "exited") this.#expect(item, "exited");
      return;
    }
    const finishedAt = exitedAt > 0n ? Number(exitedAt / NS_PER_MS) : options.clock.now();
    const known = reconciler.enterExit(containerId, exitCode, finishedAt);
    if (known === undefined) this.#addUnknown(containerId);
    else if (reconciler.exits.get(containerId) !== undefined) this.expectExit(known);
  }

  #expect(item: ListedItem, want: Expectation["want"]): void {
    this.#confirmer.expect({ item, want });
  }

  /** Asks the runtime once. A failure is no confirmation; the look that follows in the end says what is wrong. */
  async #check({ item, want }: Expectation): Promise<boolean> {
    const { calls, signal } = this.#deps;
    if (want === "started" && this.#runs(item)) return true;
    try {
      if (item.kind === "sandbox") {
        const status = await calls.sandboxStatus(item, signal, "urgent");
        return status === undefined || want !== "exited" || status.state !== SANDBOX_READY;
      }
      const status = await calls.containerStatus(item, signal, "urgent");
      if (status === undefined) return true;
      return status.state === CONTAINER_EXITED || (want === "started" && status.state === CONTAINER_RUNNING);
    } catch {
      return false; // asked again after a pause, for a bounded time
    }
  }

  #settled({ item, want }: Expectation, confirmed: boolean, since: number): void {
    const { reconciler } = this.#deps;
    const { logger } = this.#deps.options;
    if (confirmed && want === "started" && this.#runs(item)) return; // somebody has looked already
    // An exit that was entered has figures of its own.
    if (confirmed && reconciler.exits.get(item.id) === undefined) reconciler.lookWanted(item.podUid, since);
    if (!confirmed && want === "exited")
      logger.warn("the runtime does not confirm an exit", {
        podUid: item.podUid,
        container: item.name,
        containerId: item.id,
      });
    this.#deps.look(item.podUid);
  }

  #runs({ id }: ListedItem): boolean {
    return this.#deps.reconciler.records.item(id)?.state === "running";
  }

  #addUnknown(id: string): void {
    const { options, relistSoon } = this.#deps;
    if (this.#unknown.size >= MAX_UNKNOWN) {
      relistSoon("unknown ids");
      return;
    }
    this.#unknown.add(id);
    this.#unknownTimer ??= options.clock.timer(options.unknownIdDelayMs, () => void this.#findUnknown());
  }

  async #findUnknown(): Promise<void> {
    const { calls, look, options, reconciler, relistSoon, signal } = this.#deps;
    const ids = [...this.#unknown].filter(
      (id) => reconciler.records.item(id) === undefined && !reconciler.heardOf.has(id),
    );
    this.#unknown.clear();
    this.#unknownTimer = undefined;
    if (ids.length >= UNKNOWN_STORM) {
      relistSoon("unknown ids");
      return;
    }
    for (const id of ids) {
      try {
        const podUid = await calls.findPod(id, signal);
        if (podUid !== undefined) look(podUid);
      } catch (error) {
        if (signal.aborted) return;
        options.logger.debug("cannot find out whose an id is", {
          containerId: id,
          problem: errorText(error),
        });
      }
    }
  }
}
