// SPDX-License-Identifier: Apache-2.0
//
// Commands in containers: the program of the container answers them. One that takes longer than its timeout, or whose container ends
// meanwhile, ends as it does on containerd.

import { ExecSyncRequest } from "@holdfast/cri";
import type { CriRuntimeService, ExecSyncResponse } from "@holdfast/cri";

import type { CallContext } from "./caller.ts";
import { RuntimeFailure } from "./failure.ts";
import type { MethodFactory } from "./method.ts";
import type { ContainerRecord } from "./state.ts";
import type { World } from "./world.ts";

type ExecMethods = Pick<CriRuntimeService, "execSync">;

const MS_PER_SECOND = 1000;
const KILLED = 137;
const TIMED_OUT = new Error("the exec timed out");
const CONTAINER_ENDED = new Error("the container ended");

export function createExecService(world: World, { unary }: MethodFactory): ExecMethods {
  return {
    execSync: unary("ExecSync", ExecSyncRequest, {
      target: ({ containerId }) => containerId,
      deadlineMs: ({ timeout }, { execWithoutTimeoutMs, runtimeRequestTimeoutMs }) =>
        timeout > 0n ? Number(timeout) * MS_PER_SECOND + runtimeRequestTimeoutMs : execWithoutTimeoutMs,
      handle: (request, context) => execSync(world, request, context),
    }),
  };
}

async function execSync(
  world: World,
  { containerId, cmd, timeout }: ExecSyncRequest,
  { signal }: CallContext,
): Promise<ExecSyncResponse> {
  const container = world.findContainer(containerId);
  if (container === undefined)
    throw new RuntimeFailure(
      "CRI_NOT_FOUND",
      `failed to exec in container: failed to find container "${containerId}" in store: not found`,
    );
  const { exitCode, stdout, stderr } = await runCommand(world, container, { cmd, timeout }, signal);
  return { stdout: Buffer.from(stdout), stderr: Buffer.from(stderr), exitCode };
}

/** What a command came to. */
export interface CommandResult {
  readonly exitCode: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs a command in a container. `timeout` is in seconds, 0 is none. Rejects as containerd does. */
export async function runCommand(
  world: World,
  container: ContainerRecord,
  { cmd, timeout }: { readonly cmd: readonly string[]; readonly timeout: bigint },
  signal: AbortSignal,
): Promise<CommandResult> {
  const { process: main } = container;
  if (container.phase !== "running" || main === undefined)
    throw new RuntimeFailure(
      "CRI_UNKNOWN",
      `failed to exec in container: container is in CONTAINER_${container.phase.toUpperCase()} state`,
    );
  if (cmd.length === 0)
    throw new RuntimeFailure(
      "CRI_UNKNOWN",
      `failed to exec in container: failed to start exec "${world.newId()}": OCI runtime exec failed: exec failed: ` +
        "args must not be empty: unknown",
    );
  const { exitCode = 0, stdout = "", stderr = "", afterMs = 0 } = main.program.exec?.(cmd) ?? {};
  const ended = afterMs > 0 && (await endsEarly(world, container, afterMs, timeout, signal));
  world.tellExec(container, ended ? KILLED : exitCode);
  return ended ? { exitCode: KILLED, stdout: "", stderr: "" } : { exitCode, stdout, stderr };
}

/** Waits for the command. True when the container ended under it; throws when its timeout passed. */
async function endsEarly(
  world: World,
  container: ContainerRecord,
  afterMs: number,
  timeout: bigint,
  signal: AbortSignal,
): Promise<boolean> {
  const { clock } = world.options;
  const early = new AbortController();
  const stopWaiting = world.onExitShown(container, () => early.abort(CONTAINER_ENDED));
  const timer =
    timeout > 0n ? clock.timer(Number(timeout) * MS_PER_SECOND, () => early.abort(TIMED_OUT)) : undefined;
  try {
    await clock.sleep(afterMs, { signal: AbortSignal.any([signal, early.signal]) });
    return false;
  } catch (reason) {
    if (reason === CONTAINER_ENDED) return true;
    world.tellExec(container, KILLED);
    if (reason !== TIMED_OUT) throw reason;
    throw new RuntimeFailure(
      "CRI_RUNTIME_DEADLINE",
      `failed to exec in container: timeout ${timeout}s exceeded: context deadline exceeded`,
    );
  } finally {
    stopWaiting();
    timer?.cancel();
  }
}
