// SPDX-License-Identifier: Apache-2.0

/** The node's and the runtime's file systems, side by side. */
import { wholeFsStats } from "../compute-stats.ts";
import type { RuntimeFigures, RuntimeFilesystem } from "../cri/runtime-figures.ts";
import type { FilesystemLayout } from "../ports.ts";
import type { FsStats, RuntimeStats } from "../summary.ts";
import { toTime } from "../to-time.ts";
import type { FilesystemFigures, FilesystemReader } from "./filesystem-reader.ts";

/** What of it could be had. */
export interface NodeFilesystems {
  readonly fs: FsStats | undefined;
  readonly runtime: RuntimeStats | undefined;
  readonly layout: FilesystemLayout | undefined;
}

/** What it is read with. `part` gives undefined for what failed, and keeps the reason. */
export interface FilesystemContext {
  readonly filesystems: FilesystemReader;
  readonly runtime: RuntimeFigures | undefined;
  readonly nodeFsPath: string;
  /** Wall milliseconds. */
  readonly now: () => number;
  readonly maxAgeMs: number;
  readonly signal: AbortSignal;
  readonly part: <T>(name: string, work: () => Promise<T>) => Promise<T | undefined>;
}

/** Reads all of them; one that does not answer keeps the others from nothing. kubelet: RootFsStats, ImageFsStats. */
export async function readNodeFilesystems(context: FilesystemContext): Promise<NodeFilesystems> {
  const { filesystems, runtime, nodeFsPath, now, part } = context;
  const [node, used] = await Promise.all([
    part("node.fs", () => filesystems.read(nodeFsPath)),
    runtime === undefined
      ? undefined
      : part("node.runtime", () => runtime.filesystems(context.maxAgeMs, context.signal)),
  ]);
  const [image, container] = await Promise.all([
    wholeOf(context, "node.runtime.imageFs", used?.image),
    wholeOf(context, "node.runtime.containerFs", used?.container),
  ]);
  return {
    fs: node === undefined ? undefined : wholeFsStats(node, toTime(now())),
    runtime:
      used === undefined
        ? undefined
        : {
            ...(used.image !== undefined && { imageFs: withUse(image, used.image, now()) }),
            ...(used.container !== undefined && { containerFs: withUse(container, used.container, now()) }),
          },
    layout: computeLayout(node, image, container),
  };
}

function wholeOf(
  { filesystems, part }: FilesystemContext,
  name: string,
  used: RuntimeFilesystem | undefined,
): Promise<FilesystemFigures | undefined> {
  return used === undefined
    ? Promise.resolve(undefined)
    : part(name, () => filesystems.read(used.mountpoint));
}

/** The runtime's use beside the file system's room. */
function withUse(whole: FilesystemFigures | undefined, used: RuntimeFilesystem, now: number): FsStats {
  const time = toTime(now);
  const room = whole === undefined ? { time } : wholeFsStats(whole, time);
  return {
    ...room,
    ...(used.usedBytes !== undefined && { usedBytes: used.usedBytes }),
    ...(used.inodesUsed !== undefined && { inodesUsed: used.inodesUsed }),
  };
}

/** Which of them are the same; undefined while one is not known. kubelet: HasDedicatedImageFs. */
export function computeLayout(
  node: { readonly device: number } | undefined,
  image: { readonly device: number } | undefined,
  container: { readonly device: number } | undefined,
): FilesystemLayout | undefined {
  if (node === undefined || image === undefined || container === undefined) return undefined;
  return {
    dedicatedImageFs: image.device !== node.device,
    splitContainerFs: container.device !== image.device,
  };
}
