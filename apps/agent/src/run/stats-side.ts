// SPDX-License-Identifier: Apache-2.0

/** Statistics for whoever asks: the command line, eviction, the HTTP API. Nothing is read and no timer runs unless somebody does. */
import type { Clock } from "@holdfast/core/clock";
import { podQosClass } from "@holdfast/core/pod";
import type { Pod } from "@holdfast/core/pod-types";
import { newestByName } from "@holdfast/core/runtime-status";
import type { RuntimePodStatus } from "@holdfast/core/runtime-status";
import type { CriClient } from "@holdfast/cri";
import { DiskLedger, logTargetsOf } from "@holdfast/gc";
import { podCgroupPath, qosCgroupPath } from "@holdfast/resource";
import type { CgroupDriver } from "@holdfast/resource";
import { SummaryProvider } from "@holdfast/stats";
import type { StatsHost, StatsPod, StatsVolume } from "@holdfast/stats";
import { EMPTY_DIR_FOLDER } from "@holdfast/volume";
import type { AgentConfig } from "../config/agent-config.ts";

/** What it is made from. */
export interface StatsSideOptions {
  readonly config: AgentConfig;
  readonly clock: Clock;
  readonly runtime: CriClient;
  readonly host: StatsHost;
  readonly driver: CgroupDriver;
  readonly podsDir: string;
  /** All pods of ours, with what the runtime has of them. */
  readonly pods: () => readonly { readonly pod: Pod; readonly status: RuntimePodStatus }[];
}

/** Makes it; reads nothing. */
export function makeStatsSide(options: StatsSideOptions): SummaryProvider {
  const { config, clock, runtime, host, driver, podsDir } = options;
  return new SummaryProvider({
    clock,
    host,
    runtime,
    pods: () =>
      options.pods().flatMap(({ pod, status }) => statsPodOf(pod, status, { config, driver, podsDir }) ?? []),
    nodeName: config.nodeName,
    nodeFsPath: config.stateDir,
    systemContainers: config.cgroupsPerQOS
      ? [{ name: "pods", cgroupPath: qosCgroupPath(driver, config.cgroupRoot, "Guaranteed") }]
      : [],
  });
}

/** A pod as statistics know it; undefined while nothing of it runs. */
export function statsPodOf(
  pod: Pod,
  status: RuntimePodStatus,
  at: { readonly config: AgentConfig; readonly driver: CgroupDriver; readonly podsDir: string },
): StatsPod | undefined {
  const { config, driver, podsDir } = at;
  const { uid, name, namespace } = pod.metadata;
  const sandbox = status.sandboxes.find(({ state }) => state === "ready") ?? status.sandboxes[0];
  const running = [...newestByName(status).values()].filter(({ state }) => state === "running");
  if (sandbox === undefined || running.length === 0) return undefined;
  const folders = new Map(
    logTargetsOf(status, config.podLogsDir).map(({ containerId, folder }) => [containerId, folder]),
  );
  return {
    uid,
    name,
    namespace: namespace ?? status.namespace,
    sandboxId: sandbox.id,
    createdAt: sandbox.createdAt,
    cgroupPath: config.cgroupsPerQOS
      ? podCgroupPath(driver, config.cgroupRoot, podQosClass(pod.spec), uid)
      : undefined,
    containers: running.map((container) => ({
      id: container.id,
      name: container.name,
      createdAt: container.createdAt,
      logFolder: folders.get(container.id),
    })),
    volumes: statsVolumesOf(pod, `${podsDir}/${uid}`),
  };
}

/** Volumes that are the pod's own: others' files, a hostPath's, are not the pod's to answer for. */
export function statsVolumesOf(pod: Pod, podDir: string): readonly StatsVolume[] {
  return (pod.spec.volumes ?? []).flatMap(({ name, emptyDir }) =>
    emptyDir === undefined
      ? []
      : [{ name, path: `${podDir}/${EMPTY_DIR_FOLDER}/${name}`, ephemeral: emptyDir.medium !== "Memory" }],
  );
}

/** What the disk ledger is made from. */
export interface DiskLedgerSideOptions {
  readonly config: AgentConfig;
  readonly clock: Clock;
  readonly runtime: CriClient;
  readonly stats: SummaryProvider;
  readonly podsDir: string;
  readonly pods: () => readonly Pod[];
}

/** Who holds the disks, by the readers of statistics: what hangs is contained once for both. */
export function makeDiskLedger(options: DiskLedgerSideOptions): DiskLedger {
  const { config, clock, runtime, stats, podsDir } = options;
  return new DiskLedger({
    runtime,
    clock,
    stateDir: config.stateDir,
    podsDir,
    podLogsDir: config.podLogsDir,
    podName: (uid) => {
      const metadata = options.pods().find((pod) => pod.metadata.uid === uid)?.metadata;
      return metadata === undefined ? undefined : `${metadata.namespace}/${metadata.name}`;
    },
    host: {
      filesystem: (path) => stats.filesystems.read(path),
      tree: (path, walk) => stats.trees.measure(path, walk),
      folders: (path, signal) => stats.trees.folders(path, signal),
    },
  });
}
