// SPDX-License-Identifier: Apache-2.0

/**
 * Images of containers: present, pulled, or waited for.
 *
 * Owns: the pull back-off and a bounded cache of what the runtime said of an image last. Reads: the runtime's image service. Invariants: under
 * IfNotPresent or Never a restart may use the cache, and a first start what is not older than two seconds: a hundred pods of one image ask once. It is
 * renewed after a restart and dropped when a create fails. Lost on a crash: all of it, it is asked again. kubelet: pkg/kubelet/images.
 */
import type { Image } from "@holdfast/cri";
import { Backoff } from "@holdfast/core/backoff";
import type { Clock } from "@holdfast/core/clock";
import { formatDuration } from "@holdfast/core/duration";
import { errorText } from "@holdfast/core/errors";
import { Limiter } from "@holdfast/core/limiter";
import type { Container, Pod, PullPolicy } from "@holdfast/core/pod-types";
import type { ImageUse, PodRuntime } from "../ports.ts";
import { sandboxAnnotations } from "./container-labels.ts";
import { BackOffEvent, Pulled, PullFailed, Pulling } from "./events.ts";
import type { EventText } from "./events.ts";
import { applyDefaultImageTag, pullPolicy } from "./image-name.ts";
import { containerFieldPath } from "./pod-recorder.ts";
import type { PodRecorder } from "./pod-recorder.ts";
import type { ImageUser } from "./security-context.ts";
import { PodSyncError } from "./sync-error.ts";
import type { SyncReason } from "./sync-error.ts";

const BACKOFF_INITIAL_MS = 10_000;
const BACKOFF_MAX_MS = 300_000;
const CACHE_SIZE = 512;
/** An answer of this age will do for another container's first start; should the image be gone, the create fails and it is asked again. */
const FRESH_MS = 2000;
/** A pull older than this lets the next one begin: one dead registry must not hold up the others. */
const RELEASE_AFTER_MS = 60_000;
const DEFAULT_PULL_DEADLINE_MS = 30 * 60_000;

/** How an {@link ImageManager} is made. */
export interface ImageManagerOptions {
  readonly runtime: Pick<PodRuntime, "imageStatus" | "pullImage">;
  readonly clock: Clock;
  /** Default 1. kubelet: maxParallelImagePulls. */
  readonly maxParallelPulls?: number;
  /** Default 30 min. */
  readonly pullDeadlineMs?: number;
  /** Told of every pull that succeeded. */
  readonly use?: Pick<ImageUse, "imagePulled">;
}

/** What a create needs to know of an image. */
export interface KnownImage {
  readonly id: string;
  readonly user: ImageUser;
}

/** One question for an image. */
export interface EnsureImageRequest {
  readonly pod: Pod;
  readonly container: Container;
  readonly recorder: PodRecorder;
  readonly signal: AbortSignal;
  /** The container ran before: what is known of its image will do. */
  readonly restart: boolean;
}

/** kubelet: imageManager. */
export class ImageManager {
  readonly #options: ImageManagerOptions;
  readonly #pulls: Limiter;
  readonly #backoff: Backoff;
  /** Last failure by back-off key: "reason: message". */
  readonly #failures = new Map<string, string>();
  readonly #known = new Map<string, { readonly image: KnownImage; readonly askedAt: number }>();

