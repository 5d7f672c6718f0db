// SPDX-License-Identifier: Apache-2.0

import type { Lifecycle, Probe } from "@holdfast/core/pod-types";
import type { DocumentReport } from "./report.ts";
import { forbidden, invalidValue, requiredValue } from "./validation-text.ts";
import type { Loose } from "./written-pod.ts";

/** postStart and preStop: exactly one handler each. kubelet: validateLifecycle. */
export function validateLifecycle(
  lifecycle: Loose<Lifecycle>,
  path: string,
  graceSeconds: number,
  report: DocumentReport,
): void {
  for (const hook of ["postStart", "preStop"] as const) {
    const handler = lifecycle[hook];
    if (handler === undefined) continue;
    const at = `${path}.${hook}`;
    exactlyOne(handler, ["exec", "sleep"], at, report);
    const seconds = handler.sleep?.seconds;
    if (seconds !== undefined && seconds > graceSeconds)
      report.error(
        `${at}.sleep.seconds`,
        invalidValue(
          seconds,
          `must be less than or equal to terminationGracePeriodSeconds (${graceSeconds})`,
        ),
      );
  }
}

/** One probe. kubelet: validateProbe, validateLivenessProbe and siblings. */
export function validateProbe(
  probe: Loose<Probe>,
  kind: "livenessProbe" | "readinessProbe" | "startupProbe",
  path: string,
  report: DocumentReport,
): void {
  exactlyOne(probe, ["exec", "httpGet", "tcpSocket", "grpc"], path, report);
  validatePort(probe.httpGet?.port, `${path}.httpGet.port`, report);
  validatePort(probe.tcpSocket?.port, `${path}.tcpSocket.port`, report);
  const { successThreshold = 1 } = probe;
  if (kind !== "readinessProbe" && successThreshold !== 1)
    report.error(`${path}.successThreshold`, invalidValue(successThreshold, "must be 1"));
  if (kind === "readinessProbe" && probe.terminationGracePeriodSeconds !== undefined)
    report.error(
      `${path}.terminationGracePeriodSeconds`,
      invalidValue(probe.terminationGracePeriodSeconds, "must not be set for readinessProbes"),
    );
}

function validatePort(port: number | string | undefined, path: string, report: DocumentReport): void {
  if (typeof port === "number" && (port < 1 || port > 65_535))
    report.error(path, invalidValue(port, "must be between 1 and 65535, inclusive"));
  if (port === "") report.error(path, requiredValue());
}

function exactlyOne<T extends object>(
  holder: T,
  kinds: readonly (keyof T & string)[],
  path: string,
  report: DocumentReport,
): void {
  const given = kinds.filter((kind) => holder[kind] !== undefined);
  for (const extra of given.slice(1))
    report.error(`${path}.${extra}`, forbidden("may not specify more than 1 handler type"));
  // A handler that is refused by name was given, too.
  if (given.length === 0 && !report.hasErrorIn(path))
    report.error(path, requiredValue("must specify a handler type"));
}
