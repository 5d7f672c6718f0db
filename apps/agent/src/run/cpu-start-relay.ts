// SPDX-License-Identifier: Apache-2.0

/**
 * Tells the CPU manager of each container that started: it may have been created with a pool that has changed since.
 * Owns nothing. A gap costs nothing: one hint is as good as many.
 */
import type { Bus, EnvelopeOf, Subscription } from "@holdfast/bus";
import type { Component, Health } from "@holdfast/core/lifecycle";
import { ContainerStarted } from "@holdfast/pleg";
import type { CpuManager } from "@holdfast/resource";

/** See the top of the file. */
export class CpuStartRelay implements Component {
  readonly name = "cpu-start-relay";
  readonly #bus: Bus;
  readonly #cpu: CpuManager;
  #subscription: Subscription<EnvelopeOf<typeof ContainerStarted>> | undefined;
  #reading: Promise<void> = Promise.resolve();

  constructor(bus: Bus, cpu: CpuManager) {
    this.#bus = bus;
    this.#cpu = cpu;
  }

  start(): Promise<void> {
    this.#subscription = this.#bus.subscribe([ContainerStarted], {
      name: this.name,
      capacity: 16,
      overflow: "drop-oldest",
    });
    this.#reading = this.#read(this.#subscription[Symbol.asyncIterator]());
    return Promise.resolve();
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

  async #read(started: AsyncIterator<unknown>): Promise<void> {
    while ((await started.next()).done !== true) this.#cpu.requestReconcile();
  }
}
