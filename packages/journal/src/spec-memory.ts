// SPDX-License-Identifier: Apache-2.0

/**
 * Adds to "a pod was added or changed" the names of the fields that changed, and the pod's name to events that know its UID alone. Owns the last spec of each pod name, in memory only; lost on a crash:
 * the names of what changed while no agent ran.
 */
import { computeSpecDiff } from "./compute-spec-diff.ts";
import type { JournalEvent } from "./journal-event.ts";
import type { PodSpecs } from "./ports.ts";
import { isRecord } from "./redact.ts";

const MAX_PODS = 1024;
const TYPES: ReadonlySet<string> = new Set(["pod/PodAdded", "pod/PodUpdated"]);

/** See the top of the file. */
export class SpecMemory {
  readonly #specs: PodSpecs | undefined;
  readonly #last = new Map<string, unknown>();

  constructor(specs: PodSpecs | undefined) {
    this.#specs = specs;
  }

  /** The event, with the pod's name, and `changed` in its payload where fields changed and nobody has said so. */
  enrich(told: JournalEvent): JournalEvent {
    const event = this.#named(told);
    const { pod, podUid } = event.subject;
    if (this.#specs === undefined || !TYPES.has(event.type) || pod === undefined || podUid === undefined)
      return event;
    const spec = this.#specs.get(podUid)?.spec;
    if (spec === undefined) return event;
    const before = this.#last.get(pod);
    this.#last.delete(pod);
    this.#last.set(pod, spec);
    const oldest = this.#last.keys().next().value;
    if (this.#last.size > MAX_PODS && oldest !== undefined) this.#last.delete(oldest);
    const data = isRecord(event.data) ? event.data : {};
    if (before === undefined || before === spec || data["changed"] !== undefined) return event;
    const changed = computeSpecDiff(before, spec);
    return changed.length === 0 ? event : { ...event, data: { ...data, changed } };
  }

  /** Who asks for a pod's history asks by its name. */
  #named(event: JournalEvent): JournalEvent {
    const { pod, podUid } = event.subject;
    if (pod !== undefined || podUid === undefined) return event;
    const metadata = this.#specs?.get(podUid)?.metadata;
    if (metadata === undefined) return event;
    const name = `${metadata.namespace}/${metadata.name}`;
    return { ...event, subject: { ...event.subject, pod: name } };
  }
}
