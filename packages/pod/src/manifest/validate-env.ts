// SPDX-License-Identifier: Apache-2.0

import type { Container, EnvVar } from "@holdfast/core/pod-types";
import { milliValue } from "@holdfast/core/quantity";
import type { DocumentReport } from "./report.ts";
import { envNameProblems, invalidValue, requiredValue, unsupportedValue } from "./validation-text.ts";
import type { Loose } from "./written-pod.ts";

/** kubelet: validEnvDownwardAPIFieldPathExpressions. */
const FIELD_PATHS: readonly string[] = [
  "metadata.name",
  "metadata.namespace",
  "metadata.uid",
  "spec.nodeName",
  "spec.serviceAccountName",
  "status.hostIP",
  "status.hostIPs",
  "status.podIP",
  "status.podIPs",
];
const SUBSCRIPT = /^metadata\.(?:labels|annotations)\['[^']+'\]$/;
/** kubelet: validContainerResourceFieldPathExpressions, without hugepages. */
const RESOURCES: readonly string[] = [
  "limits.cpu",
  "limits.ephemeral-storage",
  "limits.memory",
  "requests.cpu",
  "requests.ephemeral-storage",
  "requests.memory",
];

/** Environment variables. Their values are never part of a message. kubelet: ValidateEnv. */
export function validateEnv(container: Loose<Container>, path: string, report: DocumentReport): void {
  for (const [index, variable] of (container.env ?? []).entries())
    validateVariable(variable, `${path}.env[${index}]`, report);
}

function validateVariable(variable: Loose<EnvVar>, path: string, report: DocumentReport): void {
  const { name, value = "", valueFrom } = variable;
  if (name !== undefined)
    for (const problem of envNameProblems(name)) report.error(`${path}.name`, invalidValue(name, problem));
  if (valueFrom === undefined) return;
  const at = `${path}.valueFrom`;
  if (value !== "") report.error(at, "Invalid value: may not be specified when `value` is not empty");
  const { fieldRef, resourceFieldRef } = valueFrom;
  if (fieldRef !== undefined && resourceFieldRef !== undefined)
    report.error(at, "Invalid value: may not have more than one field specified at a time");
  if (fieldRef === undefined && resourceFieldRef === undefined && !report.hasErrorIn(at))
    report.error(at, requiredValue("must specify one of: `fieldRef`, `resourceFieldRef`"));
  if (fieldRef !== undefined) validateFieldPath(fieldRef.fieldPath, `${at}.fieldRef.fieldPath`, report);
  if (resourceFieldRef !== undefined) validateResource(resourceFieldRef, `${at}.resourceFieldRef`, report);
}

function validateFieldPath(fieldPath: string | undefined, path: string, report: DocumentReport): void {
  if (fieldPath === undefined || FIELD_PATHS.includes(fieldPath) || SUBSCRIPT.test(fieldPath)) return;
  report.error(path, unsupportedValue(fieldPath, FIELD_PATHS));
}

type ResourceRef = NonNullable<NonNullable<EnvVar["valueFrom"]>["resourceFieldRef"]>;

function validateResource(ref: Loose<ResourceRef>, path: string, report: DocumentReport): void {
  const { resource, divisor } = ref;
  if (resource === undefined) return;
  if (!RESOURCES.includes(resource)) {
    report.error(`${path}.resource`, unsupportedValue(resource, RESOURCES));
    return;
  }
  if (divisor === undefined || milliValue(divisor) === 0) return;
  const units = resource.endsWith("cpu") ? CPU_DIVISORS : BYTE_DIVISORS;
  if (!units.has(String(divisor)))
    report.error(
      `${path}.divisor`,
      invalidValue(
        String(divisor),
        `only divisor's values ${[...units].join(", ")} are supported with this resource`,
      ),
    );
}

const CPU_DIVISORS: ReadonlySet<string> = new Set(["1m", "1"]);
const BYTE_DIVISORS: ReadonlySet<string> = new Set("1 1k 1M 1G 1T 1P 1E 1Ki 1Mi 1Gi 1Ti 1Pi 1Ei".split(" "));
