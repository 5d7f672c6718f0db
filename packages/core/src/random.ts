// SPDX-License-Identifier: Apache-2.0

/** A source of numbers in [0, 1). A port, so that jitter is the same again for the same seed. */
export type Random = () => number;

/** A small seeded generator (mulberry32's recurrence). Not for secrets. */
export function seededRandom(seed: number): Random {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** Uniform in [d, d * (1 + factor)). kubelet: wait.Jitter. */
export function jitter(durationMs: number, factor: number, random: Random): number {
  return durationMs * (1 + factor * random());
}
