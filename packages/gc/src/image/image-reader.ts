// SPDX-License-Identifier: Apache-2.0

/**
 * Asks the runtime which images there are, who uses them, and which ones sandboxes are made of.
 *
 * Owns: what containers mount, which never changes, and labels of images; both bounded by what is listed. Invariants: containers of every owner are seen; every
 * call has a deadline. Lost on a crash: nothing, it is asked again.
 */
import type { Container, Image } from "@holdfast/cri";
import { PodSandboxState } from "@holdfast/cri";
import type { Clock } from "@holdfast/core/clock";
import { HoldfastError, isNotFound } from "@holdfast/core/errors";
import { withDeadline } from "@holdfast/core/lifecycle";
import { Limiter } from "@holdfast/core/limiter";
import type { FilesystemFigures, ImageGcRuntime, ReadFilesystem } from "../ports.ts";
import type { GcImage, ImageUser } from "./image-gc-facts.ts";
import { computeImageUsers, ImageIndex } from "./image-users.ts";
import { imageLabelsIn, sandboxImagesIn } from "./verbose-info.ts";

const LIST_DEADLINE_MS = 60_000;
const STATUS_DEADLINE_MS = 10_000;
const FILESYSTEM_DEADLINE_MS = 10_000;
const PARALLEL_STATUS_CALLS = 8;

/** How an {@link ImageReader} is made. */
export interface ImageReaderOptions {
  readonly runtime: ImageGcRuntime;
  readonly clock: Clock;
  readonly filesystem: ReadFilesystem;
  /** Names of images that sandboxes are made of, besides those that the runtime tells. */
  readonly sandboxImages: readonly string[];
  /** Whether containers are asked for images that they mount as volumes. */
  readonly imageVolumes: boolean;
}

/** Who uses images. */
export interface ImageUsers {
  readonly users: ReadonlyMap<string, readonly ImageUser[]>;
  readonly containers: readonly Container[];
  /** Containers whose mounts could not be read. */
  readonly unreadable: readonly string[];
}

/** The file system with the images. */
export interface ImageFilesystem {
  readonly figures: FilesystemFigures;
  /** What unpacked images and containers' own layers take there; 0 when the runtime does not tell. */
  readonly unpackedBytes: number;
}

/** See the top of the file. */
export class ImageReader {
  readonly #options: ImageReaderOptions;
  readonly #limiter: Limiter;
  /** By container: images that it mounts. */
  readonly #mounts = new Map<string, readonly string[]>();
  readonly #labels = new Map<string, Readonly<Record<string, string>>>();

