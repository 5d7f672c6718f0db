// SPDX-License-Identifier: Apache-2.0

/** Everything between a manifest and a container: fills the ports of the pod packages. kubelet: NewMainKubelet. */
import type { Bus } from "@holdfast/bus";
import type { Clock } from "@holdfast/core/clock";
import { Limiter } from "@holdfast/core/limiter";
import type { Component } from "@holdfast/core/lifecycle";
import type { Logger } from "@holdfast/core/log";
import type { Metrics } from "@holdfast/core/metrics";
import { INSTANCE_LABEL, NODE_LABEL } from "@holdfast/core/names";
import { podQosClass } from "@holdfast/core/pod";
import type { Pod, PodStatus } from "@holdfast/core/pod-types";
import type { RuntimePodStatus } from "@holdfast/core/runtime-status";
import type { CriClient } from "@holdfast/cri";
import type { DiskLedger } from "@holdfast/gc";
import type { MachineFacts, RuntimeState } from "@holdfast/node";
import type { ReplayPoint } from "@holdfast/oom";
import { ContainerDied, ContainerStarted, GenericPLEG, PodSync, runtimeEvents } from "@holdfast/pleg";
import {
  FilePodSource,
  OwnedPodLister,
  PodConfig,
  PodManager,
  PodRuntimeManager,
  TerminationMessageCache,
} from "@holdfast/pod";
import { ProbeManager, ProbeResultChanged } from "@holdfast/probe";
import { PodContainerManager, podCgroupPath } from "@holdfast/resource";
import type { CgroupDriver } from "@holdfast/resource";
import type { SummaryProvider } from "@holdfast/stats";
import { PodCordonChanged, StatusManager } from "@holdfast/status";
import { VolumeManager } from "@holdfast/volume";
import type { AgentConfig } from "../config/agent-config.ts";
import type { DeviceSide, MakeDeviceSide } from "./device-side.ts";
import { makeResourceSide, podResourcesOf } from "./resource-side.ts";
import type { ResourceSide } from "./resource-side.ts";
import { makeEvictionSide } from "./eviction-side.ts";
import type { EvictionSide } from "./eviction-side.ts";
import { keepingLogs, makeGcSide } from "./gc-side.ts";
import type { GcSide } from "./gc-side.ts";
import { OomSide, withOomGroup } from "./oom-side.ts";
import { madeRelay } from "./made-relay.ts";
import { LEGACY_LOG_LINKS } from "./machine.ts";
import type { MachinePorts } from "./machine.ts";
import { withPodsUp } from "./owned-pods.ts";
import { spareCordoned } from "./spare-cordoned.ts";
import type { StateFolder } from "./state-folder.ts";
import { makeDiskLedger, makeStatsSide } from "./stats-side.ts";
import { verdictRelay } from "./verdict-relay.ts";

/** What the pod side is made from. */
export interface PodSideOptions {
  readonly config: AgentConfig;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly bus: Bus;
  readonly runtime: CriClient;
  readonly runtimeState: RuntimeState;
  readonly metrics: Metrics;
  readonly state: StateFolder;
  readonly driver: CgroupDriver;
  readonly machine: MachineFacts;
  readonly makeDeviceSide: MakeDeviceSide;
  /** What is taken from the machine. */
  readonly ports: MachinePorts;
  /** This boot, and where a replay of the kernel's log begins. Default: it is not replayed. */
  readonly boot?: { readonly id: string; readonly replay?: ReplayPoint | undefined };
}

/** What the rest of the agent reads. */
export interface PodSide {
  /** In starting order. */
  readonly components: readonly Component[];
  readonly pleg: GenericPLEG;
  readonly source: FilePodSource;
  readonly pods: PodManager;
  readonly status: StatusManager;
  readonly devices: DeviceSide;
  readonly probes: ProbeManager;
  /** Absent where the machine has no log files. */
  readonly gc: GcSide | undefined;
  /** Undefined where nobody reads the kernel's log. */
  readonly oom: OomSide | undefined;
  /** Absent where the machine has no figures. */
  readonly stats: SummaryProvider | undefined;
  /** The same: nobody is evicted. */
  readonly eviction: EvictionSide | undefined;
  /** The same. */
  readonly disk: DiskLedger | undefined;
}

