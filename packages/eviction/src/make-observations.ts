// SPDX-License-Identifier: Apache-2.0

/** From figures to observations of signals, believed only when they can be true. Pure. kubelet: makeSignalObservations. */
import type { FsFigures, MemoryFigures, NodeSample } from "./ports.ts";
import { PRESSURE_SIGNALS } from "./signals.ts";
import type { Signal } from "./signals.ts";
import type { SignalObservation, SignalObservations } from "./threshold.ts";

/** What was seen, and what of it cannot be true. */
export interface Observed {
  readonly observations: SignalObservations;
  /** Signal -> why it is not known although there are figures. */
  readonly nonsense: ReadonlyMap<Signal, string>;
}

/** A signal whose figures are missing is missing; one whose figures contradict each other is missing, and named. */
export function makeSignalObservations({ at, node }: Pick<NodeSample, "at" | "node">): Observed {
  const observations = new Map<Signal, SignalObservation>();
  const nonsense = new Map<Signal, string>();
  const observe = (signal: Signal, available: number | undefined, capacity: number | undefined): void => {
    if (available === undefined || capacity === undefined) return;
    const problem = problemOf(available, capacity);
    if (problem === undefined) observations.set(signal, { available, capacity, at });
    else nonsense.set(signal, problem);
  };
  const memory = (signal: Signal, figures: MemoryFigures | undefined): void => {
    const { availableBytes, workingSetBytes } = figures ?? {};
    if (availableBytes === undefined || workingSetBytes === undefined) return;
    observe(signal, availableBytes, availableBytes + workingSetBytes);
  };
  const filesystem = (name: "nodefs" | "imagefs" | "containerfs", figures: FsFigures | undefined): void => {
    observe(`${name}.available`, figures?.availableBytes, figures?.capacityBytes);
    observe(`${name}.inodesFree`, figures?.inodesFree, figures?.inodes);
  };
  memory("memory.available", node.memory);
  memory("allocatableMemory.available", node.systemContainers?.find(({ name }) => name === "pods")?.memory);
  filesystem("nodefs", node.fs);
  filesystem("imagefs", node.runtime?.imageFs);
  filesystem("containerfs", node.runtime?.containerFs);
  const { maxpid, curproc } = node.rlimit ?? {};
  if (maxpid !== undefined && curproc !== undefined) observe("pid.available", maxpid - curproc, maxpid);
  const psi = node.memory?.psi;
  if (psi !== undefined)
    for (const signal of PRESSURE_SIGNALS) {
      const [, , kind, average] = signal.split(".") as [string, string, "some" | "full", "avg10"];
      observe(signal, 100 - psi[kind][average], 100);
    }
  return { observations, nonsense };
}

function problemOf(available: number, capacity: number): string | undefined {
  if (!Number.isFinite(available) || !Number.isFinite(capacity) || capacity < 0)
    return `figures that are none: ${available} of ${capacity} available`;
  if (capacity === 0) return "its capacity is 0";
  if (available < 0) return `less than nothing is available: ${available} of ${capacity}`;
  if (available > capacity) return `more is available than there is: ${available} of ${capacity}`;
  return undefined;
}
