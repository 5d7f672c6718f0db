// SPDX-License-Identifier: Apache-2.0

import type { Pod, PodSpec } from "@holdfast/core/pod-types";

/** Absent or of the right type: what the check of fields leaves of a `T`. */
export type Loose<T> = { readonly [K in keyof T]?: T[K] };

/** A pod as it was written: no defaults, perhaps no namespace and no UID. */
export interface WrittenPod {
  readonly metadata: Loose<Pod["metadata"]> & { readonly name: string };
  readonly spec: PodSpec;
}

/** What validation knows of the node. */
export interface ValidateOptions {
  /** Part of static pods' names. Without it only the manifest's own name is checked. */
  readonly nodeName?: string;
  /** As in `ManifestOrigin`. */
  readonly evictable?: boolean;
}
