// SPDX-License-Identifier: Apache-2.0

// Manifests and pod sources.
export { computePodUpdates, podDifference } from "./config/compute-pod-updates.ts";
export { ManifestProblemChanged, PodsChanged } from "./config/events.ts";
export type { ManifestProblemData, PodsChangedData } from "./config/events.ts";
export { FilePodSource } from "./config/file-pod-source.ts";
export type { FilePodSourceOptions } from "./config/file-pod-source.ts";
export { isManifestName } from "./config/manifest-name.ts";
export { PodConfig } from "./config/pod-config.ts";
export type { PodConfigOptions, PodUpdateListener } from "./config/pod-config.ts";
export type { PodOperation, PodSource, PodUpdate, SourceSnapshot } from "./config/pod-update.ts";
export type {
  LastGoodManifests,
  ManifestFacts,
  ManifestFolder,
  ManifestHint,
  ManifestWatch,
} from "./config/ports.ts";
export { DEFAULT_MAX_MANIFEST_BYTES } from "./manifest/parse-manifest.ts";
export { formatProblem } from "./manifest/problem.ts";
export type { ManifestProblem, ProblemSeverity } from "./manifest/problem.ts";
export { readManifest } from "./manifest/read-manifest.ts";
export type { ManifestContent, ManifestOrigin, ManifestPod } from "./manifest/read-manifest.ts";
export { validateFiles } from "./manifest/validate-files.ts";
export type { ValidateFilesOptions } from "./manifest/validate-files.ts";
export { FileLastGoodManifests } from "./node/last-good-manifests.ts";
export { NodeManifestFolder, readManifestFile } from "./node/manifest-folder.ts";
