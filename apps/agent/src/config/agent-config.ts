// SPDX-License-Identifier: Apache-2.0

import type { ImageKeepRule } from "@holdfast/gc";

import type { EvictionConfig } from "./eviction-config.ts";
import type { ResourceConfig } from "./resource-config.ts";

/** What the agent runs with, after defaults. Durations in milliseconds. */
export interface AgentConfig {
  readonly nodeName: string;
  readonly stateDir: string;
  readonly runDir: string;
  readonly share: boolean;
  readonly staticPodPath: string;
  readonly fileCheckFrequencyMs: number;
  readonly syncFrequencyMs: number;
  readonly runtimeEndpoint: string;
  readonly runtimeRequestTimeoutMs: number;
  readonly podLogsDir: string;
  readonly clusterDomain: string;
  readonly clusterDNS: readonly string[];
  readonly resolvConf: string;
  readonly cgroupRoot: string;
  readonly cgroupsPerQOS: boolean;
  readonly cgroupDriver: "cgroupfs" | "systemd";
  readonly cpuCFSQuota: boolean;
  readonly cpuCFSQuotaPeriodMs: number;
  readonly podPidsLimit: number;
  readonly maxParallelImagePulls: number;
  readonly maxContainerRestartPeriodMs: number;
  readonly maxPods: number;
  readonly resources: ResourceConfig;
  readonly eviction: EvictionConfig;
  /** Undefined: as the kubelet, the whole container on cgroup v2, one process on v1. */
  readonly singleProcessOOMKill: boolean | undefined;
  readonly oomReplay: boolean;
  readonly bootIdFile: string;
  readonly devicePluginsDir: string;
  readonly oomScoreAdj: number;
  readonly imageGCHighThresholdPercent: number;
  readonly imageGCLowThresholdPercent: number;
  readonly imageMinimumGCAgeMs: number;
  readonly imageMaximumGCAgeMs: number;
  readonly imageGCScope: "ours" | "all" | "none";
  readonly imageGCAmounts: "reported" | "disk";
  readonly imageGCKeep: readonly ImageKeepRule[];
  readonly maximumDeadContainersPerContainer: number;
  readonly maximumDeadContainers: number;
  readonly minimumContainerTTLMs: number;
  readonly maximumContainerListBytes: number;
  readonly podLogRetentionAttempts: number;
  readonly podLogRetentionBytes: number;
  readonly containerLogMaxSizeBytes: number;
  readonly containerLogMaxFiles: number;
  readonly containerLogMaxWorkers: number;
  readonly containerLogMonitorIntervalMs: number;
  readonly maxManifestBytes: number;
  readonly pullTimeoutMs: number;
  readonly hookTimeoutMs: number;
  readonly maxParallelStarts: number;
  /** Whether the words of probed programs are in events and in the journal. */
  readonly probeOutput: boolean;
  readonly logFormat: "text" | "json";
  readonly logLevel: "debug" | "info" | "warn" | "error";
}

/** A configuration and what has to be said about it. */
export interface LoadedConfig {
  /** The file that it was read from, absolute; absent when there is none and all are defaults. */
  readonly file?: string;
  readonly config: AgentConfig;
  /** Keys that exist but are not honoured yet, by name. */
  readonly warnings: readonly string[];
  /** Where each value came from, by key: "default" or "FILE:LINE". */
  readonly sources: ReadonlyMap<string, string>;
}
