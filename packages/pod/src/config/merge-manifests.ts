// SPDX-License-Identifier: Apache-2.0

/** Which file's pod runs when several files define the same one. Pure. */
import type { Pod } from "@holdfast/core/pod-types";
import type { ManifestProblem } from "../manifest/problem.ts";
import type { ManifestPod } from "../manifest/read-manifest.ts";
import { duplicateValue } from "../manifest/validation-text.ts";

/** What the pods of all files come to. */
export interface MergedManifests {
  readonly pods: readonly Pod[];
  /** The file of each pod, by `namespace/name`: the next merge prefers it. */
  readonly owners: ReadonlyMap<string, string>;
  /** One for each pod that lost. */
  readonly conflicts: readonly ManifestProblem[];
}

/**
 * One pod per name and per UID. The file that defined a pod at the last merge goes first (what runs is not replaced by a copy), then the
 * file whose path sorts first.
 */
export function mergeManifests(
  files: ReadonlyMap<string, readonly ManifestPod[]>,
  owners: ReadonlyMap<string, string>,
): MergedManifests {
  const winners = new Map<string, Winner>();
  const uids = new Map<string, Winner>();
  const claims = [...files]
    .flatMap(([path, pods]) => pods.map((entry): Claim => ({ path, entry, name: nameOf(entry.pod) })))
    .toSorted(
      (a, b) => rank(a, owners) - rank(b, owners) || (a.path < b.path ? -1 : a.path > b.path ? 1 : 0),
    );
  const conflicts: ManifestProblem[] = [];
  for (const claim of claims) {
    const byName = winners.get(claim.name);
    const byUid = uids.get(claim.entry.pod.metadata.uid);
    const other = byName ?? byUid;
    if (other === undefined) {
      winners.set(claim.name, claim);
      uids.set(claim.entry.pod.metadata.uid, claim);
    } else conflicts.push(conflict(claim, other, byName === undefined ? "metadata.uid" : "metadata.name"));
  }
  const sorted = [...winners.values()].toSorted((a, b) => (a.path < b.path ? -1 : a.path > b.path ? 1 : 0));
  return {
    pods: sorted.map(({ entry }) => entry.pod),
    owners: new Map(sorted.map(({ name, path }) => [name, path])),
    conflicts,
  };
}

interface Claim {
  readonly path: string;
  readonly entry: ManifestPod;
  readonly name: string;
}
type Winner = Claim;

function nameOf(pod: Pod): string {
  return `${pod.metadata.namespace}/${pod.metadata.name}`;
}

function rank(claim: Claim, owners: ReadonlyMap<string, string>): number {
  return owners.get(claim.name) === claim.path ? 0 : 1;
}

function conflict(loser: Claim, winner: Claim, fieldPath: string): ManifestProblem {
  const value = fieldPath === "metadata.uid" ? loser.entry.pod.metadata.uid : loser.name;
  return {
    file: loser.path,
    ...loser.entry.position,
    fieldPath,
    reason: `${duplicateValue(value)}: ${winner.path}:${winner.entry.position.line} defines this pod already, and that one runs`,
    severity: "error",
  };
}
