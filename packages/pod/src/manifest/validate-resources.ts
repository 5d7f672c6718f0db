// SPDX-License-Identifier: Apache-2.0

import type { Container } from "@holdfast/core/pod-types";
import { parseQuantity } from "@holdfast/core/quantity";
import { childPath } from "./read-node.ts";
import type { DocumentReport } from "./report.ts";
import { forbidden, invalidValue } from "./validation-text.ts";
import type { Loose } from "./written-pod.ts";

const HONOURED = new Set(["cpu", "memory"]);
const EPHEMERAL_STORAGE = "ephemeral-storage";

/** Requests and limits of one container. kubelet: ValidateContainerResourceRequirements. */
export function validateResources(container: Loose<Container>, path: string, report: DocumentReport): void {
  const { requests = {}, limits = {} } = container.resources ?? {};
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

function validateResource(
  name: string,
  quantity: string | number,
  path: string,
  report: DocumentReport,
): void {
  if (name === EPHEMERAL_STORAGE) report.warning(path, "has no effect: use of the disk is not enforced yet");
  else if (!HONOURED.has(name)) {
    report.error(
      path,
      forbidden(
        "not supported by Holdfast: only cpu, memory and ephemeral-storage are, no devices or hugepages yet",
      ),
    );
    return;
  }
  const value = parseQuantity(quantity);
  if (value < 0) report.error(path, invalidValue(String(quantity), "must be greater than or equal to 0"));
  else if (!Number.isFinite(value)) report.error(path, invalidValue(String(quantity), "is too large"));
}
