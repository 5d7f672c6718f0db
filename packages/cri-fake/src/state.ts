// SPDX-License-Identifier: Apache-2.0
//
// What the fake knows of sandboxes and containers. Two maps with their rules of naming: a name is held from the first moment of a
// create until the removal, and ids may be shortened as long as they are unique. kubelet: none; containerd: internal/truncindex, registrar.

import type { ContainerConfig, Image, PodSandboxConfig } from "@holdfast/cri";

import type { Inside } from "./inside.ts";
import type { Process } from "./process.ts";
import { RuntimeFailure } from "./failure.ts";

/** A sandbox. Times are nanoseconds since the epoch. */
export interface SandboxRecord {
  readonly id: string;
  /** `name_namespace_uid_attempt`. */
  readonly key: string;
  readonly config: PodSandboxConfig;
  readonly runtimeHandler: string;
  readonly createdAt: bigint;
  readonly pid: number;
  /** Empty with the host's network. */
  readonly ip: string;
  ready: boolean;
}

/** As the CRI shows it. */
export type ContainerPhase = "created" | "running" | "exited";

/** A container. Times are nanoseconds since the epoch, 0 when it has not happened. */
export interface ContainerRecord {
  readonly id: string;
  /** `container_pod_namespace_uid_attempt`. */
  readonly key: string;
  readonly sandbox: SandboxRecord;
  readonly config: ContainerConfig;
  readonly imageId: string;
  readonly inside: Inside;
  /** containerd 2 shows whom it runs as. */
  readonly showsUser: boolean;
  /** Who is attached: told all output. */
  readonly watchers: Set<(stream: "stdout" | "stderr", text: string) => void>;
  /** The image, until it is removed. */
  readonly findImage: () => Image | undefined;
  readonly createdAt: bigint;
  phase: ContainerPhase;
  startedAt: bigint;
  finishedAt: bigint;
  exitCode: number;
  reason: string;
  message: string;
  /** There from the start until the CRI shows the exit. */
  process: Process | undefined;
  /** Bytes in the writable layer when it ended. */
  diskBytes: number;
  resources: ContainerConfig["linux"];
  /** Gone from the maps. */
  removed: boolean;
}

/** Names that are held, with the id that holds each. */
export class NameRegistry {
  readonly #what: string;
  readonly #held = new Map<string, string>();

  constructor(what: "container" | "sandbox") {
    this.#what = what;
  }

  /** Throws `CRI_NAME_RESERVED` when another id holds the name. */
  reserve(key: string, id: string): void {
    const holder = this.#held.get(key);
    if (holder !== undefined && holder !== id)
      throw new RuntimeFailure(
        "CRI_NAME_RESERVED",
        `failed to reserve ${this.#what} name "${key}": name "${key}" is reserved for "${holder}"`,
        { reservedFor: holder },
      );
    this.#held.set(key, id);
  }

  release(key: string, id: string): void {
    if (this.#held.get(key) === id) this.#held.delete(key);
  }
}

/** What has that id, or the only one whose id begins so. */
export function findById<Found>(all: ReadonlyMap<string, Found>, id: string): Found | undefined {
  const exact = all.get(id);
  if (exact !== undefined || id === "") return exact;
  const matches = [...all].filter(([other]) => other.startsWith(id));
  return matches.length === 1 ? matches[0]?.[1] : undefined;
}

/** Whether labels have every pair of a selector. */
export function matchesLabels(
  labels: Readonly<Record<string, string>>,
  selector: Readonly<Record<string, string>> | undefined,
): boolean {
  return Object.entries(selector ?? {}).every(([key, value]) => labels[key] === value);
}
