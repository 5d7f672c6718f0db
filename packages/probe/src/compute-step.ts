// SPDX-License-Identifier: Apache-2.0

/** What a worker does at one moment. Pure. kubelet: worker.doProbe up to the probe itself. */
import type { ContainerRecord } from "@holdfast/core/runtime-status";
import type { ProbeKind } from "./probe-spec.ts";

/** The part of a container's record that decides. */
export type ProbedRecord = Pick<ContainerRecord, "id" | "name" | "state" | "startedAt" | "exitCode">;

/** What {@link computeStep} reads. */
export interface StepFacts {
  readonly kind: ProbeKind;
  /** The pod's phase is Failed or Succeeded. */
  readonly podEnded: boolean;
  /** The newest container of that name; undefined when the runtime knows none. */
  readonly record: ProbedRecord | undefined;
  /** Its rules or its policy would start it again after its exit code, or all of the pod starts anew. */
  readonly wouldRestart: boolean;
  /** Nothing is asked until another container comes: startup is decided, or liveness has failed. */
  readonly onHold: boolean;
  /** The pod was being deleted when the worker was made. */
  readonly deleted: boolean;
  /** The startup probe is through, or there is none. */
  readonly started: boolean;
  readonly initialDelayMs: number;
  /** Since the container started. */
  readonly runningForMs: number;
}

/**
 * - `idle`: nothing can be asked now; - `wait`: not before so many milliseconds; - `probe`: now; - `fail`: the container is down, so the verdict
 * is failure; - `fail-and-end`: the same, and it never comes back; - `succeed-and-end`: the pod is being deleted and nothing must kill it once
 * more; - `end`: nothing to do any more.
 */
export type Step =
  | { readonly action: "idle" | "probe" | "fail" | "fail-and-end" | "succeed-and-end" | "end" }
  | { readonly action: "wait"; readonly ms: number };

const IDLE: Step = { action: "idle" };
const PROBE: Step = { action: "probe" };
const FAIL: Step = { action: "fail" };
const FAIL_AND_END: Step = { action: "fail-and-end" };
const SUCCEED_AND_END: Step = { action: "succeed-and-end" };
const END: Step = { action: "end" };

/** In the kubelet's order, which matters. */
export function computeStep(facts: StepFacts): Step {
  const { kind, record } = facts;
  if (facts.podEnded) return END;
  if (record === undefined || facts.onHold) return IDLE;
  if (record.state === "exited") return facts.wouldRestart ? FAIL : FAIL_AND_END;
  // It may run the next moment: then a failure of ours, of liveness or startup, would kill it.
  if (record.state !== "running") return kind === "readiness" ? FAIL : IDLE;
  if (facts.deleted && kind !== "readiness") return SUCCEED_AND_END;
  const delay = facts.initialDelayMs - facts.runningForMs;
  // The startup probe's own gate stands the other way round.
  if (facts.started === (kind === "startup")) return IDLE;
  return delay > 0 ? { action: "wait", ms: delay } : PROBE;
}
