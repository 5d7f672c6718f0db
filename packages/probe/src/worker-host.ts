// SPDX-License-Identifier: Apache-2.0

/** What a worker needs of its manager. */
import type { Clock } from "@holdfast/core/clock";
import type { Pod } from "@holdfast/core/pod-types";
import type { Random } from "@holdfast/core/random";
import type { ProbeState } from "./compute-verdict.ts";
import type { ProbeOutcome } from "./outcome.ts";
import type { ProbeTarget } from "./ports.ts";
import type { AttemptTools } from "./probe-attempts.ts";
import type { ProbeWorker } from "./probe-worker.ts";
import type { RestoredVerdict } from "./verdict-store.ts";

/** Reason and message of a Kubernetes event. */
export interface ProblemText {
  readonly reason: "Unhealthy" | "ProbeWarning";
  readonly message: string;
}

/** Filled by `ProbeManager`. Milliseconds. */
export interface WorkerHost {
  readonly tools: AttemptTools;
  readonly target: ProbeTarget;
  readonly wall: Pick<Clock, "now">;
  readonly random: Random;
  /** Monotonic, when the manager was made. */
  readonly createdAt: number;
  readonly idleRecheckMs: number;
  readonly restartSpreadMs: number;
  /** Due times are rounded up to a multiple of this. Changes with the number of workers. */
  readonly grainMs: number;
  readonly userAgent: string;
  /** Whether the target's own words are told. */
  readonly probeOutput: boolean;
  /** Whether anything may be asked. */
  isRunning(): boolean;
  /** The address of a pod that has none of its own. */
  hostIp(pod: Pod): string | undefined;
  /** Phase Failed or Succeeded. */
  podEnded(podUid: string): boolean;
  /** The last status says that this very container has started. */
  wasStarted(worker: ProbeWorker, containerId: string): boolean;
  restore(worker: ProbeWorker, containerId: string): RestoredVerdict | undefined;
  /** It watches another container now. */
  onAdopted(worker: ProbeWorker, previousId: string | undefined): void;
  /** After a probe that changed anything. */
  onState(worker: ProbeWorker, before: ProbeState, outcome: ProbeOutcome): void;
  /** After a probe that failed, warned or could not be made. */
  onProblem(worker: ProbeWorker, outcome: ProbeOutcome, text: ProblemText): void;
  onEnded(worker: ProbeWorker): void;
}
