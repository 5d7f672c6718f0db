// SPDX-License-Identifier: Apache-2.0

/**
 * Carries out a plan of image GC, one image after the other.
 *
 * Invariants: right before each removal, while nobody of ours can begin to use the image, its users are listed again; an image that anybody uses
 * stays. What somebody else begins to use in the moment of its removal cannot be kept, but is noticed and told. A runtime that does not answer ends the pass.
 */
import type { EventType, Publisher } from "@holdfast/bus";
import { errorText, isDeadline, isNotFound } from "@holdfast/core/errors";
import type { Logger } from "@holdfast/core/log";
import type { ImageGcRuntime } from "../ports.ts";
import { ImageRemoved, ImageRemoving, ImageSpared } from "../events.ts";
import type { ImageRemovalData } from "../events.ts";
import type { GcImage, ImageGcEntry, ImageGcFacts, ImageGcPlan } from "./image-gc-facts.ts";
import type { ImageGcStep } from "./image-gc-options.ts";
import type { ImageLocks } from "./image-locks.ts";
import { allNames, shownName } from "./image-names.ts";
import type { ImageReader } from "./image-reader.ts";
import { LayerAccount } from "./layer-account.ts";
import type { LostUsers } from "./lost-users.ts";

const REMOVE_DEADLINE_MS = 2 * 60_000;
/** So many calls in a row without an answer: the runtime hangs, and the rest of the pass would, too. */
const MAX_DEADLINES = 3;

/** What the remover works with. */
export interface ImageRemoverDeps {
  readonly runtime: Pick<ImageGcRuntime, "removeImage">;
  readonly reader: ImageReader;
  readonly locks: ImageLocks;
  readonly lost: LostUsers;
  readonly publish: Publisher;
  readonly logger: Logger;
  /** It is not there any more, by whose hand ever. */
  readonly onGone: (imageId: string) => void;
  readonly onRemoved: (entry: ImageGcEntry) => void;
  readonly onStep: (step: ImageGcStep) => void;
}

/** What came of a plan. */
export interface RemovalOutcome {
  /** Ids, in order. */
  readonly removed: readonly string[];
  /** Ids of images that were to go and stayed, with why. */
  readonly spared: ReadonlyMap<string, string>;
  readonly freedBytes: number;
  /** By what was removed for space alone, as the policy counts it. */
  readonly freedBySpaceBytes: number;
  readonly failures: readonly unknown[];
}

type Fate = { readonly kind: "removed" | "gone" } | { readonly kind: "spared"; readonly why: string };

/** See the top of the file. One per pass. */
export class ImageRemover {
  readonly #deps: ImageRemoverDeps;
  readonly #facts: ImageGcFacts;
  readonly #causes: readonly number[];
  readonly #account: LayerAccount;
  readonly #removed: string[] = [];
  readonly #spared = new Map<string, string>();
  readonly #failures: unknown[] = [];
  #freed = 0;
  #freedBySpace = 0;
  #deadlines = 0;

  constructor(deps: ImageRemoverDeps, facts: ImageGcFacts, causes: readonly number[]) {
    this.#deps = deps;
    this.#facts = facts;
    this.#causes = causes;
    this.#account = new LayerAccount(facts.images, facts.layers);
  }

