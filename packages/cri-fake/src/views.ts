// SPDX-License-Identifier: Apache-2.0
//
// Sandboxes and containers as a test looks at them.

import type { ContainerPhase, ContainerRecord, SandboxRecord } from "./state.ts";

/** A sandbox, seen from inside. */
export interface FakeSandbox {
  readonly id: string;
  readonly podUid: string;
  readonly podName: string;
  readonly podNamespace: string;
  readonly attempt: number;
  readonly ready: boolean;
  /** Empty with the host's network. */
  readonly ip: string;
  readonly labels: Readonly<Record<string, string>>;
}

/** A container, seen from inside. */
export interface FakeContainer {
  readonly id: string;
  readonly sandboxId: string;
  readonly podUid: string;
  readonly podName: string;
  readonly name: string;
  readonly attempt: number;
  /** As the CRI shows it. */
  readonly phase: ContainerPhase;
  /** Whether its process lives; with `criLagMs` it ends before the CRI shows it. */
  readonly alive: boolean;
  readonly exitCode: number;
  readonly reason: string;
  readonly labels: Readonly<Record<string, string>>;
}

export function sandboxView({ id, ready, ip, config }: SandboxRecord): FakeSandbox {
  const { uid = "", name = "", namespace = "", attempt = 0 } = config.metadata ?? {};
  return {
    id,
    podUid: uid,
    podName: name,
    podNamespace: namespace,
    attempt,
    ready,
    ip,
    labels: config.labels,
  };
}

export function containerView(container: ContainerRecord): FakeContainer {
  const { id, sandbox, config, phase, exitCode, reason, process: main } = container;
  const { uid = "", name: podName = "" } = sandbox.config.metadata ?? {};
  return {
    id,
    sandboxId: sandbox.id,
    podUid: uid,
    podName,
    name: config.metadata?.name ?? "",
    attempt: config.metadata?.attempt ?? 0,
    phase,
    alive: main?.alive === true,
    exitCode,
    reason,
    labels: config.labels,
  };
}
