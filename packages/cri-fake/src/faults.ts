// SPDX-License-Identifier: Apache-2.0
//
// Faults as data: which calls and events they are about, and what happens to those. Pure but for the counters of a script: no clock, no
// promise; who carries a decision out is the caller's side. The same faults, calls and seed give the same decisions.

import type { CriErrorCode } from "@holdfast/cri";
import type { Random } from "@holdfast/core/random";

/** What a fault is about. Everything given must hold; nothing given means every call and no event. */
export interface FaultMatch {
  /** CRI names (`StopContainer`), or for events `containerdEvents` and `GetContainerEvents`. Default: every call. */
  readonly method?: string | readonly string[];
  readonly podUid?: string;
  readonly podName?: string;
  readonly podNamespace?: string;
  /** The container's name in its pod. */
  readonly container?: string;
  /** A container's or sandbox's id, or an image. */
  readonly target?: string;
  /** Of containerd's events: `/tasks/exit`. */
  readonly topic?: string;
  /** Only these, of the calls that match otherwise, counted from 1. */
  readonly nth?: number | readonly number[];
  /** Only from this one on, counted from 1. */
  readonly from?: number;
  /** At most so often. */
  readonly times?: number;
  /** Of those that are left, this share, by the fake's `random`. */
  readonly probability?: number;
}

/** An error as the runtime would answer. */
export interface FaultError {
  /** Default `CRI_UNKNOWN`. */
  readonly code?: CriErrorCode;
  /** Default `injected fault`. */
  readonly message?: string;
}

/** What happens to a call or an event. Several may be given. */
export interface FaultEffects {
  /** It takes so much longer before anything is done, in milliseconds. */
  readonly latencyMs?: number;
  /** Nothing is done, and no answer comes, until the fault is lifted or the caller gives up. */
  readonly hang?: boolean;
  /** The runtime does not notice that a caller gave up: what it was asked for is done all the same, later. */
  readonly ignoreCancel?: boolean;
  /** Nothing is done; the answer is this error. */
  readonly error?: FaultError;
  /** It is done, but what then reaches the caller? */
  readonly after?: {
    /** The answer comes so much later. */
    readonly latencyMs?: number;
    /** The answer never comes. */
    readonly hang?: boolean;
    /** The answer is this error. */
    readonly error?: FaultError;
  };
  /** A list is answered as it was at the last call that was answered truly; never called: empty. */
  readonly stale?: boolean;
  /** Of a list only so many items are answered. */
  readonly truncateTo?: number;
  /** The state shown for containers or sandboxes, as the CRI's number. */
  readonly wrongState?: number;
  /** The event never comes. */
  readonly lose?: boolean;
  /** The event comes twice. */
  readonly duplicate?: boolean;
  /** The event comes so much later, and others overtake it. */
  readonly delayMs?: number;
  /**
   * The connection of this call, and every other that there is, falls silent without being closed: this call and those in flight are
   * never answered, streams tell nothing more. Connections made later work.
   */
  readonly halfOpen?: boolean;
}

/** One fault. */
export interface Fault extends FaultEffects {
  readonly match?: FaultMatch;
}

/** A call or an event, as faults see it. */
export interface FaultSubject {
  readonly method: string;
  readonly target?: string | undefined;
  readonly podUid?: string | undefined;
  readonly podName?: string | undefined;
  readonly podNamespace?: string | undefined;
  readonly container?: string | undefined;
  readonly topic?: string | undefined;
}

/** A fault that is in force. */
export interface FaultHandle {
  /** How many calls and events it was about. */
  readonly hits: number;
  /** Ends it; what hangs because of it goes on. */
  lift(): void;
}

/** What happens to one call. */
export interface Decision {
  readonly latencyMs: number;
  /** Resolved when every fault that holds the call has been lifted; undefined when none does. */
  readonly heldUntil: Promise<void> | undefined;
  readonly answerHeldUntil: Promise<void> | undefined;
  readonly ignoreCancel: boolean;
  readonly error: FaultError | undefined;
  readonly answerLatencyMs: number;
  readonly answerError: FaultError | undefined;
  readonly stale: boolean;
  readonly truncateTo: number | undefined;
  readonly wrongState: number | undefined;
  readonly lose: boolean;
  readonly duplicate: boolean;
  readonly delayMs: number;
  readonly halfOpen: boolean;
}

