// SPDX-License-Identifier: Apache-2.0

/**
 * The sink of a node without a control plane: full `v1.Pod` objects for a local API, with resource versions that only grow.
 *
 * It owns the objects; nothing survives it, the manager's checkpoint is what does. Invariant: what `get` gives is never older than what it gave before.
 */
import type { ApiPod } from "./api-types.ts";
import { computeApiPod } from "./compute-api-pod.ts";
import type { StatusSink, StatusUpdate, StatusWriteOutcome } from "./sync/ports.ts";

/** See the block above. */
export class LocalStatusSink implements StatusSink {
  readonly name = "local";
  readonly #pods = new Map<string, ApiPod>();
  readonly #capacity: number;
  #resourceVersion = 0;

  /** `capacity`: pods kept at most; the one that changed longest ago goes first. Default 8192. */
  constructor(capacity = 8192) {
    this.#capacity = capacity;
  }

  async write(update: StatusUpdate): Promise<StatusWriteOutcome> {
    const { pod, status, uid } = update;
    this.#resourceVersion += 1;
    this.#pods.delete(uid);
    this.#pods.set(uid, computeApiPod(pod, status, { resourceVersion: String(this.#resourceVersion) }));
    const oldest = this.#pods.keys().next().value;
    if (this.#pods.size > this.#capacity && oldest !== undefined) this.#pods.delete(oldest);
    return "written";
  }

  forget(uid: string): void {
    if (this.#pods.delete(uid)) this.#resourceVersion += 1;
  }

  /** The pod as the API would show it. */
  get(uid: string): ApiPod | undefined {
    return this.#pods.get(uid);
  }

  /** All pods, the one that changed last at the end, and the version of the whole. */
  list(): { readonly items: readonly ApiPod[]; readonly resourceVersion: string } {
    return { items: [...this.#pods.values()], resourceVersion: String(this.#resourceVersion) };
  }
}
