// SPDX-License-Identifier: Apache-2.0

import type { Pod } from "@holdfast/core/pod-types";
import { defaultPod } from "./default-pod.ts";
import { decodeManifest, parseManifest } from "./parse-manifest.ts";
import { staticPodUid } from "./pod-uid.ts";
import { ProblemList } from "./problem.ts";
import type { ManifestProblem, Position } from "./problem.ts";
import { validatePod } from "./validate-pod.ts";
import { duplicateValue } from "./validation-text.ts";

/** Where a manifest's pods come from and where they will run. */
export interface ManifestOrigin {
  /** The file's path, absolute: part of its pods' UIDs. */
  readonly path: string;
  readonly nodeName: string;
  /** Static pods may be evicted here: their priorities and limits on the disk have an effect. Default false: they are warned about. */
  readonly evictable?: boolean;
}

/** A pod of a manifest and the place where it is written. */
export interface ManifestPod {
  readonly pod: Pod;
  readonly position: Position;
}

/** What a manifest says. With any error there are no pods: a file counts as a whole. */
export interface ManifestContent {
  readonly pods: readonly ManifestPod[];
  readonly problems: readonly ManifestProblem[];
  /** Whether `problems` holds an error. */
  readonly failed: boolean;
  /** The decoded text, when the bytes were text. */
  readonly text?: string;
}

/**
 * From a file's bytes to pods that can run: decode, parse, validate, default. Pure. With the same text as `previous` (of the same origin) the answer
 * is `previous`.
 */
export function readManifest(
  bytes: Uint8Array,
  origin: ManifestOrigin,
  previous?: ManifestContent,
): ManifestContent {
  const problems = new ProblemList(origin.path);
  const text = decodeManifest(bytes, problems);
  if (text === undefined) return { pods: [], problems: problems.list(), failed: true };
  if (text === previous?.text) return previous;
  const pods = readPods(text, origin, problems);
  const { failed } = problems;
  return { pods: failed ? [] : pods, problems: problems.list(), failed, text };
}

function readPods(text: string, origin: ManifestOrigin, problems: ProblemList): ManifestPod[] {
  const { path, nodeName } = origin;
  const documents = parseManifest(text, problems);
  if (documents.length === 0 && !problems.failed)
    problems.add("error", "", "the file holds no pod; to remove its pods, delete the file");
  const pods: ManifestPod[] = [];
  const names = new Set<string>();
  for (const document of documents) {
    const written = validatePod(document, problems, origin);
    if (written === undefined) continue;
    const uid = written.metadata.uid || staticPodUid(document.value, nodeName, path);
    const pod = defaultPod(written, { nodeName, uid });
    const position = document.locate(document.prefix);
    const name = `${pod.metadata.namespace}/${pod.metadata.name}`;
    if (names.has(name)) {
      const at = document.prefix === "" ? "metadata.name" : `${document.prefix}.metadata.name`;
      problems.add("error", at, duplicateValue(name), document.locate(at));
    }
    names.add(name);
    pods.push({ pod, position });
  }
  return pods;
}
