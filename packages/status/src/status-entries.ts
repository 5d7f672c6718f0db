// SPDX-License-Identifier: Apache-2.0

/**
 * The statuses that are known, in memory and on the disk. It owns both; the manager is the only one that writes.
 *
 * Invariants: at most `capacity` in memory, the one quiet for longest goes first and comes back from the disk; what makes a status worth keeping is on the
 * disk before anybody is told. Lost on a crash: what the runtime tells again.
 */
import { clampedAge } from "@holdfast/core/clock";
import type { Clock } from "@holdfast/core/clock";
import type { Logger } from "@holdfast/core/log";
import type { Pod } from "@holdfast/core/pod-types";
import type { ApiPodStatus } from "./api-types.ts";
import type { Cordon } from "./compute-readiness.ts";
import type { ResizeConditions } from "./compute-resize-conditions.ts";
import { resizeConditionsIn } from "./compute-resize-conditions.ts";
import type { StatusCheckpoint } from "./ports.ts";
import { parseTime } from "./status-time.ts";
import { parseStoredStatus, storedStatusSignature, storedStatusText } from "./stored-status.ts";

/** A pod's status as `StatusManager.all` gives it. */
export interface VersionedPodStatus {
  readonly uid: string;
  readonly namespace: string;
  readonly name: string;
  /** Grows by one with each change, from 1 at the agent's start. 0: from the disk, not updated since. */
  readonly version: number;
  readonly status: ApiPodStatus;
  /** The pod as its worker last had it; undefined until its first update. */
  readonly pod?: Pod;
  /** Nothing of the pod is left on the node: the API server may forget it. kubelet: podIsFinished. */
  readonly finished: boolean;
  readonly cordon?: Cordon;
}

/** What the manager keeps of a pod. */
export interface StatusEntry extends VersionedPodStatus {
  /** Monotonic milliseconds at which the pod started: for ages that no step of the wall clock can bend. */
  readonly startedAt: number;
  /** It was told to be on its way down. */
  readonly terminating: boolean;
  readonly resize: ResizeConditions;
}

/** How {@link StatusEntries} are made. */
export interface StatusEntriesOptions {
  readonly clock: Pick<Clock, "now" | "monotonic">;
  readonly checkpoint: StatusCheckpoint | undefined;
  readonly capacity: number;
  readonly logger: Logger;
  readonly onDropped: () => void;
}

/** No pod is older: a stored start that says so was written by a clock that was wrong. Ten years. */
const MAX_AGE_MS = 10 * 365 * 86_400_000;

/** See the block above. */
export class StatusEntries {
  readonly #options: StatusEntriesOptions;
  readonly #entries = new Map<string, StatusEntry>();

  constructor(options: StatusEntriesOptions) {
    this.#options = options;
  }

  /** The entry in memory, else the one on the disk, which then has version 0. */
  get(uid: string): StatusEntry | undefined {
    const known = this.#entries.get(uid);
    if (known !== undefined) return known;
    const { checkpoint, logger } = this.#options;
    const text = checkpoint?.get(uid);
    if (text === undefined) return undefined;
    const stored = parseStoredStatus(text);
    if (stored === undefined) {
      logger.warn("stored pod status cannot be read and is forgotten", { podUid: uid });
      checkpoint?.delete(uid);
      return undefined;
    }
    const { status, cordon } = stored;
    const entry: StatusEntry = {
      uid,
      namespace: "",
      name: "",
      version: 0,
      status,
      finished: false,
      terminating: false,
      resize: resizeConditionsIn(status.conditions),
      startedAt: this.startedAt(status),
      ...(cordon === undefined ? {} : { cordon }),
    };
    this.hold(entry);
    return entry;
  }

  all(): IterableIterator<StatusEntry> {
    return this.#entries.values();
  }

  /** In memory, and on the disk when it is worth it. */
  keep(entry: StatusEntry, before: StatusEntry | undefined): void {
    this.hold(entry);
    const { checkpoint } = this.#options;
    if (checkpoint === undefined) return;
    const same =
      before !== undefined &&
      before.cordon === entry.cordon &&
      storedStatusSignature(before.status) === storedStatusSignature(entry.status);
    if (!same) checkpoint.set(entry.uid, storedStatusText(entry.status, entry.cordon));
  }

  remove(uid: string): void {
    this.#entries.delete(uid);
    this.#options.checkpoint?.delete(uid);
  }

  /** UIDs in memory and on the disk. */
  uids(): ReadonlySet<string> {
    const stored = this.#options.checkpoint?.entries("") ?? [];
    return new Set([...this.#entries.keys(), ...stored.map(([uid]) => uid)]);
  }

  /** On the monotonic clock. */
  startedAt(status: ApiPodStatus): number {
    const { clock } = this.#options;
    return clock.monotonic() - clampedAge(clock, parseTime(status.startTime) ?? clock.now(), MAX_AGE_MS);
  }

  /** In memory only: nothing changed that the disk has to know. */
  hold(entry: StatusEntry): void {
    this.#entries.delete(entry.uid);
    this.#entries.set(entry.uid, entry);
    const oldest = this.#entries.keys().next().value;
    if (this.#entries.size <= this.#options.capacity || oldest === undefined) return;
    this.#entries.delete(oldest);
    this.#options.onDropped();
  }
}
