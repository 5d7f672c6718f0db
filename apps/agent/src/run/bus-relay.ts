// SPDX-License-Identifier: Apache-2.0

/** A component that only hands on what it reads from the bus, from its start to its stop. */
import type { Gap, Subscription } from "@holdfast/bus";
import type { Component, Health } from "@holdfast/core/lifecycle";

/** Owns one subscription; what is done with each event is its maker's. */
export class BusRelay<Event> implements Component {
  readonly name: string;
  readonly #open: (name: string) => Subscription<Event>;
  readonly #onEvent: (event: Event | Gap) => void;
  #subscription: Subscription<Event> | undefined;
  #reading: Promise<void> = Promise.resolve();

  /** `open` subscribes, under the component's name; `onEvent` must not throw. */
  constructor(
    name: string,
    open: (name: string) => Subscription<Event>,
    onEvent: (event: Event | Gap) => void,
  ) {
    this.name = name;
    this.#open = open;
    this.#onEvent = onEvent;
  }

  async start(): Promise<void> {
    this.#subscription = this.#open(this.name);
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

  async #read(subscription: Subscription<Event>): Promise<void> {
    for await (const event of subscription) this.#onEvent(event);
  }
}