  /** Rejects only with the signal's reason. */
  async run(plan: ImageGcPlan, signal: AbortSignal): Promise<RemovalOutcome> {
    for (const entry of plan.entries) if (entry.rule === "max-age") await this.#attempt(entry, signal);
    // kubelet: a failure of the age pass ends the pass.
    if (this.#failures.length === 0) await this.#freeSpace(plan, signal);
    if (this.#removed.length > 0) await this.#deps.lost.look(signal);
    return {
      removed: this.#removed,
      spared: this.#spared,
      freedBytes: this.#freed,
      freedBySpaceBytes: this.#freedBySpace,
      failures: this.#failures,
    };
  }

  /** kubelet: freeSpace. One that cannot go gives its place to the next. */
  async #freeSpace({ countsPerByte, entries, wantedBytes }: ImageGcPlan, signal: AbortSignal): Promise<void> {
    let bytes = 0;
    for (const entry of entries) {
      if (!entry.candidate || entry.rule === "max-age") continue;
      if (this.#freedBySpace >= wantedBytes || this.#deadlines >= MAX_DEADLINES) return;
      bytes += await this.#attempt(entry, signal);
      // Of the sum, as the plan rounds it.
      this.#freedBySpace = Math.round(bytes * countsPerByte);
    }
  }

  /** Returns what it freed. */
  async #attempt(entry: ImageGcEntry, signal: AbortSignal): Promise<number> {
    signal.throwIfAborted();
    if (this.#deadlines >= MAX_DEADLINES) return 0;
    const { image } = entry;
    try {
      const fate = await this.#remove(entry, signal);
      this.#deadlines = 0;
      if (fate.kind === "spared") {
        this.#spare(image, fate.why, false);
        return 0;
      }
      const freed = this.#account.remove(image);
      this.#deps.onGone(image.id);
      if (fate.kind === "gone") return 0;
      this.#deps.onRemoved(entry);
      this.#deps.onStep({
        kind: "removed",
        imageId: image.id,
        name: shownName(image),
        freedBytes: freed,
      });
      this.#freed += freed;
      return freed;
    } catch (error) {
      signal.throwIfAborted();
      this.#failures.push(error);
      this.#deadlines = isDeadline(error) ? this.#deadlines + 1 : 0;
      this.#spare(image, errorText(error), true);
      return 0;
    }
  }

  async #remove(entry: ImageGcEntry, signal: AbortSignal): Promise<Fate> {
    const { locks, lost, reader, runtime } = this.#deps;
    const { image } = entry;
    const begun = locks.beginRemoval(allNames(image));
    if ("heldBy" in begun) return { kind: "spared", why: `about to be used by ${begun.heldBy}` };
    using removal = begun;
    const current = await reader.image(image.id, signal);
    if (current === undefined) return { kind: "gone" };
    if (current.pinned) return { kind: "spared", why: "pinned meanwhile" };
    const { users, containers, unreadable } = await reader.users([current], signal);
    await lost.notice(containers, signal);
    const [user] = users.get(current.id) ?? [];
    if (user !== undefined) return { kind: "spared", why: `used by ${user.name} since` };
    if (unreadable.length > this.#facts.unreadableUsers && entry.lastUsedAgoMs === undefined)
      return { kind: "spared", why: "a new container's volumes could not be read" };
    // Who began to wait for it meanwhile is not to wait: the image stays.
    const holder = removal.extend(allNames(current));
    if (holder !== undefined) return { kind: "spared", why: `about to be used by ${holder}` };
    const intent = this.#publish(ImageRemoving, entry, this.#causes);
    try {
      await runtime.removeImage({ image: { image: current.id } }, { signal, deadlineMs: REMOVE_DEADLINE_MS });
    } catch (error) {
      if (isNotFound(error)) return { kind: "gone" };
      throw error;
    }
    const seq = this.#publish(ImageRemoved, entry, [intent]);
    this.#removed.push(image.id);
    lost.remember(current, seq);
    return { kind: "removed" };
  }

  #publish(type: EventType<ImageRemovalData>, entry: ImageGcEntry, causes: readonly number[]): number {
    const { image, rule, reason, freesBytes } = entry;
    const names = [...image.repoTags, ...image.repoDigests].slice(0, MAX_EVENT_NAMES);
    const data = { imageId: image.id, names, sizeBytes: freesBytes, rule, reason };
    return this.#deps.publish.publish(type, data, { subject: { image: shownName(image) }, causes });
  }

  #spare(image: GcImage, why: string, failed: boolean): void {
    this.#spared.set(image.id, why);
    const { publish, logger, onStep } = this.#deps;
    const name = shownName(image);
    const subject = { image: name };
    onStep({ kind: "spared", imageId: image.id, name, why, failed });
    publish.publish(ImageSpared, { imageId: image.id, why, failed }, { subject, causes: this.#causes });
    if (failed) logger.warn("image could not be removed", { image: name, err: why });
  }
}

const MAX_EVENT_NAMES = 8;
