// SPDX-License-Identifier: Apache-2.0

/** Pure: what people read of image GC. */
import { formatAge } from "@holdfast/core/duration";
import { formatBytes } from "../format-bytes.ts";
import type { FilesystemUsageFacts } from "./compute-usage.ts";
import type { ImageGcPlan, ImageRule } from "./image-gc-facts.ts";
import { shownName } from "./image-names.ts";

/** kubelet: FreeDiskSpaceFailed, word for word. */
export function insufficientSpaceText(
  { usagePercent, capacityBytes }: FilesystemUsageFacts,
  freedBytes: number,
): string {
  return `Insufficient free disk space on the node's image filesystem (${usagePercent}% of ${formatBytes(capacityBytes)} used). Failed to free sufficient space by deleting unused images (freed ${freedBytes} bytes). Investigate disk usage, as it could be used by active images, logs, volumes, or other data.`;
}

const HOLDERS: readonly (readonly [ImageRule, string])[] = [
  ["in-use", "used by containers"],
  ["not-ours", "not pulled by this agent"],
  ["pinned", "pinned"],
  ["sandbox-image", "sandbox images"],
  ["keep-rule", "kept by rules"],
  ["too-young", "too young"],
  ["held", "about to be used"],
  ["unknown-user", "may be used"],
  ["just-used", "just used"],
];

/** Who holds what image GC could not free. */
export function whoHoldsSpace(
  { entries, usage }: ImageGcPlan,
  { removed }: { readonly removed: readonly string[] },
): string {
  const gone = new Set(removed);
  const left = entries.filter(({ image }) => !gone.has(image.id));
  const parts = HOLDERS.flatMap(([rule, words]) => {
    const images = left.filter((entry) => entry.rule === rule).map(({ image }) => image.sizeBytes);
    return images.length === 0
      ? []
      : [
          `${formatBytes(images.reduce((sum, bytes) => sum + bytes, 0))} in ${countOf(images.length)} ${words}`,
        ];
  });
  const all = left.reduce((sum, { image }) => sum + image.sizeBytes, 0);
  const used = usage === undefined ? 0 : usage.capacityBytes - usage.availableBytes;
  if (used > all) parts.push(`${formatBytes(used - all)} is not in listed images`);
  return parts.join(", ");
}

/** A plan as lines of a table, each one image; the columns are {@link IMAGE_GC_PLAN_COLUMNS}. */
export function imageGcPlanRows(plan: ImageGcPlan): readonly (readonly string[])[] {
  return plan.entries.map(({ image, users, lastUsedAgoMs, verdict, reason, rule, freesBytes, candidate }) => [
    shownName(image),
    formatBytes(image.sizeBytes),
    lastUsedAgoMs === undefined ? "never" : `${formatAge(lastUsedAgoMs)} ago`,
    shownUsers(users.map(({ name }) => name)),
    verdict,
    rule,
    candidate ? formatBytes(freesBytes) : "-",
    reason,
  ]);
}

function shownUsers([first = "-", ...others]: readonly string[]): string {
  return others.length === 0 ? first : `${first} +${others.length}`;
}

/** Headings of {@link imageGcPlanRows}. */
export const IMAGE_GC_PLAN_COLUMNS: readonly string[] = [
  "IMAGE",
  "SIZE",
  "LAST USED",
  "USED BY",
  "VERDICT",
  "RULE",
  "FREES",
  "WHY",
];

/** A whole plan for a terminal: the rows in columns below their headings, then what it comes to. */
export function imageGcPlanText(plan: ImageGcPlan): string {
  const rows = [IMAGE_GC_PLAN_COLUMNS, ...imageGcPlanRows(plan)];
  const widths = IMAGE_GC_PLAN_COLUMNS.map((_, index) =>
    rows.reduce((width, row) => Math.max(width, row[index]?.length ?? 0), 0),
  );
  const lines = rows.map((row) =>
    row
      .map((cell, index) => cell.padEnd(widths[index] ?? 0))
      .join("  ")
      .trimEnd(),
  );
  return [...lines, imageGcPlanSummary(plan)].join("\n");
}

/** What a plan comes to, in one line. */
export function imageGcPlanSummary(plan: ImageGcPlan): string {
  const { entries, usage, wouldFreeBytes, wouldFreeOnDiskBytes, shortBytes } = plan;
  const going = entries.filter(({ verdict }) => verdict === "remove").length;
  const full =
    usage === undefined ? "" : `${usage.usagePercent}% of ${formatBytes(usage.capacityBytes)} used; `;
  const onDisk =
    going === 0 || wouldFreeOnDiskBytes === undefined
      ? ""
      : ` (about ${formatBytes(wouldFreeOnDiskBytes)} on the disk)`;
  const missing = shortBytes > 0 ? `, ${formatBytes(shortBytes)} short of the low threshold` : "";
  return `${full}${going} of ${countOf(entries.length)} would go and free ${formatBytes(wouldFreeBytes)}${onDisk}${missing}`;
}

function countOf(images: number): string {
  return images === 1 ? "1 image" : `${images} images`;
}
