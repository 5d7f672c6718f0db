// SPDX-License-Identifier: Apache-2.0
//
// What an agent must never do, seen from the runtime. Looked at after every start.

import type { ContainerRecord, SandboxRecord } from "./state.ts";

/** Something that an agent did and must not. */
export interface Violation {
  /** Milliseconds since the epoch. */
  readonly at: number;
  readonly kind: "container-runs-twice" | "pod-has-two-sandboxes";
  readonly podUid: string;
  /** In words, with ids. */
  readonly text: string;
}

/** Two running containers of one name in one pod; init containers and attempts alike. */
export function duplicateContainers(
  started: ContainerRecord,
  all: Iterable<ContainerRecord>,
): ContainerRecord | undefined {
  const uid = podUidOf(started.sandbox);
  const name = started.config.metadata?.name;
  for (const other of all) {
    const same = other !== started && other.config.metadata?.name === name && podUidOf(other.sandbox) === uid;
    if (same && other.process?.alive === true) return other;
  }
  return undefined;
}

/** Two ready sandboxes of one pod. */
export function duplicateSandboxes(
  made: SandboxRecord,
  all: Iterable<SandboxRecord>,
): SandboxRecord | undefined {
  const uid = podUidOf(made);
  for (const other of all) if (other !== made && other.ready && podUidOf(other) === uid) return other;
  return undefined;
}

export function podUidOf(sandbox: SandboxRecord): string {
  return sandbox.config.metadata?.uid ?? "";
}
