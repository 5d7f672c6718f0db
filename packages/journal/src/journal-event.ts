// SPDX-License-Identifier: Apache-2.0

import type { AnyEnvelope } from "@holdfast/bus";

/** An event as the journal has it: the bus's envelope, with its payload redacted. */
export type JournalEvent = AnyEnvelope;

/** Which events are meant. Every condition that is given must hold. */
export interface EventFilter {
  /** `namespace/name`, of every pod that ever had that name. */
  readonly pod?: string;
  readonly podUid?: string;
  readonly container?: string;
  /** Names, or beginnings that end in `*`: `pod/Pulling`, `oom/*`. */
  readonly types?: readonly string[];
  /** Wall milliseconds. */
  readonly since?: number;
}

/** One page of events, newest first. */
export interface EventQuery extends EventFilter {
  /** At most so many. Default 100, at most 10 000. */
  readonly limit?: number;
  /** Only events before this `seq`: the next page. */
  readonly before?: number;
  /** Only events after this `seq`. */
  readonly after?: number;
}

/** Whether `name` is one of `patterns`. */
export function matchesType(name: string, patterns: readonly string[]): boolean {
  return patterns.some((pattern) =>
    pattern.endsWith("*") ? name.startsWith(pattern.slice(0, -1)) : name === pattern,
  );
}

/** Whether an event that just came is meant. Pure. */
export function matchesFilter(event: JournalEvent, filter: EventFilter): boolean {
  const { pod, podUid, container, types, since } = filter;
  return (
    (pod === undefined || event.subject.pod === pod) &&
    (podUid === undefined || event.subject.podUid === podUid) &&
    (container === undefined || event.subject.container === container) &&
    (types === undefined || types.length === 0 || matchesType(event.type, types)) &&
    (since === undefined || event.at >= since)
  );
}
