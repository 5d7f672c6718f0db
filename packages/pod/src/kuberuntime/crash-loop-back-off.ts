// SPDX-License-Identifier: Apache-2.0

/**
 * The crash-loop back-off of containers: the kubelet's curve, or the one that the pod's annotation sets.
 *
 * Owns: one delay per container and kind of end, in memory, and a copy in the checkpoint as wall times, so that an agent's restart neither
 * forgives nor prolongs. Reads: records of exited containers. Invariants: at most the configured delay is ever waited, also when the wall clock
 * jumps, because an exit is dated once, on the monotonic clock, when it is first seen. Lost on a crash: at most the last growth.
 * kubelet: doBackOff with flowcontrol.Backoff.
 */
import type { Clock } from "@holdfast/core/clock";
import { clampedAge } from "@holdfast/core/clock";
import type { Container, Pod } from "@holdfast/core/pod-types";
import type { ContainerRecord } from "@holdfast/core/runtime-status";
import type { PodCheckpoint } from "../ports.ts";
import { backoffKey } from "./container-hash.ts";
import { backOffRulesOf, curveFor } from "./parse-back-off.ts";
import type { BackOffCurve, BackOffSettings } from "./parse-back-off.ts";

/** kubelet: containerBackOff's limits. */
const INITIAL_MS = 10_000;
const MAX_MS = 300_000;
const FACTOR = 2;
/** Fixed, not twice the maximum. */
const FORGET_MS = 600_000;
/** What an annotation may ask for at most. */
const LONGEST_MS = 86_400_000;
const CAPACITY = 4096;
/** Of one wait there is an event so often at most: here a pod is looked at whenever something happens, in the kubelet some seconds apart. */
const TELL_EVERY_MS = 10_000;
const PREFIX = "crash-loop-back-off/";
/** Between a container's key and the exit codes whose waits are counted apart. */
const LADDER = ":";

/** How a {@link CrashLoopBackOff} is made. */
export interface CrashLoopBackOffOptions {
  readonly clock: Pick<Clock, "now" | "monotonic">;
  readonly checkpoint: PodCheckpoint;
  /** 1 s to 300 s; below 10 s it is also the first delay. Default 300 s. What an annotation sets goes before it. */
  readonly maxMs?: number;
}

/** A container that has to wait. */
export interface Waiting {
  readonly delayMs: number;
  /** Monotonic. */
  readonly until: number;
}

interface Exit {
  /** Monotonic. */
  readonly at: number;
  /** Monotonic: when its wait was last told by an event. */
  toldAt: number;
}

interface Entry {
  readonly delayMs: number;
  /** Monotonic. */
  readonly updatedAt: number;
  readonly resetMs: number;
}

/** See the top of the file. */
export class CrashLoopBackOff {
  readonly #clock: Pick<Clock, "now" | "monotonic">;
  readonly #checkpoint: PodCheckpoint;
  readonly #usual: Required<BackOffSettings>;
  readonly #entries = new Map<string, Entry>();
  /** By container id. */
  readonly #exits = new Map<string, Exit>();

