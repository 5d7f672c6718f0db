// SPDX-License-Identifier: Apache-2.0

/** Where statuses go, and what comes back. */
import { HoldfastError } from "@holdfast/core/errors";
import type { ErrorKind, HoldfastErrorOptions } from "@holdfast/core/errors";
import type { Pod } from "@holdfast/core/pod-types";
import type { ApiPodStatus } from "../api-types.ts";

/** One pod's newest status. What came between it and the one written before is not told. */
export interface StatusUpdate {
  readonly uid: string;
  readonly namespace: string;
  readonly name: string;
  readonly version: number;
  /** As its worker last had it. */
  readonly pod: Pod;
  readonly status: ApiPodStatus;
  /** Nothing of the pod is left on the node. kubelet: podIsFinished. */
  readonly finished: boolean;
  /** The node has forgotten the pod: this is the last that is heard of it. */
  readonly removed: boolean;
}

/**
 * What became of a write. `written`: the sink has it now; `unchanged`: it had it already, no call was made; `gone`: the pod is not there, or another of its name is;
 * `waiting`: the pod is not there yet (a static pod without its mirror), try again after a while.
 */
export type StatusWriteOutcome = "written" | "unchanged" | "gone" | "waiting";

/** A place that keeps statuses. Calls for one pod never overlap. */
export interface StatusSink {
  /** For people and metrics. */
  readonly name: string;
  /**
   * Writes one status. Must make no difference when done twice. Rejects with a `HoldfastError`: kinds `bad-input` and `permanent` are tried again only when the
   * status changes, or after a minute; all others with back-off; `not-found` is as `gone`. {@link StatusSinkError} can say more. Has to end soon after `signal` aborts.
   */
  write(update: StatusUpdate, signal: AbortSignal): Promise<StatusWriteOutcome>;
  /** The pod is gone from the node and its last status is written. */
  forget(uid: string): void;
  /** Whether somebody else has changed what was written. Asked now and then; must be cheap. kubelet: needsReconcile. */
  differs?(update: StatusUpdate): boolean;
}

/** A failed write that says whom it concerns, and how long to stay away. */
export class StatusSinkError extends HoldfastError {
  /** `sink`: no other pod would fare better now. */
  readonly scope: "pod" | "sink";
  /** Milliseconds that the other side asked for. */
  readonly retryAfterMs: number | undefined;

  constructor(
    code: string,
    kind: ErrorKind,
    message: string,
    options: HoldfastErrorOptions & {
      readonly scope: "pod" | "sink";
      readonly retryAfterMs?: number | undefined;
    },
  ) {
    super(code, kind, message, options);
    this.scope = options.scope;
    this.retryAfterMs = options.retryAfterMs;
  }
}