  constructor(options: ImageManagerOptions) {
    this.#options = options;
    const { clock, maxParallelPulls = 1 } = options;
    this.#pulls = new Limiter({ clock, limit: maxParallelPulls, releaseAfterMs: RELEASE_AFTER_MS });
    this.#backoff = new Backoff({
      clock,
      initialMs: BACKOFF_INITIAL_MS,
      maxMs: BACKOFF_MAX_MS,
      forgetAfterMs: 2 * BACKOFF_MAX_MS,
    });
  }

  /** Throws a {@link PodSyncError} with the container's waiting reason. kubelet: EnsureImageExists. */
  async ensureImageExists(request: EnsureImageRequest): Promise<KnownImage> {
    const { container } = request;
    let image: string;
    try {
      image = applyDefaultImageTag(container.image);
    } catch (error) {
      throw this.#refused(request, container.image, "InvalidImageName", errorText(error), {
        eventType: "Warning",
        reason: "InspectFailed",
        message: errorText(error),
      });
    }
    const policy = pullPolicy(container);
    const known = policy === "Always" ? undefined : this.#known.get(image);
    if (known !== undefined && request.restart) return known.image;
    if (known !== undefined && this.#options.clock.monotonic() - known.askedAt < FRESH_MS)
      return this.#present(request, known.image);
    const present = await this.#inspect(request, image);
    if (present !== undefined && policy !== "Always") {
      this.#keep(image, present);
      return this.#present(request, present);
    }
    this.#refuseNever(request, image, policy);
    return this.#pull(request, image);
  }

  /** A create failed and the image may be why: ask again next time. */
  invalidate(container: Container): void {
    this.#known.delete(withTag(container.image));
  }

  /** Asks again after a start that was made with what was known. Failures are of no consequence: the entry goes. */
  async refresh(container: Container, signal: AbortSignal): Promise<void> {
    const image = withTag(container.image);
    if (!this.#known.delete(image)) return;
    try {
      const { image: found } = await this.#options.runtime.imageStatus({ image: { image } }, { signal });
      if (found !== undefined) this.#keep(image, toKnown(found));
    } catch {
      // The entry is gone: the next start asks.
    }
  }

  /** Somebody wants the next pull now: its wait begins anew. Whether there was anything to forgive. */
  retry(uid: string, { image }: Container): boolean {
    const key = `${uid}_${withTag(image)}`;
    this.#backoff.reset(key);
    return this.#failures.delete(key);
  }

  /** The pod is gone. */
  forget(uid: string): void {
    for (const key of this.#failures.keys()) {
      if (!key.startsWith(`${uid}_`)) continue;
      this.#failures.delete(key);
      this.#backoff.reset(key);
    }
  }

  async #inspect(request: EnsureImageRequest, image: string): Promise<KnownImage | undefined> {
    const { runtime } = this.#options;
    try {
      const answer = await runtime.imageStatus(
        { image: { image, annotations: sandboxAnnotations(request.pod) } },
        { signal: request.signal },
      );
      if (answer.image === undefined) this.#known.delete(image);
      return answer.image === undefined ? undefined : toKnown(answer.image);
    } catch (error) {
      request.signal.throwIfAborted();
      const message = `Failed to inspect image "${image}": ${errorText(error)}`;
      throw this.#refused(
        request,
        image,
        "ImageInspectError",
        message,
        { eventType: "Warning", reason: "InspectFailed", message },
        error,
      );
    }
  }

  #present(request: EnsureImageRequest, known: KnownImage): KnownImage {
    const image = applyDefaultImageTag(request.container.image);
    const message = `Container image "${request.container.image}" already present on machine and can be accessed by the pod`;
    this.#emit(request, image, Pulled, { eventType: "Normal", reason: "Pulled", message, imageId: known.id });
    return known;
  }

  #refuseNever(request: EnsureImageRequest, image: string, policy: PullPolicy): void {
    if (policy !== "Never") return;
    const message = `Container image "${image}" is not present with pull policy of Never`;
    throw this.#refused(request, image, "ErrImageNeverPull", message, {
      eventType: "Warning",
      reason: "ErrImageNeverPull",
      message,
    });
  }

  async #pull(request: EnsureImageRequest, image: string): Promise<KnownImage> {
    const { clock } = this.#options;
    const key = `${request.pod.metadata.uid}_${image}`;
    this.#refuseBackOff(request, image, key);
    const after = this.#emit(request, image, Pulling, {
      eventType: "Normal",
      reason: "Pulling",
      message: `Pulling image "${image}"`,
    });
    const asked = clock.monotonic();
    let begun = asked;
    try {
      const found = await this.#pulls.run(
        () => {
          begun = clock.monotonic();
          return this.#pullNow(request, image);
        },
        { signal: request.signal },
      );
      const done = clock.monotonic();
      const took = `${formatDuration(Math.round(done - begun))} (${formatDuration(Math.round(done - asked))} including waiting)`;
      const message = `Successfully pulled image "${image}" in ${took}. Image size: ${found.size} bytes.`;
      this.#emit(
        request,
        image,
        Pulled,
        { eventType: "Normal", reason: "Pulled", message, imageId: found.known.id },
        after,
      );
      this.#backoff.gc();
      this.#failures.delete(key);
      this.#keep(image, found.known);
      this.#options.use?.imagePulled(found.known.id, begun);
      return found.known;
    } catch (error) {
      request.signal.throwIfAborted();
      throw this.#pullFailed(request, image, key, error, after);
    }
  }

  async #pullNow(
    { pod, signal }: EnsureImageRequest,
    image: string,
  ): Promise<{ readonly known: KnownImage; readonly size: bigint }> {
    const { runtime, pullDeadlineMs = DEFAULT_PULL_DEADLINE_MS } = this.#options;
    const { imageRef } = await runtime.pullImage(
      { image: { image, annotations: sandboxAnnotations(pod) } },
      { signal, deadlineMs: pullDeadlineMs },
    );
    const { image: found } = await runtime.imageStatus({ image: { image: imageRef } }, { signal });
    return found === undefined
      ? { known: { id: imageRef, user: { uid: undefined, username: "" } }, size: 0n }
      : { known: toKnown(found), size: found.size };
  }

  #refuseBackOff(request: EnsureImageRequest, image: string, key: string): void {
    const entry = this.#backoff.entries().get(key);
    if (entry === undefined) return;
    const remainingMs = this.#backoff.remainingMs(key, entry.updatedAt);
    if (remainingMs === 0) return;
    const message = `Back-off pulling image "${image}"`;
    request.recorder.emit(
      BackOffEvent,
      {
        eventType: "Normal",
        reason: "BackOff",
        message,
        waiting: "ImagePullBackOff",
        remainingMs,
        fieldPath: containerFieldPath(request.pod, request.container.name),
      },
      { container: request.container.name, image },
    );
    const before = this.#failures.get(key);
    throw new PodSyncError("ImagePullBackOff", before === undefined ? message : `${message}: ${before}`, {
      comeBackAt: entry.updatedAt + entry.delayMs,
      announced: true,
    });
  }

  #pullFailed(
    request: EnsureImageRequest,
    image: string,
    key: string,
    error: unknown,
    after: number,
  ): PodSyncError {
    const { clock } = this.#options;
    const { reason, text } = pullReason(errorText(error), image);
    const now = clock.monotonic();
    const delayMs = this.#backoff.next(key, now);
    this.#failures.set(key, `${reason}: ${text}`);
    const oldest = this.#failures.keys().next().value;
    if (this.#failures.size > CACHE_SIZE && oldest !== undefined) this.#failures.delete(oldest);
    const message = `Failed to pull image "${image}": ${text}`;
    this.#emit(request, image, PullFailed, { eventType: "Warning", reason: "Failed", message }, after);
    return new PodSyncError(reason, text, { cause: error, comeBackAt: now + delayMs });
  }

  #refused(
    request: EnsureImageRequest,
    image: string,
    reason: SyncReason,
    message: string,
    event: EventText,
    cause?: unknown,
  ): PodSyncError {
    this.#emit(request, image, PullFailed, event);
    return new PodSyncError(reason, message, cause === undefined ? {} : { cause });
  }

  #emit<Data extends EventText & { readonly image: string }>(
    { pod, container, recorder }: EnsureImageRequest,
    image: string,
    type: Parameters<typeof recorder.emit<Data>>[0],
    event: Omit<Data, "image" | "fieldPath">,
    after?: number,
  ): number {
    const data = { ...event, image, fieldPath: containerFieldPath(pod, container.name) } as Data;
    const about = { container: container.name, image };
    return recorder.emit<Data>(type, data, after === undefined ? about : { ...about, after });
  }

  #keep(image: string, known: KnownImage): void {
    this.#known.delete(image);
    this.#known.set(image, { image: known, askedAt: this.#options.clock.monotonic() });
    const oldest = this.#known.keys().next().value;
    if (this.#known.size > CACHE_SIZE && oldest !== undefined) this.#known.delete(oldest);
  }
}

/** The cache's key; what is no name was never kept. */
function withTag(image: string): string {
  try {
    return applyDefaultImageTag(image);
  } catch {
    return image;
  }
}

function toKnown({ id, uid, username }: Image): KnownImage {
  return { id, user: { uid: uid?.value, username } };
}

/** kubelet: evalCRIPullErr. */
function pullReason(text: string, image: string): { readonly reason: SyncReason; readonly text: string } {
  if (text.includes("RegistryUnavailable"))
    return {
      reason: "RegistryUnavailable",
      text: `image pull failed for ${image} because the registry is unavailable: ${text}`,
    };
  if (text.includes("SignatureValidationFailed"))
    return {
      reason: "SignatureValidationFailed",
      text: `image pull failed for ${image} because the signature validation failed: ${text}`,
    };
  return { reason: "ErrImagePull", text };
}
