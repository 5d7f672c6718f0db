// SPDX-License-Identifier: Apache-2.0

/** What the kuberuntime manager is given. */
import type { Publisher } from "@holdfast/bus";
import type { Clock } from "@holdfast/core/clock";
import type { Limiter } from "@holdfast/core/limiter";
import type { Logger } from "@holdfast/core/log";
import type { Metrics } from "@holdfast/core/metrics";
import type {
  ContainerDeviceSource,
  ImageUse,
  PodCheckpoint,
  PodContainerManager,
  PodFiles,
  PodRuntime,
  ProbeResults,
} from "../ports.ts";

/** Everything that {@link PodRuntimeManager} needs. */
export interface PodRuntimeManagerDeps {
  readonly runtime: PodRuntime;
  readonly clock: Clock;
  readonly publish: Publisher;
  readonly logger?: Logger;
  readonly metrics?: Metrics;
  readonly resources: Pick<PodContainerManager, "containerResources">;
  readonly files: PodFiles;
  /** Default: containers have no devices of plugins. */
  readonly devices?: ContainerDeviceSource;
  readonly probes: ProbeResults;
  /** Default: nothing removes images. */
  readonly images?: ImageUse;
  readonly checkpoint: PodCheckpoint;
  /** Shared by all that starts and removes: limit 4, `releaseAfterMs` 10 000. */
  readonly limiter: Limiter;
  readonly options: KubeRuntimeOptions;
}

/** Settings. Paths are absolute and without a slash at the end. */
export interface KubeRuntimeOptions {
  readonly nodeName: string;
  /** From the state folder: proves ownership together with the node's name. */
  readonly instanceId: string;
  /** Default /var/log/pods. */
  readonly podLogsDir?: string;
  /** Where the legacy links go. Default /var/log/containers; undefined or "" makes none. */
  readonly containerLogsDir?: string;
  /** `ROOT/pods`: each pod's folder is `podsDir/UID`. */
  readonly podsDir: string;
  /** kubelet: clusterDNS. Default none. */
  readonly clusterDns?: readonly string[];
  /** kubelet: clusterDomain. Default "". */
  readonly clusterDomain?: string;
  /** The text of the host's resolv.conf (kubelet: resolvConf); undefined when the setting is "". */
  readonly resolvConf: () => Promise<string | undefined>;
  /** The text of the host's /etc/hosts, for hostNetwork pods. */
  readonly hostsFile: () => Promise<string>;
  /** The node's addresses, main one first. */
  readonly nodeIps: () => readonly string[];
  /** For resourceFieldRef without a limit: quantities by resource name. */
  readonly nodeAllocatable?: () => Readonly<Record<string, string | number>>;
  /** kubelet: crashLoopBackOff.maxContainerRestartPeriod. 1 s to 300 s, default 300 s. */
  readonly maxContainerRestartPeriodMs?: number;
  /** kubelet: maxParallelImagePulls; 1 is serializeImagePulls, the default. */
  readonly maxParallelImagePulls?: number;
  /** Default 30 min; the kubelet has none. */
  readonly imagePullDeadlineMs?: number;
  /** postStart, and the bound of preStop beside the grace. Default 10 min; the kubelet has none. */
  readonly hookDeadlineMs?: number;
  /** kubelet: seccompDefault. Default false: containers run unconfined. */
  readonly seccompDefault?: boolean;
  /** Masked beside the fixed list: the machine's thermal_throttle folders. */
  readonly extraMaskedPaths?: readonly string[];
  /** Dead containers kept per (pod, name). kubelet: maximum-dead-containers-per-container. Default 1. */
  readonly maxPerPodContainer?: number;
  /** kubelet: maximum-dead-containers. Default -1: no limit. */
  readonly maxDeadContainers?: number;
  /** kubelet: minimum-container-ttl-duration. Default 0. */
  readonly minContainerAgeMs?: number;
}
