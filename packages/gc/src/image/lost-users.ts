// SPDX-License-Identifier: Apache-2.0

/**
 * Notices who came to use an image in the very moment of its removal. Only others than this agent can: ours hold an image before they use it.
 *
 * Owns: which images were removed lately. A create may be long under way when an image goes, so that no list shows its container yet: removed images are remembered
 * over the next pass, too. Lost on a crash: the story of such a container, not the container.
 */
import type { Publisher } from "@holdfast/bus";
import type { Container } from "@holdfast/cri";
import type { Clock } from "@holdfast/core/clock";
import { errorText } from "@holdfast/core/errors";
import type { Logger } from "@holdfast/core/log";
import { RemovedImageUsed } from "../events.ts";
import { shownName } from "./image-names.ts";
import type { ImageNames } from "./image-names.ts";
import type { ImageReader } from "./image-reader.ts";
import { imageNamesOf, ImageIndex, shownContainer } from "./image-users.ts";

/** Longer than any create lasts, and than the time to the next pass. */
const REMEMBERED_MS = 15 * 60_000;

/** What it works with. */
export interface LostUsersDeps {
  readonly clock: Pick<Clock, "monotonic">;
  readonly reader: ImageReader;
  readonly publish: Publisher;
  readonly logger: Logger;
}

interface Removed {
  readonly image: ImageNames;
  /** Of the event that told of the removal. */
  readonly seq: number;
  readonly at: number;
}

/** See the top of the file. */
export class LostUsers {
  readonly #deps: LostUsersDeps;
  /** By image id, oldest first. */
  readonly #removed = new Map<string, Removed>();
  readonly #told = new Set<string>();

  constructor(deps: LostUsersDeps) {
    this.#deps = deps;
  }

  /** An image was removed, as the event `seq` tells. */
  remember(image: ImageNames, seq: number): void {
    this.#removed.delete(image.id);
    this.#removed.set(image.id, { image, seq, at: this.#deps.clock.monotonic() });
  }

  /** Lists containers, if something was removed lately. Rejects only with the signal's reason. */
  async look(signal: AbortSignal): Promise<void> {
    this.#forgetOld();
    if (this.#removed.size === 0) return;
    try {
      await this.notice(await this.#deps.reader.containers(signal), signal);
    } catch (error) {
      signal.throwIfAborted();
      this.#deps.logger.debug("containers could not be listed after image GC", { err: errorText(error) });
    }
  }

  /** By the surest that a container tells: a tag may have moved to another image since. One that was pulled again is not lost. */
  async notice(containers: readonly Container[], signal: AbortSignal): Promise<void> {
    if (this.#removed.size === 0) return;
    const { logger, publish, reader } = this.#deps;
    const index = new ImageIndex([...this.#removed.values()].map(({ image }) => image));
    for (const container of containers) {
      const [surest = ""] = imageNamesOf(container).filter((name) => name !== "");
      const imageId = index.find([surest]) ?? "";
      const lost = this.#removed.get(imageId);
      if (lost === undefined || this.#told.has(container.id)) continue;
      if ((await reader.image(surest, signal)) !== undefined) continue;
      this.#told.add(container.id);
      const image = shownName(lost.image);
      const message = `${shownContainer(container)} was created with ${image} while image GC removed it: it can be started, but not created again without a pull`;
      logger.warn("removed image is used", { image, containerId: container.id });
      publish.publish(
        RemovedImageUsed,
        { imageId, containerId: container.id, message },
        { subject: { image, containerId: container.id }, causes: [lost.seq] },
      );
    }
  }

  #forgetOld(): void {
    const oldest = this.#deps.clock.monotonic() - REMEMBERED_MS;
    for (const [id, { at }] of this.#removed) {
      if (at > oldest) break;
      this.#removed.delete(id);
    }
    if (this.#removed.size === 0) this.#told.clear();
  }
}
