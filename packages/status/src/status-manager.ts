// SPDX-License-Identifier: Apache-2.0

/**
 * The newest status of every pod. It owns the statuses and their versions; it reads the clock, the node's addresses and the probes' verdicts.
 *
 * Invariants: one writer per pod, its worker; `startTime` and a terminal phase never change; `restartCount` never falls; a version grows and
 * an event is published only when something changed. Lost on a crash: nothing that matters: what the runtime cannot tell again (start, phase, restarts,
 * transition times) is in the checkpoint before the event is published. kubelet: status.Manager.
 */
import { nullPublisher } from "@holdfast/bus";
import type { Publisher } from "@holdfast/bus";
import { clampedAge } from "@holdfast/core/clock";
import type { Clock } from "@holdfast/core/clock";
import { silentLogger } from "@holdfast/core/log";
import type { Logger } from "@holdfast/core/log";
import { noMetrics } from "@holdfast/core/metrics";
import type { Counter, Metrics } from "@holdfast/core/metrics";
import { formatPod } from "@holdfast/core/pod";
import type { ContainerStatus, Pod, PodStatus } from "@holdfast/core/pod-types";
import type { RuntimePodStatus } from "@holdfast/core/runtime-status";
import { apiStatus, generateApiPodStatus } from "./compute-pod-status.ts";
import { PodStatusChanged } from "./events.ts";
import { equalPodStatus } from "./normalize-pod-status.ts";
import type { PodStatusOptions, PodStatusPort, ProbeVerdicts, StatusCheckpoint } from "./ports.ts";
import { parseTime } from "./status-time.ts";
import { parseStoredStatus, storedStatusSignature, storedStatusText } from "./stored-status.ts";

/** How a {@link StatusManager} is made. */
export interface StatusManagerOptions {
  readonly clock: Pick<Clock, "now" | "monotonic">;
  /** Where statuses survive a restart. Default: nowhere. Must not throw on a full disk: give it a resilient one. */
  readonly checkpoint?: StatusCheckpoint;
  readonly publish?: Publisher;
  /** The node's addresses, the primary one first. Asked at each update. Default: unknown. */
  readonly hostIPs?: () => readonly string[];
  readonly probes?: ProbeVerdicts;
  /** The runtime's name in `containerID`. Default `containerd`. */
  readonly runtimeName?: string;
  /** How many pods at most; the one that was quiet for longest goes first, and is counted. Default 4096. */
  readonly capacity?: number;
  readonly logger?: Logger;
  readonly metrics?: Metrics;
}

/** A pod's status as {@link StatusManager.all} gives it. */
export interface VersionedPodStatus {
  readonly uid: string;
  readonly namespace: string;
  readonly name: string;
  /** Grows by one with each change, from 1 at the agent's start. */
  readonly version: number;
  readonly status: PodStatus;
}

interface Entry extends VersionedPodStatus {
  /** Monotonic milliseconds at which the pod started: for ages that no step of the wall clock can bend. */
  readonly startedAt: number;
}

/** No pod is older: a stored start that says so was written by a clock that was wrong. Ten years. */
const MAX_AGE_MS = 10 * 365 * 86_400_000;

/** See the block above. Fills the status port of the pod workers. */
export class StatusManager implements PodStatusPort {
  readonly #options: StatusManagerOptions;
  readonly #logger: Logger;
  readonly #publish: Publisher;
  readonly #terminated: Counter;
  readonly #dropped: Counter;
  readonly #refused: Counter;
  readonly #entries = new Map<string, Entry>();

