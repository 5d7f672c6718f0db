// SPDX-License-Identifier: Apache-2.0

/**
 * Saves reading the pressure of containers whose pod was not under any.
 *
 * Owns: the pressure of each pod and its containers as last read. Invariants: what stalls in a container stalls in its pod too, so when a pod's totals have not
 * grown its containers' have not, and when its averages are zero so are theirs: what is given from here is what the files would have said. Lost on a crash:
 * nothing.
 */
import type { CgroupPressure } from "./cgroup/cgroup-figures.ts";
import type { PSIStats } from "./summary.ts";

interface Remembered {
  readonly pod: CgroupPressure;
  readonly containers: ReadonlyMap<string, CgroupPressure>;
}

/** See the top of the file. */
export class PressureMemory {
  #before: ReadonlyMap<string, Remembered> = new Map();
  #now = new Map<string, Remembered>();

  /** Containers' pressure, when it is known without reading. `pod` must have been read before any container of it. */
  containersOf(uid: string, pod: CgroupPressure): ReadonlyMap<string, CgroupPressure> | undefined {
    const known = this.#now.get(uid) ?? this.#before.get(uid);
    if (known === undefined || !isQuiet(pod) || !sameTotals(known.pod, pod)) return undefined;
    return new Map([...known.containers].map(([id, pressure]) => [id, calmed(pressure)]));
  }

  remember(uid: string, pod: CgroupPressure, containers: ReadonlyMap<string, CgroupPressure>): void {
    this.#now.set(uid, { pod, containers });
  }

  /** A round is over: pods that were not in it nor in the one before are forgotten. */
  nextRound(): void {
    this.#before = this.#now;
    this.#now = new Map();
  }
}

function all({ cpu, memory, io }: CgroupPressure): readonly (PSIStats | undefined)[] {
  return [cpu, memory, io];
}

function isQuiet(pressure: CgroupPressure): boolean {
  return all(pressure).every(
    (one) => one === undefined || (one.some.avg10 === 0 && one.some.avg60 === 0 && one.some.avg300 === 0),
  );
}

function sameTotals(one: CgroupPressure, other: CgroupPressure): boolean {
  const totals = all(other);
  return all(one).every((psi, index) => psi?.some.total === totals[index]?.some.total);
}

function calmed({ cpu, memory, io }: CgroupPressure): CgroupPressure {
  return { cpu: calm(cpu), memory: calm(memory), io: calm(io) };
}

function calm(psi: PSIStats | undefined): PSIStats | undefined {
  if (psi === undefined) return undefined;
  const none = { avg10: 0, avg60: 0, avg300: 0 };
  return { full: { total: psi.full.total, ...none }, some: { total: psi.some.total, ...none } };
}