/** What tells that containers of a pod have changed. */
const PLEG_EVENTS = [ContainerStarted, ContainerDied, PodSync] as const;

/** A start that takes longer gives its place to the next. DESIGN.md, Calls. */
const START_PLACE_MS = 10_000;
/**
 * Only our own pods count, and their workers ask for a look after each thing that they made. While a hundred pods start, asking sooner whose a
 * sandbox is that RunPodSandbox has not yet answered for was a fifth of all calls.
 */
const UNKNOWN_ID_DELAY_MS = 1500;
/** What changes with each start and end is not written between an exit and its successor's create: at the end of the turn, before anybody outside has seen it. */
const STATUS_TOGETHER_MS = 1;
/** Of what nobody outside sees, that of many pods goes into one transaction. */
const PLEG_TOGETHER_MS = 25;

/** Makes it all; starts nothing. */
export function makePodSide(options: PodSideOptions): PodSide {
  const { config, clock, logger, bus, runtime, runtimeState, metrics, state, machine, ports } = options;
  const owner = { nodeName: config.nodeName, instanceId: state.instanceId };
  const log = (component: string): Logger => logger.child({ component });
  const { files, random } = ports;
  const podsDir = state.podsDir;
  const hostIPs = machine.hostIP === undefined ? [] : [machine.hostIP];

  const statuses = (): readonly RuntimePodStatus[] =>
    pods.pods().map(({ pod }) => pleg.get(pod.metadata.uid).status);
  const oom =
    ports.kmsg === undefined
      ? undefined
      : new OomSide({
          clock,
          bus,
          metrics,
          logger: log("oom"),
          nodeName: config.nodeName,
          device: ports.kmsg,
          statuses,
          counters: ports.oomCounters,
          cgroupOf: (uid, id) => cgroupOf(options, podConfig.get(uid), id),
          bootId: options.boot?.id,
          replay: options.boot?.replay,
        });
  const pleg: GenericPLEG = new GenericPLEG({
    runtime,
    clock,
    events: runtimeEvents({
      // The OOM watcher looks on; the CRI's events tell of no kill.
      containerdEvents: (stream) => oom?.tasks(runtime, stream) ?? runtime.containerdEvents(stream),
      getContainerEvents: runtime.getContainerEvents,
      version: runtime.version,
    }),
    labelSelector: { [NODE_LABEL]: owner.nodeName, [INSTANCE_LABEL]: owner.instanceId },
    checkpoint: state.checkpoint("pleg", PLEG_TOGETHER_MS),
    publish: bus,
    logger: log("pleg"),
    metrics,
    random,
    listDeadlineMs: config.runtimeRequestTimeoutMs,
    unknownIdDelayMs: UNKNOWN_ID_DELAY_MS,
  });
  const podConfig = new PodConfig({ sources: ["file"], clock, publish: bus, logger: log("pod-config") });
  const source = new FilePodSource({
    folder: ports.manifests,
    nodeName: config.nodeName,
    clock,
    deliver: (snapshot) => podConfig.update(snapshot),
    lastGood: ports.lastGood,
    publish: bus,
    logger: log("file-source"),
    fileCheckMs: config.fileCheckFrequencyMs,
    maxManifestBytes: config.maxManifestBytes,
    evictable: config.eviction.evictStaticPods,
  });
  const probes = new ProbeManager({
    clock,
    handlers: ports.probeHandlers,
    runtime,
    processes: ports.probeProcesses,
    target: {
      runtimeStatus: (uid) => pleg.get(uid).status,
      podStatus: (uid): PodStatus | undefined => status.get(uid),
      hostIPs: () => hostIPs,
    },
    checkpoint: state.checkpoint("probe"),
    bus,
    wakeOn: PLEG_EVENTS,
    publish: bus,
    probeOutput: config.probeOutput,
    logger: log("probe"),
    metrics,
    random,
  });
  const status = new StatusManager({
    clock,
    probes,
    checkpoint: state.checkpoint("status", STATUS_TOGETHER_MS),
    publish: bus,
    hostIPs: () => hostIPs,
    runtimeName: () => runtimeState.lastIdentity()?.name,
    devices: { allocatedResourcesStatus: (uid, name) => devices.allocatedResourcesStatus(uid, name) },
    logger: log("status"),
    metrics,
  });
  const devices: DeviceSide = options.makeDeviceSide({
    ...options,
    pods: () => pods.pods(),
    isSettled: () => podConfig.seenAllSources() && pods.health().failures.length === 0,
    statusOf: (uid) => pleg.get(uid).status,
    onChanged: () => pods.readinessChanged(),
    onPodChanged: (uid) => pods.wake(uid),
    dedicated: podResourcesOf(() => dedicated),
  });
  const dedicated: ResourceSide = makeResourceSide({
    ...options,
    checkpoint: state.checkpoint("resource"),
    system: ports.system,
    devices,
    pods: () => pods,
    sourcesReady: () => podConfig.seenAllSources() && pods.health().failures.length === 0,
    statusOf: (uid) => pleg.get(uid).status,
  });
  const resources = makeResources(options, dedicated);
  const stats =
    ports.stats === undefined
      ? undefined
      : makeStatsSide({
          ...options,
          host: ports.stats,
          podsDir,
          pods: () => pods.pods().map(({ pod }) => ({ pod, status: pleg.get(pod.metadata.uid).status })),
        });
  const { logFiles } = ports;
  const disk =
    stats === undefined
      ? undefined
      : makeDiskLedger({ ...options, stats, podsDir, pods: () => pods.pods().map(({ pod }) => pod) });
  // Together with statistics: one bound of threads that dead mounts may hold.
  const filesystem = stats === undefined ? ports.filesystem : stats.filesystems.read.bind(stats.filesystems);
  // The kubelet's own folder of links only where its own log folder is used.
  const containerLogsDir = config.podLogsDir === "/var/log/pods" ? LEGACY_LOG_LINKS : "";
  const gc: GcSide | undefined =
    logFiles === undefined || filesystem === undefined
      ? undefined
      : makeGcSide({
          ...options,
          logFiles,
          filesystem,
          readBlob: ports.readBlob,
          diskHeldBy: async () => disk?.heldBy(),
          statuses,
          containerLogsDir,
          pods: {
            allSourcesReady: () => podConfig.seenAllSources(),
            // What nobody wants any more its worker removes.
            shouldPodContentBeRemoved: () => false,
            shouldPodRuntimeBeRemoved: (uid) =>
              pods.pods().some((view) => view.pod.metadata.uid === uid && view.state === "terminated"),
            ownsPod: (uid) => pods.pods().some(({ pod }) => pod.metadata.uid === uid),
          },
        });
  const actions = new PodRuntimeManager({
    runtime,
    clock,
    publish: bus,
    logger: log("kuberuntime"),
    metrics,
    resources: withOomGroup(resources, machine.cgroupVersion, config.singleProcessOOMKill),
    files: gc === undefined ? files : keepingLogs(files, config.podLogsDir),
    ...(gc?.images === undefined ? {} : { images: gc.images }),
    ...(devices.source === undefined ? {} : { devices: devices.source }),
    probes: spareCordoned(probes, (uid) => status.cordonOf(uid) !== undefined),
    checkpoint: state.checkpoint("kuberuntime"),
    limiter: new Limiter({ clock, limit: config.maxParallelStarts, releaseAfterMs: START_PLACE_MS }),
    options: {
      ...owner,
      podsDir,
      podLogsDir: config.podLogsDir,
      containerLogsDir,
      clusterDns: config.clusterDNS,
      clusterDomain: config.clusterDomain,
      resolvConf: () =>
        config.resolvConf === "" ? Promise.resolve(undefined) : ports.readHostFile(config.resolvConf),
      hostsFile: () => ports.readHostFile("/etc/hosts"),
      nodeIps: () => hostIPs,
      nodeAllocatable: () => dedicated.nodeAllocatable,
      maxContainerRestartPeriodMs: config.maxContainerRestartPeriodMs,
      maxParallelImagePulls:
        config.maxParallelImagePulls === 0 ? Number.MAX_SAFE_INTEGER : config.maxParallelImagePulls,
      imagePullDeadlineMs: config.pullTimeoutMs,
      hookDeadlineMs: config.hookTimeoutMs,
      maxPerPodContainer: config.maximumDeadContainersPerContainer,
      maxDeadContainers: config.maximumDeadContainers,
      minContainerAgeMs: config.minimumContainerTTLMs,
    },
  });
  const cache = new TerminationMessageCache({
    cache: pleg,
    files,
    podOf: (uid) => podConfig.get(uid),
    podsDir,
    podLogsDir: config.podLogsDir,
  });
  const eviction: EvictionSide | undefined =
    stats === undefined || ports.stats === undefined
      ? undefined
      : makeEvictionSide({
          ...options,
          stats,
          host: ports.stats,
          pods: () => pods,
          statusOf: (uid) => pleg.get(uid).status,
          gc: () => gc,
        });
  const pods: PodManager = new PodManager({
    clock,
    desired: podConfig,
    cache,
    status: eviction?.status(status) ?? status,
    runtime: actions,
    owned: withPodsUp(new OwnedPodLister(runtime, owner), pleg),
    resources,
    admission: eviction?.admission(dedicated.admission) ?? dedicated.admission,
    volumes: new VolumeManager({ host: ports.volumes, nodeMemoryBytes: machine.memoryBytes }),
    files,
    readiness: runtimeState,
    probes,
    bus,
    wakeOn: [...PLEG_EVENTS, ProbeResultChanged, PodCordonChanged],
    publish: bus,
    logger: log("pods"),
    metrics,
    random,
    podsDir,
    podLogsDir: config.podLogsDir,
    syncFrequencyMs: config.syncFrequencyMs,
    maxPods: config.maxPods,
  });
  if (config.singleProcessOOMKill === false && machine.cgroupVersion === 1)
    logger.warn("singleProcessOOMKill: false has no effect on cgroup v1: the kernel kills one process there");
  const replays = oom !== undefined && options.boot?.replay !== undefined;
  return {
    components: [
      ...(oom === undefined || replays ? [] : [oom]),
      pleg,
      madeRelay(bus, pleg),
      verdictRelay(bus, status),
      probes,
      ...devices.components,
      ...dedicated.components,
      source,
      pods,
      // Old kills are told when it is known whose they are.
      ...(replays ? [oom] : []),
      ...(gc?.components ?? []),
      ...(stats === undefined ? [] : [stats]),
      ...(eviction === undefined ? [] : [eviction.component]),
    ],
    pleg,
    probes,
    source,
    pods,
    status,
    gc,
    oom,
    devices,
    stats,
    eviction,
    disk,
  };
}

