// SPDX-License-Identifier: Apache-2.0

import { constants } from "node:fs";
import { open } from "node:fs/promises";
import { dirname } from "node:path";

/** kubelet and registries refuse larger manifests, too. */
const MAX_BLOB_BYTES = 4 * 1024 * 1024;

/**
 * Reads a manifest from containerd's content store, which lies beside the folder of its snapshots: `ROOT/io.containerd.snapshotter.v1.overlayfs` is what the CRI
 * tells as the image file system, `ROOT/io.containerd.content.v1.content` holds the blobs. Undefined where there is no such blob, as with other runtimes.
 */
export async function readContainerdBlob(mountpoint: string, digest: string): Promise<string | undefined> {
  const [, algorithm = "", hex = ""] = /^(sha256|sha512):([0-9a-f]{64,128})$/.exec(digest) ?? [];
  if (hex === "") return undefined;
  const path = `${dirname(mountpoint)}/io.containerd.content.v1.content/blobs/${algorithm}/${hex}`;
  try {
    await using file = await open(path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
    const facts = await file.stat();
    return facts.isFile() && facts.size <= MAX_BLOB_BYTES ? await file.readFile("utf8") : undefined;
  } catch {
    return undefined; // removed meanwhile, not readable, or another runtime: sizes are reckoned
  }
}
