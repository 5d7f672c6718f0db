// SPDX-License-Identifier: Apache-2.0

import { Metadata, status } from "@grpc/grpc-js";
import type { ServiceError } from "@grpc/grpc-js";
import { errorText, HoldfastError, holdfastErrorIn } from "@holdfast/core/errors";
import { describe, expect, it } from "vitest";

import { ERROR_KINDS, fromServiceError } from "../src/errors.ts";

const call = {
  method: "CreateContainer",
  target: "web",
  deadlineMs: 120_000,
  endpoint: "unix:///run/x.sock",
};

function translated(code: status, details: string): ReturnType<typeof fromServiceError> {
  const cause = Object.assign(new Error(`${code} ${details}`), { code, details, metadata: new Metadata() });
  return fromServiceError(cause satisfies ServiceError, call, 16 << 20);
}

describe("translation of what grpc-js reports", () => {
  // The texts are what was seen: grpc-js 1.14.7, containerd 1.6.20 and 2.1.9.
  it.each([
    [status.CANCELLED, "context canceled", "CRI_ABORTED", "retryable", true],
    [
      status.UNKNOWN,
      "failed to create containerd task: OCI runtime create failed",
      "CRI_UNKNOWN",
      "retryable",
      false,
    ],
    [status.INVALID_ARGUMENT, "bad name", "CRI_BAD_REQUEST", "bad-input", false],
    [
      status.DEADLINE_EXCEEDED,
      "Deadline exceeded after 125.001s,remote_addr=x",
      "CRI_DEADLINE",
      "deadline",
      true,
    ],
    [
      status.DEADLINE_EXCEEDED,
      "timeout 1s exceeded: context deadline exceeded",
      "CRI_RUNTIME_DEADLINE",
      "deadline",
      true,
    ],
    [
      status.NOT_FOUND,
      'an error occurred when try to find container "x": not found',
      "CRI_NOT_FOUND",
      "not-found",
      false,
    ],
    [status.ALREADY_EXISTS, "exists", "CRI_ALREADY_EXISTS", "permanent", false],
    [status.PERMISSION_DENIED, "no", "CRI_DENIED", "permanent", false],
    [status.UNAUTHENTICATED, "who", "CRI_DENIED", "permanent", false],
    [status.RESOURCE_EXHAUSTED, "too many requests", "CRI_RESOURCE_EXHAUSTED", "retryable", false],
    [
      status.RESOURCE_EXHAUSTED,
      "Received message larger than max (17825800 vs 16777216)",
      "CRI_MESSAGE_TOO_LARGE",
      "permanent",
      true,
    ],
    [
      status.RESOURCE_EXHAUSTED,
      "grpc: trying to send message larger than max (9 vs. 8)",
      "CRI_MESSAGE_TOO_LARGE",
      "permanent",
      true,
    ],
    [status.FAILED_PRECONDITION, "container is running", "CRI_FAILED_PRECONDITION", "retryable", false],
    [status.ABORTED, "conflict", "CRI_ABORTED", "retryable", true],
    [status.OUT_OF_RANGE, "range", "CRI_BAD_REQUEST", "bad-input", false],
    [
      status.UNIMPLEMENTED,
      "unknown method RuntimeConfig for service runtime.v1.RuntimeService",
      "CRI_UNIMPLEMENTED",
      "unimplemented",
      false,
    ],
    [status.UNIMPLEMENTED, "No message received", "CRI_GARBAGE", "retryable", true],
    [status.UNIMPLEMENTED, "Too many responses received", "CRI_GARBAGE", "retryable", true],
    [status.INTERNAL, "panic", "CRI_INTERNAL", "retryable", true],
    [status.UNAVAILABLE, "Connection dropped", "CRI_UNAVAILABLE", "retryable", true],
    [
      status.UNAVAILABLE,
      "No connection established. Last error: Error: connect ENOENT /run/x.sock. Resolution note: ",
      "CRI_UNAVAILABLE",
      "retryable",
      false,
    ],
    [status.DATA_LOSS, "lost", "CRI_INTERNAL", "retryable", true],
    [99 as status, "from the future", "CRI_UNKNOWN", "retryable", false],
  ] as const)("%s %s", (code, text, expected, kind, mayHaveHappened) => {
    const error = translated(code, text);
    expect(error).toMatchObject({
      code: expected,
      kind,
      mayHaveHappened,
      method: "CreateContainer",
      target: "web",
    });
    expect(ERROR_KINDS[error.code]).toBe(kind);
    expect(error.message).toMatch(/^CreateContainer of web: /);
    expect(error.message).not.toContain("Resolution note");
    // What the message says in words of its own needs no cause.
    if (!text.includes("connect ENOENT")) expect(error.cause).toBeInstanceOf(Error);
    expect(HoldfastError.is(error)).toBe(true);
    expect(holdfastErrorIn(new Error("around", { cause: error }))).toBe(error);
  });

  it.each([
    ["1.6 and 1.7", status.UNKNOWN],
    ["2.1", status.FAILED_PRECONDITION],
  ])("tells whose the name is when containerd %s has it reserved", (_version, code) => {
    const error = translated(
      code,
      'failed to reserve container name "web_pod_ns_uid_0": name "web_pod_ns_uid_0" is reserved for "0123abc"',
    );
    expect(error).toMatchObject({ code: "CRI_NAME_RESERVED", kind: "retryable", reservedFor: "0123abc" });
  });

  it("names the socket when nothing answers", () => {
    expect(translated(status.UNAVAILABLE, "No connection established").message).toBe(
      "CreateContainer of web: nothing answers at unix:///run/x.sock: No connection established",
    );
    const absent = translated(
      status.UNAVAILABLE,
      "No connection established. Last error: Error: connect ENOENT /run/x.sock. Resolution note: ",
    );
    expect(errorText(absent)).toBe(
      "CreateContainer of web: nothing answers at unix:///run/x.sock: there is no such socket (ENOENT)",
    );
    expect(absent.mayHaveHappened).toBe(false);
    const stranger = translated(
      status.UNAVAILABLE,
      "No connection established. Last error: Protocol error (2026-01-01T00:00:00.123Z). Resolution note: ",
    );
    expect(errorText(stranger)).toBe(
      "CreateContainer of web: nothing answers at unix:///run/x.sock: what listens there does not speak gRPC (Protocol error)",
    );
  });
});
