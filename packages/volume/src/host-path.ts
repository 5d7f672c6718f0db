// SPDX-License-Identifier: Apache-2.0

import { HoldfastError } from "@holdfast/core/errors";
import type { HostPathType } from "@holdfast/core/pod-types";
import type { PathKind, VolumeHost } from "./ports.ts";

const NOUN: Readonly<Record<string, readonly [PathKind, string]>> = {
  DirectoryOrCreate: ["directory", "directory"],
  Directory: ["directory", "directory"],
  FileOrCreate: ["file", "file"],
  File: ["file", "file"],
  Socket: ["socket", "socket file"],
  CharDevice: ["char-device", "character device"],
  BlockDevice: ["block-device", "block device"],
};

/** Checks a hostPath as its type says and makes it where the type says so. kubelet: hostpath.checkType. Throws VOLUME_HOST_PATH. */
export async function setUpHostPath(
  host: VolumeHost,
  path: string,
  type: HostPathType = "",
): Promise<string> {
  if (path.split("/").includes(".."))
    throw new HoldfastError("VOLUME_HOST_PATH", "bad-input", `hostPath ${path} must not contain ".."`);
  if (type === "") return path;
  const wanted = NOUN[type];
  if (wanted === undefined)
    throw new HoldfastError(
      "VOLUME_HOST_PATH",
      "bad-input",
      `hostPath type ${String(type)} is an invalid volume type`,
    );
  const kind = await host.kindOf(path);
  if (kind === "missing" && type === "DirectoryOrCreate") await host.makeFolder(path, 0o755);
  else if (kind === "missing" && type === "FileOrCreate") await host.makeFile(path, 0o644);
  // The path may appear or change: retryable.
  else if (kind !== wanted[0])
    throw new HoldfastError(
      "VOLUME_HOST_PATH",
      "retryable",
      `hostPath type check failed: ${path} is not a ${wanted[1]}`,
    );
  return path;
}
