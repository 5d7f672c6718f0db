// SPDX-License-Identifier: Apache-2.0

import type { Container, ContainerPort, PodSpec } from "@holdfast/core/pod-types";
import type { DocumentReport } from "./report.ts";
import {
  dnsLabelProblems,
  dnsSubdomainProblems,
  duplicateValue,
  invalidValue,
  isIpAddress,
  portNameProblems,
  requiredValue,
} from "./validation-text.ts";
import type { Loose } from "./written-pod.ts";

const NOT_AN_IP = "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)";
/** kubelet: MaxDNSNameservers, MaxDNSSearchPaths. */
const MAX_NAMESERVERS = 3;
const MAX_SEARCHES = 32;

/** Ports, host names and DNS. */
export function validateNetwork(spec: Loose<PodSpec>, report: DocumentReport): void {
  const hostPorts = new Set<string>();
  for (const kind of ["initContainers", "containers"] as const) {
    for (const [index, container] of (spec[kind] ?? []).entries()) {
      // An init container's ports are free again when the next container starts; a sidecar's are not.
      const stays = kind === "containers" || container.restartPolicy === "Always";
      const taken = stays ? hostPorts : new Set<string>();
      validatePorts(container, `spec.${kind}[${index}].ports`, { spec, taken, report });
    }
  }
  for (const field of ["hostname", "subdomain"] as const) {
    const value = spec[field] ?? "";
    if (value === "") continue;
    for (const problem of dnsLabelProblems(value))
      report.error(`spec.${field}`, invalidValue(value, problem));
  }
  validateHostAliases(spec, report);
  validateDns(spec, report);
}

interface PortContext {
  readonly spec: Loose<PodSpec>;
  readonly taken: Set<string>;
  readonly report: DocumentReport;
}

function validatePorts(container: Loose<Container>, path: string, context: PortContext): void {
  const names = new Set<string>();
  for (const [index, port] of (container.ports ?? []).entries())
    validatePort(port, `${path}[${index}]`, names, context);
}

function validatePort(
  port: Loose<ContainerPort>,
  path: string,
  names: Set<string>,
  context: PortContext,
): void {
  const { spec, taken, report } = context;
  const { name = "", containerPort, hostIP = "", protocol = "TCP" } = port;
  if (name !== "") {
    for (const problem of portNameProblems(name)) report.error(`${path}.name`, invalidValue(name, problem));
    if (names.has(name)) report.error(`${path}.name`, duplicateValue(name));
    names.add(name);
  }
  if (hostIP !== "" && !isIpAddress(hostIP)) report.error(`${path}.hostIP`, invalidValue(hostIP, NOT_AN_IP));
  let hostPort = port.hostPort ?? 0;
  if (spec.hostNetwork === true && containerPort !== undefined) {
    if (hostPort === 0) hostPort = containerPort;
    else if (hostPort !== containerPort)
      report.error(
        `${path}.hostPort`,
        invalidValue(hostPort, "must match `containerPort` when `hostNetwork` is true"),
      );
  }
  if (hostPort === 0) return;
  const key = `${protocol}/${hostIP}/${hostPort}`;
  if (taken.has(key)) report.error(`${path}.hostPort`, duplicateValue(key));
  taken.add(key);
}

function validateHostAliases(spec: Loose<PodSpec>, report: DocumentReport): void {
  for (const [index, alias] of (spec.hostAliases ?? []).entries()) {
    const path = `spec.hostAliases[${index}]`;
    const ip = alias.ip as string | undefined;
    if (ip !== undefined && !isIpAddress(ip)) report.error(`${path}.ip`, invalidValue(ip, NOT_AN_IP));
    for (const [number, hostname] of ((alias.hostnames as string[] | undefined) ?? []).entries())
      for (const problem of dnsSubdomainProblems(hostname))
        report.error(`${path}.hostnames[${number}]`, invalidValue(hostname, problem));
  }
}

function validateDns(spec: Loose<PodSpec>, report: DocumentReport): void {
  const { nameservers = [], searches = [] } = spec.dnsConfig ?? {};
  if (spec.dnsPolicy === "None" && nameservers.length === 0)
    report.error(
      "spec.dnsConfig.nameservers",
      requiredValue("must provide at least one DNS nameserver when `dnsPolicy` is None"),
    );
  if (nameservers.length > MAX_NAMESERVERS)
    report.error("spec.dnsConfig.nameservers", `must not have more than ${MAX_NAMESERVERS} nameservers`);
  for (const [index, server] of nameservers.entries())
    if (!isIpAddress(server))
      report.error(`spec.dnsConfig.nameservers[${index}]`, invalidValue(server, NOT_AN_IP));
  if (searches.length > MAX_SEARCHES)
    report.error("spec.dnsConfig.searches", `must not have more than ${MAX_SEARCHES} search paths`);
  for (const [index, search] of searches.entries())
    // kubelet: RelaxedDNSSearchValidation: a lone dot, and underscores.
    if (search !== ".")
      for (const problem of dnsSubdomainProblems(search.replace(/\.$/, "").replaceAll("_", "a")))
        report.error(`spec.dnsConfig.searches[${index}]`, invalidValue(search, problem));
}
