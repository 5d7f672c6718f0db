// SPDX-License-Identifier: Apache-2.0

/** What one attempt of one handler came to, and what it means. Pure. kubelet: pkg/probe/probe.go and prober.go. */
import type { ProbeKind } from "./probe-spec.ts";

/** The verdict that others see. Unknown is `undefined`. kubelet: results.Result. */
export type ProbeVerdict = "success" | "failure";

/**
 * Why an attempt says nothing about its target: these are thrown away, shown, and counted by this word.
 *
 * - `starved`: our own event loop stood still while it ran; - `descriptors`: no file descriptor, port or memory for a socket; - `runtime`: the
 * runtime refused the exec or could not spawn it; - `silent`: the runtime did not answer at all; - `body`: the answer's body broke off or did not end in time (the
 * kubelet's rule); - `port`, `address`: there was nothing to call; - `handler`: the probe names no handler, or it threw.
 */
export type ProberErrorWhy =
  | "starved"
  | "descriptors"
  | "runtime"
  | "silent"
  | "body"
  | "port"
  | "address"
  | "handler";

/** kubelet: probe.Result, output and error in one. */
export interface ProbeOutcome {
  /** `warning` counts as success, `unknown` without an error as failure. */
  readonly result: "success" | "warning" | "failure" | "unknown";
  /** At most 10240 bytes of it come from the target. */
  readonly output: string;
  /** The part of `output` that is in the target's own words: it may hold anything, a secret too. Undefined: none is. */
  readonly quotes?: string | undefined;
  /** Set when the attempt itself failed: it is made again, up to three times, and then thrown away. */
  readonly error?: { readonly why: ProberErrorWhy; readonly text: string } | undefined;
  /** The target's time was up: no failure when our own event loop had stood still. */
  readonly timedOut?: boolean;
}

/** What of an answer is read and kept. kubelet: maxRespBodyLength, maxReadLength. */
export const MAX_OUTPUT_BYTES: number = 10 * 1024;
/** kubelet: maxProbeRetries. */
export const MAX_ATTEMPTS = 3;

/** A success without a word. Shared: most probes end in it. */
export const SILENT_SUCCESS: ProbeOutcome = { result: "success", output: "" };

/** The target's own failure. `quotes`: see {@link ProbeOutcome}. */
export function failure(output: string, quotes?: string): ProbeOutcome {
  return { result: "failure", output, quotes };
}

/** The same outcome with the target's own words counted and not said. */
export function withoutQuotes(outcome: ProbeOutcome): ProbeOutcome {
  const { output, quotes } = outcome;
  if (quotes === undefined || quotes === "") return outcome;
  const bytes = Buffer.byteLength(quotes);
  return { ...outcome, output: output.replace(quotes, () => `${bytes} bytes`), quotes: undefined };
}

/** The target did not answer in time. */
export function timedOut(output: string): ProbeOutcome {
  return { result: "failure", output, timedOut: true };
}

/** Not the target's failure. */
export function proberError(
  why: ProberErrorWhy,
  text: string,
  result: "failure" | "unknown" = "unknown",
): ProbeOutcome {
  return { result, output: "", error: { why, text } };
}

/** Whether another attempt at once may end differently: a port that does not exist is not there a microsecond later either. */
export function isWorthRetrying(why: ProberErrorWhy): boolean {
  return why === "starved" || why === "runtime" || why === "body";
}

/** kubelet: prober.probe. `undefined` means that the outcome is thrown away. */
export function verdictOf(outcome: ProbeOutcome): ProbeVerdict | undefined {
  if (outcome.error !== undefined) return undefined;
  return outcome.result === "success" || outcome.result === "warning" ? "success" : "failure";
}

/** `Liveness`, `Readiness`, `Startup`. kubelet: probeType.String. */
export const KIND_TITLES: Readonly<Record<ProbeKind, string>> = {
  liveness: "Liveness",
  readiness: "Readiness",
  startup: "Startup",
};

/** Reason and message of the Kubernetes event; undefined when there is none. kubelet: prober.probe, recordContainerEvent. */
export function eventOf(
  kind: ProbeKind,
  outcome: ProbeOutcome,
): { readonly reason: "Unhealthy" | "ProbeWarning"; readonly message: string } | undefined {
  const title = KIND_TITLES[kind];
  if (outcome.error !== undefined)
    return {
      reason: "Unhealthy",
      message: `${title} probe errored and resulted in ${outcome.result} state: ${outcome.error.text}`,
    };
  if (outcome.result === "warning")
    return { reason: "ProbeWarning", message: `${title} probe warning: ${outcome.output}` };
  if (outcome.result === "failure")
    return { reason: "Unhealthy", message: `${title} probe failed: ${outcome.output}` };
  return undefined;
}

const MAX_LINE = 256;

/** The first line of an output, bounded: what is kept and what an event carries. */
export function firstLine(text: string): string {
  const end = text.search(/[\r\n]/);
  const line = end === -1 ? text : text.slice(0, end);
  if (line.length <= MAX_LINE && line === text) return text;
  const cut = line.length > MAX_LINE ? `${line.slice(0, MAX_LINE)}…` : line;
  // A copy: a slice would keep the whole text in memory.
  return Buffer.from(cut, "utf8").toString("utf8");
}
