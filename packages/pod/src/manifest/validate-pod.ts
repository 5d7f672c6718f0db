// SPDX-License-Identifier: Apache-2.0

/** From a document to a pod, or to everything that is wrong with it. Fields first, then what they mean together. */
import { BACKOFF_ANNOTATION, SINGLE_PROCESS_OOM_KILL_ANNOTATION } from "@holdfast/core/names";
import type { Pod, PodSpec } from "@holdfast/core/pod-types";
import { parseBackOff } from "../kuberuntime/parse-back-off.ts";
import { checkField } from "./check-fields.ts";
import { parseContainerFlags } from "./container-flags.ts";
import { podFields } from "./fields.ts";
import type { ManifestDocument } from "./parse-manifest.ts";
import type { ProblemList } from "./problem.ts";
import { childPath } from "./read-node.ts";
import { DocumentReport } from "./report.ts";
import { validateContainers } from "./validate-containers.ts";
import { validateMetadata } from "./validate-metadata.ts";
import { validateNetwork } from "./validate-network.ts";
import { validateVolumes } from "./validate-volumes.ts";
import { forbidden, invalidValue, requiredValue, shown } from "./validation-text.ts";
import type { Loose, ValidateOptions, WrittenPod } from "./written-pod.ts";

/**
 * Checks one document. All problems are added, not only the first; with any error the result is undefined.
 * kubelet: tryDecodeSinglePod + ValidatePodCreate.
 */
export function validatePod(
  document: ManifestDocument,
  problems: ProblemList,
  options: ValidateOptions = {},
): WrittenPod | undefined {
  const report = new DocumentReport(problems, document, options.evictable);
  if (!isPodKind(document, report)) return undefined;
  const checked = checkField(document.value, podFields, "", report);
  const pod = (checked ?? {}) as unknown as Loose<Pod>;
  if (pod.metadata !== undefined) validateMetadata(pod.metadata, report, options);
  if (pod.spec !== undefined) validateSpec(pod.spec, report, options);
  if (pod.metadata !== undefined) validateOwnAnnotations(pod.metadata, pod.spec, report);
  return report.failed ? undefined : (pod as unknown as WrittenPod);
}

function isPodKind({ value }: ManifestDocument, report: DocumentReport): boolean {
  const { apiVersion, kind } = value;
  if (apiVersion === "v1" && kind === "Pod") return true;
  for (const [field, given] of [
    ["apiVersion", apiVersion],
    ["kind", kind],
  ] as const) {
    if (given === undefined || given === null || given === "") report.error(field, requiredValue());
    else if (typeof given !== "string") report.error(field, "must be a string");
  }
  if (report.failed) return false;
  report.error(
    kind === "Pod" ? "apiVersion" : "kind",
    `no kind ${shown(kind)} of version ${shown(apiVersion)} can run here: a manifest holds v1 Pods (or a v1 List of them)`,
  );
  return false;
}

/** kubelet: scheduling.SystemCriticalPriority. */
const SYSTEM_CRITICAL = 2_000_000_000;

/** What the text of an annotation of ours has to be, by key. */
const ANNOTATION_CHECKS: Readonly<
  Record<string, (text: string, names: readonly string[]) => { readonly problem: string | undefined }>
> = {
  [BACKOFF_ANNOTATION]: parseBackOff,
  [SINGLE_PROCESS_OOM_KILL_ANNOTATION]: parseContainerFlags,
};

/** One error each, which names the annotation. What is wrong with the containers is said elsewhere. */
function validateOwnAnnotations(
  { annotations }: Loose<Pod["metadata"]>,
  spec: Loose<PodSpec> | undefined,
  report: DocumentReport,
): void {
  if (annotations === undefined || report.hasErrorIn("spec")) return;
  const names = [...(spec?.initContainers ?? []), ...(spec?.containers ?? [])].map(({ name }) => name);
  for (const [key, parse] of Object.entries(ANNOTATION_CHECKS)) {
    const text = annotations[key];
    const problem = text === undefined ? undefined : parse(text, names).problem;
    if (problem !== undefined)
      report.error(childPath("metadata.annotations", key), invalidValue(text, problem));
  }
}

function validateSpec(spec: Loose<PodSpec>, report: DocumentReport, options: ValidateOptions): void {
  validateVolumes(spec, report);
  validateContainers(spec, report);
  validateNetwork(spec, report);
  if (spec.shareProcessNamespace === true && spec.hostPID === true)
    report.error(
      "spec.shareProcessNamespace",
      invalidValue(true, "ShareProcessNamespace and HostPID cannot both be enabled"),
    );
  // One of the system's is heeded by the kernel's OOM killer, too.
  if (spec.priority !== undefined && spec.priority !== 0 && spec.priority < SYSTEM_CRITICAL)
    report.warnUnlessEvictable("spec.priority", "only says who makes room on a full node");
  const { nodeName } = spec;
  if (nodeName !== undefined && options.nodeName !== undefined && nodeName !== options.nodeName)
    report.error(
      "spec.nodeName",
      forbidden(`the pod is meant for another node than ${shown(options.nodeName)}`),
    );
}
