// SPDX-License-Identifier: Apache-2.0

/** What is asked of one container. Pure. kubelet: prober.runProbe. */
import type { Container } from "@holdfast/core/pod-types";
import type { ExecProbeRequest } from "./exec-prober.ts";
import { expandProbeCommand } from "./expand-command.ts";
import { buildHttpRequest } from "./http-request.ts";
import { failure, proberError } from "./outcome.ts";
import type { ProbeOutcome } from "./outcome.ts";
import type { SocketProbeRequest } from "./ports.ts";
import type { ProbeSpec } from "./probe-spec.ts";
import { resolvePort } from "./resolve-port.ts";

/** An attempt that can be made, or what it comes to without being made. */
export type ProbeRequest =
  | SocketProbeRequest
  | ExecProbeRequest
  | { readonly handler: "none"; readonly outcome: ProbeOutcome };

/** What {@link buildProbeRequest} reads. */
export interface ProbeRequestFacts {
  readonly container: Container;
  readonly spec: ProbeSpec;
  readonly containerId: string;
  /** The pod's primary address; undefined when it has none. */
  readonly podIp: string | undefined;
  readonly userAgent: string;
}

const none = (outcome: ProbeOutcome): ProbeRequest => ({ handler: "none", outcome });

/** Holds as long as container and address stay the same. */
export function buildProbeRequest(facts: ProbeRequestFacts): ProbeRequest {
  const { container, containerId, spec, userAgent } = facts;
  const { exec, httpGet, tcpSocket, grpc } = spec.probe;
  if (exec !== undefined)
    return {
      handler: "exec",
      containerId,
      command: expandProbeCommand(exec.command, container.env),
      timeoutMs: spec.timeoutMs,
    };
  const given = httpGet ?? tcpSocket ?? grpc;
  if (given === undefined)
    return none(proberError("handler", `missing probe handler for container ${container.name}`));
  const port = resolvePort(given.port, container);
  if (typeof port === "string") return none(proberError("port", port));
  const ownHost = grpc === undefined ? (httpGet?.host ?? tcpSocket?.host) : undefined;
  const host = ownHost || facts.podIp;
  if (host === undefined) return none(proberError("address", "the pod has no address"));
  if (httpGet !== undefined) {
    const http = buildHttpRequest(httpGet, host, port, userAgent);
    return typeof http === "string" ? none(failure(http)) : { handler: "http", http };
  }
  if (tcpSocket !== undefined) return { handler: "tcp", host, port };
  return { handler: "grpc", host, port, service: grpc?.service ?? "", timeoutMs: spec.timeoutMs, userAgent };
}
