// SPDX-License-Identifier: Apache-2.0

import { Bus } from "@holdfast/bus";
import type { AnyEnvelope } from "@holdfast/bus";
import { ManualClock } from "@holdfast/core/manual-clock";
import { MetricsRegistry } from "@holdfast/core/metrics";
import { FakeRuntime } from "@holdfast/cri-fake";
import type { FakeImage, FakeRuntimeOptions } from "@holdfast/cri-fake";
import { ImageGcManager, memoryCheckpoint } from "@holdfast/gc";
import type { FilesystemFigures, ImageGcManagerOptions, ImageGcPolicy } from "@holdfast/gc";

export const MINUTE = 60_000;
export const PAUSE: FakeImage = {
  reference: "holdfast.local/pause:1",
  size: 10,
  pinned: true,
  repoDigests: [],
};

export interface ImageWorldOptions {
  /** Bytes by short name; `keep` as the runtime's own pin. */
  readonly images?: Readonly<Record<string, number>>;
  readonly pinned?: readonly string[];
  readonly policy?: Partial<ImageGcPolicy>;
  readonly manager?: Partial<ImageGcManagerOptions>;
  readonly fake?: Partial<FakeRuntimeOptions>;
  readonly clock?: ManualClock;
}

/** Image GC on a fake runtime in virtual time, with a disk whose figures a test sets. Its disposal fails the test when a timer is left. */
export class ImageWorld implements AsyncDisposable {
  readonly clock: ManualClock;
  readonly fake: FakeRuntime;
  readonly bus: Bus;
  readonly metrics = new MetricsRegistry();
  readonly checkpoint = memoryCheckpoint();
  readonly gc: ImageGcManager;
  figures: FilesystemFigures | Error | "hangs" = { capacityBytes: 1000, availableBytes: 600 };
  #seen = 0;
  #made = 0;

  constructor(options: ImageWorldOptions = {}) {
    this.clock = options.clock ?? new ManualClock();
    this.bus = new Bus({ clock: this.clock, ringSize: 4096 });
    const images = Object.entries(options.images ?? {}).map(([name, size]) => ({
      reference: `docker.io/library/${name}:latest`,
      id: idOf(name),
      size,
      pinned: options.pinned?.includes(name) ?? false,
    }));
    this.fake = new FakeRuntime({ clock: this.clock, images: [PAUSE, ...images], ...options.fake });
    this.gc = this.manager(options);
  }

  /** One more manager on the same runtime and checkpoint: the agent after a restart. */
  manager({ policy = {}, manager = {} }: ImageWorldOptions = {}): ImageGcManager {
    return new ImageGcManager({
      runtime: this.fake,
      clock: this.clock,
      checkpoint: this.checkpoint,
      filesystem: () => this.#figures(),
      policy: { images: "all", minAgeMs: 0, ...policy },
      publish: this.bus,
      metrics: this.metrics,
      ...manager,
    });
  }

  /** A container in a sandbox of its own; not started. */
  async create(image: string, labels: Readonly<Record<string, string>> = {}): Promise<string> {
    const name = `pod-${this.#made++}`;
    const sandbox = { metadata: { name, namespace: "default", uid: name, attempt: 0 } };
    const { podSandboxId } = await this.fake.runPodSandbox({ config: sandbox });
    const { containerId } = await this.fake.createContainer({
      podSandboxId,
      sandboxConfig: sandbox,
      config: { metadata: { name: "app", attempt: 0 }, image: { image }, labels: { ...labels } },
    });
    return containerId;
  }

  /** Names of images that are left, without pause. */
  async left(): Promise<string[]> {
    const { images } = await this.fake.listImages({});
    return images.flatMap(({ id }) => (id.startsWith("sha256:image-") ? [nameOf(id)] : [])).sort();
  }

  /** Events since the last time, oldest first. */
  events(type?: string): AnyEnvelope[] {
    const fresh = this.bus.recent().filter(({ seq }) => seq > this.#seen);
    this.#seen = this.bus.lastSeq;
    return type === undefined ? fresh : fresh.filter((event) => event.type === type);
  }

  /** `name rule` of what a plan takes. */
  async going(goal: "thresholds" | "unused" = "thresholds"): Promise<string[]> {
    const { entries } = await this.gc.plan({ goal });
    return entries.flatMap(({ image, verdict, rule }) =>
      verdict === "remove" ? [`${nameOf(image.id)} ${rule}`] : [],
    );
  }

  /** What a plan says of one image. */
  async ruleOf(name: string): Promise<string | undefined> {
    const { entries } = await this.gc.plan();
    return entries.find(({ image }) => image.id === idOf(name))?.rule;
  }

  #figures(): Promise<FilesystemFigures> {
    if (this.figures === "hangs") return new Promise(() => {});
    return this.figures instanceof Error ? Promise.reject(this.figures) : Promise.resolve(this.figures);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.gc.stop();
    await this.clock.settle(4);
    const { held, removing } = this.gc.locks.snapshot();
    if (this.clock.waiting > 0 || held.length > 0 || removing.length > 0)
      throw new Error(
        `left behind: ${this.clock.waiting} timers, holds ${held.join()}, removals ${removing.join()}`,
      );
  }
}

export function idOf(name: string): string {
  return `sha256:image-${name}`;
}

export function nameOf(id: string): string {
  return id.slice("sha256:image-".length);
}
