// SPDX-License-Identifier: Apache-2.0

import { formatDuration } from "@holdfast/core/duration";
import type { PlegHealth, PlegSnapshot } from "./generic-pleg.ts";
import { describeCall } from "./errors.ts";

/** An exit that the CRI does not confirm for so long is worth a word. */
const UNCONFIRMED_LIMIT_MS = 60_000;

/** Pure: what a snapshot means. kubelet: GenericPLEG.Healthy. */
export function computeHealth(snapshot: PlegSnapshot, thresholdMs: number): PlegHealth {
  const { lastRelistAgeMs, listProblem, quarantined, stuckCalls, unconfirmedExits } = snapshot;
  const listing = stuckCalls.find(({ podUid, id }) => podUid === undefined && id === "");
  const stuckList = listing && `${describeCall(listing)} has not answered for ${seconds(listing.ageMs)}`;
  const reason = listProblem ?? stuckList;
  const because = reason === undefined ? "" : `: ${reason}`;
  const failures: string[] = [];
  if (lastRelistAgeMs === undefined) failures.push(`pleg has yet to be successful${because}`);
  else if (lastRelistAgeMs > thresholdMs)
    failures.push(
      `pleg was last seen active ${seconds(lastRelistAgeMs)} ago; threshold is ${seconds(thresholdMs)}${because}`,
    );
  const set = new Set(quarantined.map(({ podUid }) => podUid));
  return {
    failures,
    warnings: [
      ...quarantined.map(({ podUid, error, forMs }) => `pod ${podUid} for ${seconds(forMs)}: ${error}`),
      ...stuckCalls
        .filter(({ podUid }) => podUid !== undefined && !set.has(podUid))
        .map(
          (call) => `pod ${call.podUid}: ${describeCall(call)} has not answered for ${seconds(call.ageMs)}`,
        ),
      ...unconfirmedExits
        // Without a pod it is another client's container, or one that has been removed: nobody waits for the word.
        .filter(({ ageMs, podUid }) => ageMs > UNCONFIRMED_LIMIT_MS && podUid !== undefined)
        .map(
          ({ containerId, ageMs, podUid }) =>
            `pod ${podUid}: the runtime has not confirmed the exit of ${containerId} for ${seconds(ageMs)}`,
        ),
    ],
  };
}

/** Pure: for how long the oldest of all troubles has lasted, in milliseconds. Grows until it is over; 0 when there is none. */
export function computeStuckMs({ listProblemForMs, quarantined, stuckCalls }: PlegSnapshot): number {
  return Math.max(
    0,
    listProblemForMs ?? 0,
    ...quarantined.map(({ forMs }) => forMs),
    ...stuckCalls.map(({ ageMs }) => ageMs),
  );
}

function seconds(ms: number): string {
  return formatDuration(Math.round(ms / 1000) * 1000);
}
