// SPDX-License-Identifier: Apache-2.0
//
// One connection to a port of a pod, whatever carries it to the client.

import { connect } from "node:net";
import type { Socket } from "node:net";

import { errorText } from "@holdfast/core/errors";

import type { ForwardSession } from "../../streaming.ts";

/** The client's side of one connection. */
export interface ForwardEnds {
  readonly write: (bytes: Uint8Array) => void;
  /** Once, never within the call: both sides are done. `problem` is what the error channel says, if anything went wrong. */
  readonly onEnd: (problem: string | undefined) => void;
}

/** Undefined when there is nobody to connect to. */
export function forwardPort(session: ForwardSession, port: number, ends: ForwardEnds): Socket | undefined {
  let problem: string | undefined;
  const fail = (cause: unknown): void => {
    problem = `error forwarding port ${port} to pod: ${errorText(cause)}`;
  };
  try {
    const inner = connect(port, session.reach(port));
    inner.on("error", fail);
    inner.on("data", ends.write);
    inner.on("close", () => ends.onEnd(problem));
    return inner;
  } catch (cause) {
    fail(cause);
    queueMicrotask(() => ends.onEnd(problem));
    return undefined;
  }
}
