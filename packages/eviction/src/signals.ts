// SPDX-License-Identifier: Apache-2.0

/** What is watched, and what each of it stands for. kubelet: eviction/api/types.go, signalToNodeCondition, signalToResource. */

/** The kubelet's signals. All of them are met when less than the threshold is available. */
export const SIGNALS = [
  "memory.available",
  "allocatableMemory.available",
  "nodefs.available",
  "nodefs.inodesFree",
  "imagefs.available",
  "imagefs.inodesFree",
  "containerfs.available",
  "containerfs.inodesFree",
  "pid.available",
] as const;

/**
 * Not the kubelet's, and only by configuration: how much of the time was lost to waiting for memory, as the kernel's pressure stall information says. What is
 * "available" is the time that was not lost, of 100.
 */
export const PRESSURE_SIGNALS = [
  "memory.psi.some.avg10",
  "memory.psi.some.avg60",
  "memory.psi.some.avg300",
  "memory.psi.full.avg10",
  "memory.psi.full.avg60",
  "memory.psi.full.avg300",
] as const;

/** A signal of the kubelet's. */
export type KubeletSignal = (typeof SIGNALS)[number];
/** A signal of pressure stall information. */
export type PressureSignal = (typeof PRESSURE_SIGNALS)[number];
/** Anything a threshold can be set on. */
export type Signal = KubeletSignal | PressureSignal;
/** What an eviction for a limit of the pod's own is counted under. kubelet: the eviction_signal of local storage. */
export type LimitSignal = "emptydirfs.limit" | "ephemeralpodfs.limit" | "ephemeralcontainerfs.limit";

/** Conditions of the node that say that something runs out. */
export type PressureConditionType = "MemoryPressure" | "DiskPressure" | "PIDPressure";
/** In the order in which they are shown. */
export const PRESSURE_CONDITIONS: readonly PressureConditionType[] = [
  "MemoryPressure",
  "DiskPressure",
  "PIDPressure",
];

/** The name of what is short, as messages have it. */
export type StarvedResource = "memory" | "ephemeral-storage" | "inodes" | "pids";

/** How numbers of a signal are written. */
export type QuantityFormat = "binary" | "decimal";

/** What a signal stands for. */
export interface SignalFacts {
  readonly condition: PressureConditionType;
  readonly resource: StarvedResource;
  readonly format: QuantityFormat;
}

const MEMORY: SignalFacts = { condition: "MemoryPressure", resource: "memory", format: "binary" };
const DISK: SignalFacts = { condition: "DiskPressure", resource: "ephemeral-storage", format: "binary" };
const INODES: SignalFacts = { condition: "DiskPressure", resource: "inodes", format: "decimal" };

const FACTS: ReadonlyMap<string, SignalFacts> = new Map<Signal, SignalFacts>([
  ["memory.available", MEMORY],
  ["allocatableMemory.available", MEMORY],
  ["nodefs.available", DISK],
  ["nodefs.inodesFree", INODES],
  ["imagefs.available", DISK],
  ["imagefs.inodesFree", INODES],
  ["containerfs.available", DISK],
  ["containerfs.inodesFree", INODES],
  ["pid.available", { condition: "PIDPressure", resource: "pids", format: "decimal" }],
  ...PRESSURE_SIGNALS.map((signal) => [signal, MEMORY] as const),
]);

/** Undefined for what is no signal. */
export function signalFacts(signal: string): SignalFacts | undefined {
  return FACTS.get(signal);
}

/** Whether it is one of the kubelet's. */
export function isKubeletSignal(signal: string): signal is KubeletSignal {
  return (SIGNALS as readonly string[]).includes(signal);
}

/** Whether it is one of pressure stall information. */
export function isPressureSignal(signal: string): signal is PressureSignal {
  return (PRESSURE_SIGNALS as readonly string[]).includes(signal);
}

/** Which file system a signal is about; undefined for memory and processes. */
export function filesystemOf(signal: Signal): "nodefs" | "imagefs" | "containerfs" | undefined {
  const name = signal.slice(0, signal.indexOf("."));
  return name === "nodefs" || name === "imagefs" || name === "containerfs" ? name : undefined;
}
