// SPDX-License-Identifier: Apache-2.0

/**
 * Enters readiness and startup verdicts into a pod's status as soon as they change: its worker may be busy for as long as a grace period, and a pod
 * that drains says that it is not ready any more. kubelet: the readinessManager and startupManager cases of syncLoopIteration.
 *
 * Owns nothing. A gap loses nothing either: the worker's next update asks for all verdicts.
 */
import type { EnvelopeOf, Subscriber, Subscription } from "@holdfast/bus";
import { mergeCauses } from "@holdfast/bus";
import type { Component, Health } from "@holdfast/core/lifecycle";
import { ProbeResultChanged } from "@holdfast/probe";
import type { StatusManager } from "@holdfast/status";

type Verdicts = Subscription<EnvelopeOf<typeof ProbeResultChanged>>;

/** How a {@link VerdictRelay} is made. */
export interface VerdictRelayOptions {
  readonly bus: Subscriber;
  readonly status: Pick<StatusManager, "setContainerReadiness" | "setContainerStartup">;
}

const CAPACITY = 4096;

/** See the top of the file. */
export class VerdictRelay implements Component {
  readonly name = "verdict-relay";
  readonly #options: VerdictRelayOptions;
  #subscription: Verdicts | undefined;
  #reading: Promise<void> = Promise.resolve();

  constructor(options: VerdictRelayOptions) {
    this.#options = options;
  }

  async start(): Promise<void> {
    this.#subscription = this.#options.bus.subscribe([ProbeResultChanged], {
      name: this.name,
      capacity: CAPACITY,
      overflow: "latest-by-key",
      keyOf: ({ data }) => `${data.containerId} ${data.kind}`,
    });
    this.#reading = this.#read(this.#subscription);
  }

  async stop(): Promise<void> {
    this.#subscription?.[Symbol.dispose]();
    await this.#reading;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop();
  }

  health(): Health {
    return { failures: [] };
  }

  async #read(verdicts: Verdicts): Promise<void> {
    const { status } = this.#options;
    for await (const event of verdicts) {
      if (event.type === "gap") continue;
      const { containerId, kind, podUid, result } = event.data;
      const causes = mergeCauses(event.causes, [event.seq]);
      if (kind === "readiness")
        status.setContainerReadiness(podUid, containerId, result === "success", causes);
      else if (kind === "startup")
        status.setContainerStartup(podUid, containerId, result === "success", causes);
    }
  }
}
