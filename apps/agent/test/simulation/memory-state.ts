// SPDX-License-Identifier: Apache-2.0

/** The agent's state folder in memory: what survives its process. */
import { HoldfastError } from "@holdfast/core/errors";
import type { ResilientCheckpoint } from "@holdfast/store";
import type { StateFolder } from "../../src/run/state-folder.ts";
import type { Life } from "./mortal.ts";

export const STATE_DIR = "/var/lib/holdfast";
export const PODS_DIR = `${STATE_DIR}/pods`;

/** See the top of the file. */
export class MemoryState {
  readonly #namespaces = new Map<string, Map<string, string>>();
  #locked = false;

  /** All keys, each with its namespace before it. */
  keys(): string[] {
    return [...this.#namespaces].flatMap(([name, values]) =>
      [...values.keys()].map((key) => `${name}: ${key}`),
    );
  }

  /** Of what is on the disk, a manager's part is lost. */
  forget(namespace: string): void {
    this.#namespaces.delete(namespace);
  }

  unlock(): void {
    this.#locked = false;
  }

  open(life: Life): StateFolder {
    if (this.#locked)
      throw new HoldfastError("STORE_LOCKED", "permanent", "another agent has the state folder");
    this.#locked = true;
    return {
      instanceId: "00000000-0000-4000-8000-000000000001",
      podsDir: PODS_DIR,
      checkpoint: (namespace) => this.#checkpoint(namespace, life),
      health: () => ({ failures: [] }),
      [Symbol.dispose]: () => this.unlock(),
    };
  }

  #checkpoint(namespace: string, life: Life): ResilientCheckpoint {
    const values = this.#namespaces.get(namespace) ?? new Map<string, string>();
    this.#namespaces.set(namespace, values);
    return {
      get: (key) => values.get(key),
      set: (key, value) => void (life.dead || values.set(key, value)),
      delete: (key) => void (life.dead || values.delete(key)),
      entries: (prefix) =>
        [...values].filter(([key]) => key.startsWith(prefix)).sort(([a], [b]) => (a < b ? -1 : 1)),
      health: () => ({ failures: [] }),
      flush: () => true,
      waiting: 0,
      dropped: 0,
      [Symbol.dispose]() {},
    };
  }
}
