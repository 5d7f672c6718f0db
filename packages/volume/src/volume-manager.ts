// SPDX-License-Identifier: Apache-2.0

/**
 * Makes a pod's volumes ready and takes them down again.
 *
 * Owns: `volumes/` below each pod's folder. Reads: the host's files and mounts, which are the only state, so nothing is lost on a crash.
 * Invariants: only volumes that some container mounts are set up; setting up twice changes nothing; taking down never follows a link,
 * never crosses into a mount and never touches a hostPath.
 */
import { HoldfastError } from "@holdfast/core/errors";
import { allContainers } from "@holdfast/core/pod";
import type { Pod, Volume } from "@holdfast/core/pod-types";
import { setUpEmptyDir, tearDownEmptyDirs } from "./empty-dir.ts";
import { setUpHostPath } from "./host-path.ts";
import type { VolumeHost } from "./ports.ts";

/** How a {@link VolumeManager} is made. */
export interface VolumeManagerOptions {
  readonly host: VolumeHost;
  /** Memory of the machine in bytes: the upper bound of an in-memory emptyDir. */
  readonly nodeMemoryBytes: number;
}

/** One volume of a pod, ready to be mounted. */
export interface MountedVolume {
  readonly hostPath: string;
  readonly readOnly: boolean;
}

/** kubelet: VolumeManager, for the volume kinds of this package. */
export class VolumeManager {
  readonly #options: VolumeManagerOptions;

  constructor(options: VolumeManagerOptions) {
    this.#options = options;
  }

  /** Host paths by volume name. Throws VOLUME_HOST_PATH, VOLUME_EMPTY_DIR, VOLUME_UNSUPPORTED, or what the host says, naming the volume. */
  async setUp(pod: Pod, podDir: string): Promise<ReadonlyMap<string, MountedVolume>> {
    const used = new Set(
      allContainers(pod.spec).flatMap(
        (container) => container.volumeMounts?.map((mount) => mount.name) ?? [],
      ),
    );
    const mounted = new Map<string, MountedVolume>();
    for (const volume of pod.spec.volumes ?? []) {
      if (used.has(volume.name))
        mounted.set(volume.name, { hostPath: await this.#setUpOne(pod, volume, podDir), readOnly: false });
    }
    return mounted;
  }

  async tearDown(_podUid: string, podDir: string): Promise<void> {
    await tearDownEmptyDirs(this.#options.host, podDir);
  }

  async #setUpOne(pod: Pod, volume: Volume, podDir: string): Promise<string> {
    const { host, nodeMemoryBytes } = this.#options;
    try {
      if (volume.hostPath !== undefined)
        return await setUpHostPath(host, volume.hostPath.path, volume.hostPath.type);
      if (volume.emptyDir !== undefined)
        return await setUpEmptyDir(host, pod, volume, podDir, nodeMemoryBytes);
    } catch (cause) {
      if (HoldfastError.is(cause))
        throw new HoldfastError(cause.code, cause.kind, `volume ${volume.name}: ${cause.message}`, { cause });
      throw new HoldfastError(
        "VOLUME_SETUP",
        "retryable",
        `volume ${volume.name}: ${(cause as Error).message}`,
        { cause },
      );
    }
    throw new HoldfastError(
      "VOLUME_UNSUPPORTED",
      "bad-input",
      `volume ${volume.name}: only emptyDir and hostPath are supported yet`,
    );
  }
}
