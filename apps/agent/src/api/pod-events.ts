// SPDX-License-Identifier: Apache-2.0

/** The last events of each pod, for `holdfast describe`: bounded by pod and in all. The journal will keep more. */
import type { AnyEnvelope } from "@holdfast/bus";
import type { PodEvent } from "./types.ts";

const EVENTS_PER_POD = 20;
const MAX_PODS = 512;
const MAX_TEXT = 300;

/** Keeps what `describe` shows of the bus. */
export class PodEvents {
  readonly #byPod = new Map<string, PodEvent[]>();

  add(event: AnyEnvelope): void {
    const uid = event.subject.podUid;
    if (uid === undefined) return;
    const known = this.#byPod.get(uid) ?? [];
    known.push({
      at: new Date(event.at).toISOString(),
      type: event.type.slice(event.type.indexOf("/") + 1),
      text: eventText(event),
    });
    if (known.length > EVENTS_PER_POD) known.shift();
    // Pods that were heard of last stay.
    this.#byPod.delete(uid);
    this.#byPod.set(uid, known);
    const oldest = this.#byPod.keys().next().value;
    if (this.#byPod.size > MAX_PODS && oldest !== undefined) this.#byPod.delete(oldest);
  }

  of(uid: string): readonly PodEvent[] {
    return this.#byPod.get(uid) ?? [];
  }

  forget(uid: string): void {
    this.#byPod.delete(uid);
  }
}

/** Payloads are small and flat; ids are cut to what people compare. */
function eventText(event: AnyEnvelope): string {
  const parts = event.subject.container === undefined ? [] : [event.subject.container];
  for (const [key, value] of Object.entries((event.data ?? {}) as Record<string, unknown>)) {
    if (value === undefined || value === "" || typeof value === "object") continue;
    parts.push(`${key}=${/[iI]d$/.test(key) ? String(value).slice(0, 12) : String(value)}`);
  }
  return parts.join(" ").slice(0, MAX_TEXT);
}