  constructor(options: ImageReaderOptions) {
    this.#options = options;
    this.#limiter = new Limiter({
      clock: options.clock,
      limit: PARALLEL_STATUS_CALLS,
      releaseAfterMs: STATUS_DEADLINE_MS,
    });
  }

  /** All images, with labels where they are asked for. */
  async images(signal: AbortSignal, options: { readonly labels: boolean }): Promise<readonly GcImage[]> {
    const { images } = await this.#options.runtime.listImages({}, { signal, deadlineMs: LIST_DEADLINE_MS });
    const plain = mergedById(images.map(toGcImage));
    return options.labels ? Promise.all(plain.map((image) => this.#withLabels(image, signal))) : plain;
  }

  /** One image as it is now; undefined when it is gone. */
  async image(id: string, signal: AbortSignal): Promise<GcImage | undefined> {
    const { image } = await this.#options.runtime.imageStatus(
      { image: { image: id } },
      { signal, deadlineMs: STATUS_DEADLINE_MS },
    );
    return image === undefined ? undefined : toGcImage(image);
  }

  /** Containers of every owner. */
  async containers(signal: AbortSignal): Promise<readonly Container[]> {
    const options = { signal, deadlineMs: LIST_DEADLINE_MS };
    return (await this.#options.runtime.listContainers({}, options)).containers;
  }

  /** Who uses these images. A container whose mounts cannot be read is named, and fails nothing. */
  async users(images: readonly GcImage[], signal: AbortSignal): Promise<ImageUsers> {
    const containers = await this.containers(signal);
    const unreadable = this.#options.imageVolumes ? await this.#readMounts(containers, signal) : [];
    const users = computeImageUsers(images, containers, (id) => this.#mounts.get(id) ?? []);
    return { users, containers, unreadable };
  }

  /** Ids of images that sandboxes are made of: as configured, as Status tells, as the newest ready sandbox shows. */
  async sandboxImages(images: readonly GcImage[], signal: AbortSignal): Promise<ReadonlySet<string>> {
    const names = [...this.#options.sandboxImages, ...(await this.#namedByRuntime(signal))];
    const index = new ImageIndex(images);
    return new Set(names.flatMap((name) => index.find([name]) ?? []));
  }

  /** Figures of the file system with the images. Rejects with `GC_FILESYSTEM`. kubelet: ImageFsStats. */
  async filesystem(signal: AbortSignal): Promise<ImageFilesystem> {
    const { clock, filesystem, runtime } = this.#options;
    const { imageFilesystems } = await runtime.imageFsInfo({}, { signal, deadlineMs: STATUS_DEADLINE_MS });
    const mountpoint = imageFilesystems[0]?.fsId?.mountpoint ?? "";
    if (mountpoint === "")
      throw new HoldfastError("GC_FILESYSTEM", "retryable", "the runtime names no image filesystem");
    try {
      const what = `reading the figures of ${mountpoint}`;
      const figures = await withDeadline(clock, FILESYSTEM_DEADLINE_MS, what, filesystem(mountpoint));
      return { figures, unpackedBytes: Number(imageFilesystems[0]?.usedBytes?.value ?? 0n) };
    } catch (cause) {
      throw new HoldfastError("GC_FILESYSTEM", "retryable", `no figures of ${mountpoint}`, { cause });
    }
  }

  /** What containers have written into their own layers, which lie among the unpacked images; 0 when the runtime does not tell. */
  async writableBytes(signal: AbortSignal): Promise<number> {
    const { runtime } = this.#options;
    if (runtime.listContainerStats === undefined) return 0;
    try {
      const { stats } = await runtime.listContainerStats({}, { signal, deadlineMs: LIST_DEADLINE_MS });
      return stats.reduce((sum, { writableLayer }) => sum + Number(writableLayer?.usedBytes?.value ?? 0n), 0);
    } catch {
      signal.throwIfAborted();
      return 0; // then images seem to take a little more than they do
    }
  }

  async #withLabels(image: GcImage, signal: AbortSignal): Promise<GcImage> {
    const known = this.#labels.get(image.id);
    if (known !== undefined) return { ...image, labels: known };
    try {
      const { info } = await this.#limiter.run(() =>
        this.#options.runtime.imageStatus(
          { image: { image: image.id }, verbose: true },
          { signal, deadlineMs: STATUS_DEADLINE_MS },
        ),
      );
      const labels = imageLabelsIn(info);
      if (labels === undefined) return image;
      if (this.#labels.size >= MAX_LABELLED) this.#labels.clear();
      this.#labels.set(image.id, labels);
      return { ...image, labels };
    } catch {
      signal.throwIfAborted();
      return image; // not known: a rule that asks for labels keeps it
    }
  }

  async #namedByRuntime(signal: AbortSignal): Promise<readonly string[]> {
    const { runtime } = this.#options;
    const options = { signal, deadlineMs: STATUS_DEADLINE_MS };
    const { info } = await runtime.status({ verbose: true }, options);
    const told = sandboxImagesIn(info);
    const filter = { state: { state: PodSandboxState.SANDBOX_READY } };
    const { items } = await runtime.listPodSandbox({ filter }, { signal, deadlineMs: LIST_DEADLINE_MS });
    const newest = items.reduce<(typeof items)[number] | undefined>(
      (best, one) => (best === undefined || one.createdAt > best.createdAt ? one : best),
      undefined,
    );
    if (newest === undefined) return told;
    try {
      const { info: about } = await runtime.podSandboxStatus(
        { podSandboxId: newest.id, verbose: true },
        options,
      );
      return [...told, ...sandboxImagesIn(about)];
    } catch {
      signal.throwIfAborted();
      return told; // just gone, or hung: what Status told must do
    }
  }

  /** kubelet: one ContainerStatus per container at each detection; here one in its life. Returns those that could not be read. */
  async #readMounts(containers: readonly Container[], signal: AbortSignal): Promise<readonly string[]> {
    const listed = new Set(containers.map(({ id }) => id));
    for (const id of this.#mounts.keys()) if (!listed.has(id)) this.#mounts.delete(id);
    const unreadable: string[] = [];
    const read = async (id: string): Promise<void> => {
      try {
        const { status } = await this.#options.runtime.containerStatus(
          { containerId: id },
          { signal, deadlineMs: STATUS_DEADLINE_MS },
        );
        if (status === undefined) unreadable.push(id);
        else
          this.#mounts.set(
            id,
            status.mounts.flatMap(({ image }) => image?.image ?? []),
          );
      } catch (error) {
        signal.throwIfAborted();
        if (!isNotFound(error)) unreadable.push(id);
      }
    };
    const fresh = [...listed].filter((id) => !this.#mounts.has(id));
    await Promise.all(fresh.map((id) => this.#limiter.run(() => read(id), { signal })));
    return unreadable;
  }
}

/** More images than these with labels that were asked for are asked again. */
const MAX_LABELLED = 10_000;

/** A runtime may list an image once for each of its handlers (RuntimeClassInImageCriAPI): it is removed by its id all the same, so a pin of one holds for all. */
function mergedById(images: readonly GcImage[]): readonly GcImage[] {
  const byId = new Map<string, GcImage>();
  for (const image of images) {
    const other = byId.get(image.id);
    byId.set(image.id, other === undefined ? image : { ...image, pinned: image.pinned || other.pinned });
  }
  return byId.size === images.length ? images : [...byId.values()];
}

function toGcImage({ id, repoTags, repoDigests, size, pinned }: Image): GcImage {
  return { id, repoTags, repoDigests, sizeBytes: Number(size), pinned };
}
