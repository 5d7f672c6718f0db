// SPDX-License-Identifier: Apache-2.0

import type { CriErrorCode } from "@holdfast/cri";

/** What {@link RuntimeFailure} takes besides code and text. */
export interface RuntimeFailureOptions {
  readonly reservedFor?: string;
  readonly mayHaveHappened?: boolean;
}

/** How the inside of the fake says that a call fails; the caller's side makes a `CriError` of it. */
export class RuntimeFailure extends Error {
  readonly code: CriErrorCode;
  readonly reservedFor: string | undefined;
  readonly mayHaveHappened: boolean;

  constructor(code: CriErrorCode, text: string, options: RuntimeFailureOptions = {}) {
    super(text);
    this.name = "RuntimeFailure";
    this.code = code;
    this.reservedFor = options.reservedFor;
    this.mayHaveHappened = options.mayHaveHappened ?? false;
  }
}

/** As containerd words it. */
export function noSuchContainer(id: string): RuntimeFailure {
  return new RuntimeFailure(
    "CRI_NOT_FOUND",
    `an error occurred when try to find container "${id}": not found`,
  );
}

/** As containerd words it. */
export function noSuchSandbox(id: string): RuntimeFailure {
  return new RuntimeFailure("CRI_NOT_FOUND", `an error occurred when try to find sandbox "${id}": not found`);
}

/** A user as containerd takes it: a group alone is none. `what` is being made. */
export function refuseGroupAlone(
  what: string,
  user:
    | {
        readonly runAsUser?: unknown;
        readonly runAsUsername?: string;
        readonly runAsGroup?: { readonly value: bigint } | undefined;
      }
    | undefined,
): void {
  const group = user?.runAsGroup?.value;
  if (group === undefined || user?.runAsUser !== undefined || (user?.runAsUsername ?? "") !== "") return;
  throw new RuntimeFailure(
    "CRI_UNKNOWN",
    `${what}: failed to generate user string: user group "${group}" is specified without user`,
  );
}

/** What a runtime answers whose CRI is older than an RPC. */
export function unknownMethod(method: string): RuntimeFailure {
  return new RuntimeFailure(
    "CRI_UNIMPLEMENTED",
    `unknown method ${method} for service runtime.v1.RuntimeService`,
  );
}

/** What a runtime answers that does not know an RPC. */
export function notImplemented(method: string): RuntimeFailure {
  return new RuntimeFailure("CRI_UNIMPLEMENTED", `method ${method} not implemented`);
}
