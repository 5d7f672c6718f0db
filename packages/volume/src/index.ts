// SPDX-License-Identifier: Apache-2.0

export { VolumeManager } from "./volume-manager.ts";
export type { MountedVolume, VolumeManagerOptions } from "./volume-manager.ts";
export { computeEmptyDirMemorySize, EMPTY_DIR_FOLDER } from "./empty-dir.ts";
export type { PathKind, VolumeHost } from "./ports.ts";
export { volumeHost } from "./node/volume-host.ts";
