// SPDX-License-Identifier: Apache-2.0

/**
 * Every key of the two configuration documents, in one table: it drives parsing, defaults, the warnings about what is not supported,
 * and `holdfast run --help`. kubelet: KubeletConfiguration (kubelet.config.k8s.io/v1beta1).
 */
import { EVICTION_FIELDS, OWN_EVICTION_FIELDS } from "./eviction-config.ts";
import { RESOURCE_FIELDS } from "./resource-config.ts";

/** How a value is checked and what it becomes. Durations become milliseconds, sizes bytes. */
export type FieldType =
  | "string"
  | "path"
  | "duration"
  | "int"
  | "bool"
  | "strings"
  | "unixEndpoint"
  | "size"
  | "stringMap"
  | "memoryReservations"
  | "imageRules";

/** One honoured key. */
export interface Field {
  readonly key: string;
  readonly type: FieldType;
  readonly fallback: string | number | boolean | readonly string[];
  readonly help: string;
  readonly min?: number;
  readonly max?: number;
}

/** Keys of `KubeletConfiguration` that Holdfast honours. Nested keys are written with dots. */
export const KUBELET_FIELDS: readonly Field[] = [
  {
    key: "staticPodPath",
    type: "path",
    fallback: "/etc/holdfast/manifests",
    help: "folder or file of pod manifests",
  },
  {
    key: "fileCheckFrequency",
    type: "duration",
    fallback: 20_000,
    min: 100,
    help: "how often the manifest folder is read again, beside watching it",
  },
  {
    key: "syncFrequency",
    type: "duration",
    fallback: 60_000,
    min: 1000,
    help: "how often each pod is looked at without a reason",
  },
  {
    key: "containerRuntimeEndpoint",
    type: "unixEndpoint",
    fallback: "unix:///run/containerd/containerd.sock",
    help: "socket of the container runtime",
  },
  {
    key: "runtimeRequestTimeout",
    type: "duration",
    fallback: 120_000,
    min: 1000,
    help: "deadline of a runtime call",
  },
  { key: "podLogsDir", type: "path", fallback: "/var/log/pods", help: "root of the containers' log files" },
  { key: "clusterDomain", type: "string", fallback: "", help: "DNS domain of the cluster" },
  { key: "clusterDNS", type: "strings", fallback: [], help: "addresses of the cluster's DNS servers" },
  {
    key: "resolvConf",
    type: "string",
    fallback: "/etc/resolv.conf",
    help: "resolver configuration pods start from; empty for none",
  },
  { key: "cgroupRoot", type: "string", fallback: "/", help: "cgroup below which kubepods is made" },
  { key: "cgroupsPerQOS", type: "bool", fallback: true, help: "make a cgroup for each QoS class and pod" },
  {
    key: "cgroupDriver",
    type: "string",
    fallback: "cgroupfs",
    help: "used only when the runtime does not tell: cgroupfs or systemd",
  },
  { key: "cpuCFSQuota", type: "bool", fallback: true, help: "enforce CPU limits" },
  {
    key: "cpuCFSQuotaPeriod",
    type: "duration",
    fallback: 100,
    min: 1,
    max: 1000,
    help: "period of the CPU quota",
  },
  { key: "podPidsLimit", type: "int", fallback: -1, help: "processes a pod may have; -1 for no limit" },
  { key: "serializeImagePulls", type: "bool", fallback: true, help: "pull one image at a time" },
  {
    key: "maxParallelImagePulls",
    type: "int",
    fallback: 0,
    min: 0,
    help: "with serializeImagePulls false: how many pulls at once; 0 for no limit",
  },
  {
    key: "crashLoopBackOff.maxContainerRestartPeriod",
    type: "duration",
    fallback: 300_000,
    min: 1000,
    max: 300_000,
    help: "longest crash-loop back-off",
  },
  {
    key: "imageGCHighThresholdPercent",
    type: "int",
    fallback: 85,
    min: 0,
    max: 100,
    help: "from this use of the images' disk on unused images go; 100 for never",
  },
  {
    key: "imageGCLowThresholdPercent",
    type: "int",
    fallback: 80,
    min: 0,
    max: 100,
    help: "down to this use; below imageGCHighThresholdPercent",
  },
  { key: "imageMinimumGCAge", type: "duration", fallback: 120_000, min: 0, help: "younger images stay" },
  {
    key: "imageMaximumGCAge",
    type: "duration",
    fallback: 0,
    min: 0,
    help: "images unused for longer go at any use of the disk; 0 for never",
  },
  {
    key: "containerLogMaxSize",
    type: "size",
    fallback: 10 * 2 ** 20,
    min: 1024,
    help: "a log is rotated at this size",
  },
  {
    key: "containerLogMaxFiles",
    type: "int",
    fallback: 5,
    min: 2,
    help: "files of a container's log, the open one included",
  },
  { key: "containerLogMaxWorkers", type: "int", fallback: 1, min: 1, help: "logs being rotated at once" },
  {
    key: "containerLogMonitorInterval",
    type: "duration",
    fallback: 10_000,
    min: 3000,
    help: "the longest time between two looks at a log",
  },
  {
    key: "singleProcessOOMKill",
    type: "bool",
    fallback: false,
    help: "on cgroup v2 the kernel kills one process at a memory limit, not the whole container; on v1 it always does",
  },
  { key: "maxPods", type: "int", fallback: 110, min: 1, help: "how many pods the node takes" },
  {
    key: "oomScoreAdj",
    type: "int",
    fallback: -999,
    min: -1000,
    max: 1000,
    help: "the agent's own; refused by the kernel is a warning",
  },
  ...RESOURCE_FIELDS,
  ...EVICTION_FIELDS,
];

