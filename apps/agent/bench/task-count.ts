// SPDX-License-Identifier: Apache-2.0

/**
 * Counts what containerd tells of tasks, so that a benchmark can wait for a hundred pods without asking for them: a list every 20 ms cost the
 * two cores that are being measured several seconds of CPU in a run.
 */
import { isExecEvent } from "@holdfast/cri";
import type { CriClient } from "@holdfast/cri";

/** Counts `/tasks/start` and `/tasks/delete` for as long as it lives; sandboxes and containers alike, whoever made them. */
export class TaskCount implements Disposable {
  readonly #over = new AbortController();
  readonly #counts = new Map<string, number>();
  #waiter: (() => void) | undefined;

  constructor(client: CriClient) {
    void this.#read(client);
  }

  async #read(client: CriClient): Promise<void> {
    for await (const event of client.containerdEvents({ signal: this.#over.signal })) {
      if (isExecEvent(event)) continue;
      this.#counts.set(event.topic, (this.#counts.get(event.topic) ?? 0) + 1);
      this.#waiter?.();
    }
  }

  /** Resolves when `topic` has been told `more` times since this call, or after `timeoutMs`: an event may be lost, and a list is the truth. */
  reached(topic: "/tasks/start" | "/tasks/delete", more: number, timeoutMs: number): Promise<void> {
    const goal = (this.#counts.get(topic) ?? 0) + more;
    return new Promise((resolve) => {
      const end = (): void => {
        clearTimeout(timer);
        this.#waiter = undefined;
        resolve();
      };
      const timer = setTimeout(end, timeoutMs);
      this.#waiter = () => {
        if ((this.#counts.get(topic) ?? 0) >= goal) end();
      };
    });
  }

  [Symbol.dispose](): void {
    this.#over.abort();
  }
}
