// SPDX-License-Identifier: Apache-2.0

import { optionsError } from "../errors.ts";

/** How logs of running containers are rotated. */
export interface LogRotationPolicy {
  /** At this size a log is rotated; negative: never. kubelet: containerLogMaxSize. */
  readonly maxSizeBytes: number;
  /** Files per container with the one that is written. More than 1. kubelet: containerLogMaxFiles. */
  readonly maxFiles: number;
}

/** Which logs of attempts stay that are no container's any more. */
export interface LogRetentionPolicy {
  /** The newest so many of a container name; negative: no limit. */
  readonly keepAttempts: number;
  /** And no more than so many bytes of them, but the newest stays whatever its size; negative: no limit. */
  readonly maxBytesPerContainer: number;
}

const MEBIBYTE = 1024 * 1024;

/** The kubelet's values. */
export const DEFAULT_LOG_ROTATION_POLICY: LogRotationPolicy = { maxSizeBytes: 10 * MEBIBYTE, maxFiles: 5 };

/** The kubelet has none: there logs go with their container. */
export const DEFAULT_LOG_RETENTION_POLICY: LogRetentionPolicy = {
  keepAttempts: 5,
  maxBytesPerContainer: 64 * MEBIBYTE,
};

/** Fills in defaults. Throws `GC_OPTIONS`. kubelet: NewContainerLogManager. */
export function resolveLogRotationPolicy(given: Partial<LogRotationPolicy> = {}): LogRotationPolicy {
  const policy = { ...DEFAULT_LOG_ROTATION_POLICY, ...given };
  const problems: string[] = [];
  if (Number.isNaN(policy.maxSizeBytes)) problems.push("containerLogMaxSize is no number");
  if (!(policy.maxFiles > 1)) problems.push(`invalid MaxFiles ${policy.maxFiles}, must be > 1`);
  if (problems.length > 0) throw optionsError(problems);
  return policy;
}

/** Fills in defaults. Throws `GC_OPTIONS`. */
export function resolveLogRetentionPolicy(given: Partial<LogRetentionPolicy> = {}): LogRetentionPolicy {
  const policy = { ...DEFAULT_LOG_RETENTION_POLICY, ...given };
  const problems = Object.entries(policy)
    .filter(([, value]) => Number.isNaN(value))
    .map(([key]) => `${key} is no number`);
  if (problems.length > 0) throw optionsError(problems);
  return policy;
}
