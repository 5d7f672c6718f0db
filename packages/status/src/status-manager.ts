// SPDX-License-Identifier: Apache-2.0

/**
 * The newest status of every pod. It owns the statuses and their versions, and who was taken out of traffic; it reads the clock, the node's addresses and the
 * probes' verdicts.
 *
 * Invariants: one writer per pod, its worker, but for readiness, which anybody may lower or give back; `startTime` and a terminal phase never change;
 * `restartCount` never falls; a pod that is finished stays so; a version grows, an event is published and observers are told only when something changed.
 * Lost on a crash: nothing that matters: what the runtime cannot tell again (start, phase, restarts, transition times, cordons) is given to the checkpoint before
 * the event is published. kubelet: status.Manager.
 */
import { nullPublisher } from "@holdfast/bus";
import type { Publisher } from "@holdfast/bus";
import type { Clock } from "@holdfast/core/clock";
import { silentLogger } from "@holdfast/core/log";
import type { Logger } from "@holdfast/core/log";
import { noMetrics } from "@holdfast/core/metrics";
import type { Counter, Metrics } from "@holdfast/core/metrics";
import { formatPod } from "@holdfast/core/pod";
import type { Pod, PodCondition, PodStatus } from "@holdfast/core/pod-types";
import type { RuntimePodStatus } from "@holdfast/core/runtime-status";
import type { AllocatedResourceStatus, ApiPodStatus } from "./api-types.ts";
import { findCondition } from "./api-types.ts";
import { computeHostIpMismatch } from "./compute-host-ip-mismatch.ts";
import { isStaticPod } from "./compute-pod-phase.ts";
import { apiStatus, generateApiPodStatus } from "./compute-pod-status.ts";
import type { Cordon } from "./compute-readiness.ts";
import { resizeConditionsIn, resizeInProgress, resizePending } from "./compute-resize-conditions.ts";
import type { ResizeConditions, ResizeNews } from "./compute-resize-conditions.ts";
import {
  computeContainerReadiness,
  computeContainerStartup,
  computeHeldReadiness,
  computeResized,
} from "./compute-status-edits.ts";
import { computeRejectedStatus, computeTerminatedStatus } from "./compute-terminated-status.ts";
import { HostIPsIPFamilyMismatch, PodCordonChanged, PodResizeCompleted, PodStatusChanged } from "./events.ts";
import { equalPodStatus, normalizePodStatus } from "./normalize-pod-status.ts";
import type {
  PodStatusOptions,
  PodStatusPort,
  ProbeVerdicts,
  StatusCheckpoint,
  WaitingReason,
} from "./ports.ts";
import { StatusEntries } from "./status-entries.ts";
import type { StatusEntry, VersionedPodStatus } from "./status-entries.ts";
import { ResizeGauges } from "./resize-gauges.ts";
import { formatTime } from "./status-time.ts";
import { TerminationCounter } from "./termination-counter.ts";

/** How a {@link StatusManager} is made. */
export interface StatusManagerOptions {
  readonly clock: Pick<Clock, "now" | "monotonic">;
  /** Where statuses survive a restart. Default: nowhere. Must not throw on a full disk: give it a resilient one. */
  readonly checkpoint?: StatusCheckpoint;
  readonly publish?: Publisher;
  /** The node's addresses, the primary one first. Asked at each update. Default: unknown. */
  readonly hostIPs?: () => readonly string[];
  readonly probes?: ProbeVerdicts;
  /** Health of the devices that a container has. Asked at each update. Default: none is known. */
  readonly devices?: {
    allocatedResourcesStatus(podUid: string, container: string): readonly AllocatedResourceStatus[];
  };
  /** The runtime's name in `containerID`, as its Version answers. Asked at each update; while it is unknown, and by default, `containerd`. */
  readonly runtimeName?: () => string | undefined;
  /** How many pods at most; the one that was quiet for longest goes first, and is counted. Default 4096. */
  readonly capacity?: number;
  readonly logger?: Logger;
  readonly metrics?: Metrics;
}

/** Who is told of each change at once, in the same turn: the sync to a sink. Must not throw, and must not call back. */
export interface StatusObserver {
  changed(status: VersionedPodStatus): void;
  /** The pod is gone from the node. `last` is what it said in the end; undefined when nothing was ever said in this process. */
  removed(uid: string, last: VersionedPodStatus | undefined): void;
}

