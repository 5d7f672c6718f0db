// SPDX-License-Identifier: Apache-2.0

/** Sidecars stop after the main containers, the last one first. kubelet: terminationOrdering. */
import { linkSignal } from "@holdfast/core/lifecycle";
import type { Clock } from "@holdfast/core/clock";
import { isSidecar } from "@holdfast/core/pod";
import type { Pod } from "@holdfast/core/pod-types";

interface Gate {
  readonly done: Promise<void>;
  readonly open: () => void;
}

/** Of one kill of one pod. */
export class TerminationOrder {
  readonly #gates = new Map<string, Gate>();
  readonly #before = new Map<string, readonly string[]>();

  /** Containers that are not in `running` count as terminated from the start. */
  constructor(pod: Pod, running: ReadonlySet<string>) {
    const sidecars = (pod.spec.initContainers ?? []).filter(isSidecar).map(({ name }) => name);
    const main = pod.spec.containers.map(({ name }) => name);
    for (const name of [...main, ...sidecars]) {
      const { promise, resolve } = Promise.withResolvers<void>();
      this.#gates.set(name, { done: promise, open: resolve });
      if (!running.has(name)) resolve();
    }
    sidecars.forEach((name, index) => {
      const next = sidecars[index + 1];
      this.#before.set(name, next === undefined ? main : [...main, next]);
    });
  }

  /** Who must be down before `name` may be stopped. */
  prerequisites(name: string): readonly string[] {
    return this.#before.get(name) ?? [];
  }

  /** `name` is down. A failed stop never says so: who waits for it waits out its own grace. */
  terminated(name: string): void {
    this.#gates.get(name)?.open();
  }

  /** Waits for the turn of `name`, at most `limitMs`. Rejects with the signal's reason. */
  async waitForTurn(
    clock: Pick<Clock, "sleep">,
    name: string,
    limitMs: number,
    signal: AbortSignal | undefined,
  ): Promise<void> {
    const before = this.prerequisites(name);
    if (before.length === 0) return;
    const turn = linkSignal(signal);
    try {
      await Promise.race([
        Promise.all(before.map((other) => this.#gates.get(other)?.done)),
        clock.sleep(limitMs, { signal: turn.signal }),
      ]);
    } finally {
      turn.abort();
    }
  }
}
