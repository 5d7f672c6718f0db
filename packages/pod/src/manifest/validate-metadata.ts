// SPDX-License-Identifier: Apache-2.0

import {
  CONFIG_HASH_ANNOTATION,
  CONFIG_MIRROR_ANNOTATION,
  CONFIG_SEEN_ANNOTATION,
  CONFIG_SOURCE_ANNOTATION,
} from "@holdfast/core/names";
import type { ObjectMeta } from "@holdfast/core/pod-types";
import { staticPodName } from "./default-pod.ts";
import { childPath } from "./read-node.ts";
import type { DocumentReport } from "./report.ts";
import {
  dnsLabelProblems,
  dnsSubdomainProblems,
  forbidden,
  invalidValue,
  labelValueProblems,
  qualifiedNameProblems,
} from "./validation-text.ts";
import type { Loose, ValidateOptions } from "./written-pod.ts";

/** kubelet: TotalAnnotationSizeLimitB. */
const MAX_ANNOTATION_BYTES = 256 * 1024;
/** The longest name of a folder on Linux. */
const MAX_FOLDER_NAME = 255;
/** Characters of a computed UID. */
const UID_LENGTH = 32;

/** Names, namespace, UID, labels and annotations. */
export function validateMetadata(
  metadata: Loose<ObjectMeta>,
  report: DocumentReport,
  options: ValidateOptions,
): void {
  const { name, namespace = "", uid } = metadata;
  if (name !== undefined) validateName(name, metadata, report, options);
  if (namespace !== "")
    for (const problem of dnsLabelProblems(namespace))
      report.error("metadata.namespace", invalidValue(namespace, problem));
  // The UID names folders and cgroups: a slash or a dot in it must never get there.
  if (uid !== undefined && uid !== "" && !/^[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?$/.test(uid))
    report.error(
      "metadata.uid",
      invalidValue(
        uid,
        "must consist of at most 63 letters, digits and '-', and start and end with a letter or digit",
      ),
    );
  validateLabels(metadata.labels ?? {}, report);
  validateAnnotations(metadata.annotations ?? {}, report);
}

function validateName(
  name: string,
  { namespace, uid }: Loose<ObjectMeta>,
  report: DocumentReport,
  { nodeName }: ValidateOptions,
): void {
  const problems = dnsSubdomainProblems(name);
  for (const problem of problems) report.error("metadata.name", invalidValue(name, problem));
  if (problems.length > 0) return;
  const full = nodeName === undefined ? name : staticPodName(name, nodeName);
  if (full.length > 253) {
    report.error(
      "metadata.name",
      invalidValue(name, "with the node's name must be no more than 253 characters"),
    );
    return;
  }
  const folder = (namespace ?? "").length + full.length + (uid?.length ?? UID_LENGTH) + 2;
  if (folder > MAX_FOLDER_NAME)
    report.error(
      "metadata.name",
      invalidValue(
        name,
        `the pod's log folder (namespace_name_uid) must have no more than ${MAX_FOLDER_NAME} characters`,
      ),
    );
}

function validateLabels(labels: Readonly<Record<string, string>>, report: DocumentReport): void {
  for (const [key, value] of Object.entries(labels)) {
    const path = childPath("metadata.labels", key);
    for (const problem of qualifiedNameProblems(key)) report.error(path, invalidValue(key, problem));
    for (const problem of labelValueProblems(value)) report.error(path, invalidValue(value, problem));
  }
}

function validateAnnotations(annotations: Readonly<Record<string, string>>, report: DocumentReport): void {
  let size = 0;
  for (const [key, value] of Object.entries(annotations)) {
    const path = childPath("metadata.annotations", key);
    size += key.length + value.length;
    for (const problem of qualifiedNameProblems(key.toLowerCase()))
      report.error(path, invalidValue(key, problem));
    if (key === CONFIG_MIRROR_ANNOTATION)
      report.error(path, forbidden("this is the API server's mirror of a static pod, not a manifest"));
    if (key === CONFIG_HASH_ANNOTATION || key === CONFIG_SEEN_ANNOTATION || key === CONFIG_SOURCE_ANNOTATION)
      report.warning(path, "has no effect: the agent sets this annotation itself");
  }
  if (size > MAX_ANNOTATION_BYTES)
    report.error("metadata.annotations", `Too long: may not be more than ${MAX_ANNOTATION_BYTES} bytes`);
}
