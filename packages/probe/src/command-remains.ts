// SPDX-License-Identifier: Apache-2.0

/**
 * What one command leaves behind when it times out. containerd kills the command alone: what it forked lives on, and while that holds the command's pipes the call
 * does not return. So the command is looked for shortly before its time is up, and shortly after what is left of it is counted and ended.
 *
 * Invariants: only what is surely the command's is ended: what lives on in the session that it led; the rest is counted; nothing happens to a command that
 * answers in time; everything is counted once. Lost on a crash: the processes live on, as they would with the kubelet.
 */
import type { Clock, Timer } from "@holdfast/core/clock";
import type { ProbeProcesses } from "./ports.ts";

/** What {@link CommandRemains} reads. */
export interface CommandFacts {
  readonly containerId: string;
  readonly command: readonly string[];
  readonly timeoutMs: number;
}

/** At most so long before its time is up, and not before half of it is over: most commands have answered by then, and a busy machine has time to look. */
const LOOK_BEFORE_MS = 1000;
/** By then the runtime has mostly killed the command itself. It counts from when that had started: so this is done again, at growing distances, until the call returns. */
const END_AFTER_MS = 300;
/** A command lives for a second at least, if it hangs: one that is looked for so often is not missed. */
const LOOK_EVERY_MS = 400;

/** See the top of the file. */
export class CommandRemains {
  readonly #facts: CommandFacts;
  readonly #processes: ProbeProcesses | undefined;
  readonly #clock: Pick<Clock, "monotonic" | "timer">;
  readonly #onLeftBehind: (containerId: string, processes: number, ended: number) => void;
  readonly #begunAt: number;
  #sessions: readonly number[] = [];
  #looking: Promise<void> = Promise.resolve();
  #tidying: Promise<void> = Promise.resolve();
  #timer: Timer | undefined;
  #isOver = false;
  #told = 0;
  #ended = 0;

  constructor(
    facts: CommandFacts,
    options: {
      readonly processes?: ProbeProcesses | undefined;
      readonly clock: Pick<Clock, "monotonic" | "timer">;
      readonly onLeftBehind: (containerId: string, processes: number, ended: number) => void;
    },
  ) {
    this.#facts = facts;
    this.#processes = options.processes;
    this.#clock = options.clock;
    this.#onLeftBehind = options.onLeftBehind;
    this.#begunAt = options.clock.monotonic();
    const beforeMs = Math.min(LOOK_BEFORE_MS, facts.timeoutMs / 2);
    if (this.#processes?.sessionsOf !== undefined && this.#processes.endSessions !== undefined)
      this.#turnIn(facts.timeoutMs - beforeMs, beforeMs + END_AFTER_MS);
  }

  /** The call is over, whatever it came to. */
  answered(): void {
    this.#isOver = true;
    this.#timer?.cancel();
  }

  /** The command timed out: counts and ends what it left. `least`: what is counted when nobody can tell. */
  tidy(least: number): Promise<void> {
    this.#tidying = this.#tidying.then(() => this.#tidy(least));
    return this.#tidying;
  }

  #turnIn(ms: number, nextMs: number): void {
    this.#timer = this.#clock.timer(ms, () => void this.#turn(nextMs));
  }

  async #look(): Promise<void> {
    const { containerId, command } = this.#facts;
    try {
      this.#sessions = (await this.#processes?.sessionsOf?.(containerId, command, this.#ageMs())) ?? [];
    } catch {
      // Nothing is known then, and nothing ended.
    }
  }

  async #turn(nextMs: number): Promise<void> {
    const { timeoutMs } = this.#facts;
    if (this.#sessions.length === 0) this.#looking = this.#look();
    await this.#looking;
    if (this.#isOver) return;
    // Its pipes may be held: the call returns when they are not.
    if (this.#ageMs() >= timeoutMs + END_AFTER_MS) await this.tidy(0);
    if (this.#isOver) return;
    const afterMs = this.#sessions.length > 0 ? nextMs : Math.min(nextMs, LOOK_EVERY_MS);
    this.#turnIn(afterMs, this.#ageMs() < timeoutMs ? END_AFTER_MS : nextMs * 2);
  }

  async #tidy(least: number): Promise<void> {
    const { containerId } = this.#facts;
    let left = least;
    let ended = 0;
    try {
      await this.#looking;
      left = (await this.#processes?.leftBehind(containerId, this.#ageMs())) ?? least;
      if (this.#sessions.length > 0)
        ended = (await this.#processes?.endSessions?.(containerId, this.#sessions)) ?? 0;
    } catch {
      // Not to be known: what the runtime's own silence says is all there is.
    }
    const all = Math.max(left, ended) + this.#ended;
    this.#ended += ended;
    if (all <= this.#told && ended === 0) return;
    this.#onLeftBehind(containerId, Math.max(all - this.#told, 0), ended);
    this.#told = Math.max(all, this.#told);
  }

  #ageMs(): number {
    return this.#clock.monotonic() - this.#begunAt;
  }
}
