// SPDX-License-Identifier: Apache-2.0

import type { PodSpec, Volume } from "@holdfast/core/pod-types";
import { parseQuantity } from "@holdfast/core/quantity";
import type { DocumentReport } from "./report.ts";
import { dnsLabelProblems, duplicateValue, forbidden, invalidValue } from "./validation-text.ts";
import { HONOURED_VOLUME_SOURCES } from "./volume-fields.ts";
import type { Loose } from "./written-pod.ts";

/** Names and sources of a pod's volumes. kubelet: ValidateVolumes. */
export function validateVolumes(spec: Loose<PodSpec>, report: DocumentReport): void {
  const names = new Set<string>();
  for (const [index, volume] of (spec.volumes ?? []).entries())
    validateVolume(volume, `spec.volumes[${index}]`, names, report);
}

function validateVolume(
  volume: Loose<Volume>,
  path: string,
  names: Set<string>,
  report: DocumentReport,
): void {
  const { name } = volume;
  if (name !== undefined) {
    for (const problem of dnsLabelProblems(name)) report.error(`${path}.name`, invalidValue(name, problem));
    if (names.has(name)) report.error(`${path}.name`, duplicateValue(name));
    names.add(name);
  }
  const given = HONOURED_VOLUME_SOURCES.filter((source) => volume[source] !== undefined);
  for (const extra of given.slice(1))
    report.error(`${path}.${extra}`, forbidden("may not specify more than 1 volume type"));
  if (volume.hostPath?.path !== undefined)
    validateHostPath(volume.hostPath.path, `${path}.hostPath.path`, report);
  validateEmptyDir(volume.emptyDir, `${path}.emptyDir`, report);
}

function validateHostPath(hostPath: string, path: string, report: DocumentReport): void {
  for (const problem of absolutePathProblems(hostPath)) report.error(path, invalidValue(hostPath, problem));
}

/** What is wrong with a path that must be absolute and must not climb. */
export function absolutePathProblems(path: string): readonly string[] {
  const problems: string[] = [];
  if (!path.startsWith("/")) problems.push("must be an absolute path");
  if (path.split("/").includes("..")) problems.push("must not contain '..'");
  if (path.includes("\0")) problems.push("must not contain a NUL character");
  return problems;
}

function validateEmptyDir(emptyDir: Volume["emptyDir"], path: string, report: DocumentReport): void {
  const limit = emptyDir?.sizeLimit;
  if (limit === undefined) return;
  if (parseQuantity(limit) < 0)
    report.error(`${path}.sizeLimit`, invalidValue(limit, "must be greater than or equal to 0"));
  else if (emptyDir?.medium !== "Memory") report.warnUnlessEvictable(`${path}.sizeLimit`);
}
