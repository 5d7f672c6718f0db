// SPDX-License-Identifier: Apache-2.0
//
// What a client can be told, with defaults and bounds.

import type { Clock } from "@holdfast/core/clock";
import { HoldfastError } from "@holdfast/core/errors";
import type { Logger } from "@holdfast/core/log";
import { silentLogger } from "@holdfast/core/log";
import { noMetrics } from "@holdfast/core/metrics";
import type { Metrics } from "@holdfast/core/metrics";
import type { Random } from "@holdfast/core/random";
import { systemClock } from "@holdfast/core/node";

import { DEFAULT_DEADLINES } from "./deadlines.ts";
import type { CriDeadlines } from "./deadlines.ts";

/** How a client is made. Only `endpoint` is required. */
export interface CriClientOptions {
  /** `unix:///run/containerd/containerd.sock`, or the bare path. kubelet: containerRuntimeEndpoint. */
  readonly endpoint: string;
  /** The image service's socket. Default: `endpoint`. kubelet: imageServiceEndpoint. */
  readonly imageEndpoint?: string | undefined;
  /** Default: the machine's. Deadlines run on it. */
  readonly clock?: Clock | undefined;
  readonly logger?: Logger | undefined;
  readonly metrics?: Metrics | undefined;
  readonly deadlines?: Partial<CriDeadlines> | undefined;
  /** Both directions, in bytes. Default 16 MiB, as the kubelet's and containerd's. */
  readonly maxMessageBytes?: number | undefined;
  /** The longest pause between attempts to connect, in milliseconds; grpc-js adds up to 20 %. Default 2500, so that 3 s hold. */
  readonly maxReconnectMs?: number | undefined;
  /**
   * How long nothing may be heard while calls wait, before it is found out whether the connection is half-open, in milliseconds. 0 turns it
   * off. Default 15000.
   */
  readonly keepaliveMs?: number | undefined;
  /** For jitter. Default: `Math.random`. */
  readonly random?: Random | undefined;
  /** Strings kept by the interning reader, per generation of two. 0 turns it off. Default 32768: enough for 10,000 containers. */
  readonly internedStrings?: number | undefined;
}

/** {@link CriClientOptions} with everything filled in. */
export interface ResolvedOptions {
  readonly endpoint: string;
  readonly imageEndpoint: string;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly metrics: Metrics;
  readonly deadlines: CriDeadlines;
  readonly maxMessageBytes: number;
  readonly maxReconnectMs: number;
  readonly keepaliveMs: number;
  readonly random: Random;
  readonly internedStrings: number;
}

const DEFAULT_MAX_MESSAGE_BYTES = 16 * 1024 * 1024;
const DEFAULT_MAX_RECONNECT_MS = 2500;
const DEFAULT_KEEPALIVE_MS = 15_000;
const DEFAULT_INTERNED_STRINGS = 32_768;

/** Fills in defaults. Throws one `CRI_OPTIONS` error that lists every problem. */
export function resolveOptions(options: CriClientOptions): ResolvedOptions {
  const problems: string[] = [];
  const number = (name: string, value: number | undefined, fallback: number, least: number): number => {
    const used = value ?? fallback;
    if (!Number.isFinite(used) || used < least)
      problems.push(`${name} is ${used}, must be a number of at least ${least}`);
    return used;
  };
  const endpointOf = (name: string, value: string): string => {
    const endpoint = normaliseEndpoint(value);
    if (endpoint === undefined) problems.push(`${name} is "${value}", must be unix:///path or /path`);
    return endpoint ?? value;
  };
  const given = options.deadlines ?? {};
  const deadline = (name: keyof CriDeadlines): number =>
    number(`deadlines.${name}`, given[name], DEFAULT_DEADLINES[name], 1);
  const endpoint = endpointOf("endpoint", options.endpoint);
  const resolved: ResolvedOptions = {
    endpoint,
    imageEndpoint:
      options.imageEndpoint === undefined ? endpoint : endpointOf("imageEndpoint", options.imageEndpoint),
    clock: options.clock ?? systemClock,
    logger: options.logger ?? silentLogger,
    metrics: options.metrics ?? noMetrics,
    deadlines: {
      runtimeRequestTimeoutMs: deadline("runtimeRequestTimeoutMs"),
      imagePullMs: deadline("imagePullMs"),
      execWithoutTimeoutMs: deadline("execWithoutTimeoutMs"),
    },
    maxMessageBytes: number("maxMessageBytes", options.maxMessageBytes, DEFAULT_MAX_MESSAGE_BYTES, 1024),
    maxReconnectMs: number("maxReconnectMs", options.maxReconnectMs, DEFAULT_MAX_RECONNECT_MS, 100),
    keepaliveMs: number("keepaliveMs", options.keepaliveMs, DEFAULT_KEEPALIVE_MS, 0),
    random: options.random ?? Math.random,
    internedStrings: number("internedStrings", options.internedStrings, DEFAULT_INTERNED_STRINGS, 0),
  };
  if (problems.length > 0)
    throw new HoldfastError("CRI_OPTIONS", "bad-input", `cri client: ${problems.join("; ")}`);
  return resolved;
}

/** kubelet: util.GetAddressAndDialer takes unix URLs only; a bare path is accepted as crictl does. */
function normaliseEndpoint(endpoint: string): string | undefined {
  const path = endpoint.startsWith("unix:") ? endpoint.replace(/^unix:(\/\/)?/, "") : endpoint;
  return path.startsWith("/") ? `unix://${path}` : undefined;
}
