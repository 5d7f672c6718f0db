// SPDX-License-Identifier: Apache-2.0

/** The node gives up its own before a pod has to go. kubelet: reclaimNodeLevelResources. */
import type { Clock } from "@holdfast/core/clock";
import { errorText } from "@holdfast/core/errors";
import type { Logger } from "@holdfast/core/log";
import { bounded } from "./bounded.ts";
import type { ReclaimStep } from "./compute-reclaim.ts";
import type { NodeReclaim } from "./ports.ts";

/** What it is done with. */
export interface ReclaimContext {
  readonly clock: Clock;
  readonly reclaim: NodeReclaim;
  /** What one step may take. */
  readonly deadlineMs: number;
  readonly logger: Logger;
  readonly cause: number;
  readonly signal: AbortSignal;
  /** Looks at the machine again. */
  readonly isEnough: () => Promise<boolean>;
}

/** containerd's collector runs after the call: 0.1 to 0.3 s on a small node, some seconds on a large one. 6.3 s together. */
const SETTLE_WAITS_MS: readonly number[] = [100, 200, 400, 800, 1600, 3200];

/** True: it was enough. Who would go for room that is about to be free would go for nothing, so it is waited for. */
export async function reclaimNode(steps: readonly ReclaimStep[], context: ReclaimContext): Promise<boolean> {
  const { clock, reclaim, deadlineMs: ms, logger, cause, signal, isEnough } = context;
  if (steps.length === 0) return false;
  let removed = 0;
  for (const step of steps) {
    try {
      await bounded({ clock, ms, what: `removing unused ${step}`, signal }, async (link) => {
        if (step === "containers") removed += await reclaim.deleteUnusedContainers([cause], link);
        else await reclaim.deleteUnusedImages([cause], link);
      });
    } catch (error) {
      signal.throwIfAborted();
      logger.warn("reclaiming failed", { step, err: errorText(error) });
    }
  }
  for (const wait of removed > 0 ? SETTLE_WAITS_MS : []) {
    if (await isEnough()) return true;
    await clock.sleep(wait, { signal });
  }
  return await isEnough();
}
