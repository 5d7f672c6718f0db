// SPDX-License-Identifier: Apache-2.0

/** A probe with its defaults and its timing in milliseconds. Pure. kubelet: SetDefaults_Probe. */
import type { Container, Probe } from "@holdfast/core/pod-types";
import type { ProbeTiming } from "./parse-probe-timing.ts";

/** kubelet: probeType. */
export type ProbeKind = "startup" | "readiness" | "liveness";

/** In the order in which a container's workers are made. kubelet: AddPod. */
export const PROBE_KINDS: readonly ProbeKind[] = ["startup", "readiness", "liveness"];

/** Shorter periods and timeouts than this are raised to it. */
export const MIN_PERIOD_MS = 50;

/** What a worker goes by. Milliseconds. */
export interface ProbeSpec {
  readonly probe: Probe;
  readonly initialDelayMs: number;
  readonly timeoutMs: number;
  readonly periodMs: number;
  /** Until the first success (startup, readiness); equal to `periodMs` unless told otherwise. */
  readonly unreadyPeriodMs: number;
  readonly successThreshold: number;
  readonly failureThreshold: number;
}

/** The probe of that kind, if the container has one. */
export function probeOf(container: Container, kind: ProbeKind): Probe | undefined {
  if (kind === "startup") return container.startupProbe;
  return kind === "readiness" ? container.readinessProbe : container.livenessProbe;
}

const DEFAULTS = { timeoutSeconds: 1, periodSeconds: 10, successThreshold: 1, failureThreshold: 3 } as const;
const MS = 1000;

/** Fills in defaults; what the annotation says goes before what the spec says. */
export function resolveProbe(probe: Probe, timing: ProbeTiming = {}): ProbeSpec {
  const periodMs =
    timing.periodMs ?? positive(probe.periodSeconds, DEFAULTS.periodSeconds, MIN_PERIOD_MS / MS) * MS;
  const timeoutMs =
    timing.timeoutMs ?? positive(probe.timeoutSeconds, DEFAULTS.timeoutSeconds, MIN_PERIOD_MS / MS) * MS;
  return {
    probe,
    initialDelayMs: timing.initialDelayMs ?? Math.max(probe.initialDelaySeconds ?? 0, 0) * MS,
    timeoutMs,
    periodMs,
    unreadyPeriodMs: timing.unreadyPeriodMs ?? periodMs,
    successThreshold: positive(probe.successThreshold, DEFAULTS.successThreshold, 1),
    failureThreshold: positive(probe.failureThreshold, DEFAULTS.failureThreshold, 1),
  };
}

/** 0 means "not set", as in the API; no number is below `least`. */
function positive(value: number | undefined, otherwise: number, least: number): number {
  return value === undefined || !(value > 0) ? otherwise : Math.max(value, least);
}
