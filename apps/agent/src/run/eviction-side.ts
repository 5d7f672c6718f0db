// SPDX-License-Identifier: Apache-2.0

/**
 * Eviction in the agent: fills its ports with statistics, the pod workers and garbage collection; keeps new pods off a node that is short of something.
 *
 * A round reads what thresholds stand on and nothing else: two files for memory, one statfs for the disk. Pods are measured when one of them has to go, and, those
 * with limits on local storage, in each round.
 */
import type { Bus } from "@holdfast/bus";
import type { Clock } from "@holdfast/core/clock";
import type { Component } from "@holdfast/core/lifecycle";
import type { Logger } from "@holdfast/core/log";
import type { Metrics } from "@holdfast/core/metrics";
import type { Pod, PodStatus } from "@holdfast/core/pod-types";
import type { RuntimePodStatus } from "@holdfast/core/runtime-status";
import type { CriClient } from "@holdfast/cri";
import { EvictionManager, MachineFigures } from "@holdfast/eviction";
import type { NodeReclaim, PodKiller } from "@holdfast/eviction";
import type { NodeCondition } from "@holdfast/node";
import type { PodAdmission, PodManager } from "@holdfast/pod";
import { qosCgroupPath } from "@holdfast/resource";
import type { CgroupDriver } from "@holdfast/resource";
import type { StatsHost, SummaryProvider } from "@holdfast/stats";
import type { StatusManager } from "@holdfast/status";
import type { AgentConfig } from "../config/agent-config.ts";
import type { GcSide } from "./gc-side.ts";

/** What it is made from. */
export interface EvictionSideOptions {
  readonly config: AgentConfig;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly bus: Bus;
  readonly metrics: Metrics;
  readonly runtime: Pick<CriClient, "imageFsInfo">;
  readonly stats: SummaryProvider;
  readonly host: StatsHost;
  readonly driver: CgroupDriver;
  readonly pods: () => PodManager;
  readonly statusOf: (podUid: string) => RuntimePodStatus;
  readonly gc: () => Pick<GcSide, "containerGc" | "imageGc"> | undefined;
}

/** The status port of the pod workers. */
type StatusPort = Pick<StatusManager, "update" | "get" | "activeForMs" | "remove" | "removeOrphanedStatuses">;

/** What the rest of the agent needs of it. */
export interface EvictionSide {
  readonly component: Component;
  readonly manager: EvictionManager;
  /** Refuses new pods under pressure, before `next` gives them anything; one that runs is never refused. */
  admission(next: PodAdmission): PodAdmission;
  /** Adds condition DisruptionTarget to what was evicted for the node's sake. */
  status(status: StatusManager): StatusPort;
  /** MemoryPressure, DiskPressure, PIDPressure. */
  conditions(): readonly NodeCondition[];
}

/** How old measured folders and writable layers may be: from one round to the next. */
const DISK_AGE_MS = 10_000;

