// SPDX-License-Identifier: Apache-2.0

/**
 * Keeps an image from being removed between the moment in which somebody decides to use it and the moment in which the runtime's list shows it.
 *
 * Owns: who holds which name, and which names are being removed. Invariants: a name is never held and removed at once; a holder waits for a removal
 * under way (which has a deadline), a removal never waits for a holder: it leaves the image alone. Lost on a crash: all of it, and with it the
 * creates and removals that it was for.
 */
import { normalizeImageName } from "./image-names.ts";

/** Somebody is about to use an image. Dispose it when the container exists, or when nothing came of it. */
export interface ImageHold extends Disposable {
  /**
   * Also holds another name of the image: the id that a pull came back with. Resolves to whether that name was just being removed: then look whether
   * the image is still there.
   */
  add(name: string): Promise<boolean>;
}

/** A removal under way: nobody can begin to hold one of its names. */
export interface ImageRemoval extends Disposable {
  /** Takes in names that were found since. Returns who holds one of them; then the image must stay. */
  extend(names: readonly string[]): string | undefined;
}

interface Removing {
  readonly names: Set<string>;
  readonly over: Promise<void>;
}

/** See the top of the file. One per agent: pulls, creates and image GC share it. */
export class ImageLocks {
  readonly #held = new Map<string, Map<object, string>>();
  readonly #removing = new Set<Removing>();

  /** Takes a name as the pod spec has it, or an id. Waits while the image is being removed. Rejects with the signal's reason. */
  async hold(
    name: string,
    options: { readonly by?: string; readonly signal?: AbortSignal } = {},
  ): Promise<ImageHold> {
    const key = {};
    const by = options.by ?? "a pull or create";
    const names = new Set<string>();
    const take = async (one: string): Promise<boolean> => {
      const normal = normalizeImageName(one);
      names.add(normal);
      // Held first, then waited: a removal that begins meanwhile sees it.
      this.#take(normal, key, by);
      return this.#removalOver(normal, options.signal);
    };
    const dispose = (): void => {
      for (const one of names) this.#letGo(one, key);
    };
    try {
      await take(name);
    } catch (error) {
      dispose();
      throw error;
    }
    return { add: take, [Symbol.dispose]: dispose };
  }

  /** Runs `work` while the image is held. */
  async use<T>(
    name: string,
    work: (hold: ImageHold) => Promise<T>,
    options: { readonly by?: string; readonly signal?: AbortSignal } = {},
  ): Promise<T> {
    using hold = await this.hold(name, options);
    return await work(hold);
  }

  /** Who holds one of these names; undefined when nobody does. */
  holderOf(names: readonly string[]): string | undefined {
    for (const name of names) {
      const by = this.#held.get(normalizeImageName(name))?.values().next().value;
      if (by !== undefined) return by;
    }
    return undefined;
  }

  /** Begins a removal; when somebody holds one of the names, returns who instead. */
  beginRemoval(names: readonly string[]): ImageRemoval | { readonly heldBy: string } {
    const heldBy = this.holderOf(names);
    if (heldBy !== undefined) return { heldBy };
    const { promise: over, resolve } = Promise.withResolvers<void>();
    const removing: Removing = { names: new Set(names.map(normalizeImageName)), over };
    this.#removing.add(removing);
    return {
      extend: (more) => {
        const holder = this.holderOf(more);
        if (holder === undefined) for (const name of more) removing.names.add(normalizeImageName(name));
        return holder;
      },
      [Symbol.dispose]: () => {
        this.#removing.delete(removing);
        resolve();
      },
    };
  }

  /** What is held and what is being removed. */
  snapshot(): { readonly held: readonly string[]; readonly removing: readonly string[] } {
    return { held: [...this.#held.keys()], removing: [...this.#removing].flatMap(({ names }) => [...names]) };
  }

  async #removalOver(name: string, signal: AbortSignal | undefined): Promise<boolean> {
    let waited = false;
    for (;;) {
      signal?.throwIfAborted();
      const current = [...this.#removing].find(({ names }) => names.has(name));
      if (current === undefined) return waited;
      waited = true;
      await untilAborted(current.over, signal);
    }
  }

  #take(name: string, key: object, by: string): void {
    const holders = this.#held.get(name);
    if (holders === undefined) this.#held.set(name, new Map([[key, by]]));
    else holders.set(key, by);
  }

  #letGo(name: string, key: object): void {
    const holders = this.#held.get(name);
    holders?.delete(key);
    if (holders?.size === 0) this.#held.delete(name);
  }
}

function untilAborted(work: Promise<void>, signal: AbortSignal | undefined): Promise<void> {
  if (signal === undefined) return work;
  return new Promise((resolve, reject) => {
    const onAbort = (): void => reject(signal.reason as Error);
    signal.addEventListener("abort", onAbort, { once: true });
    void work.then(resolve).finally(() => signal.removeEventListener("abort", onAbort));
  });
}
