// SPDX-License-Identifier: Apache-2.0

import { formatBytes } from "../format-bytes.ts";
import type { ImageKeepRule } from "./image-gc-policy.ts";
import { matchesGlob, normalizeImageName } from "./image-names.ts";
import type { GcImage } from "./image-gc-facts.ts";

/** Pure: the words of the first rule that keeps the image; undefined when none does. */
export function findKeepRule(image: GcImage, rules: readonly ImageKeepRule[]): string | undefined {
  const rule = rules.find((one) => keeps(one, image));
  return rule === undefined ? undefined : describe(rule);
}

/** Whether some rule needs labels of images. */
export function needsLabels(rules: readonly ImageKeepRule[]): boolean {
  return rules.some(({ label }) => label !== undefined);
}

function keeps(rule: ImageKeepRule, image: GcImage): boolean {
  const { reference, digest, label, minSizeBytes, maxSizeBytes } = rule;
  return (
    (reference === undefined || matchesReference(reference, image)) &&
    (digest === undefined ||
      image.id === digest ||
      image.repoDigests.some((name) => name.slice(name.indexOf("@") + 1) === digest)) &&
    (label === undefined || matchesLabel(label, image.labels)) &&
    (minSizeBytes === undefined || image.sizeBytes >= minSizeBytes) &&
    (maxSizeBytes === undefined || image.sizeBytes <= maxSizeBytes)
  );
}

function matchesReference(glob: string, { repoTags, repoDigests }: GcImage): boolean {
  const full = normalizeImageName(glob);
  // `*` and `nginx:*` are no names: they are tried as they are, too.
  return [...repoTags, ...repoDigests].some((name) => matchesGlob(full, name) || matchesGlob(glob, name));
}

/** Labels that are not known keep the image: a wish to keep is not to fail because something could not be read. */
function matchesLabel(label: string, labels: Readonly<Record<string, string>> | undefined): boolean {
  if (labels === undefined) return true;
  const equals = label.indexOf("=");
  if (equals < 0) return Object.hasOwn(labels, label);
  const key = label.slice(0, equals);
  return Object.hasOwn(labels, key) && labels[key] === label.slice(equals + 1);
}

function describe({ reference, digest, label, minSizeBytes, maxSizeBytes, why }: ImageKeepRule): string {
  const parts = [
    reference === undefined ? [] : [`name ${reference}`],
    digest === undefined ? [] : [`digest ${digest}`],
    label === undefined ? [] : [`label ${label}`],
    minSizeBytes === undefined ? [] : [`at least ${formatBytes(minSizeBytes)}`],
    maxSizeBytes === undefined ? [] : [`at most ${formatBytes(maxSizeBytes)}`],
  ].flat();
  return `kept by rule: ${parts.join(", ")}${why === undefined ? "" : ` (${why})`}`;
}
