// SPDX-License-Identifier: Apache-2.0

import { errorText, HoldfastError, holdfastErrorIn } from "@holdfast/core/errors";

/** Codes of this package's errors. */
export type PlegErrorCode = "PLEG_STATUS" | "PLEG_LIST" | "PLEG_GARBAGE" | "PLEG_STOPPED";

/** Which call on the runtime it is about. */
export interface PlegCall {
  /** The CRI's name of it: `ContainerStatus`. */
  readonly method: "ListPodSandbox" | "ListContainers" | "PodSandboxStatus" | "ContainerStatus";
  /** Undefined for a call about all pods. */
  readonly podUid: string | undefined;
  /** The container's name; "" for a sandbox and for lists. */
  readonly container: string;
  /** The container's or sandbox's id; "" for lists. */
  readonly id: string;
}

/** A call failed, or took too long: which one, on what, after how long. The kind is the cause's. */
export function callError(call: PlegCall, afterMs: number, cause: unknown): HoldfastError {
  const list = call.method === "ListPodSandbox" || call.method === "ListContainers";
  const kind = holdfastErrorIn(cause)?.kind ?? "retryable";
  return new HoldfastError(
    (list ? "PLEG_LIST" : "PLEG_STATUS") satisfies PlegErrorCode,
    kind,
    `${describeCall(call)} failed after ${Math.round(afterMs)} ms: ${errorText(cause)}`,
    { cause, details: { ...call, afterMs: Math.round(afterMs) } },
  );
}

/** A call in words: `ContainerStatus of container "app" (1a2b)`. */
export function describeCall({ method, container, id, podUid }: PlegCall): string {
  if (id === "") return podUid === undefined ? method : `${method} of pod ${podUid}`;
  return container === "" ? `${method} of ${id}` : `${method} of container "${container}" (${id})`;
}

/** A list lacks `what`, which the runtime still has. */
export class ListLacksError extends HoldfastError {
  constructor(what: string) {
    super(
      "PLEG_GARBAGE" satisfies PlegErrorCode,
      "retryable",
      `the list lacks ${what}, which the runtime still has`,
    );
  }
}

/** What waiters get when the PLEG stops. */
export function stoppedError(): HoldfastError {
  return new HoldfastError("PLEG_STOPPED" satisfies PlegErrorCode, "cancelled", "the PLEG was stopped");
}