/** Keys of `KubeletConfiguration` that exist and that Holdfast does not honour yet: named in a warning, never silently ignored. */
export const KUBELET_UNSUPPORTED: readonly string[] = (
  "enableServer staticPodURL staticPodURLHeader httpCheckFrequency address port readOnlyPort tlsCertFile tlsPrivateKeyFile tlsCipherSuites " +
  "tlsMinVersion tlsCurvePreferences rotateCertificates serverTLSBootstrap authentication authorization registryPullQPS registryBurst " +
  "imagePullCredentialsVerificationPolicy preloadedImagesVerificationAllowlist eventRecordQPS eventBurst enableDebuggingHandlers " +
  "enableContentionProfiling enableProfilingHandler enableDebugFlagsHandler healthzPort healthzBindAddress streamingConnectionIdleTimeout " +
  "nodeStatusUpdateFrequency nodeStatusReportFrequency nodeLeaseDurationSeconds nodeStatusMaxImages " +
  "volumeStatsAggPeriod kubeletCgroups systemCgroups failCgroupV1 " +
  "qosReserved hairpinMode podsPerCore podCIDR maxOpenFiles contentType kubeAPIQPS " +
  "kubeAPIBurst enableControllerAttachDetach protectKernelDefaults makeIPTablesUtilChains " +
  "iptablesMasqueradeBit iptablesDropBit featureGates failSwapOn memorySwap " +
  "configMapAndSecretChangeDetectionStrategy systemReservedCgroup " +
  "kubeReservedCgroup allowedUnsafeSysctls volumePluginDir providerID logging " +
  "enableSystemLogHandler enableSystemLogQuery shutdownGracePeriod shutdownGracePeriodCriticalPods shutdownGracePeriodByPodPriority " +
  "seccompDefault memoryThrottlingFactor memoryReservationPolicy registerNode registerWithTaints " +
  "imageServiceEndpoint userNamespaces tracing showHiddenMetricsForVersion runOnce crashLoopBackOff"
).split(" ");

