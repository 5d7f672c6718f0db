// SPDX-License-Identifier: Apache-2.0

/** How long a restart takes, read off containerd's own events: the same end point for the agent and for the floor. */
import process from "node:process";
import { isExecEvent } from "@holdfast/cri";
import type { ContainerdTaskEvent, CriClient } from "@holdfast/cri";

/** One restart, in milliseconds since the kill. */
export interface RestartSample {
  /** containerd told the death. */
  readonly exitSeen: number;
  /** The successor was made: CreatedAt in its status, which containerd takes at the end of CreateContainer. */
  readonly created: number;
  /** containerd told that the successor runs. */
  readonly running: number;
}

interface Seen {
  readonly event: ContainerdTaskEvent;
  readonly at: number;
}

const GIVE_UP_MS = 60_000;

/** Reads containerd's events for as long as it lives. */
export class KillWatch implements Disposable {
  readonly #client: CriClient;
  readonly #over = new AbortController();
  #waiters: { test: (event: ContainerdTaskEvent) => boolean; found: (seen: Seen) => void }[] = [];

  constructor(client: CriClient) {
    this.#client = client;
    void this.#read();
  }

  async #read(): Promise<void> {
    for await (const event of this.#client.containerdEvents({ signal: this.#over.signal })) {
      const at = performance.now();
      for (const waiter of this.#waiters.filter(({ test }) => test(event))) {
        this.#waiters = this.#waiters.filter((other) => other !== waiter);
        waiter.found({ event, at });
      }
    }
  }

  /** The next event that passes; rejects when none comes for a minute. */
  next(test: (event: ContainerdTaskEvent) => boolean, what: string): Promise<Seen> {
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => reject(new Error(`no event: ${what}`)), GIVE_UP_MS);
      this.#waiters.push({
        test,
        found: (seen) => {
          clearTimeout(timer);
          resolve(seen);
        },
      });
    });
  }

  /** Kills the container's main process and waits for its successor; `react` is called at the exit event, for the floor. */
  async measure(containerId: string, react?: () => Promise<unknown>): Promise<RestartSample> {
    const { info } = await this.#client.containerStatus({ containerId, verbose: true });
    const pid = (JSON.parse(info["info"] ?? "{}") as { pid?: number }).pid ?? 0;
    if (pid <= 1) throw new Error(`container ${containerId} has no process`);
    const exit = this.next(
      (event) => event.topic === "/tasks/exit" && event.containerId === containerId && !isExecEvent(event),
      `exit of ${containerId}`,
    );
    const start = this.next((event) => event.topic === "/tasks/start", `start of ${containerId}'s successor`);
    const wallAtKill = Date.now();
    const killedAt = performance.now();
    process.kill(pid, "SIGKILL");
    const exited = await exit;
    const reacted = react?.();
    const started = await start;
    await reacted;
    const { status } = await this.#client.containerStatus({ containerId: started.event.containerId });
    return {
      exitSeen: exited.at - killedAt,
      created: Number(status?.createdAt ?? 0n) / 1e6 - wallAtKill,
      running: started.at - killedAt,
    };
  }

  [Symbol.dispose](): void {
    this.#over.abort();
  }
}
