// SPDX-License-Identifier: Apache-2.0

/** The last events of each pod, for `holdfast describe`: bounded by pod and in all. The journal will keep more. */
import type { AnyEnvelope } from "@holdfast/bus";
import { rfc3339 } from "@holdfast/core/rfc3339";
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
    // A status is shown whole above the events; how often it was computed tells nobody anything.
    if (event.type === "status/PodStatusChanged" || event.type === "pleg/PodSync") return;
    const known = this.#byPod.get(uid) ?? [];
    known.push({
      at: rfc3339(event.at),
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

/** Their own words where an event has them, else its payload: small, flat, and cut to what people compare. */
export function eventText(event: Pick<AnyEnvelope, "data" | "subject">): string {
  const data = (event.data ?? {}) as Record<string, unknown>;
  const container = event.subject.container;
  const words = typeof data["message"] === "string" ? data["message"] : payloadText(data, container);
  return [...(container === undefined ? [] : [`${container}:`]), words].join(" ").trim().slice(0, MAX_TEXT);
}

/** Said already by the line itself. */
const REPEATED = ["uid", "namespace", "name", "kind"];

function payloadText(data: Record<string, unknown>, container: string | undefined): string {
  const parts: string[] = [];
  for (const [key, value] of Object.entries(data)) {
    if (value === undefined || value === "" || typeof value === "object") continue;
    if (REPEATED.includes(key) || value === container) continue;
    if (/[iI]d$/.test(key)) parts.push(`${key}=${String(value).slice(0, 12)}`);
    else parts.push(`${key}=${typeof value === "number" ? Math.round(value) : String(value)}`);
  }
  return parts.join(" ");
}
