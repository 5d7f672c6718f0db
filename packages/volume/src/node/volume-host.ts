// SPDX-License-Identifier: Apache-2.0

import { execFile } from "node:child_process";
import { chmod, chown, lstat, mkdir, open, readdir, rmdir, stat, unlink } from "node:fs/promises";
import { dirname } from "node:path";
import { HoldfastError } from "@holdfast/core/errors";
import { ignoreMissing } from "@holdfast/core/node";
import type { PathKind, VolumeHost } from "../ports.ts";

const MOUNT_TIMEOUT_MS = 30_000;

/** This machine's files and mounts. */
export const volumeHost: VolumeHost = {
  async kindOf(path): Promise<PathKind> {
    const found = await ignoreMissing(stat(path));
    if (found === undefined) return "missing";
    if (found.isFile()) return "file";
    if (found.isDirectory()) return "directory";
    if (found.isSocket()) return "socket";
    if (found.isCharacterDevice()) return "char-device";
    return found.isBlockDevice() ? "block-device" : "other";
  },
  async makeFolder(path, mode) {
    await mkdir(path, { recursive: true, mode: 0o755 });
    await chmod(path, mode);
  },
  async makeFile(path, mode) {
    await (await open(path, "a", mode)).close();
  },
  async setGroup(path, gid) {
    await chown(path, -1, gid);
    await chmod(path, 0o2777); // the group stays with what is made inside, as the kubelet's setgid does
  },
  async isMountPoint(path) {
    const [self, parent] = await Promise.all([
      ignoreMissing(lstat(path)),
      ignoreMissing(stat(dirname(path))),
    ]);
    return self !== undefined && parent !== undefined && self.dev !== parent.dev;
  },
  async mountTmpfs(path, sizeBytes) {
    const options = [
      `mode=0777`,
      ...(Number.isFinite(sizeBytes) && sizeBytes > 0 ? [`size=${sizeBytes}`] : []),
    ];
    // noswap came with Linux 6.4: without it older kernels refuse.
    await run("mount", ["-t", "tmpfs", "-o", [...options, "noswap"].join(","), "tmpfs", path]).catch(() =>
      run("mount", ["-t", "tmpfs", "-o", options.join(","), "tmpfs", path]),
    );
  },
  async unmount(path) {
    await run("umount", [path]);
  },
  async removeTree(path) {
    const root = await ignoreMissing(lstat(path));
    if (root !== undefined) await removeOn(path, root.dev);
  },
  async list(path) {
    return (await ignoreMissing(readdir(path))) ?? [];
  },
};

async function removeOn(path: string, device: number): Promise<void> {
  const found = await ignoreMissing(lstat(path));
  if (found === undefined) return;
  if (found.dev !== device)
    throw new HoldfastError("VOLUME_BUSY", "retryable", `${path} is a mount point and is not removed`);
  if (!found.isDirectory()) {
    await ignoreMissing(unlink(path));
    return;
  }
  for (const name of await readdir(path)) await removeOn(`${path}/${name}`, device);
  await ignoreMissing(rmdir(path));
}

function run(program: string, args: readonly string[]): Promise<void> {
  return new Promise((resolve, reject) => {
    execFile(program, args, { timeout: MOUNT_TIMEOUT_MS }, (cause, _stdout, stderr) => {
      if (cause === null) resolve();
      else
        reject(
          new HoldfastError(
            "VOLUME_MOUNT",
            "retryable",
            `${program} ${args.join(" ")}: ${stderr.trim() || cause.message}`,
            { cause },
          ),
        );
    });
  });
}
