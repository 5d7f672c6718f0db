// SPDX-License-Identifier: Apache-2.0

/** Pods that use more of the disk than they may. Pure. kubelet: localStorageEviction. */
import type { Pod } from "@holdfast/core/pod-types";
import { wholeValue } from "@holdfast/core/quantity";
import { podLimit } from "./pod-requests.ts";
import { localEphemeralVolumeNames, podStorageUsage } from "./pod-usage.ts";
import type { PodFigures } from "./ports.ts";
import { canonicalQuantity, formatQuantity } from "./quantity-text.ts";
import type { LimitSignal } from "./signals.ts";

/** Which limit a pod has passed. */
export interface LimitExceeded {
  readonly signal: LimitSignal;
  readonly message: string;
}

const STORAGE = "ephemeral-storage";

/** Whether there is any limit to look after: without one nothing has to be measured. */
export function hasLocalStorageLimit({ spec }: Pod): boolean {
  const { containers, initContainers = [], volumes = [] } = spec;
  return (
    volumes.some(({ emptyDir }) => isLimited(emptyDir)) ||
    [...containers, ...initContainers].some(({ resources }) => resources?.limits?.[STORAGE] !== undefined)
  );
}

/** The first limit that the pod has passed: of a volume, of the pod, of a container. Undefined: none, or not known. */
export function exceededLocalStorageLimit(
  pod: Pod,
  figures: PodFigures,
  dedicatedImageFs: boolean,
): LimitExceeded | undefined {
  return (
    emptyDirLimit(pod, figures) ??
    podStorageLimit(pod, figures, dedicatedImageFs) ??
    containerStorageLimit(pod, figures, dedicatedImageFs)
  );
}

type EmptyDir = NonNullable<NonNullable<Pod["spec"]["volumes"]>[number]["emptyDir"]>;

function isLimited(emptyDir: EmptyDir | undefined): emptyDir is EmptyDir & { sizeLimit: string | number } {
  return emptyDir?.sizeLimit !== undefined && wholeValue(emptyDir.sizeLimit) > 0;
}

/** kubelet: emptyDirLimitEviction. */
function emptyDirLimit({ spec }: Pod, figures: PodFigures): LimitExceeded | undefined {
  const used = new Map(figures.volume?.map(({ name, usedBytes }) => [name, usedBytes] as const));
  for (const { name, emptyDir } of spec.volumes ?? []) {
    if (!isLimited(emptyDir) || (used.get(name) ?? 0) <= wholeValue(emptyDir.sizeLimit)) continue;
    const limit = canonicalQuantity(emptyDir.sizeLimit);
    return {
      signal: "emptydirfs.limit",
      message: `Usage of EmptyDir volume "${name}" exceeds the limit "${limit}". `,
    };
  }
  return undefined;
}

/** kubelet: podEphemeralStorageLimitEviction. */
function podStorageLimit(
  pod: Pod,
  figures: PodFigures,
  dedicatedImageFs: boolean,
): LimitExceeded | undefined {
  const limit = podLimit(pod, STORAGE);
  if (limit === undefined) return undefined;
  const parts = dedicatedImageFs
    ? (["logs", "localVolumeSource"] as const)
    : (["root", "logs", "localVolumeSource"] as const);
  const used = podStorageUsage(figures, pod, parts, "bytes", localEphemeralVolumeNames(pod));
  if (used <= limit) return undefined;
  return {
    signal: "ephemeralpodfs.limit",
    message: `Pod ephemeral local storage usage exceeds the total limit of containers ${formatLimit(pod, limit)}. `,
  };
}

/** kubelet: containerEphemeralStorageLimitEviction; regular containers only. */
function containerStorageLimit(
  { spec }: Pod,
  figures: PodFigures,
  dedicatedImageFs: boolean,
): LimitExceeded | undefined {
  const limits = new Map(spec.containers.map(({ name, resources }) => [name, resources?.limits?.[STORAGE]]));
  for (const { name, rootfs, logs } of figures.containers) {
    const limit = limits.get(name);
    if (limit === undefined) continue;
    const used = (logs?.usedBytes ?? 0) + (dedicatedImageFs ? 0 : (rootfs?.usedBytes ?? 0));
    if (used > wholeValue(limit))
      return {
        signal: "ephemeralcontainerfs.limit",
        message: `Container ${name} exceeded its local ephemeral storage limit "${canonicalQuantity(limit)}". `,
      };
  }
  return undefined;
}

/** A sum is written as its first part is. */
function formatLimit({ spec }: Pod, limit: number): string {
  const first = spec.containers.find(({ resources }) => resources?.limits?.[STORAGE] !== undefined);
  const isDecimal = /\d$|[kMGTPE]$/.test(String(first?.resources?.limits?.[STORAGE] ?? "1Ki"));
  return formatQuantity(limit, isDecimal ? "decimal" : "binary");
}
