// SPDX-License-Identifier: Apache-2.0

/** Pure: who asked for an end, and what speaks for the verdict. */
import { signalOfExitCode } from "./exit-signal.ts";
import type { FactAt } from "./facts.ts";
import { firstLineOf } from "./redact.ts";
import type { SelectedFacts } from "./select-facts.ts";
import type { CauseClass, Evidence, TerminationFacts } from "./termination.ts";

/** Probe failures shown. */
const MAX_PROBES = 3;
const MAX_EVIDENCE = 10;
/** Processes shown that the kernel killed along with another one. */
const MAX_ALONG = 2;
/** A runtime begins far off and comes to the point at the end. */
const MAX_FAILURE = 500;
/** Reasons with which the runtime tells why a process could not even be started: its message says what. */
export const START_FAILURES: ReadonlySet<string> = new Set(["StartError", "ContainerCannotRun"]);

/** Who wanted it. */
export function askedByOf(cause: CauseClass, selected: SelectedFacts): string {
  const source = selected.replacedBy?.source || selected.specChanged?.source || selected.podRemoved?.source;
  const where = source === undefined || source === "" ? "" : ` (source: ${source})`;
  switch (cause) {
    case "Finished":
    case "ApplicationError":
      return "the container itself";
    case "LivenessProbe":
      return "Holdfast: its liveness probe failed";
    case "StartupProbe":
      return "Holdfast: its startup probe failed";
    case "MemoryLimit":
    case "NodeOOM":
      return "the kernel's OOM killer";
    case "Evicted":
      return "Holdfast: the pod was evicted";
    case "SpecChanged":
      return `whoever changed the manifest${where}`;
    case "DeviceLost":
      return "nobody: a device was lost";
    case "RuntimeOrReboot":
      return selected.reboot === undefined ? "the container runtime" : "a reboot of the machine";
    case "Outside":
      return "someone outside Holdfast";
    case "GracePeriodExceeded":
    case "Removed":
      return removedBy(selected, where);
    case "DeadlineExceeded":
      return "Holdfast: activeDeadlineSeconds of the pod is over";
    case "PostStartHook":
      return "Holdfast: its postStart hook failed";
    default:
      return cause satisfies never;
  }
}

function removedBy({ podEnding, podRemoved, kill }: SelectedFacts, where: string): string {
  if (podRemoved !== undefined) return `whoever removed the pod${where}`;
  if (podEnding?.reason === "Completed") return "Holdfast: nothing of the pod was left to do";
  const reason = podEnding?.reason ?? kill?.reason ?? "";
  return reason === "" ? "Holdfast" : `Holdfast: ${reason}`;
}

/** What speaks for it, the strongest first. */
export function evidenceOf(
  cause: CauseClass,
  known: TerminationFacts,
  selected: SelectedFacts,
  exitCode: number | undefined,
  forced: boolean,
): readonly Evidence[] {
  const facts = [...strongest(cause, selected), ...context(cause, selected)];
  const seen = new Set<number>();
  const evidence: Evidence[] = [];
  for (const fact of facts) {
    if (fact === undefined || seen.has(fact.seq)) continue;
    seen.add(fact.seq);
    const text = factText(fact);
    // A probe's failure is told as an event of Kubernetes, too.
    if (evidence.some((one) => one.text.toLowerCase() === text.toLowerCase())) continue;
    evidence.push({ kind: fact.kind, seq: fact.seq, at: fact.at, text });
  }
  const runtime: Evidence = { kind: "runtime", text: runtimeText(known, exitCode) };
  const own = cause === "Finished" || cause === "ApplicationError" || cause === "Outside";
  const grace = selected.kill?.graceSeconds;
  const kill: readonly Evidence[] = forced
    ? [
        {
          kind: "killed",
          text: `it did not end within its grace period${grace === undefined ? "" : ` of ${grace} s`} and got SIGKILL`,
        },
      ]
    : [];
  const all = own
    ? [runtime, ...kill, ...evidence]
    : [...evidence.slice(0, 1), ...kill, ...evidence.slice(1), runtime];
  return all.slice(0, MAX_EVIDENCE);
}

