// SPDX-License-Identifier: Apache-2.0

/** Who asks for a place. */
export interface PlaceHolder {
  /** Whose places are counted together: a pod's UID. */
  readonly placeKey: string;
  /** A place is free now, and taken. */
  onPlace(): void;
}

/**
 * Bounds how many probes are under way, in all and by pod. Waiting is no failure of the target: a probe's time begins when it has its place.
 * Served in order of arrival, except that a pod which has all its places is passed over.
 */
export class PlaceGate {
  readonly #limit: number;
  readonly #perKey: number;
  readonly #heldByKey = new Map<string, number>();
  readonly #waiting = new Set<PlaceHolder>();
  #held = 0;

  constructor(limit: number, perKey: number = Number.POSITIVE_INFINITY) {
    this.#limit = limit;
    this.#perKey = perKey;
  }

  get held(): number {
    return this.#held;
  }
  get waiting(): number {
    return this.#waiting.size;
  }

  /** True: the place is taken. False: `onPlace` is called when there is one. */
  take(holder: PlaceHolder): boolean {
    if (this.#hasRoom(holder.placeKey)) {
      this.#grant(holder.placeKey);
      return true;
    }
    this.#waiting.add(holder);
    return false;
  }

  /** Stops waiting. Does nothing to one who does not wait. */
  leave(holder: PlaceHolder): void {
    this.#waiting.delete(holder);
  }

  /** Gives a place back. */
  release(key: string): void {
    this.#held -= 1;
    if (this.#perKey !== Number.POSITIVE_INFINITY) {
      const left = (this.#heldByKey.get(key) ?? 1) - 1;
      if (left > 0) this.#heldByKey.set(key, left);
      else this.#heldByKey.delete(key);
    }
    if (this.#held >= this.#limit || this.#waiting.size === 0) return;
    for (const holder of this.#waiting) {
      if (!this.#hasRoom(holder.placeKey)) continue;
      this.#waiting.delete(holder);
      this.#grant(holder.placeKey);
      holder.onPlace();
      return;
    }
  }

  #hasRoom(key: string): boolean {
    return this.#held < this.#limit && (this.#heldByKey.get(key) ?? 0) < this.#perKey;
  }

  #grant(key: string): void {
    this.#held += 1;
    if (this.#perKey !== Number.POSITIVE_INFINITY)
      this.#heldByKey.set(key, (this.#heldByKey.get(key) ?? 0) + 1);
  }
}
