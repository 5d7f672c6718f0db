// SPDX-License-Identifier: Apache-2.0

import type { Pod } from "@holdfast/core/pod-types";

/** Where pods come from. kubelet: FileSource, HTTPSource, ApiserverSource. */
export type PodSource = "file" | "http" | "api";

/** kubelet: PodOperation. */
export type PodOperation = "ADD" | "UPDATE" | "DELETE" | "REMOVE" | "RECONCILE";

/** One kind of change to pods of one source. kubelet: PodUpdate. */
export interface PodUpdate {
  readonly op: PodOperation;
  readonly pods: readonly Pod[];
  readonly source: PodSource;
}

/** Everything that a source wants to run, each time. */
export interface SourceSnapshot {
  readonly source: PodSource;
  readonly pods: readonly Pod[];
  /** Whether the source has seen its whole input once. Never goes back to false. */
  readonly ready: boolean;
  /** Inputs whose pods are not known (a file that cannot be read and never could): a pod without a manifest may belong to one of these. */
  readonly unknown: readonly string[];
}
