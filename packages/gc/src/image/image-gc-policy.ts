// SPDX-License-Identifier: Apache-2.0

import { optionsError } from "../errors.ts";

/** Images that always stay. Everything that is given must hold. */
export interface ImageKeepRule {
  /** A glob on any tag or digest, as the image is named or short: `docker.io/library/postgres:*`, `registry.local/*`. */
  readonly reference?: string;
  /** The image's id or one of its digests: `sha256:…`. */
  readonly digest?: string;
  /** A label of the image's configuration: `KEY`, or `KEY=VALUE`. */
  readonly label?: string;
  /** At least so big: costly to pull again. */
  readonly minSizeBytes?: number;
  /** At most so big: not worth removing. */
  readonly maxSizeBytes?: number;
  /** Shown in the plan beside the rule. */
  readonly why?: string;
}

/** When images go. Milliseconds. */
export interface ImageGcPolicy {
  /** Above or at this usage, space is freed. kubelet: imageGCHighThresholdPercent. */
  readonly highThresholdPercent: number;
  /** Down to this usage. kubelet: imageGCLowThresholdPercent. */
  readonly lowThresholdPercent: number;
  /** Younger images stay, from when they were first seen. kubelet: imageMinimumGCAge. */
  readonly minAgeMs: number;
  /** Images that nobody used for longer go whatever the usage is; 0 is never. kubelet: imageMaximumGCAge. */
  readonly maxAgeMs: number;
  /** `ours`: only images that were pulled or imported by this agent go. `all`: everybody's, as the kubelet does. */
  readonly images: "ours" | "all";
  /**
   * What an image counts for when space is freed. `reported`: its packed size, as the kubelet counts. `disk`: about what it takes on the disk, packed and unpacked, so
   * that no more images go than are needed.
   */
  readonly amounts: "reported" | "disk";
  readonly keep: readonly ImageKeepRule[];
}

/** The kubelet's values, but for `images`. */
export const DEFAULT_IMAGE_GC_POLICY: ImageGcPolicy = {
  highThresholdPercent: 85,
  lowThresholdPercent: 80,
  minAgeMs: 2 * 60_000,
  maxAgeMs: 0,
  images: "ours",
  amounts: "reported",
  keep: [],
};

/** Fills in defaults. Throws `GC_OPTIONS` with every problem. kubelet: NewImageGCManager. */
export function resolveImageGcPolicy(given: Partial<ImageGcPolicy> = {}): ImageGcPolicy {
  const policy = { ...DEFAULT_IMAGE_GC_POLICY, ...given };
  const { highThresholdPercent: high, lowThresholdPercent: low, minAgeMs, maxAgeMs } = policy;
  const problems: string[] = [];
  if (!isPercent(high)) problems.push(`invalid HighThresholdPercent ${high}, must be in range [0-100]`);
  if (!isPercent(low)) problems.push(`invalid LowThresholdPercent ${low}, must be in range [0-100]`);
  if (low > high)
    problems.push(`LowThresholdPercent ${low} can not be higher than HighThresholdPercent ${high}`);
  if (!(minAgeMs >= 0)) problems.push(`imageMinimumGCAge is ${minAgeMs} ms, must not be negative`);
  if (!(maxAgeMs >= 0)) problems.push(`imageMaximumGCAge is ${maxAgeMs} ms, must not be negative`);
  else if (maxAgeMs > 0 && maxAgeMs <= minAgeMs)
    problems.push(`imageMaximumGCAge is ${maxAgeMs} ms, must be more than imageMinimumGCAge, ${minAgeMs} ms`);
  for (const [index, { why: _why, ...rule }] of policy.keep.entries())
    if (Object.keys(rule).length === 0)
      problems.push(`keep[${index}] says nothing: it would keep every image`);
  if (problems.length > 0) throw optionsError(problems);
  return policy;
}

/** Down to `targetPercent`, if one is given. Throws `GC_OPTIONS` on one that is no percentage. */
export function withTarget(policy: ImageGcPolicy, targetPercent: number | undefined): ImageGcPolicy {
  if (targetPercent === undefined) return policy;
  if (!isPercent(targetPercent))
    throw optionsError([`invalid target of ${targetPercent}%, must be in range [0-100]`]);
  return { ...policy, highThresholdPercent: targetPercent, lowThresholdPercent: targetPercent };
}

/** With both off nothing is ever removed on its own. */
export function isImageGcOff({ highThresholdPercent, maxAgeMs }: ImageGcPolicy): boolean {
  return highThresholdPercent === 100 && maxAgeMs === 0;
}

function isPercent(value: number): boolean {
  return value >= 0 && value <= 100;
}
