// SPDX-License-Identifier: Apache-2.0

/**
 * Pure: why a container ended, from what is known of it. The order of the questions is the decision: what the kernel did, what we asked for, what
 * the machine went through, what the process did itself, who else there is.
 */
import { askedByOf, evidenceOf } from "./cause-evidence.ts";
import { isSentSignal, KILLED, signalOfExitCode } from "./exit-signal.ts";
import type { FactAt } from "./facts.ts";
import { isSameRun, selectFacts } from "./select-facts.ts";
import type { SelectedFacts } from "./select-facts.ts";
import type { Cause, CauseClass, TerminationFacts } from "./termination.ts";

/** A reason of ours -> what it means. A reason that is not here is a removal. */
const CLASS_OF_KILL: Readonly<Record<string, CauseClass>> = {
  LivenessProbe: "LivenessProbe",
  StartupProbe: "StartupProbe",
  Evicted: "Evicted",
  SpecChanged: "SpecChanged",
  DeadlineExceeded: "DeadlineExceeded",
  FailedPostStartHook: "PostStartHook",
  SandboxChanged: "RuntimeOrReboot",
  Unknown: "RuntimeOrReboot",
  DeviceLost: "DeviceLost",
  DeviceUnhealthy: "DeviceLost",
  UnhealthyDevice: "DeviceLost",
};

/** What the runtime says of a container that it lost. containerd: `Unknown` with 255. kubelet: ContainerStatusUnknown. */
const LOST_REASONS: ReadonlySet<string> = new Set(["Unknown", "ContainerStatusUnknown"]);
/** A kill that came this much before the end of the grace period was not the runtime's. */
const GRACE_SLACK_MS = 1500;
/** How close an out-of-memory of the node stands to a death that the runtime calls OOMKilled. */
const NODE_OOM_MS = 10_000;
/** How long after a device was lost its user's failure is put down to that. */
const DEVICE_MS = 60_000;

/** The verdict on one end. `selected`: what was chosen of its facts. */
export function computeCause(known: TerminationFacts, selected: SelectedFacts = selectFacts(known)): Cause {
  const exitCode = known.record?.exitCode ?? known.died.exitCode;
  const forced = wasForced(known, selected, exitCode);
  const cause = classOf(known, selected, exitCode, forced);
  return {
    cause,
    askedBy: askedByOf(cause, selected),
    forced,
    evidence: evidenceOf(cause, known, selected, exitCode, forced),
  };
}

function classOf(
  known: TerminationFacts,
  selected: SelectedFacts,
  exitCode: number | undefined,
  forced: boolean,
): CauseClass {
  const { kill, reboot } = selected;
  const { record } = known;
  const oom = fatalOom(selected, exitCode);
  if (oom !== undefined) return oom;
  if (reboot !== undefined && (kill === undefined || reboot.seq > kill.seq)) return "RuntimeOrReboot";
  if (kill !== undefined) return classOfKill(selected, kill.reason, forced);
  if (exitCode === undefined) return selected.runtimeDown === undefined ? "Outside" : "RuntimeOrReboot";
  if (record !== undefined && LOST_REASONS.has(record.reason) && exitCode !== 0) return "RuntimeOrReboot";
  if (exitCode === 0) return "Finished";
  if (exitCode === KILLED && record?.reason === "OOMKilled")
    return isNodeShort(known, selected) ? "NodeOOM" : "MemoryLimit";
  if (isSentSignal(signalOfExitCode(exitCode))) return "Outside";
  return isDeviceLost(known, selected) ? "DeviceLost" : "ApplicationError";
}

/** The kernel killed the main process, by its own record. A killed child is not the end of a container. */
function fatalOom({ ooms, kill }: SelectedFacts, exitCode: number | undefined): CauseClass | undefined {
  const isFatal = (main: boolean | undefined): boolean =>
    main === true ? exitCode !== 0 : main === undefined && exitCode === KILLED && kill === undefined;
  const fatal = ooms.findLast(({ main }) => isFatal(main));
  if (fatal === undefined) return undefined;
  return fatal.scope === "node" ? "NodeOOM" : "MemoryLimit";
}

function classOfKill(selected: SelectedFacts, reason: string, forced: boolean): CauseClass {
  const known = CLASS_OF_KILL[reason] ?? CLASS_OF_KILL[selected.podEnding?.reason ?? ""];
  if (known !== undefined) return known;
  if (selected.replacedBy !== undefined) return "SpecChanged";
  return forced ? "GracePeriodExceeded" : "Removed";
}

function isNodeShort(known: TerminationFacts, { nodeOoms }: SelectedFacts): boolean {
  return nodeOoms.some((oom) => isNear(known, oom, NODE_OOM_MS));
}

function isDeviceLost(known: TerminationFacts, { devices }: SelectedFacts): boolean {
  return devices.some((fact) => fact.seq < known.died.seq && isNear(known, fact, DEVICE_MS));
}

function isNear(known: TerminationFacts, fact: FactAt, ms: number): boolean {
  return (
    isSameRun(known.facts, fact.seq, known.died.seq) && Math.abs(known.died.monotonic - fact.monotonic) <= ms
  );
}

/** SIGKILL, and the grace was over. Times of two runs cannot be subtracted: then the signal alone must do. */
function wasForced(
  known: TerminationFacts,
  { kill, ooms }: SelectedFacts,
  exitCode: number | undefined,
): boolean {
  if (kill === undefined || exitCode !== KILLED || ooms.some(({ main }) => main === true)) return false;
  if (kill.graceSeconds === undefined || !isSameRun(known.facts, kill.seq, known.died.seq)) return true;
  return known.died.monotonic - kill.monotonic >= kill.graceSeconds * 1000 - GRACE_SLACK_MS;
}
