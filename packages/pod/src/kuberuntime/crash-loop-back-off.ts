// SPDX-License-Identifier: Apache-2.0

/**
 * The crash-loop back-off of containers.
 *
 * Owns: one delay per back-off key, in memory, and a copy in the checkpoint as wall times, so that an agent's restart neither forgives nor
 * prolongs. Reads: records of exited containers. Invariants: at most the configured delay is ever waited, also when the wall clock jumps,
 * because an exit is dated once, on the monotonic clock, when it is first seen. Lost on a crash: at most the last doubling.
 * kubelet: doBackOff with flowcontrol.Backoff.
 */
import { Backoff } from "@holdfast/core/backoff";
import type { Clock } from "@holdfast/core/clock";
import { clampedAge } from "@holdfast/core/clock";
import type { Container, Pod } from "@holdfast/core/pod-types";
import type { ContainerRecord } from "@holdfast/core/runtime-status";
import type { PodCheckpoint } from "../ports.ts";
import { backoffKey } from "./container-hash.ts";

/** kubelet: containerBackOff's limits. */
const INITIAL_MS = 10_000;
const MAX_MS = 300_000;
/** Fixed, not twice the maximum. */
const FORGET_MS = 600_000;
const CAPACITY = 4096;
const PREFIX = "crash-loop-back-off/";

/** How a {@link CrashLoopBackOff} is made. */
export interface CrashLoopBackOffOptions {
  readonly clock: Pick<Clock, "now" | "monotonic">;
  readonly checkpoint: PodCheckpoint;
  /** 1 s to 300 s; below 10 s it is also the first delay. Default 300 s. */
  readonly maxMs?: number;
}

/** A container that has to wait. */
export interface Waiting {
  readonly delayMs: number;
  /** Monotonic. */
  readonly until: number;
}

/** See the top of the file. */
export class CrashLoopBackOff {
  readonly #clock: Pick<Clock, "now" | "monotonic">;
  readonly #checkpoint: PodCheckpoint;
  readonly #backoff: Backoff;
  /** Monotonic time of exits by container id. */
  readonly #exits = new Map<string, number>();

  constructor({ clock, checkpoint, maxMs = MAX_MS }: CrashLoopBackOffOptions) {
    this.#clock = clock;
    this.#checkpoint = checkpoint;
    const limit = Math.min(Math.max(maxMs, 1000), MAX_MS);
    this.#backoff = new Backoff({
      clock,
      initialMs: Math.min(INITIAL_MS, limit),
      maxMs: limit,
      forgetAfterMs: FORGET_MS,
      capacity: CAPACITY,
    });
    for (const [name, value] of checkpoint.entries(PREFIX)) this.#restore(name, value, limit);
  }

  /** Asks whether the successor of `exited` has to wait, without a change. kubelet: IsInBackOffSince. */
  waiting(pod: Pod, container: Container, exited: ContainerRecord): Waiting | undefined {
    const key = backoffKey(pod, container);
    const exitedAt = this.#exitedAt(exited);
    if (this.#backoff.remainingMs(key, exitedAt) === 0) return undefined;
    const delayMs = this.#backoff.entries().get(key)?.delayMs ?? 0;
    return { delayMs, until: exitedAt + delayMs };
  }

  /**
   * The successor of `exited` is being started: the next one will wait, or wait twice as long. Returns a function that writes that to the
   * checkpoint, to be called when nobody waits for the start any more. kubelet: Backoff.Next.
   */
  starting(pod: Pod, container: Container, exited: ContainerRecord): () => void {
    const key = backoffKey(pod, container);
    const delayMs = this.#backoff.next(key, this.#exitedAt(exited));
    const value = JSON.stringify({ delayMs, at: this.#clock.now() });
    return () => this.#checkpoint.set(`${PREFIX}${pod.metadata.uid}/${key}`, value);
  }

  /** The pod is gone. */
  forget(uid: string): void {
    const prefix = `${PREFIX}${uid}/`;
    for (const [name] of this.#checkpoint.entries(prefix)) {
      this.#backoff.reset(name.slice(prefix.length));
      this.#checkpoint.delete(name);
    }
  }

  /** Drops what is too old to count, in memory and in the checkpoint. kubelet: once a housekeeping pass. */
  gc(): void {
    this.#backoff.gc();
    for (const [name] of this.#checkpoint.entries(PREFIX))
      if (!this.#backoff.entries().has(keyOf(name))) this.#checkpoint.delete(name);
  }

  #exitedAt({ id, finishedAt }: ContainerRecord): number {
    const known = this.#exits.get(id);
    if (known !== undefined) return known;
    const at = this.#clock.monotonic() - clampedAge(this.#clock, finishedAt, FORGET_MS);
    this.#exits.set(id, at);
    const oldest = this.#exits.keys().next().value;
    if (this.#exits.size > CAPACITY && oldest !== undefined) this.#exits.delete(oldest);
    return at;
  }

  #restore(name: string, value: string, limit: number): void {
    const entry = parseEntry(value);
    if (entry === undefined) {
      this.#checkpoint.delete(name);
      return;
    }
    const age = clampedAge(this.#clock, entry.at, FORGET_MS);
    const delayMs = Math.min(Math.max(entry.delayMs, 0), limit);
    this.#backoff.restore(keyOf(name), { delayMs, updatedAt: this.#clock.monotonic() - age });
  }
}

function keyOf(name: string): string {
  return name.slice(name.lastIndexOf("/") + 1);
}

function parseEntry(value: string): { delayMs: number; at: number } | undefined {
  try {
    const parsed: unknown = JSON.parse(value);
    if (typeof parsed !== "object" || parsed === null || !("delayMs" in parsed) || !("at" in parsed))
      return undefined;
    const { delayMs, at } = parsed;
    return Number.isFinite(delayMs) && Number.isFinite(at)
      ? { delayMs: Number(delayMs), at: Number(at) }
      : undefined;
  } catch {
    return undefined;
  }
}