/** Keys of Holdfast's own document (`apiVersion: holdfast.agent/v1alpha1`, `kind: AgentConfiguration`). */
export const AGENT_FIELDS: readonly Field[] = [
  { key: "nodeName", type: "string", fallback: "", help: "name of this node; default: the host's name" },
  { key: "stateDir", type: "path", fallback: "/var/lib/holdfast", help: "state.db and the pods' folders" },
  { key: "runDir", type: "path", fallback: "/run/holdfast", help: "the agent's socket" },
  { key: "share", type: "bool", fallback: false, help: "run although a kubelet's pods live on the runtime" },
  {
    key: "maxManifestBytes",
    type: "int",
    fallback: 262_144,
    min: 1024,
    max: 16_777_216,
    help: "larger manifest files are refused before they are read",
  },
  {
    key: "imageGCScope",
    type: "string",
    fallback: "ours",
    help: "images that may be removed: ours (pulled by this agent), all, or none",
  },
  {
    key: "imageGCAmounts",
    type: "string",
    fallback: "reported",
    help: "what an image counts for when space is freed: reported (its packed size, as the kubelet counts) or disk (about what it takes there, so that no more go than are needed)",
  },
  {
    key: "imageGCKeep",
    type: "imageRules",
    fallback: [],
    help: "images that always stay: a list of rules, each by reference (a glob), digest, label, minSize, maxSize; all that it gives must hold",
  },
  {
    key: "maximumDeadContainersPerContainer",
    type: "int",
    fallback: 1,
    min: -1,
    help: "dead containers kept of each name of a pod; -1 for no limit",
  },
  {
    key: "maximumDeadContainers",
    type: "int",
    fallback: -1,
    min: -1,
    help: "dead containers kept in all; -1 for no limit",
  },
  {
    key: "minimumContainerTTLDuration",
    type: "duration",
    fallback: 0,
    min: 0,
    help: "dead containers created less long ago stay",
  },
  {
    key: "maximumContainerListSize",
    type: "size",
    fallback: 12 * 2 ** 20,
    min: 2 ** 20,
    max: 15 * 2 ** 20,
    help: "dead containers go, oldest first, when the runtime's list of containers is larger: its answers end at 16 MiB",
  },
  {
    key: "podLogRetention.attempts",
    type: "int",
    fallback: 5,
    min: -1,
    help: "logs kept of restarts whose container is gone, for each container; -1 for no limit",
  },
  {
    key: "podLogRetention.size",
    type: "size",
    fallback: 64 * 2 ** 20,
    min: 0,
    help: "and at most so many bytes of them, but the newest always stays",
  },
  {
    key: "oomReplay",
    type: "bool",
    fallback: false,
    help: "at the start tell the kernel's OOM kills of this boot that the journal does not know",
  },
  {
    key: "bootIdFile",
    type: "path",
    fallback: "/proc/sys/kernel/random/boot_id",
    help: "where the machine says which boot this is",
  },
  {
    key: "devicePluginsDir",
    type: "path",
    fallback: "",
    help: "where device plugins register; /var/lib/kubelet/device-plugins is where they look. Beside it come plugins_registry and pod-resources. Unset: no plugins",
  },
  { key: "pullTimeout", type: "duration", fallback: 1_800_000, min: 1000, help: "deadline of an image pull" },
  {
    key: "hookTimeout",
    type: "duration",
    fallback: 600_000,
    min: 1000,
    help: "deadline of a postStart hook",
  },
  {
    key: "maxParallelStarts",
    type: "int",
    fallback: 4,
    min: 1,
    max: 64,
    help: "sandboxes and containers being created or started at once",
  },
  {
    key: "probeOutput",
    type: "bool",
    fallback: true,
    help: "whether events and the journal hold what probed programs say themselves; else its length only",
  },
  ...OWN_EVICTION_FIELDS,
  { key: "logFormat", type: "string", fallback: "text", help: "text or json" },
  { key: "logLevel", type: "string", fallback: "info", help: "debug, info, warn or error" },
];
