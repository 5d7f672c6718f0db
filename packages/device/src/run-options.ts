// SPDX-License-Identifier: Apache-2.0

/** Everything that a container gets for its devices, merged over its resources. Pure. kubelet: deviceRunContainerOptions. */
import type { ContainerAnswer, DeviceMount, DeviceNode } from "./ports.ts";

/** For the CRI's ContainerConfig; see README for the order in which they meet the agent's own values. */
export interface ContainerDevices {
  readonly envs: readonly { readonly name: string; readonly value: string }[];
  readonly mounts: readonly DeviceMount[];
  readonly devices: readonly DeviceNode[];
  readonly annotations: Readonly<Record<string, string>>;
  /** Fully qualified names, without repetition. */
  readonly cdiDevices: readonly string[];
}

/** A container without devices. */
export const NO_DEVICES: ContainerDevices = {
  envs: [],
  mounts: [],
  devices: [],
  annotations: {},
  cdiDevices: [],
};

/** Two resources that want the same thing differently. */
export interface MergeConflict {
  readonly kind: "env" | "mount" | "device" | "annotation";
  readonly key: string;
}

/** The first one wins, in the order given (kubelet: random order between resources). Conflicts are told, not decided. */
export function mergeAnswers(answers: readonly ContainerAnswer[]): {
  readonly options: ContainerDevices;
  readonly conflicts: readonly MergeConflict[];
} {
  const conflicts: MergeConflict[] = [];
  const first = <T>(kind: MergeConflict["kind"], same: (a: T, b: T) => boolean) => {
    const kept = new Map<string, T>();
    const add = (key: string, value: T): void => {
      const known = kept.get(key);
      if (known === undefined) kept.set(key, value);
      else if (!same(known, value)) conflicts.push({ kind, key });
    };
    return { kept, add };
  };
  const envs = first<string>("env", (a, b) => a === b);
  const mounts = first<DeviceMount>("mount", (a, b) => a.hostPath === b.hostPath);
  const devices = first<DeviceNode>("device", (a, b) => a.hostPath === b.hostPath);
  const annotations = first<string>("annotation", (a, b) => a === b);
  const cdi = new Set<string>();
  for (const answer of answers) {
    for (const [name, value] of Object.entries(answer.envs)) envs.add(name, value);
    for (const mount of answer.mounts) mounts.add(mount.containerPath, mount);
    for (const device of answer.devices) devices.add(device.containerPath, device);
    for (const [name, value] of Object.entries(answer.annotations)) annotations.add(name, value);
    for (const name of answer.cdiDevices) cdi.add(name);
  }
  const options: ContainerDevices = {
    envs: [...envs.kept].map(([name, value]) => ({ name, value })),
    mounts: [...mounts.kept.values()],
    devices: [...devices.kept.values()],
    annotations: Object.fromEntries(annotations.kept),
    cdiDevices: [...cdi],
  };
  return { options, conflicts };
}
