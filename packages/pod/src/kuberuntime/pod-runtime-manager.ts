// SPDX-License-Identifier: Apache-2.0

/**
 * Brings pods on the runtime to their specs, and takes them down.
 *
 * Owns: the crash-loop back-off, the pull back-off, what is known of images, the files that containers need. Reads: pods, the PLEG's
 * status of them, probe verdicts. Invariants: at most one call per pod at a time (its worker's); what to do is computed by pure functions;
 * every call has its intent published before it. Lost on a crash: nothing but waits for pulls; records, logs and annotations on the
 * runtime are the state. kubelet: kubeGenericRuntimeManager.
 */
import { nullPublisher } from "@holdfast/bus";
import { HoldfastError } from "@holdfast/core/errors";
import { silentLogger } from "@holdfast/core/log";
import { noMetrics } from "@holdfast/core/metrics";
import type { Container, Pod } from "@holdfast/core/pod-types";
import type { RuntimePodStatus } from "@holdfast/core/runtime-status";
import type { ContainerGcPolicy } from "./compute-container-gc.ts";
import { ContainerFiles } from "./container-files.ts";
import { collectGarbage } from "./container-gc.ts";
import type { GarbageCollected } from "./container-gc.ts";
import { CrashLoopBackOff } from "./crash-loop-back-off.ts";
import { ImageManager } from "./image-manager.ts";
import { killPod } from "./kill-pod.ts";
import type { PodRuntimeManagerDeps } from "./options.ts";
import { PodRecorder } from "./pod-recorder.ts";
import { removePod } from "./remove-pod.ts";
import { SandboxConfigSource } from "./sandbox-config-source.ts";
import type {
  GarbagePredicates,
  KillPodOptions,
  KillPodResult,
  PodSyncResult,
  RemovePodOptions,
  SyncOptions,
} from "./sync-result.ts";
import { PodSync } from "./sync-pod.ts";
import type { SyncDeps } from "./sync-pod.ts";

const DEFAULT_POD_LOGS_DIR = "/var/log/pods";
const DEFAULT_CONTAINER_LOGS_DIR = "/var/log/containers";
const DEFAULT_HOOK_DEADLINE_MS = 10 * 60_000;

/** See the top of the file. */
export class PodRuntimeManager {
  readonly #deps: SyncDeps;
  readonly #policy: ContainerGcPolicy;

  constructor(given: PodRuntimeManagerDeps) {
    const { options, runtime, clock } = given;
    const clusterDomain = options.clusterDomain ?? "";
    const files = new ContainerFiles({
      files: given.files,
      podLogsDir: options.podLogsDir ?? DEFAULT_POD_LOGS_DIR,
      containerLogsDir: options.containerLogsDir ?? DEFAULT_CONTAINER_LOGS_DIR,
      podsDir: options.podsDir,
      clusterDomain,
      hostsFile: options.hostsFile,
    });
    const owner = { nodeName: options.nodeName, instanceId: options.instanceId };
    this.#policy = {
      minAgeMs: options.minContainerAgeMs ?? 0,
      maxPerPodContainer: options.maxPerPodContainer ?? 1,
      maxContainers: options.maxDeadContainers ?? -1,
    };
    this.#deps = {
      runtime,
      clock,
      files,
      owner,
      limiter: given.limiter,
      publish: given.publish ?? nullPublisher,
      logger: given.logger ?? silentLogger,
      metrics: given.metrics ?? noMetrics,
      resources: given.resources,
      devices: given.devices,
      probes: given.probes,
      hookDeadlineMs: options.hookDeadlineMs ?? DEFAULT_HOOK_DEADLINE_MS,
      keepDead: this.#policy.maxPerPodContainer,
      nodeIps: options.nodeIps,
      security: {
        seccompDefault: options.seccompDefault ?? false,
        extraMaskedPaths: options.extraMaskedPaths ?? [],
      },
      facts: (podIps) => ({
        nodeName: options.nodeName,
        nodeIps: options.nodeIps(),
        podIps,
        nodeAllocatable: options.nodeAllocatable?.() ?? {},
      }),
      images: new ImageManager({
        runtime,
        clock,
        ...(options.maxParallelImagePulls === undefined
          ? {}
          : { maxParallelPulls: options.maxParallelImagePulls }),
        ...(options.imagePullDeadlineMs === undefined ? {} : { pullDeadlineMs: options.imagePullDeadlineMs }),
        ...(given.images === undefined ? {} : { use: given.images }),
      }),
      imageUse: given.images,
      backoff: new CrashLoopBackOff({
        clock,
        checkpoint: given.checkpoint,
        ...(options.maxContainerRestartPeriodMs === undefined
          ? {}
          : { maxMs: options.maxContainerRestartPeriodMs }),
      }),
      sandboxConfigs: new SandboxConfigSource({
        owner,
        clusterDomain,
        clusterDns: options.clusterDns ?? [],
        resolvConf: options.resolvConf,
        nodeIps: options.nodeIps,
        logDirectory: (pod) => files.podLogDirectory(pod.metadata),
      }),
    };
  }

  /** Computes what to do for the pod and does it. Never rejects: failures are in the result. kubelet: SyncPod. */
  async syncPod(pod: Pod, status: RuntimePodStatus, options: SyncOptions): Promise<PodSyncResult> {
    return new PodSync(this.#deps, pod, status, options).run();
  }

  /**
   * Stops every running container (main ones at once, sidecars after them in reverse order), with preStop and grace, then every sandbox.
   * Without the pod's spec, what is needed is read from the runtime's annotations. Rejects only with the signal's reason.
   * kubelet: killPodWithSyncResult.
   */
  async killPod(
    pod: Pod | undefined,
    status: RuntimePodStatus,
    options: KillPodOptions,
  ): Promise<KillPodResult> {
    return killPod(this.#deps, {
      pod,
      status,
      gracePeriodOverride: options.gracePeriodSeconds,
      reason: options.reason,
      message: options.message,
      signal: options.signal,
      recorder: new PodRecorder(this.#deps.publish, pod?.metadata ?? status, options.causes),
    });
  }

  /**
   * Removes sandboxes, containers and logs of a pod that is down and not wanted. Removing what is gone is fine. Rejects with the first
   * failure after everything was tried: call again.
   */
  async removePod(status: RuntimePodStatus, options: RemovePodOptions): Promise<void> {
    const running = status.containers.find(({ state }) => state === "running");
    if (running !== undefined)
      throw new HoldfastError("POD_RUNNING", "retryable", `container ${running.name} still runs`);
    await removePod(this.#deps, status, new PodRecorder(this.#deps.publish, status, options.causes), {
      keepLogs: options.keepLogs ?? false,
      signal: options.signal,
    });
  }

  /** One pass of the container garbage collector; failures are logged and come again. Call it once a minute. */
  async garbageCollect(
    all: readonly RuntimePodStatus[],
    predicates: GarbagePredicates,
  ): Promise<GarbageCollected> {
    this.#deps.backoff.gc();
    return collectGarbage(this.#deps, all, this.#policy, predicates);
  }

  /** The container's next start, and the pull of its image, wait no more: their back-offs begin anew. Whether there were any. */
  retry(pod: Pod, container: Container): boolean {
    const started = this.#deps.backoff.retry(pod, container);
    return this.#deps.images.retry(pod.metadata.uid, container) || started;
  }

  /** Forgets back-offs and caches of a pod that is gone. */
  forgetPod(uid: string): void {
    this.#deps.backoff.forget(uid);
    this.#deps.images.forget(uid);
  }
}
