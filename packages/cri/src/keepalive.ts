// SPDX-License-Identifier: Apache-2.0
//
// Finds a half-open connection: one on which nothing comes any more, though nobody closed it. HTTP/2 pings cannot be used: containerd closes connections
// that ping more often than every 5 minutes. So, while calls wait and nothing was heard for a while, the runtime is asked a small question on the same
// connection; if that is not answered, on a new one; if there it is, the old one is replaced. A runtime that answers on neither is frozen: then
// its connection is kept and the deadlines do their work, so a frozen or overloaded runtime is not stormed.
// Owns: one timer while calls wait. Lost on a crash: nothing.

import type { Clock, Timer } from "@holdfast/core/clock";

import type { Answer } from "./channel.ts";

/** A connection that can be tried out. */
export interface Candidate {
  /** What comes of a small question. Never rejects. */
  ask(timeoutMs: number, signal: AbortSignal): Promise<Answer>;
  close(): void;
}

/** What the keepalive does its work with. */
export interface KeepaliveOptions<New extends Candidate> {
  readonly clock: Clock;
  /** How long nothing may be heard while calls wait, in milliseconds. 0 turns it off. */
  readonly periodMs: number;
  /** The connection in use. */
  readonly current: () => Pick<Candidate, "ask">;
  readonly connect: () => New;
  /** The old one is half-open: the new one takes its place. */
  readonly replace: (fresh: New) => void;
}

/** For an answer to a question that takes the runtime a millisecond. */
const ANSWER_MS = 5000;
/** The old connection's last chance, once the new one has answered: both may have waited for the same busy runtime. */
const GRACE_MS = 1000;

/** See the top of the file. */
export class Keepalive<New extends Candidate> {
  readonly #options: KeepaliveOptions<New>;
  #timer: Timer | undefined;
  #heardAt = 0;
  #heards = 0;
  /** Nothing was heard since calls began to wait: a call that gives up after 10 s does not make the next one patient again. */
  #silent = false;
  #waiting = false;
  #asking: AbortController | undefined;
  #closed = false;

  constructor(options: KeepaliveOptions<New>) {
    this.#options = options;
  }

  /** Something came from the runtime. */
  heard(): void {
    this.#heardAt = this.#options.clock.monotonic();
    this.#heards += 1;
    this.#silent = false;
  }

  /** Calls wait from now on. */
  begin(): void {
    const now = this.#options.clock.monotonic();
    if (!this.#silent) this.#heardAt = now;
    this.#silent = this.#waiting = true;
    this.#arm(Math.max(this.#heardAt + this.#options.periodMs - now, 0));
  }

  /** No call waits any more. A question that was asked meanwhile is still waited for: its answer is worth something to the next call. */
  pause(): void {
    this.#waiting = false;
    this.#timer?.cancel();
    this.#timer = undefined;
  }

  close(): void {
    this.#closed = true;
    this.pause();
    this.#asking?.abort();
  }

  #arm(ms: number): void {
    if (this.#options.periodMs === 0 || this.#closed || this.#asking !== undefined) return;
    this.#timer?.cancel();
    this.#timer = this.#options.clock.timer(ms, () => {
      this.#timer = undefined;
      void this.#check();
    });
  }

  async #check(): Promise<void> {
    const { clock, periodMs } = this.#options;
    const left = this.#heardAt + periodMs - clock.monotonic();
    if (left > 0) {
      this.#arm(left);
      return;
    }
    const asking = new AbortController();
    this.#asking = asking;
    await this.#ask(asking.signal);
    asking.abort();
    this.#asking = undefined;
    if (this.#waiting) this.#arm(periodMs);
  }

  async #ask(signal: AbortSignal): Promise<void> {
    const { connect, current, replace } = this.#options;
    const heards = this.#heards;
    const isAlive = (): boolean => this.#closed || this.#heards !== heards;
    const late = current().ask(ANSWER_MS + ANSWER_MS + GRACE_MS, signal);
    const soon = await this.#within(late, ANSWER_MS);
    if (soon === "answer") this.heard();
    if (soon !== "silence" || isAlive()) return;
    const fresh = connect();
    const other = await fresh.ask(ANSWER_MS, signal);
    const halfOpen =
      other === "answer" && !isAlive() && (await this.#within(late, GRACE_MS)) === "silence" && !isAlive();
    if (halfOpen) replace(fresh);
    else fresh.close();
  }

  /** What came of it by then. */
  #within(answer: Promise<Answer>, ms: number): Promise<Answer> {
    const { promise, resolve } = Promise.withResolvers<Answer>();
    const timer = this.#options.clock.timer(ms, () => resolve("silence"));
    const known = (came: Answer): void => {
      timer.cancel();
      resolve(came);
    };
    void answer.then(known);
    return promise;
  }
}
