// SPDX-License-Identifier: Apache-2.0
import { Bus } from "@holdfast/bus";
import { ManualClock } from "@holdfast/core/manual-clock";
import { MetricsRegistry } from "@holdfast/core/metrics";
import type { Pod } from "@holdfast/core/pod-types";
import { StatusManager, StatusSinkChanged, StatusSync } from "@holdfast/status";
import type { StatusSink, StatusSyncOptions, StatusUpdate, StatusWriteOutcome } from "@holdfast/status";
import type { ContainerRecord } from "@holdfast/core/runtime-status";
import { exited, options, pod, record, runtime } from "../builders.ts";

type Answer = (update: StatusUpdate, signal: AbortSignal) => Promise<StatusWriteOutcome>;

/** A sink in memory that can be told how to answer, and that checks what every sink may rely on. */
export class TestSink implements StatusSink {
  readonly name = "test";
  readonly had: StatusUpdate[] = [];
  readonly last = new Map<string, StatusUpdate>();
  readonly forgotten: string[] = [];
  readonly #clock: ManualClock;
  readonly #underWay = new Set<string>();
  latencyMs = 5;
  calls = 0;
  most = 0;
  answer: Answer = async () => "written";

  constructor(clock: ManualClock) {
    this.#clock = clock;
  }

  async write(update: StatusUpdate, signal: AbortSignal): Promise<StatusWriteOutcome> {
    this.calls += 1;
    if (this.#underWay.has(update.uid)) throw new TypeError(`two writes of ${update.uid} at once`);
    this.#underWay.add(update.uid);
    this.most = Math.max(this.most, this.#underWay.size);
    try {
      await this.#clock.sleep(this.latencyMs, { signal });
      const outcome = await this.answer(update, signal);
      if (outcome === "written") {
        this.had.push(update);
        this.last.set(update.uid, update);
      }
      return outcome;
    } finally {
      this.#underWay.delete(update.uid);
    }
  }

  forget(uid: string): void {
    this.forgotten.push(uid);
  }
}

/** A manager, a sink and the sync between them, in virtual time. */
export function rig(more: Partial<StatusSyncOptions> = {}) {
  const clock = new ManualClock();
  const bus = new Bus({ clock });
  const metrics = new MetricsRegistry();
  const manager = new StatusManager({ clock });
  const sink = new TestSink(clock);
  const sync = new StatusSync({ clock, source: manager, sink, metrics, publish: bus, ...more });
  const outages = bus.subscribe([StatusSinkChanged], { name: "test", capacity: 10, overflow: "drop-oldest" });
  const podOf = (uid: string): Pod => {
    const made = pod("Never");
    return { ...made, metadata: { ...made.metadata, uid, name: uid } };
  };
  const set = (uid: string, ...containers: ContainerRecord[]): void => {
    manager.update(podOf(uid), { ...runtime(containers), uid }, options());
  };
  return {
    clock,
    manager,
    metrics,
    sink,
    sync,
    outages,
    podOf,
    created: (uid: string) => set(uid),
    runs: (uid: string) => set(uid, record("a")),
    failed: (uid: string, exitCode: number) => set(uid, exited("a", exitCode)),
    /** A change that is not urgent. */
    moves: (uid: string, message: string) =>
      void manager.update(
        podOf(uid),
        { ...runtime([]), uid },
        options({ waiting: { reason: "Test", message } }),
      ),
  };
}
