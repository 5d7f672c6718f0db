// SPDX-License-Identifier: Apache-2.0

/** Runs lifecycle handlers. kubelet: pkg/kubelet/lifecycle/handlers.go. */
import type { Clock } from "@holdfast/core/clock";
import { HoldfastError } from "@holdfast/core/errors";
import type { LifecycleHandler } from "@holdfast/core/pod-types";
import type { PodRuntime } from "../ports.ts";

/** kubelet's words for how a handler failed never hold its output: it may be secret. */
export interface HookDeps {
  readonly runtime: Pick<PodRuntime, "execSync">;
  readonly clock: Pick<Clock, "sleep">;
}

/**
 * Rejects with POD_HOOK when the handler fails, with kind `deadline` when `deadlineMs` passes, with the signal's reason when it is given up.
 * Of several members exec goes before sleep.
 */
export async function runHandler(
  { runtime, clock }: HookDeps,
  containerId: string,
  handler: LifecycleHandler,
  options: { readonly deadlineMs: number; readonly signal?: AbortSignal | undefined },
): Promise<void> {
  const { deadlineMs, signal } = options;
  if (handler.exec !== undefined) {
    const { exitCode } = await runtime.execSync(
      { containerId, cmd: handler.exec.command, timeout: 0n },
      { deadlineMs, signal },
    );
    if (exitCode !== 0)
      throw new HoldfastError("POD_HOOK", "retryable", `the hook's command exited with ${exitCode}`);
    return;
  }
  if (handler.sleep !== undefined) {
    await clock.sleep(Math.min(handler.sleep.seconds * 1000, deadlineMs), { signal });
    return;
  }
  throw new HoldfastError("POD_HOOK", "bad-input", "invalid handler: neither exec nor sleep is set");
}
