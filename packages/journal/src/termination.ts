// SPDX-License-Identifier: Apache-2.0

import type { FactAt, FactKind } from "./facts.ts";
import type { LogPosition } from "./ports.ts";

/** Why a container ended. Exactly one holds for each end. */
export type CauseClass =
  /** Exit code 0, by itself. */
  | "Finished"
  /** Another exit code, or a signal of its own doing (SIGSEGV, SIGABRT ...). */
  | "ApplicationError"
  | "LivenessProbe"
  | "StartupProbe"
  /** Taken down with its pod; it did not end within the grace period and got SIGKILL. */
  | "GracePeriodExceeded"
  /** The kernel killed its main process: a memory limit of its own or its pod's. */
  | "MemoryLimit"
  /** The kernel killed its main process: the machine was out of memory. */
  | "NodeOOM"
  | "Evicted"
  /** Its definition changed, or its pod was replaced by one of a changed manifest. */
  | "SpecChanged"
  /** A device that it holds became unhealthy. */
  | "DeviceLost"
  /** The machine was booted, the sandbox was lost, or the runtime does not know any more. */
  | "RuntimeOrReboot"
  /** A signal that neither the kernel nor we sent. */
  | "Outside"
  /** Taken down with its pod, which was removed or has completed. */
  | "Removed"
  /** The pod's activeDeadlineSeconds. */
  | "DeadlineExceeded"
  /** Its postStart hook failed. */
  | "PostStartHook";

/** One thing that speaks for a cause. */
export interface Evidence {
  /** `runtime`: the runtime's own record. */
  readonly kind: FactKind | "runtime";
  /** The event that says so; absent for the runtime's record. */
  readonly seq?: number;
  /** Wall milliseconds. */
  readonly at?: number;
  readonly text: string;
}

/** A verdict. */
export interface Cause {
  readonly cause: CauseClass;
  /** Who wanted it, in words. */
  readonly askedBy: string;
  /** It was asked to stop, did not within its grace, and was killed. */
  readonly forced: boolean;
  /** The strongest first. */
  readonly evidence: readonly Evidence[];
}

/** The runtime's record of an ended container. */
export interface RuntimeEnd {
  readonly exitCode: number;
  /** `Completed`, `Error`, `OOMKilled`, `StartError`, `Unknown` ... */
  readonly reason: string;
  readonly message: string;
  /** Wall milliseconds, 0 for never. */
  readonly startedAt: number;
  readonly finishedAt: number;
  readonly restartCount: number;
}

/** All that is known of one end. */
export interface TerminationFacts {
  readonly podUid: string;
  /** `namespace/name`; "" when nobody knows. */
  readonly pod: string;
  readonly container: string;
  readonly containerId: string;
  readonly died: FactAt & { readonly kind: "died" };
  readonly record: RuntimeEnd | undefined;
  /** Of the pod's name and of the node, in order of `seq`; others' facts do no harm. */
  readonly facts: readonly FactAt[];
}

/** One row of the restart ledger. */
export interface Termination extends Cause {
  /** Of the event that told of the end. The order of the ledger: wall clocks step. */
  readonly seq: number;
  /** Wall milliseconds: when the container ended by the runtime's word, else when we learned of it. */
  readonly at: number;
  readonly pod: string;
  readonly podUid: string;
  readonly container: string;
  readonly containerId: string;
  readonly restartCount?: number;
  readonly exitCode?: number;
  readonly signal?: string;
  /** The runtime's reason. */
  readonly reason?: string;
  /** How long it ran. */
  readonly ranMs?: number;
  /** The events that led here, newest first. */
  readonly chain: readonly number[];
  /** Where its last lines are. */
  readonly log?: LogPosition;
}