const EVENT_METHODS: ReadonlySet<string> = new Set(["containerdEvents", "GetContainerEvents"]);

/** Whether a fault is about that call, leaving its counters and probability aside. */
export function isAbout(match: FaultMatch, subject: FaultSubject): boolean {
  const { method } = match;
  if (method === undefined) {
    if (EVENT_METHODS.has(subject.method)) return false;
  } else if (typeof method === "string" ? method !== subject.method : !method.includes(subject.method)) {
    return false;
  }
  return (["target", "podUid", "podName", "podNamespace", "container", "topic"] as const).every(
    (field) => match[field] === undefined || match[field] === subject[field],
  );
}

/** Whether the n-th matching call is meant, `applied` calls having been hit before it. */
export function isDue(match: FaultMatch, nth: number, applied: number): boolean {
  if (match.nth !== undefined) {
    const wanted = typeof match.nth === "number" ? [match.nth] : match.nth;
    if (!wanted.includes(nth)) return false;
  }
  return nth >= (match.from ?? 1) && applied < (match.times ?? Number.POSITIVE_INFINITY);
}

interface Active {
  readonly fault: Fault;
  readonly lifted: Promise<void>;
  seen: number;
  hits: number;
}

/** The faults in force, with their counters. */
export class FaultScript {
  readonly #random: Random;
  readonly #active = new Set<Active>();

  constructor(faults: readonly Fault[], random: Random) {
    this.#random = random;
    for (const fault of faults) this.add(fault);
  }

  /** Puts one more in force. */
  add(fault: Fault): FaultHandle {
    const { promise, resolve } = Promise.withResolvers<void>();
    const active: Active = { fault, lifted: promise, seen: 0, hits: 0 };
    this.#active.add(active);
    return {
      get hits() {
        return active.hits;
      },
      lift: () => {
        this.#active.delete(active);
        resolve();
      },
    };
  }

  /** What happens to this one. Counts it. */
  decide(subject: FaultSubject): Decision {
    const hit = [...this.#active].filter((active) => this.#hits(active, subject));
    return combine(hit);
  }

  #hits(active: Active, subject: FaultSubject): boolean {
    const { match = {} } = active.fault;
    if (!isAbout(match, subject)) return false;
    active.seen += 1;
    if (!isDue(match, active.seen, active.hits)) return false;
    if (match.probability !== undefined && this.#random() >= match.probability) return false;
    active.hits += 1;
    return true;
  }
}

/** Times add up, of errors the first one counts, what holds must be lifted altogether. */
function combine(hit: readonly Active[]): Decision {
  const faults = hit.map(({ fault }) => fault);
  const sum = (pick: (fault: Fault) => number | undefined): number =>
    faults.reduce((total, fault) => total + (pick(fault) ?? 0), 0);
  const first = <Value>(pick: (fault: Fault) => Value | undefined): Value | undefined =>
    faults.map(pick).find((value) => value !== undefined);
  const held = (pick: (fault: Fault) => boolean | undefined): Promise<void> | undefined => {
    const holding = hit.filter(({ fault }) => pick(fault));
    return holding.length === 0
      ? undefined
      : Promise.all(holding.map(({ lifted }) => lifted)).then(() => undefined);
  };
  return {
    latencyMs: sum((fault) => fault.latencyMs),
    heldUntil: held((fault) => fault.hang),
    answerHeldUntil: held((fault) => fault.after?.hang),
    ignoreCancel: faults.some((fault) => fault.ignoreCancel === true),
    error: first((fault) => fault.error),
    answerLatencyMs: sum((fault) => fault.after?.latencyMs),
    answerError: first((fault) => fault.after?.error),
    stale: faults.some((fault) => fault.stale === true),
    truncateTo: first((fault) => fault.truncateTo),
    wrongState: first((fault) => fault.wrongState),
    lose: faults.some((fault) => fault.lose === true),
    duplicate: faults.some((fault) => fault.duplicate === true),
    delayMs: sum((fault) => fault.delayMs),
    halfOpen: faults.some((fault) => fault.halfOpen === true),
  };
}
