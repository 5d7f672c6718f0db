// SPDX-License-Identifier: Apache-2.0

/** One log that is watched: how fast it grows, when it is looked at next, and whether it is quiet. Monotonic milliseconds. */
import { computeNextLookMs, growthRate } from "./compute-next-look.ts";
import type { LookLimits } from "./compute-next-look.ts";
import type { LogTarget } from "./log-targets.ts";

/** Looks without growth before a log counts as quiet. */
const QUIET_AFTER_LOOKS = 2;
/** Longer waits end on a grid, so that idle logs are looked at together. */
const COARSE_MS = 2000;
const GRID_MS = 1000;

/** See the top of the file. */
export class WatchedLog {
  target: LogTarget;
  rotating = false;
  problem: string | undefined;
  nextLookAt: number;
  /** What tells of the next write to a quiet log. */
  quiet: Disposable | undefined;
  /** False once something was written to it without a word. */
  tells = true;
  #bytes: number | undefined;
  /** Undefined until a second look. */
  #bytesPerMs: number | undefined;
  #lookedAt: number;
  #idleLooks = 0;

  constructor(target: LogTarget, now: number) {
    this.target = target;
    this.nextLookAt = now;
    this.#lookedAt = now;
  }

  get path(): string {
    return `${this.target.folder}/${this.target.log}`;
  }

  /** It did not grow for some looks: who could tell of the next write is worth its cost. */
  get isIdle(): boolean {
    return this.#idleLooks >= QUIET_AFTER_LOOKS;
  }

  /** A look found so many bytes. `sinceMs`: whoever wrote them began no longer ago. */
  reckon(bytes: number, now: number, sinceMs: number): void {
    const isNew = this.#bytes === undefined;
    // Of one that is met while the disk fills up, all is taken to be new.
    const previous = isNew && sinceMs < Infinity ? 0 : this.#bytes;
    const elapsedMs = Math.min(isNew ? Infinity : now - this.#lookedAt, sinceMs);
    this.#bytesPerMs = growthRate(bytes, previous, elapsedMs) ?? this.#bytesPerMs;
    this.#idleLooks = bytes === this.#bytes && elapsedMs >= COARSE_MS ? this.#idleLooks + 1 : 0;
    if (this.quiet !== undefined && bytes !== this.#bytes) {
      this.tells = false;
      this.#wake();
    }
  }

  /** Sets the next look, by how fast it grows as far as is known. */
  schedule(bytes: number, now: number, maxSizeBytes: number, limits: LookLimits): void {
    const wait = computeNextLookMs(bytes, this.#bytesPerMs, maxSizeBytes, limits);
    const at = now + wait;
    this.nextLookAt = wait < COARSE_MS ? at : at - (at % GRID_MS);
    this.#bytes = bytes;
    this.#lookedAt = now;
  }

  /** Something happened to a quiet log: how fast it grows is not known any more. */
  disturb(now: number): void {
    this.#wake();
    this.#bytes = undefined;
    this.#bytesPerMs = undefined;
    this.nextLookAt = now;
  }

  /** It is not watched any more. */
  [Symbol.dispose](): void {
    this.#wake();
  }

  #wake(): void {
    this.quiet?.[Symbol.dispose]();
    this.quiet = undefined;
    this.#idleLooks = 0;
  }
}
