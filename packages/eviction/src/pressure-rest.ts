// SPDX-License-Identifier: Apache-2.0

/**
 * Averages of pressure look back: for a while after a pod went for them, they still tell of what it did. Whoever acted on that would end an innocent one.
 *
 * Owns: what the averages held when the pod was gone. Invariants: no second pod goes within the time that the average looks back on, and later only for stalls
 * that came after the first was gone. Lost on a crash: that one went; a new agent's first round only looks.
 */
import { thresholdAmount } from "./threshold.ts";
import type { SignalObservations, Threshold } from "./threshold.ts";

/** See the top of the file. Times are monotonic milliseconds. */
export class PressureRest {
  #until = Number.NEGATIVE_INFINITY;
  #isGone = false;
  #past: SignalObservations = new Map();

  /** A pod has gone for this signal's sake. */
  begin(signal: string, now: number): void {
    this.#until = now + averageMs(signal);
    this.#isGone = true;
  }

  /** What a round saw: of the first one after a pod has gone all is of the past. */
  look(observations: SignalObservations): void {
    if (!this.#isGone) return;
    this.#isGone = false;
    this.#past = observations;
  }

  /** Whether a threshold that is met is also met by what is new. An average forgets by the same part of itself in each second. kernel: calc_avgs. */
  isOver({ signal, value }: Threshold, observations: SignalObservations, now: number): boolean {
    if (now < this.#until) return false;
    const [seen, past] = [observations.get(signal), this.#past.get(signal)];
    if (seen === undefined || past === undefined) return true;
    const left = (past.capacity - past.available) * Math.exp((past.at - seen.at) / averageMs(signal));
    return thresholdAmount(value, seen.capacity) > seen.available + left;
  }
}

/** What an average looks back on: `avg60` -> 60 000. */
function averageMs(signal: string): number {
  return Number(/\d+$/.exec(signal)?.[0] ?? 0) * 1000;
}
