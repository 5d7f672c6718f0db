// SPDX-License-Identifier: Apache-2.0

/** Everything that an agent takes from outside of its own code, but for configuration and clock. A simulation fills it with memory. */
import type { Clock } from "@holdfast/core/clock";
import type { Component } from "@holdfast/core/lifecycle";
import type { Logger } from "@holdfast/core/log";
import { seededRandom } from "@holdfast/core/random";
import type { Random } from "@holdfast/core/random";
import { createCriClient } from "@holdfast/cri";
import type { CriClient, CriClientOptions } from "@holdfast/cri";
import { nodeLogFiles, readContainerdBlob, readNodeFilesystem } from "@holdfast/gc";
import type { LogFiles, ReadBlob, ReadFilesystem } from "@holdfast/gc";
import { readMachineFacts } from "@holdfast/node";
import type { MachineFacts } from "@holdfast/node";
import type { KmsgDevice, OomCounters } from "@holdfast/oom";
import { NodeKmsgDevice, NodeOomCounters } from "@holdfast/oom/node";
import { FileLastGoodManifests, NodeManifestFolder, nodePodFiles } from "@holdfast/pod";
import type { LastGoodManifests, ManifestFolder, PodFiles } from "@holdfast/pod";
import type { ProbeHandlers, ProbeProcesses } from "@holdfast/probe";
import { nodeProbeHandlers, nodeProbeProcesses } from "@holdfast/probe/node";
import { openCgroupTree, openSystemTree, systemdSlices } from "@holdfast/resource";
import type { CgroupTree, SystemdSlices, SystemTree } from "@holdfast/resource";
import type { StatsHost } from "@holdfast/stats";
import { nodeStatsHost } from "@holdfast/stats/node";
import { volumeHost } from "@holdfast/volume";
import type { VolumeHost } from "@holdfast/volume";
import { ApiServer } from "../api/server.ts";
import type { ApiRouter } from "../api/server.ts";
import type { AgentConfig } from "../config/agent-config.ts";
import { readHostFile } from "./host-files.ts";
import { MemoryReducer } from "./memory-reducer.ts";
import { applyOomScoreAdj } from "./oom-score.ts";
import { openStateFolder } from "./state-folder.ts";
import type { StateFolder } from "./state-folder.ts";

/** What the pod side takes from the machine, beside the runtime and the state folder. */
export interface MachinePorts {
  /** Pods' folders, logs and links to logs. */
  readonly files: PodFiles;
  readonly manifests: ManifestFolder;
  readonly lastGood: LastGoodManifests;
  readonly cgroups: CgroupTree;
  /** Used with the systemd driver only. */
  readonly systemd: SystemdSlices;
  /** What the kernel tells of the machine: read for dedicated CPUs and memory only. Absent: there are none. */
  readonly system?: SystemTree;
  readonly volumes: VolumeHost;
  /** Absent with `filesystem`: no log is rotated and no image removed. */
  readonly logFiles?: LogFiles;
  readonly filesystem?: ReadFilesystem;
  /** Absent: sizes of images' layers are reckoned. */
  readonly readBlob?: ReadBlob;
  /** What statistics are read from. Absent: there are none. */
  readonly stats?: StatsHost;
  /** The kernel's log. Absent: nobody watches for kills by the kernel. */
  readonly kmsg?: KmsgDevice;
  /** Counters of kills in cgroups. Absent: the kernel's log and the runtime are the witnesses. */
  readonly oomCounters?: OomCounters;
  readonly probeHandlers: ProbeHandlers;
  readonly probeProcesses: ProbeProcesses;
  /** Text of one of the host's files; "" when it is missing. */
  readonly readHostFile: (path: string) => Promise<string>;
  /** For jitter. */
  readonly random: Random;
}

/** What {@link Machine.ports} needs to know. */
export interface MachinePortsOptions {
  readonly config: AgentConfig;
  readonly clock: Clock;
  readonly podsDir: string;
}

/** What {@link Machine.serve} needs to know. */
export interface ServeOptions {
  readonly socketPath: string;
  readonly router: ApiRouter;
  readonly logger: Logger;
}

/** What an agent runs on. */
export interface Machine {
  /** Before anything else: what the process asks of the kernel for itself. */
  enter(config: AgentConfig, logger: Logger): void;
  facts(): MachineFacts;
  /** Throws STORE_LOCKED when another agent has it. */
  openState(stateDir: string, clock: Clock, logger: Logger): StateFolder;
  connect(options: CriClientOptions): CriClient;
  ports(options: MachinePortsOptions): MachinePorts;
  /** The local API. */
  serve(options: ServeOptions): Component;
  /** Keeps the process small; `activity` grows with what the agent does. */
  reduceMemory(clock: Clock, activity: () => number): Component;
}

/** kubelet: the folder of links for log collectors. */
export const LEGACY_LOG_LINKS = "/var/log/containers";

/** The machine that this process runs on. */
export const realMachine: Machine = {
  enter: (config, logger) => applyOomScoreAdj(config.oomScoreAdj, logger),
  facts: readMachineFacts,
  openState: openStateFolder,
  connect: createCriClient,
  ports: ({ config, clock, podsDir }) => ({
    files: nodePodFiles([podsDir, config.podLogsDir, LEGACY_LOG_LINKS]),
    manifests: new NodeManifestFolder(config.staticPodPath),
    lastGood: new FileLastGoodManifests(`${config.stateDir}/last-good-manifests`),
    cgroups: openCgroupTree(),
    systemd: systemdSlices,
    system: openSystemTree(),
    volumes: volumeHost,
    logFiles: nodeLogFiles([config.podLogsDir, LEGACY_LOG_LINKS]),
    filesystem: readNodeFilesystem,
    stats: nodeStatsHost(),
    readBlob: readContainerdBlob,
    kmsg: new NodeKmsgDevice(),
    oomCounters: new NodeOomCounters(),
    probeHandlers: nodeProbeHandlers,
    probeProcesses: nodeProbeProcesses,
    readHostFile,
    random: seededRandom(process.pid ^ clock.now()),
  }),
  serve: (options) => new ApiServer(options),
  reduceMemory: (clock, activity) => new MemoryReducer({ clock, activity }),
};
