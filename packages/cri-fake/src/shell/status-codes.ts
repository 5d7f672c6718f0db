// SPDX-License-Identifier: Apache-2.0
//
// A fake's errors as gRPC statuses: the way back of what @holdfast/cri does with a real runtime's.

import { status } from "@grpc/grpc-js";
import { CriError } from "@holdfast/cri";
import type { CriErrorCode } from "@holdfast/cri";

const STATUSES: Readonly<Record<CriErrorCode, status>> = {
  CRI_ABORTED: status.ABORTED,
  CRI_ALREADY_EXISTS: status.ALREADY_EXISTS,
  CRI_BAD_REQUEST: status.INVALID_ARGUMENT,
  CRI_CLOSED: status.UNAVAILABLE,
  CRI_DEADLINE: status.DEADLINE_EXCEEDED,
  CRI_DENIED: status.PERMISSION_DENIED,
  CRI_FAILED_PRECONDITION: status.FAILED_PRECONDITION,
  CRI_GARBAGE: status.INTERNAL,
  CRI_INTERNAL: status.INTERNAL,
  CRI_MESSAGE_TOO_LARGE: status.RESOURCE_EXHAUSTED,
  // containerd has no code of its own for it: the text tells.
  CRI_NAME_RESERVED: status.UNKNOWN,
  CRI_NOT_FOUND: status.NOT_FOUND,
  CRI_RESOURCE_EXHAUSTED: status.RESOURCE_EXHAUSTED,
  CRI_RUNTIME_DEADLINE: status.DEADLINE_EXCEEDED,
  CRI_UNAVAILABLE: status.UNAVAILABLE,
  CRI_UNIMPLEMENTED: status.UNIMPLEMENTED,
  CRI_UNKNOWN: status.UNKNOWN,
};

/** What goes over the wire for an error: code and the runtime's own words. */
export function toStatus(error: unknown): { code: status; details: string } {
  if (!(error instanceof CriError))
    return { code: status.UNKNOWN, details: error instanceof Error ? error.message : String(error) };
  const subject = error.target === "" ? error.method : `${error.method} of ${error.target}`;
  return { code: STATUSES[error.code], details: error.message.replace(`${subject}: `, "") };
}