/** See the block above. Fills the status port of the pod workers. */
export class StatusManager implements PodStatusPort {
  readonly #options: StatusManagerOptions;
  readonly #logger: Logger;
  readonly #publish: Publisher;
  readonly #terminated: TerminationCounter;
  readonly #resizes: ResizeGauges;
  readonly #refused: Counter;
  readonly #entries: StatusEntries;
  readonly #observers = new Set<StatusObserver>();

  constructor(options: StatusManagerOptions) {
    this.#options = options;
    this.#logger = options.logger ?? silentLogger;
    this.#publish = options.publish ?? nullPublisher;
    const metrics = options.metrics ?? noMetrics;
    this.#terminated = new TerminationCounter(metrics);
    this.#resizes = new ResizeGauges(metrics);
    this.#refused = metrics.counter(
      "holdfast_status_refused_transitions_total",
      "Container states that were refused because the container had ended for good.",
    );
    const dropped = metrics.counter(
      "holdfast_status_dropped_total",
      "Statuses dropped because there were too many pods.",
    );
    this.#entries = new StatusEntries({
      clock: options.clock,
      checkpoint: options.checkpoint,
      capacity: options.capacity ?? 4096,
      logger: this.#logger,
      onDropped: () => dropped.inc(),
    });
  }

  /** Computes, keeps and returns the status. Publishes when it changed, and the first time in this process. */
  update(pod: Pod, runtime: RuntimePodStatus, options: PodStatusOptions): PodStatus {
    const { clock, hostIPs, probes, runtimeName, devices } = this.#options;
    const { uid } = pod.metadata;
    const name = runtimeName?.();
    const entry = this.#entries.get(uid);
    const resize = entry?.resize ?? resizeConditionsIn(apiStatus(pod)?.conditions);
    const terminating = options.terminating ?? entry?.terminating ?? false;
    const previous = entry?.status ?? apiStatus(pod);
    const nodeIPs = hostIPs?.() ?? [];
    const mismatch = computeHostIpMismatch(previous?.hostIP, nodeIPs);
    const causes =
      mismatch === undefined
        ? options.causes
        : [...(options.causes ?? []), this.#tellMismatch(pod, mismatch)];
    const { status, refused } = generateApiPodStatus({
      ...options,
      terminating,
      pod,
      runtime,
      previous,
      now: clock.now(),
      hostIPs: nodeIPs,
      probes,
      devices,
      cordon: entry?.cordon,
      resize,
      ...(name === undefined ? {} : { runtimeName: name }),
    });
    if (refused.length > 0) this.#noteRefused(pod, refused);
    // A static pod may begin anew under its UID; any other stays finished.
    const begins = isStaticPod(pod) ? { finished: false } : {};
    return this.#set(pod, status, { causes, terminating, resize, ...begins });
  }

  /** The newest status, also of a pod that was last updated before the agent's restart. */
  get(uid: string): PodStatus | undefined {
    return this.#entries.get(uid)?.status;
  }

  /** All pods that were updated or asked for in this process. */
  all(): readonly VersionedPodStatus[] {
    return [...this.#entries.all()];
  }

  /** Milliseconds since the pod's `startTime`, never negative whatever the wall clock does: for activeDeadlineSeconds. */
  activeForMs(uid: string): number | undefined {
    const entry = this.#entries.get(uid);
    return entry === undefined ? undefined : Math.max(this.#options.clock.monotonic() - entry.startedAt, 0);
  }

  /**
   * A readiness verdict, entered before the pod's next update. Nothing for a pod or a container that is not known. kubelet: SetContainerReadiness.
   * `containerId` is the runtime's own.
   */
  setContainerReadiness(
    uid: string,
    containerId: string,
    ready: boolean,
    causes?: readonly number[],
  ): PodStatus | undefined {
    return this.#edit(uid, causes, (entry, pod) =>
      computeContainerReadiness(pod, entry, containerId, ready, this.#now()),
    );
  }

  /** A startup verdict. Readiness waits for the next update, as in the kubelet. kubelet: SetContainerStartup. */
  setContainerStartup(
    uid: string,
    containerId: string,
    started: boolean,
    causes?: readonly number[],
  ): PodStatus | undefined {
    return this.#edit(uid, causes, (entry) => computeContainerStartup(entry.status, containerId, started));
  }

  /** The pod is on its way down: it is unready at once if its annotation says so. Harmless otherwise, and when called again. */
  setTerminating(uid: string, causes?: readonly number[]): PodStatus | undefined {
    const entry = this.#entries.get(uid);
    if (entry?.pod === undefined) return undefined;
    const next: StatusEntry = { ...entry, terminating: true };
    const status = computeHeldReadiness(entry.pod, next, this.#now());
    return this.#set(entry.pod, status, { causes, terminating: true });
  }

  /**
   * Nothing of the pod is left on the node. Containers without an end get one, and the phase becomes a last one. What comes after changes no more that the pod is
   * finished. kubelet: TerminatePod.
   */
  terminatePod(pod: Pod, causes?: readonly number[]): PodStatus {
    const base = this.#entries.get(pod.metadata.uid)?.status ?? apiStatus(pod) ?? { phase: "Pending" };
    const startTime = base.startTime ?? this.#now();
    const status = normalizePodStatus(pod, computeTerminatedStatus(pod, { ...base, startTime }));
    return this.#set(pod, status, { causes, finished: true, terminating: true });
  }

  /**
   * The pod was not let in: its status says so and nothing else, and stays. kubelet: rejectPod.
   */
  rejectPod(pod: Pod, why: WaitingReason, causes?: readonly number[]): PodStatus {
    const before = this.#entries.get(pod.metadata.uid)?.status;
    return this.#set(pod, computeRejectedStatus(pod, why, before?.startTime ?? this.#now()), { causes });
  }

  /**
   * Takes a pod out of traffic: Ready is False, reason `Cordoned`, until {@link uncordon}, over restarts of the agent too. The pod itself is not touched. `by` says
   * who, for people. Undefined: no such pod.
   */
  cordon(uid: string, by: string): PodStatus | undefined {
    const entry = this.#entries.get(uid);
    if (entry === undefined || entry.cordon !== undefined) return entry?.status;
    return this.#setCordon(entry, { by, at: this.#options.clock.now() }, by);
  }

  /** Lets it in again: Ready is what the containers and the gates say. Undefined: no such pod. */
  uncordon(uid: string, by = ""): PodStatus | undefined {
    const entry = this.#entries.get(uid);
    if (entry?.cordon === undefined) return entry?.status;
    return this.#setCordon(entry, undefined, by);
  }

  /** Who took the pod out of traffic, and when. */
  cordonOf(uid: string): Cordon | undefined {
    return this.#entries.get(uid)?.cordon;
  }

  /** A resize waits. kubelet: SetPodResizePendingCondition. */
  setResizePending(uid: string, news: ResizeNews): PodStatus | undefined {
    return this.#setResize(uid, (before) => resizePending(before, news, this.#now()));
  }

  /** A resize is under way. kubelet: SetPodResizeInProgressCondition. */
  setResizeInProgress(uid: string, news: ResizeNews): PodStatus | undefined {
    return this.#setResize(uid, (before) => resizeInProgress(before, news, this.#now()));
  }

  /**
   * It waits no more, or is done, which is told as `ResizeCompleted`. kubelet: ClearPodResizePendingCondition, ClearPodResizeInProgressCondition.
   */
  clearResize(uid: string, which: keyof ResizeConditions): PodStatus | undefined {
    const { pod, resize } = this.#entries.get(uid) ?? {};
    const done = which === "inProgress" && pod !== undefined ? resize?.inProgress : undefined;
    const causes = done === undefined || pod === undefined ? undefined : [this.#tellResized(pod, done)];
    return this.#setResize(uid, ({ [which]: _done, ...rest }) => rest, causes);
  }

  /** Told of every change from now on, until disposed. For changes that came before, read {@link all}. */
  observe(observer: StatusObserver): Disposable {
    this.#observers.add(observer);
    return { [Symbol.dispose]: () => void this.#observers.delete(observer) };
  }

  remove(uid: string): void {
    const last = this.#entries.get(uid);
    this.#entries.remove(uid);
    if (isResizing(last)) this.#resizes.count(this.#entries.all());
    for (const observer of this.#observers)
      observer.removed(uid, last === undefined || last.version === 0 ? undefined : last);
  }

  /** Forgets every pod that is not in `known`, also on the disk. Only to be called once all sources were heard. kubelet: RemoveOrphanedStatuses. */
  removeOrphanedStatuses(known: ReadonlySet<string>): void {
    for (const uid of this.#entries.uids()) if (!known.has(uid)) this.remove(uid);
  }

  #now(): string {
    return formatTime(this.#options.clock.now());
  }

  #edit(
    uid: string,
    causes: readonly number[] | undefined,
    compute: (entry: StatusEntry, pod: Pod) => ApiPodStatus | undefined,
  ): PodStatus | undefined {
    const entry = this.#entries.get(uid);
    if (entry?.pod === undefined) return undefined;
    const status = compute(entry, entry.pod);
    return status === undefined ? undefined : this.#set(entry.pod, status, { causes });
  }

  #setCordon(entry: StatusEntry, cordon: Cordon | undefined, by: string): PodStatus {
    const { uid, pod } = entry;
    const subject =
      pod === undefined ? { podUid: uid } : { podUid: uid, pod: `${entry.namespace}/${entry.name}` };
    const seq = this.#publish.publish(
      PodCordonChanged,
      { uid, cordoned: cordon !== undefined, by },
      { subject },
    );
    const { cordon: _before, ...rest } = entry;
    const next: StatusEntry = cordon === undefined ? rest : { ...rest, cordon };
    // Before its first update nobody knows what else keeps it unready: it stays as it is until then.
    const known = pod !== undefined || cordon !== undefined;
    const status = known ? computeHeldReadiness(pod, next, this.#now()) : entry.status;
    const kept: StatusEntry = { ...next, status: pod === undefined ? status : entry.status };
    this.#entries.keep(kept, entry);
    return pod === undefined ? status : this.#set(pod, status, { causes: [seq] });
  }

  #setResize(
    uid: string,
    change: (before: ResizeConditions) => ResizeConditions,
    causes?: readonly number[],
  ): PodStatus | undefined {
    const entry = this.#entries.get(uid);
    if (entry?.pod === undefined) return undefined;
    const resize = change(entry.resize);
    return this.#set(entry.pod, computeResized(entry.status, resize), { resize, causes });
  }

  #set(
    pod: Pod,
    status: ApiPodStatus,
    more: {
      readonly causes?: readonly number[] | undefined;
      readonly finished?: boolean;
      readonly terminating?: boolean;
      readonly resize?: ResizeConditions;
    },
  ): PodStatus {
    const { uid, namespace, name } = pod.metadata;
    const entry = this.#entries.get(uid);
    const finished = more.finished ?? entry?.finished ?? false;
    const same =
      entry !== undefined &&
      entry.version > 0 &&
      entry.finished === finished &&
      equalPodStatus(entry.status, status);
    const next: StatusEntry = {
      ...entry,
      uid,
      namespace,
      name,
      pod,
      finished,
      version: (entry?.version ?? 0) + (same ? 0 : 1),
      status: same ? entry.status : status,
      startedAt: entry?.startedAt ?? this.#entries.startedAt(status),
      terminating: more.terminating ?? entry?.terminating ?? false,
      resize: more.resize ?? entry?.resize ?? {},
    };
    const isResized = entry?.resize !== next.resize && (isResizing(entry) || isResizing(next));
    if (same) {
      this.#entries.hold(next);
      if (isResized) this.#resizes.count(this.#entries.all());
      return next.status;
    }
    this.#terminated.count(entry?.status ?? apiStatus(pod), status);
    this.#entries.keep(next, entry);
    if (isResized) this.#resizes.count(this.#entries.all());
    this.#announce(next, entry?.status ?? apiStatus(pod), more.causes);
    for (const observer of this.#observers) observer.changed(next);
    return status;
  }

  #announce(
    entry: StatusEntry,
    previous: PodStatus | undefined,
    causes: readonly number[] | undefined,
  ): void {
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
        ready: findCondition(status.conditions, "Ready")?.status === "True",
        reason: status.reason ?? "",
        restarts: statuses.reduce((sum, { restartCount }) => sum + restartCount, 0),
      },
      { subject: { podUid: uid, pod: `${namespace}/${name}` }, ...(causes === undefined ? {} : { causes }) },
    );
  }

  #tellMismatch({ metadata: { uid, namespace, name } }: Pod, message: string): number {
    return this.#publish.publish(
      HostIPsIPFamilyMismatch,
      { eventType: "Warning", reason: "HostIPsIPFamilyMismatch", message },
      { subject: { podUid: uid, pod: `${namespace}/${name}` } },
    );
  }

  #tellResized({ metadata: { uid, namespace, name } }: Pod, { observedGeneration }: PodCondition): number {
    const generation = observedGeneration === undefined ? "" : ` (generation ${observedGeneration})`;
    return this.#publish.publish(
      PodResizeCompleted,
      {
        eventType: "Normal",
        reason: "ResizeCompleted",
        message: `The pod has the resources that it was resized to${generation}`,
      },
      { subject: { podUid: uid, pod: `${namespace}/${name}` } },
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
}

function isResizing(entry: StatusEntry | undefined): boolean {
  return entry?.resize.pending !== undefined || entry?.resize.inProgress !== undefined;
}
