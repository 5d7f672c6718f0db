// SPDX-License-Identifier: Apache-2.0

/** Turns changes of pods into lines of a watch: one reader each, coalesced, bounded by the number of pods. */
import type { Clock } from "@holdfast/core/clock";
import type { PodList, WatchEvent } from "./types.ts";

/** What a watch reads. */
export interface WatchedPods {
  podList(): PodList;
}

/** Changes that come within this time go out as one line per pod. */
const COALESCE_MS = 50;

/** Tells readers that something changed; they read it themselves. */
export class PodWatch {
  readonly #pods: WatchedPods;
  readonly #clock: Clock;
  readonly #readers = new Set<() => void>();

  constructor(pods: WatchedPods, clock: Clock) {
    this.#pods = pods;
    this.#clock = clock;
  }

  /** How many read. */
  get readers(): number {
    return this.#readers.size;
  }

  /** Something about a pod, a manifest or the node may have changed. */
  changed(): void {
    for (const wake of this.#readers) wake();
  }

  /** The whole list first, then what differs from what this reader has seen. */
  async *read(signal: AbortSignal): AsyncGenerator<WatchEvent> {
    let dirty = false;
    let wake: () => void = () => {};
    const onChange = (): void => {
      dirty = true;
      wake();
    };
    this.#readers.add(onChange);
    signal.addEventListener("abort", onChange, { once: true });
    try {
      let list = this.#pods.podList();
      yield { type: "LIST", list };
      while (!signal.aborted) {
        if (!dirty) await new Promise<void>((resolve) => (wake = resolve));
        await this.#clock.sleep(COALESCE_MS);
        dirty = false;
        const next = this.#pods.podList();
        yield* computeWatchEvents(list, next);
        list = next;
      }
    } finally {
      this.#readers.delete(onChange);
      signal.removeEventListener("abort", onChange);
    }
  }
}

/** What a reader of `before` must be told to know `after`. */
export function computeWatchEvents(before: PodList, after: PodList): WatchEvent[] {
  const known = new Map(before.items.map((pod) => [pod.metadata.uid, JSON.stringify(pod)]));
  const events: WatchEvent[] = [];
  for (const object of after.items) {
    if (known.get(object.metadata.uid) !== JSON.stringify(object)) events.push({ type: "MODIFIED", object });
    known.delete(object.metadata.uid);
  }
  for (const uid of known.keys()) events.push({ type: "DELETED", uid });
  if (
    JSON.stringify([before.manifestProblems, before.node]) !==
    JSON.stringify([after.manifestProblems, after.node])
  ) {
    events.push({ type: "PROBLEMS", manifestProblems: after.manifestProblems, node: after.node });
  }
  return events;
}
