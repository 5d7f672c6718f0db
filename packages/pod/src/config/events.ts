// SPDX-License-Identifier: Apache-2.0

import { defineEvent } from "@holdfast/bus";
import type { EventType } from "@holdfast/bus";
import type { PodSource } from "./pod-update.ts";

/** How many pods of a source changed. Read {@link PodConfig.pods}. */
export interface PodsChangedData {
  readonly source: PodSource;
  readonly added: number;
  readonly updated: number;
  readonly removed: number;
}

/** The desired pods of a source changed. */
export const PodsChanged: EventType<PodsChangedData, "pod/PodsChanged"> =
  defineEvent<PodsChangedData>()("pod/PodsChanged");

/** What is wrong with one manifest now. Read {@link FilePodSource.problems}. */
export interface ManifestProblemData {
  /** The file's path, or the folder's. */
  readonly path: string;
  readonly errors: number;
  readonly warnings: number;
  /** The first error, else the first warning: `spec.x: reason`. Undefined when all is well again. */
  readonly first: string | undefined;
}

/** Problems of a manifest appeared, changed or are gone. */
export const ManifestProblemChanged: EventType<ManifestProblemData, "pod/ManifestProblemChanged"> =
  defineEvent<ManifestProblemData>()("pod/ManifestProblemChanged");
