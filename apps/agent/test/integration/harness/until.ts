// SPDX-License-Identifier: Apache-2.0

import { setTimeout as pause } from "node:timers/promises";

/** How often a condition is looked at. */
const POLL_MS = 25;
/** Far above what anything here takes on an idle machine; CI machines are not idle. */
export const PATIENCE_MS = 60_000;

/** Thrown by a condition that can never come true any more. */
export class GiveUp extends Error {
  override readonly name = "GiveUp";
}

type Falsy = false | undefined | null | 0 | "";

/**
 * Looks again and again until `condition` gives something, and returns that. A condition that throws has not come true yet; its last error is told.
 * Throws with `what`, the last error and `context()` after `timeoutMs`.
 */
export async function until<T>(
  condition: () => T | Promise<T>,
  what: string,
  timeoutMs: number = PATIENCE_MS,
  context: () => string | Promise<string> = () => "",
): Promise<Exclude<T, Falsy>> {
  const deadline = performance.now() + timeoutMs;
  let lastError: unknown;
  for (;;) {
    try {
      const value = await condition();
      if (value) return value as Exclude<T, Falsy>;
      lastError = undefined;
    } catch (error) {
      lastError = error;
      if (error instanceof GiveUp) break;
    }
    if (performance.now() > deadline) break;
    await pause(POLL_MS);
  }
  const because =
    lastError === undefined
      ? ""
      : `\nlast error: ${lastError instanceof Error ? lastError.message : String(lastError)}`;
  throw new Error(`waited ${timeoutMs / 1000} s in vain: ${what}${because}\n${await context()}`);
}