/** Makes it; reads nothing. */
export function makeEvictionSide(options: EvictionSideOptions): EvictionSide {
  const { config, clock, logger, bus, metrics, stats, runtime } = options;
  const { thresholds, transitionPeriodMs, maxPodGraceSeconds, evictStaticPods } = config.eviction;
  const figures = new MachineFigures({
    clock,
    machine: {
      read: (path) => options.host.files.read(path),
      filesystem: (path) => stats.filesystems.read(path),
    },
    thresholds,
    nodeFsPath: config.stateDir,
    imageFsPath: async (signal) => {
      const { imageFilesystems } = await runtime.imageFsInfo({}, { signal, deadlineMs: CALL_MS });
      return imageFilesystems[0]?.fsId?.mountpoint;
    },
    podsCgroup: config.cgroupsPerQOS
      ? qosCgroupPath(options.driver, config.cgroupRoot, "Guaranteed")
      : undefined,
  });
  // For the node's sake, by UID: what their statuses say of it.
  const disrupted = new Map<string, string>();
  const manager = new EvictionManager({
    clock,
    thresholds,
    transitionPeriodMs,
    maxPodGraceSeconds,
    evictStaticPods,
    stats: {
      node: (signal) => figures.node(signal),
      pods: async (signal) =>
        (await stats.sample({ maxAgeMs: 0, diskMaxAgeMs: DISK_AGE_MS, signal })).summary.pods,
      ...(config.eviction.localStorageCapacityIsolation && {
        storage: async (pods: readonly Pod[], signal: AbortSignal) => {
          const uids = new Set(pods.map(({ metadata }) => metadata.uid));
          return (await stats.storage({ uids, diskMaxAgeMs: DISK_AGE_MS, signal })).pods;
        },
      }),
    },
    pods: killerOf(options, disrupted),
    reclaim: reclaimOf(options),
    ...(config.eviction.watchMemory && { memoryUsage: figures }),
    nodeName: config.nodeName,
    onConditionsChanged: () => options.pods().readinessChanged(),
    publish: bus,
    logger: logger.child({ component: "eviction" }),
    metrics,
  });
  return {
    component: manager,
    manager,
    admission: (next) => ({
      admit: async (pod, signal) => {
        const runs = options.statusOf(pod.metadata.uid).sandboxes.some(({ state }) => state === "ready");
        return (runs ? undefined : manager.admit(pod)) ?? (await next.admit(pod, signal));
      },
      release: (uid) => next.release(uid),
    }),
    status: (status) => withDisruption(status, disrupted),
    conditions: () =>
      manager
        .nodeConditions()
        .map(({ type, status, reason, message }) => ({ type, status, reason, message })),
  };
}

const CALL_MS = 5000;

function hasEnded(status: PodStatus | undefined): boolean {
  return status?.phase === "Succeeded" || status?.phase === "Failed";
}

/** A pod that waits to be let in uses nothing: ending it would free nothing. */
function killerOf(options: EvictionSideOptions, disrupted: Map<string, string>): PodKiller {
  const isUp = ({ metadata }: Pod): boolean => {
    const { sandboxes, containers } = options.statusOf(metadata.uid);
    return (
      sandboxes.some(({ state }) => state === "ready") || containers.some(({ state }) => state === "running")
    );
  };
  return {
    activePods: () =>
      options
        .pods()
        .pods()
        .filter(({ pod, state, status }) => state === "sync" && !hasEnded(status) && isUp(pod))
        .map(({ pod }) => pod),
    kill: (pod, { message, graceSeconds, disruption, reason, causes }) => {
      const { uid } = pod.metadata;
      if (disruption) disrupted.set(uid, message);
      return options.pods().killPodNow(uid, {
        reason,
        message,
        deleted: false,
        graceSeconds,
        failed: { reason, message },
        causes,
      });
    },
    isCleanedUp: ({ metadata }) => {
      const view = options
        .pods()
        .pods()
        .find(({ pod }) => pod.metadata.uid === metadata.uid);
      return view === undefined || (view.state === "terminated" && view.finished);
    },
  };
}

function reclaimOf({ gc }: EvictionSideOptions): NodeReclaim {
  return {
    deleteUnusedContainers: async (causes, signal) => {
      const result = await gc()?.containerGc.collect({ evictTerminated: true, causes, signal });
      const count = (result?.containers.length ?? 0) + (result?.sandboxes.length ?? 0);
      // A failure would tell nothing of what went before it.
      if (result?.error !== undefined && count === 0) throw result.error;
      return count;
    },
    deleteUnusedImages: async (causes, signal) => {
      const result = await gc()?.imageGc?.deleteUnusedImages({ causes, signal });
      if (result?.error !== undefined) throw result.error;
    },
  };
}

/** kubelet: the status function of an eviction. */
function withDisruption(status: StatusManager, disrupted: Map<string, string>): StatusPort {
  return {
    update: (pod, runtime, options): PodStatus => {
      const message = disrupted.get(pod.metadata.uid);
      const disruption = { reason: "TerminationByKubelet", message: message ?? "" };
      return status.update(pod, runtime, message === undefined ? options : { ...options, disruption });
    },
    get: (uid) => status.get(uid),
    activeForMs: (uid) => status.activeForMs(uid),
    remove: (uid) => {
      disrupted.delete(uid);
      status.remove(uid);
    },
    removeOrphanedStatuses: (known) => status.removeOrphanedStatuses(known),
  };
}
