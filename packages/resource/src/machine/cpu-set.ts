// SPDX-License-Identifier: Apache-2.0
/*
 * Sets of CPUs (and of NUMA nodes), immutable. Owns nothing; a crash loses nothing.
 * Invariant: ids are whole, not negative, below MAX_ID; `ids` is ascending.
 */
import { HoldfastError } from "@holdfast/core/errors";

/** The kernel's own limit is 8192 CPUs; a longer range is a mistake, not a machine. */
const MAX_ID = 65_536;
const PART = /^(\d{1,6})(?:-(\d{1,6}))?$/;

/** An immutable set of CPU ids. kubelet: cpuset.CPUSet. */
export class CpuSet {
  /** The set without members. */
  static readonly empty: CpuSet = new CpuSet([]);
  /** Ascending, without repetition. */
  readonly ids: readonly number[];
  readonly #members: ReadonlySet<number>;

  /** From ids in any order; repetitions are dropped. */
  constructor(ids: Iterable<number>) {
    this.#members = new Set(ids);
    this.ids = [...this.#members].sort((a, b) => a - b);
  }

  /** The kernel's list format: `0-3,8`. An empty text is the empty set. Throws `bad-input` (RESOURCE_CPUSET). kubelet: cpuset.Parse. */
  static parse(text: string): CpuSet {
    const trimmed = text.trim();
    if (trimmed === "") return CpuSet.empty;
    const ids: number[] = [];
    for (const part of trimmed.split(",")) {
      const match = PART.exec(part.trim());
      const first = Number(match?.[1]);
      const last = Number(match?.[2] ?? match?.[1]);
      if (match === null || last < first || last >= MAX_ID) {
        const shown = JSON.stringify(part.slice(0, 40));
        throw new HoldfastError("RESOURCE_CPUSET", "bad-input", `${shown} is no id and no range like 0-3`);
      }
      for (let id = first; id <= last; id++) ids.push(id);
    }
    return new CpuSet(ids);
  }

  get size(): number {
    return this.ids.length;
  }

  has(id: number): boolean {
    return this.#members.has(id);
  }

  union(other: CpuSet): CpuSet {
    if (other.size === 0) return this;
    return this.size === 0 ? other : new CpuSet([...this.ids, ...other.ids]);
  }

  intersection(other: CpuSet): CpuSet {
    return this.filter((id) => other.has(id));
  }

  difference(other: CpuSet): CpuSet {
    return other.size === 0 ? this : this.filter((id) => !other.has(id));
  }

  filter(keep: (id: number) => boolean): CpuSet {
    return new CpuSet(this.ids.filter(keep));
  }

  equals(other: CpuSet): boolean {
    return this.size === other.size && this.isSubsetOf(other);
  }

  isSubsetOf(other: CpuSet): boolean {
    return this.ids.every((id) => other.has(id));
  }

  /** The kernel's list format, as short as it can be said. kubelet: CPUSet.String. */
  toString(): string {
    const parts: string[] = [];
    for (let start = 0; start < this.ids.length;) {
      let end = start;
      while (this.ids[end + 1] === (this.ids[end] as number) + 1) end++;
      parts.push(start === end ? `${this.ids[start]}` : `${this.ids[start]}-${this.ids[end]}`);
      start = end + 1;
    }
    return parts.join(",");
  }
}