  constructor({ clock, checkpoint, maxMs = MAX_MS }: CrashLoopBackOffOptions) {
    this.#clock = clock;
    this.#checkpoint = checkpoint;
    const limit = Math.min(Math.max(maxMs, 1000), MAX_MS);
    this.#usual = {
      initialMs: Math.min(INITIAL_MS, limit),
      maxMs: limit,
      factor: FACTOR,
      resetMs: FORGET_MS,
    };
    for (const [name, value] of checkpoint.entries(PREFIX)) this.#restore(name, value);
  }

  /** Asks whether the successor of `exited` has to wait, without a change. kubelet: IsInBackOffSince. */
  waiting(pod: Pod, container: Container, exited: ContainerRecord): Waiting | undefined {
    const curve = this.#curve(pod, container, exited);
    const entry = this.#entries.get(keyFor(pod, container, curve));
    const exitedAt = this.#exitedAt(exited);
    if (entry === undefined || exitedAt - entry.updatedAt > curve.resetMs) return undefined;
    // A maximum that was lowered since counts at once.
    const delayMs = Math.min(entry.delayMs, curve.maxMs);
    const until = exitedAt + delayMs;
    return until > this.#clock.monotonic() ? { delayMs, until } : undefined;
  }

  /** Whether the wait for the successor of `exited` is worth an event now. */
  shouldTell(exited: ContainerRecord): boolean {
    const exit = this.#exit(exited);
    const now = this.#clock.monotonic();
    if (now - exit.toldAt < TELL_EVERY_MS) return false;
    exit.toldAt = now;
    return true;
  }

  /**
   * The successor of `exited` is being started: the next one will wait, or wait longer. Returns a function that writes that to the
   * checkpoint, to be called when nobody waits for the start any more. kubelet: Backoff.Next.
   */
  starting(pod: Pod, container: Container, exited: ContainerRecord): () => void {
    const curve = this.#curve(pod, container, exited);
    const key = keyFor(pod, container, curve);
    const delayMs = nextDelay(this.#entries.get(key), curve, this.#exitedAt(exited));
    this.#put(key, { delayMs, updatedAt: this.#clock.monotonic(), resetMs: curve.resetMs });
    const value = JSON.stringify({ delayMs, at: this.#clock.now(), resetMs: curve.resetMs });
    return () => this.#checkpoint.set(`${PREFIX}${pod.metadata.uid}/${key}`, value);
  }

  /** Somebody wants the container's next start now: it waits no more, and its waits begin anew. Whether there was anything to forgive. */
  retry(pod: Pod, container: Container): boolean {
    const own = backoffKey(pod, container);
    const keys = [...this.#entries.keys()].filter((key) => key === own || key.startsWith(`${own}${LADDER}`));
    for (const key of keys) {
      this.#entries.delete(key);
      this.#checkpoint.delete(`${PREFIX}${pod.metadata.uid}/${key}`);
    }
    return keys.length > 0;
  }

  /** The pod is gone. */
  forget(uid: string): void {
    const prefix = `${PREFIX}${uid}/`;
    for (const [name] of this.#checkpoint.entries(prefix)) {
      this.#entries.delete(name.slice(prefix.length));
      this.#checkpoint.delete(name);
    }
  }

  /** Drops what is too old to count, in memory and in the checkpoint. kubelet: once a housekeeping pass. */
  gc(): void {
    const now = this.#clock.monotonic();
    // A wait longer than the reset time must not end with it.
    for (const [key, { updatedAt, resetMs, delayMs }] of this.#entries)
      if (now - updatedAt > resetMs + delayMs) this.#entries.delete(key);
    for (const [name] of this.#checkpoint.entries(PREFIX))
      if (!this.#entries.has(keyOf(name))) this.#checkpoint.delete(name);
  }

  #curve(pod: Pod, { name }: Container, { exitCode }: ContainerRecord): BackOffCurve {
    return curveFor(backOffRulesOf(pod), name, exitCode, this.#usual);
  }

  #exitedAt(exited: ContainerRecord): number {
    return this.#exit(exited).at;
  }

  #exit({ id, finishedAt }: ContainerRecord): Exit {
    const known = this.#exits.get(id);
    if (known !== undefined) return known;
    const at = this.#clock.monotonic() - clampedAge(this.#clock, finishedAt, LONGEST_MS);
    const exit = { at, toldAt: Number.NEGATIVE_INFINITY };
    this.#exits.set(id, exit);
    const oldest = this.#exits.keys().next().value;
    if (this.#exits.size > CAPACITY && oldest !== undefined) this.#exits.delete(oldest);
    return exit;
  }

  #restore(name: string, value: string): void {
    const entry = parseEntry(value);
    if (entry === undefined) {
      this.#checkpoint.delete(name);
      return;
    }
    const resetMs = Math.min(Math.max(entry.resetMs, 1000), LONGEST_MS);
    const delayMs = Math.min(Math.max(entry.delayMs, 0), LONGEST_MS);
    const age = clampedAge(this.#clock, entry.at, resetMs + delayMs);
    this.#put(keyOf(name), { delayMs, updatedAt: this.#clock.monotonic() - age, resetMs });
  }

  #put(key: string, entry: Entry): void {
    this.#entries.delete(key);
    this.#entries.set(key, entry);
    const oldest = this.#entries.keys().next().value;
    if (this.#entries.size > CAPACITY && oldest !== undefined) this.#entries.delete(oldest);
  }
}

/** The first wait, or the last one grown. */
function nextDelay(entry: Entry | undefined, curve: BackOffCurve, exitedAt: number): number {
  if (entry === undefined || exitedAt - entry.updatedAt > curve.resetMs) return curve.initialMs;
  return Math.min(Math.max(entry.delayMs * curve.factor, curve.initialMs), curve.maxMs);
}

function keyFor(pod: Pod, container: Container, { ladder }: BackOffCurve): string {
  const own = backoffKey(pod, container);
  return ladder === "" ? own : `${own}${LADDER}${ladder}`;
}

function keyOf(name: string): string {
  return name.slice(name.lastIndexOf("/") + 1);
}

function parseEntry(value: string): { delayMs: number; at: number; resetMs: number } | undefined {
  try {
    const parsed: unknown = JSON.parse(value);
    if (typeof parsed !== "object" || parsed === null || !("delayMs" in parsed) || !("at" in parsed))
      return undefined;
    const { delayMs, at } = parsed;
    const resetMs = "resetMs" in parsed ? parsed.resetMs : FORGET_MS;
    return Number.isFinite(delayMs) && Number.isFinite(at) && Number.isFinite(resetMs)
      ? { delayMs: Number(delayMs), at: Number(at), resetMs: Number(resetMs) }
      : undefined;
  } catch {
    return undefined;
  }
}
