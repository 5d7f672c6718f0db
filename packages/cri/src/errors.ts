// SPDX-License-Identifier: Apache-2.0
//
// The one place where gRPC's words become ours. Outside this file nobody sees a gRPC status code, and matching on a message's
// text happens nowhere else. Reads: what @grpc/grpc-js reports. Holds no state.

import { status } from "@grpc/grpc-js";
import type { ServiceError } from "@grpc/grpc-js";
import { HoldfastError } from "@holdfast/core/errors";
import type { ErrorKind } from "@holdfast/core/errors";

import { NEXT_STEP } from "./ceiling.ts";

/**
 * Every code that a {@link CriError} can have.
 *
 * `CRI_DEADLINE` is our own limit (the action may have happened), `CRI_RUNTIME_DEADLINE` is the runtime's: an ExecSync that took longer
 * than its timeout, a step inside the runtime that did.
 */
export type CriErrorCode =
  | "CRI_ABORTED"
  | "CRI_ALREADY_EXISTS"
  | "CRI_BAD_REQUEST"
  | "CRI_CLOSED"
  | "CRI_DEADLINE"
  | "CRI_DENIED"
  | "CRI_FAILED_PRECONDITION"
  | "CRI_GARBAGE"
  | "CRI_INTERNAL"
  | "CRI_MESSAGE_TOO_LARGE"
  | "CRI_NAME_RESERVED"
  | "CRI_NOT_FOUND"
  | "CRI_RESOURCE_EXHAUSTED"
  | "CRI_RUNTIME_DEADLINE"
  | "CRI_UNAVAILABLE"
  | "CRI_UNIMPLEMENTED"
  | "CRI_UNKNOWN";

/** Which call failed. */
export interface CriCallInfo {
  /** The CRI's name of it: `StopContainer`. */
  readonly method: string;
  /** The container, sandbox or image that it was about; empty when it was about none. */
  readonly target: string;
  /** The deadline that it had, in milliseconds; Infinity for an event stream. */
  readonly deadlineMs: number;
  /** Where the runtime was looked for: `unix:///run/containerd/containerd.sock`. */
  readonly endpoint: string;
}

/** A call on the runtime that failed. Ask with `isNotFound`, `isRetryable`, `isDeadline`, `isUnimplemented` of `@holdfast/core/errors`. */
export class CriError extends HoldfastError {
  declare readonly code: CriErrorCode;
  readonly method: string;
  readonly target: string;
  readonly deadlineMs: number;
  /**
   * Whether the runtime may have done, or be still doing, what was asked: the answer was lost, not refused. Look before
   * creating again.
   */
  readonly mayHaveHappened: boolean;
  /** With `CRI_NAME_RESERVED`: the id that holds the name, when the runtime told it. */
  readonly reservedFor: string | undefined;

  constructor(code: CriErrorCode, call: CriCallInfo, reason: string, options: CriErrorOptions = {}) {
    const subject = call.target === "" ? call.method : `${call.method} of ${call.target}`;
    super(code, ERROR_KINDS[code], `${subject}: ${reason}`, {
      cause: options.cause,
      details: {
        method: call.method,
        target: call.target,
        deadlineMs: Number.isFinite(call.deadlineMs) ? call.deadlineMs : undefined,
      },
    });
    this.method = call.method;
    this.target = call.target;
    this.deadlineMs = call.deadlineMs;
    this.mayHaveHappened = options.mayHaveHappened ?? false;
    this.reservedFor = options.reservedFor;
  }
}

/** What {@link CriError} takes besides code, call and reason. */
export interface CriErrorOptions {
  readonly cause?: unknown;
  readonly mayHaveHappened?: boolean;
  readonly reservedFor?: string | undefined;
}

/** What a caller can do about each code. */
export const ERROR_KINDS: Readonly<Record<CriErrorCode, ErrorKind>> = {
  CRI_ABORTED: "retryable",
  CRI_ALREADY_EXISTS: "permanent",
  CRI_BAD_REQUEST: "bad-input",
  CRI_CLOSED: "cancelled",
  CRI_DEADLINE: "deadline",
  CRI_DENIED: "permanent",
  // The state of the container or sandbox is in the way, and states change.
  CRI_FAILED_PRECONDITION: "retryable",
  CRI_GARBAGE: "retryable",
  CRI_INTERNAL: "retryable",
  CRI_MESSAGE_TOO_LARGE: "permanent",
  // containerd still works on an earlier create of that name, or holds its result.
  CRI_NAME_RESERVED: "retryable",
  CRI_NOT_FOUND: "not-found",
  CRI_RESOURCE_EXHAUSTED: "retryable",
  CRI_RUNTIME_DEADLINE: "deadline",
  CRI_UNAVAILABLE: "retryable",
  CRI_UNIMPLEMENTED: "unimplemented",
  // containerd reports nearly every failure of runc, CNI or a registry as Unknown: the caller's back-off decides.
  CRI_UNKNOWN: "retryable",
};

