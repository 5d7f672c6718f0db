// SPDX-License-Identifier: Apache-2.0

import { execFileSync } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync, statfsSync, truncateSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

/** A file system of its own in a file, mounted where a test wants it. Unmounted and removed at the end. */
export class SmallDisk implements Disposable {
  readonly mountpoint: string;
  readonly #dir = mkdtempSync(join(tmpdir(), "holdfast-disk-"));

  constructor(mountpoint: string, bytes: number) {
    this.mountpoint = mountpoint;
    const file = join(this.#dir, "disk.img");
    writeFileSync(file, "");
    truncateSync(file, bytes);
    makeFileSystem(file);
    mkdirSync(mountpoint, { recursive: true });
    execFileSync("mount", ["-o", "loop", file, mountpoint]);
  }

  /** As the kubelet reckons it. */
  usagePercent(): number {
    const { bavail, blocks } = statfsSync(this.mountpoint);
    return 100 - Math.floor((bavail * 100) / blocks);
  }

  [Symbol.dispose](): void {
    try {
      execFileSync("umount", ["-l", this.mountpoint], { stdio: "ignore" });
    } catch {
      // Whoever used it has unmounted it already.
    }
    rmSync(this.#dir, { recursive: true, force: true });
  }
}

/** No blocks for root: what is free is free for all. A bare Debian 13 has no mkfs.ext4; the busybox of the private containerd makes an ext2. */
function makeFileSystem(file: string): void {
  try {
    execFileSync("mkfs.ext4", ["-q", "-F", "-m", "0", file]);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "ENOENT") throw error;
    execFileSync("busybox", ["mke2fs", "-F", "-m", "0", "-I", "256", "-b", "4096", file], {
      stdio: "ignore",
    });
  }
}
