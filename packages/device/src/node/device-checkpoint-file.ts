// SPDX-License-Identifier: Apache-2.0

import { randomBytes } from "node:crypto";
import { mkdir, open, readFile, rename, rm } from "node:fs/promises";
import { dirname, join } from "node:path";
import type { DeviceCheckpoint } from "../ports.ts";

/** kubelet: kubeletDeviceManagerCheckpoint, in the plugin folder. */
export const DEVICE_CHECKPOINT_NAME = "kubelet_internal_checkpoint";

/** A checkpoint in a file: a hidden file beside it, fsync, rename. A damaged file stays until the first write. */
export function fileDeviceCheckpoint(path: string): DeviceCheckpoint {
  return {
    async read() {
      try {
        return await readFile(path, "utf8");
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code === "ENOENT") return undefined;
        throw error;
      }
    },
    async write(text) {
      const folder = dirname(path);
      await mkdir(folder, { recursive: true, mode: 0o750 });
      const hidden = join(folder, `.${randomBytes(6).toString("hex")}.tmp`);
      try {
        const file = await open(hidden, "wx", 0o600);
        try {
          await file.writeFile(text);
          await file.sync();
        } finally {
          await file.close();
        }
        await rename(hidden, path);
      } catch (error) {
        await rm(hidden, { force: true });
        throw error;
      }
    },
  };
}
