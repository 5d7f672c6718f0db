// SPDX-License-Identifier: Apache-2.0

/**
 * What a caller can do about an error.
 *
 * - `retryable`: try again after a back-off; - `permanent`: trying again with the same input cannot help; - `not-found`: the thing is
 * gone, which is often what was wanted; - `deadline`: no answer in time, and the action *may have happened*; - `bad-input`: the input must
 * change, `fieldPath` says where; - `unimplemented`: the other side cannot do it, remember that; - `cancelled`: we gave up ourselves.
 */
export type ErrorKind =
  | "retryable"
  | "permanent"
  | "not-found"
  | "deadline"
  | "bad-input"
  | "unimplemented"
  | "cancelled";

/** Facts that go with an error into logs and the journal. Never secrets. */
export type ErrorDetails = Readonly<Record<string, string | number | boolean | undefined>>;

/** What {@link HoldfastError} takes besides code, kind and message. */
export interface HoldfastErrorOptions {
  readonly cause?: unknown;
  /** The field that is at fault, as `kubectl` prints it: `spec.containers[0].image`. */
  readonly fieldPath?: string;
  readonly details?: ErrorDetails;
}

const brand: unique symbol = Symbol.for("holdfast.agent/error") as never;

/**
 * An expected failure: it has a code of its own and a kind that callers act on. A programming error stays a `TypeError`;
 * a cancellation is the signal's own reason, re-thrown untouched.
 */
export class HoldfastError extends Error {
  /** `PACKAGE_WHAT`, e.g. `CRI_DEADLINE`. */
  readonly code: string;
  readonly kind: ErrorKind;
  readonly fieldPath: string | undefined;
  readonly details: ErrorDetails;

  constructor(code: string, kind: ErrorKind, message: string, options: HoldfastErrorOptions = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.name = new.target.name;
    this.code = code;
    this.kind = kind;
    this.fieldPath = options.fieldPath;
    this.details = options.details ?? {};
    Object.defineProperty(this, brand, { value: true });
  }

  /** Whether `value` is one of ours, also when it comes from a second copy of this package. */
  static is(value: unknown): value is HoldfastError {
    return typeof value === "object" && value !== null && brand in value;
  }
}

/** How many causes are followed; a longer chain is a loop. */
const MAX_CAUSES = 16;

/** The first error of our own in the cause chain of `error`. */
export function holdfastErrorIn(error: unknown): HoldfastError | undefined {
  let current = error;
  for (let depth = 0; depth < MAX_CAUSES && current instanceof Error; depth++) {
    if (HoldfastError.is(current)) return current;
    current = current.cause;
  }
  return undefined;
}

function hasKind(error: unknown, kind: ErrorKind): boolean {
  return holdfastErrorIn(error)?.kind === kind;
}

/** Whether the thing that was asked for does not exist. */
export const isNotFound = (error: unknown): boolean => hasKind(error, "not-found");
/** Whether the same call may succeed later. A passed deadline is not in here: the action may have happened. */
export const isRetryable = (error: unknown): boolean => hasKind(error, "retryable");
/** Whether no answer came in time. */
export const isDeadline = (error: unknown): boolean => hasKind(error, "deadline");
/** Whether the other side does not know the call. */
export const isUnimplemented = (error: unknown): boolean => hasKind(error, "unimplemented");
/** Whether the input must change. */
export const isBadInput = (error: unknown): boolean => hasKind(error, "bad-input");

/** A one-line text for logs: message, then the messages of its causes where they add something. */
export function errorText(error: unknown): string {
  const parts: string[] = [];
  let current = error;
  for (let depth = 0; depth < MAX_CAUSES && current !== undefined && current !== null; depth++) {
    const text = current instanceof Error ? current.message : String(current);
    // gRPC's errors are their status before the very text that was told already: `2 UNKNOWN: ...`.
    const own = text.replace(/^\d{1,2} [A-Z_]+: /, "");
    if (own !== "" && !parts.some((part) => part.includes(own))) parts.push(text);
    current = current instanceof Error ? current.cause : undefined;
  }
  return parts.join(": ").replaceAll("\n", " ");
}
