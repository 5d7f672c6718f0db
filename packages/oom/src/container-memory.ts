// SPDX-License-Identifier: Apache-2.0

import type { OomContainer } from "./ports.ts";

/** What is remembered of one container: who it is, and what each witness said. */
export interface RememberedContainer {
  facts: OomContainer | undefined;
  /** Main process, from containerd's start event or the lookup. */
  pid: number | undefined;
  cgroupPath: string | undefined;
  /** Monotonic milliseconds of the main process's exit. */
  exitedAt: number | undefined;
  /** The counter when the watching began, and as it was last read. */
  baseline: number | undefined;
  lastCount: number | undefined;
  /** Its end is known. */
  ended: boolean;
  /** The counter was read after the end: no kill can follow that it lacks. */
  isCountFinal: boolean;
  kmsg: number;
  /** Kills by this container's own limit, in its own cgroup: what its counter must have, too. */
  ownCgroup: number;
  hadGroupKill: boolean;
  containerd: number;
  /** What was told from the other witnesses, so that nothing is told twice. */
  told: number;
}

/** Containers by id, the ones seen last: those that are gone are still named. Bounded; the one not seen for longest goes first. */
export class ContainerMemory {
  readonly #byId = new Map<string, RememberedContainer>();
  readonly #capacity: number;

  constructor(capacity: number) {
    this.#capacity = capacity;
  }

  get size(): number {
    return this.#byId.size;
  }

  peek(containerId: string): RememberedContainer | undefined {
    return this.#byId.get(containerId);
  }

  /** The container whose main process has this pid, or had it until after `since`. Looks at all: for the rare kill without a cgroup. */
  byPid(pid: number, since: number): string | undefined {
    for (const [containerId, entry] of this.#byId)
      if (entry.pid === pid && (entry.exitedAt === undefined || entry.exitedAt > since)) return containerId;
    return undefined;
  }

  /** The container's entry, made when there is none; it counts as seen now. */
  touch(containerId: string): RememberedContainer {
    const entry = this.#byId.get(containerId) ?? {
      facts: undefined,
      pid: undefined,
      cgroupPath: undefined,
      exitedAt: undefined,
      baseline: undefined,
      lastCount: undefined,
      ended: false,
      isCountFinal: false,
      kmsg: 0,
      ownCgroup: 0,
      hadGroupKill: false,
      containerd: 0,
      told: 0,
    };
    this.#byId.delete(containerId);
    this.#byId.set(containerId, entry);
    if (this.#byId.size > this.#capacity) {
      const oldest = this.#byId.keys().next().value;
      if (oldest !== undefined) this.#byId.delete(oldest);
    }
    return entry;
  }
}