/** Where the runtime puts a container of ours. */
function cgroupOf(
  { config, driver }: PodSideOptions,
  pod: Pod | undefined,
  containerId: string,
): string | undefined {
  if (pod === undefined || !config.cgroupsPerQOS) return undefined;
  const path = podCgroupPath(driver, config.cgroupRoot, podQosClass(pod.spec), pod.metadata.uid);
  return driver === "systemd" ? `${path}/cri-containerd-${containerId}.scope` : `${path}/${containerId}`;
}

function makeResources(
  { config, clock, logger, driver, machine, ports }: PodSideOptions,
  { dedicated, podsLimits }: ResourceSide,
): PodContainerManager {
  return new PodContainerManager({
    tree: ports.cgroups,
    clock,
    driver,
    systemd: ports.systemd,
    cgroupRoot: config.cgroupRoot,
    cgroupsPerQOS: config.cgroupsPerQOS,
    settings: {
      cpuCFSQuota: config.cpuCFSQuota,
      cpuCFSQuotaPeriodMs: config.cpuCFSQuotaPeriodMs,
      podPidsLimit: config.podPidsLimit,
      memoryBytes: machine.memoryBytes,
    },
    ...(podsLimits === undefined ? {} : { podsLimits }),
    ...(dedicated === undefined ? {} : { dedicated }),
    logger: logger.child({ component: "resource" }),
  });
}
