// SPDX-License-Identifier: Apache-2.0

import type { Container } from "@holdfast/core/pod-types";
import { parseQuantity } from "@holdfast/core/quantity";
import { resourceNameProblem } from "@holdfast/core/resource-name";
import { childPath } from "./read-node.ts";
import type { DocumentReport } from "./report.ts";
import { forbidden, invalidValue } from "./validation-text.ts";
import type { Loose } from "./written-pod.ts";

const HONOURED = new Set(["cpu", "memory"]);
const EPHEMERAL_STORAGE = "ephemeral-storage";

/** Requests and limits of one container. kubelet: ValidateContainerResourceRequirements. */
export function validateResources(container: Loose<Container>, path: string, report: DocumentReport): void {
  const { requests = {}, limits = {} } = container.resources ?? {};
  validateExtended(requests, limits, path, report);
  for (const kind of ["limits", "requests"] as const)
    for (const [name, quantity] of Object.entries(container.resources?.[kind] ?? {}))
      validateResource(name, quantity, childPath(`${path}.resources.${kind}`, name), report);
  for (const [name, request] of Object.entries(requests)) {
    const limit = limits[name];
    if (limit !== undefined && parseQuantity(request) > parseQuantity(limit))
      report.error(
        childPath(`${path}.resources.requests`, name),
        invalidValue(
          String(request),
          `must be less than or equal to ${name} limit of ${String(limit).slice(0, 40)}`,
        ),
      );
  }
}

/** What device plugins offer cannot be shared out loosely: the limit counts, and a request may only repeat it. */
function validateExtended(
  requests: Readonly<Record<string, string | number>>,
  limits: Readonly<Record<string, string | number>>,
  path: string,
  report: DocumentReport,
): void {
  for (const [name, request] of Object.entries(requests)) {
    if (resourceNameProblem(name) !== undefined) continue;
    const at = childPath(`${path}.resources.requests`, name);
    const limit = limits[name];
    if (limit === undefined)
      report.error(
        childPath(`${path}.resources.limits`, name),
        "Required value: Limit must be set for non overcommitable resources",
      );
    else if (parseQuantity(request) < parseQuantity(limit))
      report.error(
        at,
        invalidValue(String(request), `must be equal to ${name} limit of ${String(limit).slice(0, 40)}`),
      );
  }
}

function validateResource(
  name: string,
  quantity: string | number,
  path: string,
  report: DocumentReport,
): void {
  if (name === EPHEMERAL_STORAGE) report.warnUnlessEvictable(path);
  else if (!HONOURED.has(name)) {
    const problem = resourceNameProblem(name);
    if (problem !== undefined) {
      report.error(
        path,
        forbidden(
          `not supported by Holdfast: only cpu, memory, ephemeral-storage and what device plugins offer are, no hugepages yet; for a device plugin's resource ${problem}`,
        ),
      );
      return;
    }
    if (!Number.isInteger(parseQuantity(quantity)))
      report.error(path, invalidValue(String(quantity), "must be an integer"));
  }
  const value = parseQuantity(quantity);
  if (value < 0) report.error(path, invalidValue(String(quantity), "must be greater than or equal to 0"));
  else if (!Number.isFinite(value)) report.error(path, invalidValue(String(quantity), "is too large"));
}
