// SPDX-License-Identifier: Apache-2.0

/**
 * What keeps the disk from filling up: image GC, log rotation and retention, and what container GC does beside the pod manager.
 *
 * Dead containers and sandboxes within their pods' limits are the pod manager's: it knows them without asking. The `ContainerGcManager` has the same limits and comes
 * in when somebody asks (disk pressure, a person), and by itself when the runtime's list of containers nears what fits into an answer.
 */
import type { Bus } from "@holdfast/bus";
import type { Clock } from "@holdfast/core/clock";
import type { Component } from "@holdfast/core/lifecycle";
import type { Logger } from "@holdfast/core/log";
import type { Metrics } from "@holdfast/core/metrics";
import type { CriClient } from "@holdfast/cri";
import { INSTANCE_LABEL, NODE_LABEL } from "@holdfast/core/names";
import { ContainerGcManager, ContainerLogManager, ImageGcManager, logTargetsOf } from "@holdfast/gc";
import type { GcPods, LogFiles, LogTarget, ReadBlob, ReadFilesystem } from "@holdfast/gc";
import type { ImageUse, PodFiles } from "@holdfast/pod";
import type { RuntimePodStatus } from "@holdfast/core/runtime-status";
import type { AgentConfig } from "../config/agent-config.ts";
import { logAnnouncer } from "./log-announcer.ts";
import type { StateFolder } from "./state-folder.ts";

/** What all are made from. */
export interface GcSideOptions {
  readonly config: AgentConfig;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly bus: Bus;
  readonly runtime: CriClient;
  readonly metrics: Metrics;
  readonly state: StateFolder;
  readonly logFiles: LogFiles;
  readonly filesystem: ReadFilesystem;
  readonly readBlob?: ReadBlob | undefined;
  /** For image GC's message when it cannot free enough. */
  readonly diskHeldBy?: () => Promise<string | undefined>;
  /** All pods of ours that the runtime has. */
  readonly statuses: () => readonly RuntimePodStatus[];
  readonly pods: GcPods;
  /** Folder of the links that log collectors follow; "" for none. */
  readonly containerLogsDir: string;
}

/** What the rest of the agent needs of them. */
export interface GcSide {
  readonly components: readonly Component[];
  /** For what pulls images and creates containers; undefined when no image is ever removed. */
  readonly images: ImageUse | undefined;
  /** Undefined when no image is ever removed. */
  readonly imageGc: ImageGcManager | undefined;
  readonly containerGc: ContainerGcManager;
  readonly logs: ContainerLogManager;
}

/** Makes them; starts nothing. */
export function makeGcSide(options: GcSideOptions): GcSide {
  const { config, clock, logger, bus, runtime, metrics, state } = options;
  const logs = new ContainerLogManager({
    runtime,
    clock,
    files: options.logFiles,
    targets: async (): Promise<readonly LogTarget[]> =>
      options.statuses().flatMap((status) => logTargetsOf(status, config.podLogsDir)),
    ownsPod: (uid) => options.pods.ownsPod(uid),
    rotation: { maxSizeBytes: config.containerLogMaxSizeBytes, maxFiles: config.containerLogMaxFiles },
    retention: {
      keepAttempts: config.podLogRetentionAttempts,
      maxBytesPerContainer: config.podLogRetentionBytes,
    },
    podLogsDir: config.podLogsDir,
    monitorIntervalMs: config.containerLogMonitorIntervalMs,
    targetsAnnounced: true,
    maxWorkers: config.containerLogMaxWorkers,
    publish: bus,
    logger: logger.child({ component: "container-logs" }),
    metrics,
  });
  const containerGc = makeContainerGc(options);
  const components = [logs, logAnnouncer(bus, logs), containerGc];
  if (config.imageGCScope === "none")
    return { components, images: undefined, imageGc: undefined, containerGc, logs };
  const images = new ImageGcManager({
    runtime,
    clock,
    filesystem: options.filesystem,
    ...(options.readBlob === undefined ? {} : { readBlob: options.readBlob }),
    ...(options.diskHeldBy === undefined ? {} : { diskHeldBy: options.diskHeldBy }),
    policy: {
      images: config.imageGCScope,
      highThresholdPercent: config.imageGCHighThresholdPercent,
      lowThresholdPercent: config.imageGCLowThresholdPercent,
      minAgeMs: config.imageMinimumGCAgeMs,
      maxAgeMs: config.imageMaximumGCAgeMs,
      amounts: config.imageGCAmounts,
      keep: config.imageGCKeep,
    },
    checkpoint: state.checkpoint("image-gc"),
    nodeName: config.nodeName,
    publish: bus,
    logger: logger.child({ component: "image-gc" }),
    metrics,
  });
  return {
    components: [images, ...components],
    imageGc: images,
    containerGc,
    logs,
    images: {
      use: (image, work, { by, signal }) => images.locks.use(image, work, { by, signal }),
      imagePulled: (imageId, startedAt) => images.imagePulled(imageId, startedAt),
    },
  };
}

/** A container's part of the runtime's list is 1 KiB as a rule: a list of fewer than one for each of these fits in any case. */
const BYTES_PER_CONTAINER = 8192;

function makeContainerGc(options: GcSideOptions): ContainerGcManager {
  const { config, clock, logger, bus, runtime, metrics, state } = options;
  const fits = config.maximumContainerListBytes / BYTES_PER_CONTAINER;
  return new ContainerGcManager({
    runtime,
    clock,
    labelSelector: { [NODE_LABEL]: config.nodeName, [INSTANCE_LABEL]: state.instanceId },
    pods: options.pods,
    policy: {
      maxPerPodContainer: config.maximumDeadContainersPerContainer,
      maxContainers: config.maximumDeadContainers,
      minAgeMs: config.minimumContainerTTLMs,
      maxListBytes: config.maximumContainerListBytes,
    },
    files: options.logFiles,
    podLogsDir: config.podLogsDir,
    containerLogsDir: options.containerLogsDir,
    isNeeded: () => options.statuses().reduce((sum, { containers }) => sum + containers.length, 0) >= fits,
    nodeName: config.nodeName,
    publish: bus,
    logger: logger.child({ component: "container-gc" }),
    metrics,
  });
}

/** For who removes containers: their logs outlive them, until log retention takes them. A pod's whole folder goes with the pod all the same. */
export function keepingLogs(files: PodFiles, podLogsDir: string): PodFiles {
  return {
    mkdir: (path, mode) => files.mkdir(path, mode),
    removeTree: (path) => files.removeTree(path),
    writeFile: (path, content, mode, how) => files.writeFile(path, content, mode, how),
    readFile: (path, limitBytes, how) => files.readFile(path, limitBytes, how),
    list: (path) => files.list(path),
    symlink: (target, path) => files.symlink(target, path),
    readLink: (path) => files.readLink(path),
    removeFile: (path) => (path.startsWith(`${podLogsDir}/`) ? Promise.resolve() : files.removeFile(path)),
  };
}
