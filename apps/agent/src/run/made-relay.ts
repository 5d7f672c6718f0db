// SPDX-License-Identifier: Apache-2.0

/**
 * Tells the PLEG what the pods' workers have had made, before any list shows it, and what they take away, before lists lack it: of a list that lacks
 * anything else the PLEG then knows that it may be wrong.
 *
 * Owns nothing. A gap costs only that: what was made is known by the next list that shows it, and what is gone is asked for once.
 */
import type { EnvelopeOf, Subscriber, Subscription } from "@holdfast/bus";
import type { Component, Health } from "@holdfast/core/lifecycle";
import type { GenericPLEG } from "@holdfast/pleg";
import {
  ContainerCreated,
  ContainerCreating,
  ContainerRemoving,
  SandboxCreated,
  SandboxRemoving,
} from "@holdfast/pod";

const TYPES = [
  ContainerCreating,
  ContainerCreated,
  SandboxCreated,
  ContainerRemoving,
  SandboxRemoving,
] as const;

type Made = Subscription<EnvelopeOf<(typeof TYPES)[number]>>;

/** How a {@link MadeRelay} is made. */
export interface MadeRelayOptions {
  readonly bus: Subscriber;
  readonly pleg: Pick<GenericPLEG, "noteLeaving" | "noteMade" | "noteMaking">;
}

const CAPACITY = 1024;

/** See the top of the file. */
export class MadeRelay implements Component {
  readonly name = "made-relay";
  readonly #options: MadeRelayOptions;
  #subscription: Made | undefined;
  #reading: Promise<void> = Promise.resolve();

  constructor(options: MadeRelayOptions) {
    this.#options = options;
  }

  async start(): Promise<void> {
    this.#subscription = this.#options.bus.subscribe(TYPES, {
      name: this.name,
      capacity: CAPACITY,
      overflow: "drop-oldest",
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

  async #read(made: Made): Promise<void> {
    for await (const event of made) {
      if (event.type === "gap") continue;
      const { podUid, container: name = "" } = event.subject;
      if (podUid === undefined) continue;
      switch (event.type) {
        case "pod/ContainerCreating":
          this.#options.pleg.noteMaking(podUid);
          break;
        case "pod/ContainerCreated":
          this.#options.pleg.noteMade({ kind: "container", id: event.data.containerId, podUid, name });
          break;
        case "pod/SandboxCreated":
          this.#options.pleg.noteMade({ kind: "sandbox", id: event.data.sandboxId, podUid, name: "" });
          break;
        case "pod/ContainerRemoving":
          this.#options.pleg.noteLeaving(podUid, event.data.containerId);
          break;
        case "pod/SandboxRemoving":
          this.#options.pleg.noteLeaving(podUid, event.data.sandboxId);
          break;
        default:
          event satisfies never;
      }
    }
  }
}
