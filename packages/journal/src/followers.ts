// SPDX-License-Identifier: Apache-2.0

/** Readers that want events as they are written. Each has a bounded queue; what did not fit is told in its place. */
import { GAP_TYPE } from "./events.ts";
import { matchesFilter } from "./journal-event.ts";
import type { EventFilter, JournalEvent } from "./journal-event.ts";

const QUEUE = 2048;

interface Follower {
  readonly filter: EventFilter;
  readonly waiting: JournalEvent[];
  dropped: number;
  ended: boolean;
  wake: () => void;
}

/** See the top of the file. */
export class Followers {
  readonly #followers = new Set<Follower>();

  /** How many read. */
  get size(): number {
    return this.#followers.size;
  }

  /** Events that were just written. Never waits. */
  push(events: readonly JournalEvent[]): void {
    for (const follower of this.#followers) {
      for (const event of events) {
        if (event.type !== GAP_TYPE && !matchesFilter(event, follower.filter)) continue;
        if (follower.waiting.length >= QUEUE) {
          follower.waiting.shift();
          follower.dropped += 1;
        }
        follower.waiting.push(event);
      }
      follower.wake();
    }
  }

  /** Ends all readers. */
  end(): void {
    for (const follower of this.#followers) {
      follower.ended = true;
      follower.wake();
    }
  }

  /** First `page` (newest first) in order, then what comes. */
  async *follow(
    filter: EventFilter,
    page: () => readonly JournalEvent[],
    signal: AbortSignal,
  ): AsyncGenerator<JournalEvent> {
    const follower: Follower = { filter, waiting: [], dropped: 0, ended: false, wake: () => {} };
    this.#followers.add(follower);
    const onAbort = (): void => follower.wake();
    signal.addEventListener("abort", onAbort, { once: true });
    try {
      let last = 0;
      // Registered first: what is written while the page is read is in the queue, and is not told twice.
      for (const event of page().toReversed()) {
        last = event.seq;
        yield event;
      }
      while (!signal.aborted) {
        const next = follower.waiting.shift();
        if (next !== undefined) {
          if (follower.dropped > 0) yield gapBefore(next, follower);
          if (next.seq > last) yield next;
        } else if (follower.ended) return;
        else await new Promise<void>((resolve) => (follower.wake = resolve));
      }
    } finally {
      this.#followers.delete(follower);
      signal.removeEventListener("abort", onAbort);
    }
  }
}

function gapBefore(next: JournalEvent, follower: Follower): JournalEvent {
  const { dropped } = follower;
  follower.dropped = 0;
  return { ...next, seq: next.seq - 1, type: GAP_TYPE, subject: {}, causes: [], data: { dropped } };
}
