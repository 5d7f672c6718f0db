// SPDX-License-Identifier: Apache-2.0

/** What an answer of the API server means for a pod's status. Pure. */
import type { ErrorKind } from "@holdfast/core/errors";
import type { ApiPod } from "../api-types.ts";
import { StatusSinkError } from "../sync/ports.ts";
import type { HttpAnswer } from "./ports.ts";

/**
 * `ok`: it holds, `pod` is how it looks now, where the answer says so; `gone`: there is no such pod; `look`: the pod may be another one, or have changed: read it; `error`:
 * the rest, as a `StatusSinkError`.
 */
export type ApiAnswer =
  | { readonly kind: "ok"; readonly pod: ApiPod | undefined }
  | { readonly kind: "gone" }
  | { readonly kind: "look"; readonly error: StatusSinkError }
  | { readonly kind: "error"; readonly error: StatusSinkError };

/** What is quoted of an answer that nobody understands. */
const QUOTED_CHARACTERS = 200;

/** `nowMs` is wall time, for a Retry-After that is a date. */
export function computeApiAnswer(answer: HttpAnswer, nowMs: number): ApiAnswer {
  const { status } = answer;
  const body = parseObject(answer.body);
  const fail = (kind: ErrorKind, scope: "pod" | "sink", what = messageOf(answer, body)): StatusSinkError =>
    new StatusSinkError(`STATUS_API_${status}`, kind, what, {
      scope,
      retryAfterMs: parseRetryAfter(answer.retryAfter, nowMs),
      details: { status },
    });
  if (status >= 200 && status < 300) {
    if (isPod(body)) return { kind: "ok", pod: body };
    if (body?.["kind"] === "Status") return { kind: "ok", pod: undefined };
    const garbage = `the answer is no Kubernetes object: ${quote(answer.body)}`;
    return { kind: "error", error: fail("retryable", "pod", garbage) };
  }
  switch (status) {
    case 404:
      // A proxy's or a wrong path's 404 says nothing about the pod.
      return body?.["reason"] === "NotFound"
        ? { kind: "gone" }
        : { kind: "error", error: fail("retryable", "sink") };
    case 409:
    case 410:
      return { kind: "look", error: fail("retryable", "pod") };
    case 422:
      return { kind: "look", error: fail("bad-input", "pod") };
    case 400:
    case 405:
    case 406:
    case 413:
    case 415:
      return { kind: "error", error: fail("bad-input", "pod") };
    // 403 may be for this pod alone: it is another node's.
    case 403:
    case 500:
    case 504:
      return { kind: "error", error: fail("retryable", "pod") };
    default:
      return { kind: "error", error: fail("retryable", "sink") };
  }
}

/** Milliseconds; undefined when the header says nothing that can be understood. */
export function parseRetryAfter(text: string | undefined, nowMs: number): number | undefined {
  if (text === undefined) return undefined;
  if (/^\s*\d{1,9}\s*$/.test(text)) return Number(text) * 1000;
  // A date has a day's and a month's name: V8 takes far less for one.
  const at = /[a-z]{3}/i.test(text) ? Date.parse(text) : Number.NaN;
  return Number.isNaN(at) ? undefined : Math.max(at - nowMs, 0);
}

function parseObject(text: string): Readonly<Record<string, unknown>> | undefined {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === "object" && value !== null && !Array.isArray(value)
      ? (value as Record<string, unknown>)
      : undefined;
  } catch {
    // Not JSON: that is an answer too.
    return undefined;
  }
}

function isPod(
  body: Readonly<Record<string, unknown>> | undefined,
): body is Readonly<Record<string, unknown>> & ApiPod {
  const metadata = body?.["metadata"];
  return (
    body?.["kind"] === "Pod" &&
    typeof metadata === "object" &&
    metadata !== null &&
    "uid" in metadata &&
    typeof metadata.uid === "string"
  );
}

function messageOf(
  { status, body: text }: HttpAnswer,
  body: Readonly<Record<string, unknown>> | undefined,
): string {
  const message = body?.["message"];
  return `the API server answered ${status}: ${typeof message === "string" ? quote(message) : quote(text)}`;
}

function quote(text: string): string {
  const line = text.trim().replaceAll(/\s+/g, " ");
  return line.length <= QUOTED_CHARACTERS ? line : `${line.slice(0, QUOTED_CHARACTERS)}…`;
}
