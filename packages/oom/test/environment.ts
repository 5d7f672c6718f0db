// SPDX-License-Identifier: Apache-2.0

import { Bus } from "@holdfast/bus";
import type { AnyEnvelope } from "@holdfast/bus";
import { ManualClock } from "@holdfast/core/manual-clock";
import { MetricsRegistry } from "@holdfast/core/metrics";
import { OomWatcher } from "../src/oom-watcher.ts";
import type { OomWatcherOptions } from "../src/options.ts";
import type { KmsgDevice, KmsgHandle, KmsgRead, OomContainer } from "../src/ports.ts";
import { POD_UID } from "./fixtures.ts";

/** The kernel's ring in memory: what `append` numbers, readers get; `overwrite` loses the oldest. */
export class ScriptedKmsg implements KmsgDevice {
  #ring: { readonly sequence: number; readonly text: string }[] = [];
  #next = 0;
  /** Thrown by the next opens and reads. */
  failure: Error | undefined;
  opened = 0;
  closed = 0;
  reads = 0;
  foreignPids = false;

  uptimeMs(): number {
    return 100_000;
  }

  /** Adds records; their sequence numbers are the ring's own. */
  append(records: readonly string[]): void {
    for (const text of records) {
      const sequence = this.#next++;
      this.#ring.push({ sequence, text: text.replace(/^(\d+),\d+/, `$1,${sequence}`) });
    }
  }

  /** All but the newest `keep` are overwritten. */
  overwrite(keep: number): void {
    this.#ring = keep === 0 ? [] : this.#ring.slice(-keep);
  }

  open(): KmsgHandle {
    if (this.failure !== undefined) throw this.failure;
    this.opened += 1;
    let at = this.#ring[0]?.sequence ?? this.#next;
    return {
      read: (): KmsgRead => {
        this.reads += 1;
        if (this.failure !== undefined) throw this.failure;
        const oldest = this.#ring[0]?.sequence ?? this.#next;
        if (at < oldest) {
          at = oldest;
          return { kind: "overrun" };
        }
        const text = this.#ring[at - oldest]?.text;
        if (text === undefined) return { kind: "empty" };
        at += 1;
        return { kind: "record", text };
      },
      close: () => {
        this.closed += 1;
      },
    };
  }
}

/** A watcher on a scripted log. Disposal fails when a timer or handle is left. */
export class OomEnvironment implements AsyncDisposable {
  readonly clock = new ManualClock();
  readonly bus = new Bus({ clock: this.clock, ringSize: 100_000 });
  readonly kmsg = new ScriptedKmsg();
  readonly metrics = new MetricsRegistry();
  readonly containers = new Map<string, OomContainer>();
  readonly counters = new Map<string, number>();
  readonly watcher: OomWatcher;

  constructor(options: Partial<OomWatcherOptions> = {}) {
    this.watcher = new OomWatcher({
      device: this.kmsg,
      clock: this.clock,
      publish: this.bus,
      metrics: this.metrics,
      nodeName: "n1",
      lookup: { find: (id) => Promise.resolve(this.containers.get(id)) },
      counters: { read: (path) => Promise.resolve(this.counters.get(path)) },
      ...options,
    });
  }

  /** A container that the lookup knows. */
  add(containerId: string, facts: Partial<OomContainer> = {}): OomContainer {
    const container = { containerId, podUid: POD_UID, pod: "default/web", container: "app", ...facts };
    this.containers.set(containerId, container);
    return container;
  }

  events(type = ""): readonly AnyEnvelope[] {
    return this.bus.recent().filter((event) => event.type.startsWith(type));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.watcher.stop();
    await this.watcher.stop();
    if (this.clock.waiting > 0) throw new Error(`${this.clock.waiting} timers are left`);
    if (this.kmsg.opened !== this.kmsg.closed) throw new Error("a handle is left open");
  }
}
