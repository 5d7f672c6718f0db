// SPDX-License-Identifier: Apache-2.0

/** Ends one pod: says so first, counts it, waits for it. kubelet: managerImpl.evictPod. Owns nothing. */
import type { Publisher, Subject } from "@holdfast/bus";
import type { Clock } from "@holdfast/core/clock";
import { errorText, isDeadline } from "@holdfast/core/errors";
import type { Logger } from "@holdfast/core/log";
import type { Counter, Metrics } from "@holdfast/core/metrics";
import { formatPod } from "@holdfast/core/pod";
import type { Pod } from "@holdfast/core/pod-types";
import { bounded } from "./bounded.ts";
import { ExceededGracePeriod, PodEvicting } from "./events.ts";
import { EVICTED } from "./eviction-message.ts";
import { isCriticalPod } from "./pod-requests.ts";
import type { PodKiller } from "./ports.ts";
import type { LimitSignal, Signal } from "./signals.ts";

/** Why and how a pod goes. */
export interface Verdict {
  readonly signal: Signal | LimitSignal;
  readonly message: string;
  readonly annotations: Readonly<Record<string, string>>;
  readonly graceSeconds: number;
  /** For the sake of the node. */
  readonly disruption: boolean;
  readonly causes: readonly number[];
}

/** How a {@link PodEvictor} is made. */
export interface PodEvictorOptions {
  readonly clock: Clock;
  readonly pods: PodKiller;
  readonly evictStaticPods: boolean;
  readonly publish: Publisher;
  readonly logger: Logger;
  readonly metrics: Metrics;
}

/** kubelet: killPodNow. */
const MIN_KILL_WAIT_SECONDS = 10;
const EXCEEDED = "Container runtime did not kill the pod within specified grace period.";

/** See the top of the file. */
export class PodEvictor {
  readonly #options: PodEvictorOptions;
  readonly #evictions: Counter;

  constructor(options: PodEvictorOptions) {
    this.#options = options;
    this.#evictions = options.metrics.counter(
      "kubelet_evictions",
      "Cumulative number of pod evictions by eviction signal",
    );
  }

  /** Whether the pod may go at all. */
  mayGo(pod: Pod): boolean {
    return !isCriticalPod(pod, { evictStaticPods: this.#options.evictStaticPods });
  }

  /** True: it was ended, or at least told to end. False: it may not go. Rejects only with the signal's reason. */
  async evict(pod: Pod, verdict: Verdict, signal: AbortSignal): Promise<boolean> {
    const { clock, pods, publish, logger } = this.#options;
    if (!this.mayGo(pod)) {
      logger.debug("a critical pod is not evicted", { pod: formatPod(pod) });
      return false;
    }
    const { message, graceSeconds, disruption, annotations } = verdict;
    const subject = subjectOf(pod);
    const data = { reason: EVICTED, message, signal: verdict.signal, graceSeconds, annotations };
    const intent = publish.publish(PodEvicting, data, { subject, causes: verdict.causes });
    this.#evictions.inc({ eviction_signal: verdict.signal });
    logger.warn("a pod is evicted", { pod: formatPod(pod), signal: verdict.signal, message, graceSeconds });
    const request = { reason: EVICTED, message, graceSeconds, disruption, causes: [intent] } as const;
    const ms = Math.max(MIN_KILL_WAIT_SECONDS, 1.5 * graceSeconds) * 1000;
    try {
      const bound = { clock, ms, what: `killing pod ${formatPod(pod)}`, signal };
      await bounded(bound, (link) => pods.kill(pod, request, link));
    } catch (error) {
      signal.throwIfAborted();
      // A kill that failed counts: its worker goes on with it.
      logger.error("the pod did not end in time", { pod: formatPod(pod), err: errorText(error) });
      if (isDeadline(error))
        publish.publish(
          ExceededGracePeriod,
          { eventType: "Warning", reason: "ExceededGracePeriod", message: EXCEEDED },
          { subject, causes: [intent] },
        );
    }
    return true;
  }
}

function subjectOf({ metadata: { uid, namespace, name } }: Pod): Subject {
  return { podUid: uid, pod: `${namespace}/${name}` };
}