  constructor(options: StatusManagerOptions) {
    this.#options = options;
    this.#logger = options.logger ?? silentLogger;
    this.#publish = options.publish ?? nullPublisher;
    const metrics = options.metrics ?? noMetrics;
    this.#terminated = metrics.counter(
      "kubelet_terminated_containers_total",
      "Containers that terminated, by type, exit code and reason.",
    );
    this.#refused = metrics.counter(
      "holdfast_status_refused_transitions_total",
      "Container states that were refused because the container had ended for good.",
    );
    this.#dropped = metrics.counter(
      "holdfast_status_dropped_total",
      "Statuses dropped because there were too many pods.",
    );
  }

  /** Computes, keeps and returns the status. Publishes when it changed, and the first time in this process. */
  update(pod: Pod, runtime: RuntimePodStatus, options: PodStatusOptions): PodStatus {
    const { clock, hostIPs, probes, runtimeName } = this.#options;
    const uid = pod.metadata.uid;
    const entry = this.#entry(uid);
    const previous = entry?.status ?? apiStatus(pod);
    const { status, refused } = generateApiPodStatus({
      ...options,
      pod,
      runtime,
      previous,
      now: clock.now(),
      hostIPs: hostIPs?.() ?? [],
      probes,
      ...(runtimeName === undefined ? {} : { runtimeName }),
    });
    if (refused.length > 0) this.#noteRefused(pod, refused);
    if (entry !== undefined && entry.version > 0 && equalPodStatus(entry.status, status)) return entry.status;
    this.#countTerminated(previous, status);
    const changed: Entry = {
      uid,
      namespace: pod.metadata.namespace,
      name: pod.metadata.name,
      version: (entry?.version ?? 0) + 1,
      status,
      startedAt: entry?.startedAt ?? this.#startedAt(status),
    };
    this.#keep(changed);
    this.#store(changed, entry?.status);
    this.#announce(changed, previous, options.causes);
    return status;
  }

  /** The newest status, also of a pod that was last updated before the agent's restart. */
  get(uid: string): PodStatus | undefined {
    return this.#entry(uid)?.status;
  }

  /** All pods that were updated or asked for in this process. */
  all(): readonly VersionedPodStatus[] {
    return [...this.#entries.values()];
  }

  /** Milliseconds since the pod's `startTime`, never negative whatever the wall clock does: for activeDeadlineSeconds. */
  activeForMs(uid: string): number | undefined {
    const entry = this.#entry(uid);
    return entry === undefined ? undefined : Math.max(this.#options.clock.monotonic() - entry.startedAt, 0);
  }

  remove(uid: string): void {
    this.#entries.delete(uid);
    this.#options.checkpoint?.delete(uid);
  }

  /** Forgets every pod that is not in `known`, also on the disk. Only to be called once all sources were heard. kubelet: RemoveOrphanedStatuses. */
  removeOrphanedStatuses(known: ReadonlySet<string>): void {
    for (const uid of this.#entries.keys()) if (!known.has(uid)) this.remove(uid);
    for (const [uid] of this.#options.checkpoint?.entries("") ?? []) if (!known.has(uid)) this.remove(uid);
  }

  /** The entry in memory, else the one on the disk, which then has version 0. */
  #entry(uid: string): Entry | undefined {
    const known = this.#entries.get(uid);
    if (known !== undefined) return known;
    const text = this.#options.checkpoint?.get(uid);
    if (text === undefined) return undefined;
    const status = parseStoredStatus(text);
    if (status === undefined) {
      this.#logger.warn("stored pod status cannot be read and is forgotten", { podUid: uid });
      this.#options.checkpoint?.delete(uid);
      return undefined;
    }
    const entry = { uid, namespace: "", name: "", version: 0, status, startedAt: this.#startedAt(status) };
    this.#keep(entry);
    return entry;
  }

  #startedAt(status: PodStatus): number {
    const { clock } = this.#options;
    return clock.monotonic() - clampedAge(clock, parseTime(status.startTime) ?? clock.now(), MAX_AGE_MS);
  }

  #keep(entry: Entry): void {
    this.#entries.delete(entry.uid);
    this.#entries.set(entry.uid, entry);
    const oldest = this.#entries.keys().next().value;
    if (this.#entries.size <= (this.#options.capacity ?? 4096) || oldest === undefined) return;
    this.#entries.delete(oldest);
    this.#dropped.inc();
  }

  #store(entry: Entry, before: PodStatus | undefined): void {
    if (this.#options.checkpoint === undefined) return;
    if (before !== undefined && storedStatusSignature(before) === storedStatusSignature(entry.status)) return;
    this.#options.checkpoint.set(entry.uid, storedStatusText(entry.status));
  }

  #announce(entry: Entry, previous: PodStatus | undefined, causes: readonly number[] | undefined): void {
    const { uid, namespace, name, version, status } = entry;
    const statuses = [...(status.initContainerStatuses ?? []), ...(status.containerStatuses ?? [])];
    this.#publish.publish(
      PodStatusChanged,
      {
        uid,
        namespace,
        name,
        version,
        phase: status.phase,
        previousPhase: previous?.phase,
        ready:
          status.conditions?.some(({ type, status: value }) => type === "Ready" && value === "True") ?? false,
        reason: status.reason ?? "",
        restarts: statuses.reduce((sum, { restartCount }) => sum + restartCount, 0),
      },
      { subject: { podUid: uid, pod: `${namespace}/${name}` }, ...(causes === undefined ? {} : { causes }) },
    );
  }

  #noteRefused(pod: Pod, refused: readonly string[]): void {
    this.#refused.inc({}, refused.length);
    this.#logger.warn("container state refused: it had ended for good", {
      pod: formatPod(pod),
      podUid: pod.metadata.uid,
      containers: refused,
    });
  }

  /** kubelet: recordContainerTermination. Once per end of a container; ends seen before the agent's restart were counted then. */
  #countTerminated(previous: PodStatus | undefined, status: PodStatus): void {
    const count = (
      type: string,
      news: readonly ContainerStatus[] | undefined,
      olds: readonly ContainerStatus[] | undefined,
    ): void => {
      for (const { name, state } of news ?? []) {
        if (state.terminated === undefined) continue;
        const old = olds?.find((one) => one.name === name);
        if (old?.state.terminated !== undefined) continue;
        // Waiting to be started again and seen ended once more: the same end.
        const id = state.terminated.containerID;
        if (id !== undefined && old?.lastState.terminated?.containerID === id) continue;
        this.#terminated.inc({
          container_type: type,
          exit_code: String(state.terminated.exitCode),
          reason: state.terminated.reason ?? "",
        });
      }
    };
    count("init_container", status.initContainerStatuses, previous?.initContainerStatuses);
    count("container", status.containerStatuses, previous?.containerStatuses);
  }
}
