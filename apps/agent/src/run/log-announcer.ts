// SPDX-License-Identifier: Apache-2.0

/** Tells log rotation that a container has started: what a fast writer writes until it is found is not bounded otherwise. */
import type { EnvelopeOf, Subscriber, Subscription } from "@holdfast/bus";
import type { Component, Health } from "@holdfast/core/lifecycle";
import type { ContainerLogManager } from "@holdfast/gc";
import { ContainerStarted } from "@holdfast/pleg";

/** How a {@link LogAnnouncer} is made. */
export interface LogAnnouncerOptions {
  readonly bus: Subscriber;
  readonly logs: Pick<ContainerLogManager, "targetsChanged">;
}

type Starts = Subscription<EnvelopeOf<typeof ContainerStarted>>;

/** See the top of the file. */
export class LogAnnouncer implements Component {
  readonly name = "log-announcer";
  readonly #options: LogAnnouncerOptions;
  #starts: Starts | undefined;
  #reading: Promise<void> = Promise.resolve();

  constructor(options: LogAnnouncerOptions) {
    this.#options = options;
  }

  async start(): Promise<void> {
    this.#starts = this.#options.bus.subscribe([ContainerStarted], {
      name: this.name,
      capacity: 1,
      // That there was one is all that matters.
      overflow: "latest-by-key",
      keyOf: () => "",
    });
    this.#reading = this.#read(this.#starts);
  }

  async stop(): Promise<void> {
    this.#starts?.[Symbol.dispose]();
    await this.#reading;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop();
  }

  health(): Health {
    return { failures: [] };
  }

  async #read(starts: Starts): Promise<void> {
    const each = starts[Symbol.asyncIterator]();
    while ((await each.next()).done !== true) this.#options.logs.targetsChanged();
  }
}
