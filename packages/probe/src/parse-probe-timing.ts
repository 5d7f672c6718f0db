// SPDX-License-Identifier: Apache-2.0

/**
 * Probe timing in milliseconds, from annotations of a pod. Pure. Not the kubelet's: it knows whole seconds only.
 *
 *   holdfast.agent/readiness-probe-timing: "period=500ms, timeout=200ms, unreadyPeriod=100ms; slow: period=5s"
 *
 * Entries are separated by `;`. One that begins with a container's name and a colon is for that container and goes before the one for all.
 */
import { holdfastErrorIn } from "@holdfast/core/errors";
import { parseDuration } from "@holdfast/core/duration";
import {
  LIVENESS_PROBE_TIMING_ANNOTATION,
  READINESS_PROBE_TIMING_ANNOTATION,
  STARTUP_PROBE_TIMING_ANNOTATION,
} from "@holdfast/core/names";
import { allContainers } from "@holdfast/core/pod";
import type { Pod } from "@holdfast/core/pod-types";
import { MIN_PERIOD_MS } from "./probe-spec.ts";
import type { ProbeKind } from "./probe-spec.ts";

/** What an annotation sets; the rest comes from the probe's own fields. Milliseconds. */
export interface ProbeTiming {
  readonly periodMs?: number;
  /** Until the first success. Means nothing to a liveness probe. */
  readonly unreadyPeriodMs?: number;
  readonly timeoutMs?: number;
  readonly initialDelayMs?: number;
}

/** One annotation, read. With a problem none of it counts: bad input is never obeyed half. */
export interface ProbeTimings {
  /** By container name; "" is for all others. */
  readonly byContainer: ReadonlyMap<string, ProbeTiming>;
  /** What is wrong, with the annotation's key; undefined when nothing is. */
  readonly problem: string | undefined;
}

const ANNOTATIONS: Readonly<Record<ProbeKind, string>> = {
  liveness: LIVENESS_PROBE_TIMING_ANNOTATION,
  readiness: READINESS_PROBE_TIMING_ANNOTATION,
  startup: STARTUP_PROBE_TIMING_ANNOTATION,
};
const FIELDS: Readonly<Record<string, keyof ProbeTiming>> = {
  period: "periodMs",
  unreadyPeriod: "unreadyPeriodMs",
  timeout: "timeoutMs",
  initialDelay: "initialDelayMs",
};
/** Nothing waits longer. One day. */
const MAX_MS = 86_400_000;
const NONE: ProbeTimings = { byContainer: new Map(), problem: undefined };

/** Reads the annotation for probes of that kind. */
export function parseProbeTimings(pod: Pod, kind: ProbeKind): ProbeTimings {
  const key = ANNOTATIONS[kind];
  const text = pod.metadata.annotations?.[key];
  if (text === undefined || text.trim() === "") return NONE;
  const byContainer = new Map<string, ProbeTiming>();
  for (const entry of text.split(";")) {
    if (entry.trim() === "") continue;
    const colon = entry.indexOf(":");
    const name = colon === -1 ? "" : entry.slice(0, colon).trim();
    const read = parseEntry(entry.slice(colon + 1));
    const known = name === "" || allContainers(pod.spec).some((container) => container.name === name);
    const problem = typeof read === "string" ? read : known ? undefined : `there is no container "${name}"`;
    if (typeof read === "string" || problem !== undefined)
      return { byContainer: new Map(), problem: `annotation ${key}: ${problem}` };
    byContainer.set(name, read);
  }
  return { byContainer, problem: undefined };
}

/** The timing for one container. */
export function timingFor(timings: ProbeTimings, container: string): ProbeTiming {
  return timings.byContainer.get(container) ?? timings.byContainer.get("") ?? {};
}

function parseEntry(text: string): ProbeTiming | string {
  const timing: { -readonly [Field in keyof ProbeTiming]: number } = {};
  for (const pair of text.split(",")) {
    const [name = "", value = ""] = pair.split("=", 2).map((part) => part.trim());
    const field = FIELDS[name];
    if (field === undefined) return `"${name.slice(0, 40)}" is none of ${Object.keys(FIELDS).join(", ")}`;
    const ms = durationOf(value);
    if (typeof ms === "string") return `${name}: ${ms}`;
    const least = field === "initialDelayMs" ? 0 : MIN_PERIOD_MS;
    if (ms < least || ms > MAX_MS) return `${name}: ${value} is not between ${least}ms and 24h`;
    timing[field] = ms;
  }
  return timing;
}

function durationOf(value: string): number | string {
  try {
    return parseDuration(value);
  } catch (error) {
    return holdfastErrorIn(error)?.message ?? "no duration";
  }
}
