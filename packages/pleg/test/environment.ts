// SPDX-License-Identifier: Apache-2.0

import { Bus } from "@holdfast/bus";
import type { AnyEnvelope } from "@holdfast/bus";
import { ManualClock } from "@holdfast/core/manual-clock";
import { MetricsRegistry } from "@holdfast/core/metrics";
import { GenericPLEG } from "@holdfast/pleg";
import type { GenericPlegOptions } from "@holdfast/pleg";
import { ScriptedEvents, ScriptedRuntime } from "./scripted-runtime.ts";

/** A PLEG on a scripted runtime in virtual time. Its disposal fails the test when a timer is left. */
export class Environment implements AsyncDisposable {
  readonly clock = new ManualClock();
  readonly runtime = new ScriptedRuntime();
  readonly events = new ScriptedEvents();
  readonly bus = new Bus({ clock: this.clock, ringSize: 4096 });
  readonly metrics = new MetricsRegistry();
  readonly pleg: GenericPLEG;
  #seen = 0;

  constructor(options: Partial<GenericPlegOptions> & { readonly withEvents?: boolean } = {}) {
    const { withEvents = false, ...rest } = options;
    this.pleg = new GenericPLEG({
      runtime: this.runtime.port,
      clock: this.clock,
      publish: this.bus,
      metrics: this.metrics,
      ...(withEvents ? { events: this.events.stream } : {}),
      ...rest,
    });
  }

  /** Relists, moving virtual time when something is stuck. */
  async relist(): Promise<boolean> {
    await this.clock.advance(1);
    const relist = this.pleg.relist();
    await this.clock.settle(4);
    await this.clock.advance(0);
    return relist;
  }

  /** What was published since the last time, as `Type id` lines. */
  published(): string[] {
    return this.envelopes().map(
      ({ subject, type }) => `${type.slice("pleg/".length)} ${subject.containerId ?? subject.podUid}`,
    );
  }

  envelopes(): AnyEnvelope[] {
    const fresh = this.bus.recent().filter(({ seq }) => seq > this.#seen);
    this.#seen = this.bus.lastSeq;
    return fresh;
  }

  stateOf(pod: string, id: string): string | undefined {
    return this.pleg.get(pod).status.containers.find((record) => record.id === id)?.state;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.pleg.stop();
    await this.clock.settle(4);
    const { looks, readers, hints } = this.pleg.snapshot().waiting;
    const left = { looks, readers, hints, timers: this.clock.waiting };
    if (Object.values(left).some((count) => count > 0))
      throw new Error(`left behind: ${JSON.stringify(left)}`);
  }
}
