// SPDX-License-Identifier: Apache-2.0

/** What keeps the disk from filling up: image GC and log rotation. Dead containers and sandboxes are the pod manager's. */
import type { Bus } from "@holdfast/bus";
import type { Clock } from "@holdfast/core/clock";
import type { Component } from "@holdfast/core/lifecycle";
import type { Logger } from "@holdfast/core/log";
import type { Metrics } from "@holdfast/core/metrics";
import type { CriClient } from "@holdfast/cri";
import { ContainerLogManager, ImageGcManager, logTargetsOf } from "@holdfast/gc";
import type { LogFiles, LogTarget, ReadFilesystem } from "@holdfast/gc";
import type { ImageUse } from "@holdfast/pod";
import type { RuntimePodStatus } from "@holdfast/core/runtime-status";
import type { AgentConfig } from "../config/agent-config.ts";
import type { StateFolder } from "./state-folder.ts";

/** What both are made from. */
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
  /** All pods of ours that the runtime has. */
  readonly statuses: () => readonly RuntimePodStatus[];
}

/** What the rest of the agent needs of them. */
export interface GcSide {
  readonly components: readonly Component[];
  /** For what pulls images and creates containers; undefined when no image is ever removed. */
  readonly images: ImageUse | undefined;
}

/** Makes both; starts nothing. */
export function makeGcSide(options: GcSideOptions): GcSide {
  const { config, clock, logger, bus, runtime, metrics, state } = options;
  const logs = new ContainerLogManager({
    runtime,
    clock,
    files: options.logFiles,
    targets: async (): Promise<readonly LogTarget[]> =>
      options.statuses().flatMap((status) => logTargetsOf(status, config.podLogsDir)),
    rotation: { maxSizeBytes: config.containerLogMaxSizeBytes, maxFiles: config.containerLogMaxFiles },
    podLogsDir: config.podLogsDir,
    monitorIntervalMs: config.containerLogMonitorIntervalMs,
    maxWorkers: config.containerLogMaxWorkers,
    publish: bus,
    logger: logger.child({ component: "container-logs" }),
    metrics,
  });
  if (config.imageGCScope === "none") return { components: [logs], images: undefined };
  const images = new ImageGcManager({
    runtime,
    clock,
    filesystem: options.filesystem,
    policy: {
      images: config.imageGCScope,
      highThresholdPercent: config.imageGCHighThresholdPercent,
      lowThresholdPercent: config.imageGCLowThresholdPercent,
      minAgeMs: config.imageMinimumGCAgeMs,
      maxAgeMs: config.imageMaximumGCAgeMs,
    },
    checkpoint: state.checkpoint("image-gc"),
    nodeName: config.nodeName,
    publish: bus,
    logger: logger.child({ component: "image-gc" }),
    metrics,
  });
  return {
    components: [images, logs],
    images: {
      use: (image, work, { by, signal }) => images.locks.use(image, work, { by, signal }),
      imagePulled: (imageId, startedAt) => images.imagePulled(imageId, startedAt),
    },
  };
}
