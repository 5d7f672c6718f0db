// SPDX-License-Identifier: Apache-2.0

import { systemClock } from "@holdfast/core/node";
import { createCriClient } from "@holdfast/cri";
import type { CriClient } from "@holdfast/cri";
import { ImageGcManager } from "../image/image-gc-manager.ts";
import type { ImageGcManagerOptions } from "../image/image-gc-options.ts";
import { readContainerdBlob } from "./node-blobs.ts";
import { readNodeFilesystem } from "./node-filesystem.ts";

/** How {@link nodeImageGc} is called: the runtime's socket, and whatever of an `ImageGcManager` shall be other than here. */
export interface NodeImageGcOptions extends Partial<Omit<ImageGcManagerOptions, "runtime">> {
  /** Default `unix:///run/containerd/containerd.sock`. */
  readonly endpoint?: string;
}

/** With a connection of its own, which ends with it. */
class ConnectedImageGc extends ImageGcManager {
  readonly #client: CriClient;

  constructor(client: CriClient, options: Omit<ImageGcManagerOptions, "runtime">) {
    super({ ...options, runtime: client });
    this.#client = client;
  }

  override async [Symbol.asyncDispose](): Promise<void> {
    try {
      await super[Symbol.asyncDispose]();
    } finally {
      await this.#client[Symbol.asyncDispose]();
    }
  }
}

/**
 * Image GC of a runtime on this machine, all ports filled: the system's clock, statfs, containerd's manifests. Nothing is asked before its first call, and
 * nothing is removed but by `collect`, `deleteUnusedImages` and, once started, in each period. `await using`, or `[Symbol.asyncDispose]()`, also ends its
 * connection. Throws `GC_OPTIONS` on a policy that makes no sense.
 */
export function nodeImageGc({
  endpoint = "unix:///run/containerd/containerd.sock",
  ...options
}: NodeImageGcOptions = {}): ImageGcManager {
  const clock = options.clock ?? systemClock;
  return new ConnectedImageGc(createCriClient({ endpoint, clock }), {
    filesystem: readNodeFilesystem,
    readBlob: readContainerdBlob,
    ...options,
    clock,
  });
}