function strongest(cause: CauseClass, selected: SelectedFacts): readonly (FactAt | undefined)[] {
  const { kill, probes, ooms, nodeOoms } = selected;
  switch (cause) {
    case "LivenessProbe":
      return [
        ...probes.filter(({ probe }) => probe !== "readiness" && probe !== "startup").slice(0, MAX_PROBES),
        kill,
      ];
    case "StartupProbe":
      return [
        ...probes.filter(({ probe }) => probe !== "readiness" && probe !== "liveness").slice(0, MAX_PROBES),
        kill,
      ];
    case "MemoryLimit":
      return victimsFirst(ooms);
    case "NodeOOM":
      return victimsFirst([...ooms, ...nodeOoms]);
    case "Evicted":
      return [selected.eviction, selected.podEnding, kill];
    case "SpecChanged":
      return [selected.specChanged, selected.replacedBy, kill];
    case "DeviceLost":
      return [...selected.devices.toReversed(), kill];
    case "RuntimeOrReboot":
      return [selected.reboot, selected.sandboxDied, selected.runtimeDown, kill];
    case "GracePeriodExceeded":
    case "Removed":
    case "DeadlineExceeded":
      return [selected.podEnding, selected.podRemoved, kill];
    case "PostStartHook":
      return [selected.hookFailed, kill];
    case "Finished":
    case "ApplicationError":
    case "Outside":
      return [];
    default:
      return cause satisfies never;
  }
}

/** Newest first; of a group kill the process that was too large, and then some of those that went with it. */
function victimsFirst(ooms: SelectedFacts["ooms"]): SelectedFacts["ooms"] {
  const newest = ooms.toReversed();
  const along = newest.filter(({ alongWith }) => alongWith === true);
  return [...newest.filter(({ alongWith }) => alongWith !== true), ...along.slice(0, MAX_ALONG)];
}

/** What happened in the same life and may matter: a killed child, a lost device. */
function context(cause: CauseClass, { ooms, devices }: SelectedFacts): readonly FactAt[] {
  const killed = cause === "MemoryLimit" || cause === "NodeOOM" ? [] : ooms.slice(-2);
  return [...killed, ...devices.slice(-1)];
}

function runtimeText(known: TerminationFacts, exitCode: number | undefined): string {
  const signal = signalOfExitCode(exitCode);
  const reason = known.record?.reason ?? "";
  const parts = [
    exitCode === undefined ? "no exit code: the container vanished" : `exit code ${exitCode}`,
    ...(signal === undefined ? [] : [signal]),
    ...(reason === "" ? [] : [`the runtime says ${reason}`]),
  ];
  const message = START_FAILURES.has(reason) ? firstLineOf(known.record?.message ?? "", MAX_FAILURE) : "";
  return message === "" ? parts.join(", ") : `${parts.join(", ")}: ${message}`;
}

/** One fact in words. */
export function factText(fact: FactAt): string {
  switch (fact.kind) {
    case "probe":
      return probeText(fact.probe, fact.text);
    case "oom":
      return fact.main === false ? `${fact.text} (a child process)` : fact.text;
    case "eviction":
    case "deviceLost":
    case "hookFailed":
      return fact.text;
    case "kill":
      return fact.wholeSandbox
        ? `the sandbox was stopped: ${fact.reason}`
        : fact.message || `stopped: ${fact.reason}`;
    case "killed":
      return fact.error === "" ? "the stop call returned" : `the stop call failed: ${fact.error}`;
    case "podEnding":
      return fact.message === "" ? `pod ends: ${fact.reason}` : `pod ends: ${fact.reason}: ${fact.message}`;
    case "podAdded":
      return replacedText(fact.subject.podUid ?? "", fact.changed);
    case "podRemoved":
      return `the pod is not wanted any more by source ${fact.source || "unknown"}`;
    case "specChanged":
      return fact.changed.length === 0 ? "the pod's spec changed" : `changed: ${fact.changed.join(", ")}`;
    case "reboot":
      return `the machine was booted: boot id ${fact.bootId}`;
    case "runtimeDown":
      return `the runtime was not ready: ${fact.text}`;
    case "sandboxDied":
      return "the pod's sandbox died";
    case "starting":
    case "started":
    case "died":
    case "agentStarted":
    case "runtimeUp":
      return fact.kind;
    default:
      return fact satisfies never;
  }
}

/** The probe's words alone would not say whose they are. */
function probeText(probe: string | undefined, text: string): string {
  if (/\bprobe (?:failed|errored|warning)/i.test(text)) return text;
  return `${probe ?? "a"} probe failed${text === "" ? "" : `: ${text}`}`;
}

function replacedText(uid: string, changed: readonly string[]): string {
  const what = changed.length === 0 ? "" : `; changed: ${changed.join(", ")}`;
  return `a changed manifest took its place (pod UID ${uid})${what}`;
}