const BY_STATUS: Readonly<Partial<Record<status, CriErrorCode>>> = {
  [status.CANCELLED]: "CRI_ABORTED",
  [status.UNKNOWN]: "CRI_UNKNOWN",
  [status.INVALID_ARGUMENT]: "CRI_BAD_REQUEST",
  [status.DEADLINE_EXCEEDED]: "CRI_RUNTIME_DEADLINE",
  [status.NOT_FOUND]: "CRI_NOT_FOUND",
  [status.ALREADY_EXISTS]: "CRI_ALREADY_EXISTS",
  [status.PERMISSION_DENIED]: "CRI_DENIED",
  [status.RESOURCE_EXHAUSTED]: "CRI_RESOURCE_EXHAUSTED",
  [status.FAILED_PRECONDITION]: "CRI_FAILED_PRECONDITION",
  [status.ABORTED]: "CRI_ABORTED",
  [status.OUT_OF_RANGE]: "CRI_BAD_REQUEST",
  [status.UNIMPLEMENTED]: "CRI_UNIMPLEMENTED",
  [status.INTERNAL]: "CRI_INTERNAL",
  [status.UNAVAILABLE]: "CRI_UNAVAILABLE",
  [status.DATA_LOSS]: "CRI_INTERNAL",
  [status.UNAUTHENTICATED]: "CRI_DENIED",
};

// grpc-js: the local deadline; containerd's own reads "context deadline exceeded".
const LOCAL_DEADLINE = /^Deadline exceeded/;
// grpc-js, and grpc-go on the other side, in both directions.
const TOO_LARGE = /larger than/;
// grpc-js answers UNIMPLEMENTED itself when a unary call gets no message, or two.
const BROKEN_ANSWER = /^(No message received|Too many responses received)/;
// containerd's name registrar: name "x_y_z_uid_0" is reserved for "0123...".
const RESERVED = /is reserved for "?([0-9A-Za-z_.-]*)/;
// grpc-js: nothing was sent.
const NOT_SENT = /No connection established|ENOENT|ECONNREFUSED|EACCES/;
/** Why there is no connection: connect(2), and HTTP/2, whose own text has the time in it and is another one at each try. */
const CONNECT_ERRORS: Readonly<Record<string, string>> = {
  "Protocol error": "what listens there does not speak gRPC",
  ENOENT: "there is no such socket",
  ECONNREFUSED: "nobody listens on it",
  EACCES: "permission denied",
};
// grpc-js ends some messages with a note that is empty for unix sockets.
const EMPTY_NOTE = /\. Resolution note: $/;
// Codes that say that the answer was lost, not that the runtime refused.
const LOST_ANSWER: ReadonlySet<CriErrorCode> = new Set([
  "CRI_ABORTED",
  "CRI_GARBAGE",
  "CRI_INTERNAL",
  "CRI_MESSAGE_TOO_LARGE",
  "CRI_RUNTIME_DEADLINE",
  "CRI_UNAVAILABLE",
]);

/** Translates what grpc-js reports. */
export function fromServiceError(error: ServiceError, call: CriCallInfo, maxMessageBytes: number): CriError {
  const text = (error.details === "" ? error.message : error.details).replace(EMPTY_NOTE, "");
  const code = codeOf(error.code, text);
  switch (code) {
    case "CRI_DEADLINE":
      return deadlineError(call, error);
    case "CRI_UNAVAILABLE": {
      if (!NOT_SENT.test(text))
        return new CriError(code, call, `connection to ${call.endpoint} was lost: ${text}`, {
          cause: error,
          mayHaveHappened: true,
        });
      const [errno, why] = Object.entries(CONNECT_ERRORS).find(([known]) => text.includes(known)) ?? [];
      const where = `nothing answers at ${call.endpoint}`;
      // Said in words, it needs no cause: that is the same, three times over.
      return why === undefined
        ? new CriError(code, call, `${where}: ${text}`, { cause: error })
        : new CriError(code, call, `${where}: ${why} (${errno})`);
    }
    case "CRI_MESSAGE_TOO_LARGE":
      return new CriError(code, call, tooLarge(text, maxMessageBytes), {
        cause: error,
        mayHaveHappened: true,
      });
    case "CRI_NAME_RESERVED":
      return new CriError(code, call, text, {
        cause: error,
        reservedFor: RESERVED.exec(text)?.[1] || undefined,
      });
    default:
      return new CriError(code, call, text, { cause: error, mayHaveHappened: LOST_ANSWER.has(code) });
  }
}

