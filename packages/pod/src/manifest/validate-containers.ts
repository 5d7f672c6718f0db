// SPDX-License-Identifier: Apache-2.0

import type { Container, PodSpec, Probe, SecurityContext, VolumeMount } from "@holdfast/core/pod-types";
import type { DocumentReport } from "./report.ts";
import { validateEnv } from "./validate-env.ts";
import { validateLifecycle, validateProbe } from "./validate-handlers.ts";
import { validateResources } from "./validate-resources.ts";
import { absolutePathProblems } from "./validate-volumes.ts";
import {
  capabilityProblems,
  dnsLabelProblems,
  duplicateValue,
  forbidden,
  invalidValue,
  notFound,
} from "./validation-text.ts";
import type { Loose } from "./written-pod.ts";

/** kubelet: the pod's default grace period. */
const DEFAULT_GRACE_SECONDS = 30;

/** All containers of a pod. kubelet: validateContainers, validateInitContainers. */
export function validateContainers(spec: Loose<PodSpec>, report: DocumentReport): void {
  const names = new Set<string>();
  const volumes = new Set((spec.volumes ?? []).map((volume) => volume.name));
  for (const kind of ["initContainers", "containers"] as const) {
    for (const [index, container] of (spec[kind] ?? []).entries()) {
      const path = `spec.${kind}[${index}]`;
      validateName(container, path, names, report);
      validateImage(container, path, report);
      validateMounts(container, path, volumes, report);
      validateEnv(container, path, report);
      validateResources(container, path, report);
      validateSecurity(container.securityContext ?? {}, `${path}.securityContext`, report);
      validateHooks(spec, container, path, kind, report);
      validateTerminationMessage(container, path, report);
    }
  }
}

function validateName(
  container: Loose<Container>,
  path: string,
  names: Set<string>,
  report: DocumentReport,
): void {
  const { name } = container;
  if (name === undefined) return;
  for (const problem of dnsLabelProblems(name)) report.error(`${path}.name`, invalidValue(name, problem));
  if (names.has(name)) report.error(`${path}.name`, duplicateValue(name));
  names.add(name);
}

function validateImage({ image }: Loose<Container>, path: string, report: DocumentReport): void {
  if (image !== undefined && /[\s\p{Cc}]/u.test(image))
    report.error(`${path}.image`, invalidValue(image, "must not contain whitespace"));
}

function validateMounts(
  container: Loose<Container>,
  path: string,
  volumes: ReadonlySet<string | undefined>,
  report: DocumentReport,
): void {
  const mountPaths = new Set<string>();
  for (const [index, mount] of (container.volumeMounts ?? []).entries()) {
    const at = `${path}.volumeMounts[${index}]`;
    validateMount(mount, at, mountPaths, report);
    const name = mount.name as string | undefined;
    if (name !== undefined && !volumes.has(name)) report.error(`${at}.name`, notFound(name));
    if (mount.mountPropagation === "Bidirectional" && container.securityContext?.privileged !== true)
      report.error(
        `${at}.mountPropagation`,
        forbidden("Bidirectional mount propagation is available only to privileged containers"),
      );
  }
}

function validateMount(
  { mountPath }: Loose<VolumeMount>,
  path: string,
  mountPaths: Set<string>,
  report: DocumentReport,
): void {
  if (mountPath === undefined) return;
  const at = `${path}.mountPath`;
  for (const problem of absolutePathProblems(mountPath)) report.error(at, invalidValue(mountPath, problem));
  if (mountPath.includes(":")) report.error(at, invalidValue(mountPath, "must not contain ':'"));
  const plain = mountPath.replaceAll(/\/+/g, "/").replace(/(.)\/$/, "$1");
  if (mountPaths.has(plain)) report.error(at, invalidValue(mountPath, "must be unique"));
  mountPaths.add(plain);
}

function validateHooks(
  spec: Loose<PodSpec>,
  container: Loose<Container>,
  path: string,
  kind: "initContainers" | "containers",
  report: DocumentReport,
): void {
  const plainInit = kind === "initContainers" && container.restartPolicy !== "Always";
  for (const field of ["lifecycle", "livenessProbe", "readinessProbe", "startupProbe"] as const) {
    const given = container[field];
    if (given === undefined) continue;
    const at = `${path}.${field}`;
    if (plainInit)
      report.error(at, forbidden("may not be set for init containers without restartPolicy=Always"));
    else if (field === "lifecycle")
      validateLifecycle(
        container.lifecycle ?? {},
        at,
        spec.terminationGracePeriodSeconds ?? DEFAULT_GRACE_SECONDS,
        report,
      );
    else validateProbe(given as Loose<Probe>, field, at, report);
  }
}

function validateSecurity(security: Loose<SecurityContext>, path: string, report: DocumentReport): void {
  const { capabilities = {} } = security;
  for (const kind of ["add", "drop"] as const)
    for (const [index, name] of (capabilities[kind] ?? []).entries())
      for (const problem of capabilityProblems(name))
        report.error(`${path}.capabilities.${kind}[${index}]`, invalidValue(name, problem));
  if (security.allowPrivilegeEscalation !== false) return;
  if (security.privileged === true)
    report.error(
      `${path}.allowPrivilegeEscalation`,
      invalidValue(false, "cannot set `allowPrivilegeEscalation` to false and `privileged` to true"),
    );
  if (capabilities.add?.some((name) => name === "SYS_ADMIN" || name === "CAP_SYS_ADMIN"))
    report.error(
      `${path}.allowPrivilegeEscalation`,
      invalidValue(
        false,
        "cannot set `allowPrivilegeEscalation` to false and `capabilities.Add` CAP_SYS_ADMIN",
      ),
    );
}

function validateTerminationMessage(container: Loose<Container>, path: string, report: DocumentReport): void {
  const { terminationMessagePath: message = "" } = container;
  if (message === "") return;
  for (const problem of absolutePathProblems(message))
    report.error(`${path}.terminationMessagePath`, invalidValue(message, problem));
}
