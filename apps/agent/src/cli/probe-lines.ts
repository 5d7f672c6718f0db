// SPDX-License-Identifier: Apache-2.0

/** How `holdfast describe pod` shows the probes of a container: what is asked, as kubectl writes it, and below it what was found. Pure. */
import { formatAge, formatDuration } from "@holdfast/core/duration";
import type { Container, Pod, Probe } from "@holdfast/core/pod-types";
import { parseProbeTimings, resolveProbe, timingFor } from "@holdfast/probe";
import type { ProbeKind, ProbeSnapshot } from "@holdfast/probe";

/** A label and its text; "" continues the one above. */
export type ProbeLine = readonly [label: string, text: string];

const KINDS: readonly (readonly [ProbeKind, string, (container: Container) => Probe | undefined])[] = [
  ["liveness", "Liveness", (container) => container.livenessProbe],
  ["readiness", "Readiness", (container) => container.readinessProbe],
  ["startup", "Startup", (container) => container.startupProbe],
];

/** The probes of one container; `known` are those of its pod as they stand. */
export function probeLines(
  pod: Pod,
  container: Container,
  known: readonly ProbeSnapshot[] = [],
): readonly ProbeLine[] {
  return KINDS.flatMap(([kind, title, of]): ProbeLine[] => {
    const probe = of(container);
    if (probe === undefined) return [];
    const spec = resolveProbe(probe, timingFor(parseProbeTimings(pod, kind), container.name));
    const { initialDelayMs, timeoutMs, periodMs, unreadyPeriodMs } = spec;
    const faster =
      kind === "liveness" || unreadyPeriodMs === periodMs
        ? ""
        : ` unready-period=${formatDuration(unreadyPeriodMs)}`;
    const times = `delay=${formatDuration(initialDelayMs)} timeout=${formatDuration(timeoutMs)} period=${formatDuration(periodMs)}${faster}`;
    const thresholds = `#success=${spec.successThreshold} #failure=${spec.failureThreshold}`;
    const found = known.find((one) => one.container === container.name && one.kind === kind);
    return [
      [title, `${handlerText(probe)} ${times} ${thresholds}`],
      ...(found === undefined ? [] : foundLines(found)),
    ];
  });
}

/** kubectl: DescribeProbe. */
function handlerText({ exec, httpGet, tcpSocket, grpc }: Probe): string {
  if (exec !== undefined) return `exec [${exec.command.join(" ")}]`;
  if (httpGet !== undefined) {
    const path = (httpGet.path ?? "/").replace(/^(?!\/)/, "/");
    return `http-get ${(httpGet.scheme ?? "HTTP").toLowerCase()}://${httpGet.host ?? ""}:${httpGet.port}${path}`;
  }
  if (tcpSocket !== undefined) return `tcp-socket ${tcpSocket.host ?? ""}:${tcpSocket.port}`;
  return `grpc <pod>:${grpc?.port ?? ""} ${grpc?.service ?? ""}`.trimEnd();
}

function foundLines(found: ProbeSnapshot): ProbeLine[] {
  // What the kubelet's rules begin with is not what anybody has seen.
  const assumed = found.probedAgeMs === undefined ? " (assumed)" : "";
  const verdict =
    found.verdict === undefined
      ? "no verdict yet"
      : `${found.verdict}${assumed} for ${formatAge(found.verdictAgeMs)}`;
  const kept = found.restored ? ", kept from before the agent's start" : "";
  const hold = found.onHold ? ", not asked any more" : "";
  const counts = [
    `${found.successful} succeeded`,
    `${found.failed} failed`,
    ...(found.proberErrors === 0 ? [] : [`${found.proberErrors} could not be made`]),
  ];
  const made = found.successful + found.failed + found.proberErrors;
  if (found.lastTookMs !== undefined)
    counts.push(`the last in ${tookText(found.lastTookMs)}, each in ${tookText(found.tookMs / made)}`);
  return [
    ["", `${verdict}${kept}${hold} (${counts.join(", ")})`],
    ...(found.lastProblem === "" ? [] : [["", `last problem: ${found.lastProblem}`] as const]),
  ];
}

/** To a tenth of a millisecond, and no finer than it matters. */
function tookText(ms: number): string {
  return formatDuration(ms < 100 ? Number(ms.toFixed(1)) : Math.round(ms));
}