// Both grpc-js and grpc-go tell both numbers: "larger than max (17825800 vs 16777216)", "(17825800 vs. 16777216)".
const SIZES = /\((\d+) vs\.? (\d+)\)/;

/** The size, the limit that it met (ours or the runtime's), and what can be done. */
function tooLarge(text: string, maxMessageBytes: number): string {
  const [, size, limit = String(maxMessageBytes)] = SIZES.exec(text) ?? [];
  const what = size === undefined ? "message" : `message of ${size} bytes`;
  return `${what} over the limit of ${limit} bytes: ${NEXT_STEP} (${text})`;
}

/** Whether the connection itself was lost; a runtime that answers UNAVAILABLE about one container has not lost it. Text of grpc-js. */
export function isConnectionLost(error: ServiceError): boolean {
  return error.code === status.UNAVAILABLE && CONNECTION_LOST.test(error.details);
}

const CONNECTION_LOST = /^(Connection dropped|Received RST_STREAM)|\b(ECONNRESET|EPIPE)\b/;

const LEFT_TASK = /cannot delete running task ([0-9a-f]{64})/;

/** The container whose task containerd left behind, when that is why it could not be removed. Text of 1.6, 1.7 and 2.1. */
export function leftTaskOf(error: unknown): string | undefined {
  return error instanceof CriError ? LEFT_TASK.exec(error.message)?.[1] : undefined;
}

const RESERVED_CODES: readonly status[] = [status.UNKNOWN, status.ALREADY_EXISTS, status.FAILED_PRECONDITION];

function codeOf(code: status, text: string): CriErrorCode {
  if (code === status.DEADLINE_EXCEEDED && LOCAL_DEADLINE.test(text)) return "CRI_DEADLINE";
  if (code === status.RESOURCE_EXHAUSTED && TOO_LARGE.test(text)) return "CRI_MESSAGE_TOO_LARGE";
  if (code === status.UNIMPLEMENTED && BROKEN_ANSWER.test(text)) return "CRI_GARBAGE";
  // UNKNOWN on containerd 1.6 and 1.7, FAILED_PRECONDITION on 2.1: seen on real ones.
  if (RESERVED_CODES.includes(code) && RESERVED.test(text)) return "CRI_NAME_RESERVED";
  return BY_STATUS[code] ?? "CRI_UNKNOWN";
}

/** Our own limit has passed. */
export function deadlineError(call: CriCallInfo, cause?: unknown): CriError {
  return new CriError("CRI_DEADLINE", call, `no answer from the runtime within ${call.deadlineMs} ms`, {
    cause,
    mayHaveHappened: true,
  });
}

/** An answer came that is none. */
export function garbageError(call: CriCallInfo, cause: unknown): CriError {
  const text = cause instanceof Error ? cause.message : String(cause);
  return new CriError("CRI_GARBAGE", call, `answer cannot be decoded: ${text}`, {
    cause,
    mayHaveHappened: true,
  });
}

/** The request cannot be written. */
export function badRequestError(call: CriCallInfo, cause: unknown): CriError {
  const text = cause instanceof Error ? cause.message : String(cause);
  return new CriError("CRI_BAD_REQUEST", call, `request cannot be encoded: ${text}`, { cause });
}

/** The last connections were lost as soon as they were there: not even tried. */
export function reconnectingError(call: CriCallInfo, closedForMs: number): CriError {
  const text = `connection to ${call.endpoint} was lost; not made again for ${Math.ceil(closedForMs)} ms`;
  return new CriError("CRI_UNAVAILABLE", call, text);
}

/** Nothing came any more on the connection, while the runtime answered on a new one. */
export function halfOpenError(call: CriCallInfo): CriError {
  const text = `connection to ${call.endpoint} was half-open and has been replaced`;
  return new CriError("CRI_UNAVAILABLE", call, text, { mayHaveHappened: true });
}

/** The client was closed before the answer came, or before the call was made. */
export function closedError(call: CriCallInfo, mayHaveHappened: boolean): CriError {
  return new CriError("CRI_CLOSED", call, "client is closed", { mayHaveHappened });
}
