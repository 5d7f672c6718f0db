// SPDX-License-Identifier: Apache-2.0

/** One sync of one pod: computes the actions and carries them out, in the kubelet's order. kubelet: SyncPod. */
import type { Publisher } from "@holdfast/bus";
import type { DeepPartial, PodSandboxConfig } from "@holdfast/cri";
import { formatDuration } from "@holdfast/core/duration";
import { errorText, HoldfastError } from "@holdfast/core/errors";
import type { Metrics } from "@holdfast/core/metrics";
import { formatPod, isSidecar } from "@holdfast/core/pod";
import type { Container, Pod } from "@holdfast/core/pod-types";
import type { ContainerRecord, RuntimePodStatus } from "@holdfast/core/runtime-status";
import { newestByName } from "@holdfast/core/runtime-status";
import type { PodRuntime, ProbeResults, WaitingReason } from "../ports.ts";
import { computePodActions } from "./compute-pod-actions.ts";
import type { PodActions } from "./compute-pod-actions.ts";
import type { CrashLoopBackOff } from "./crash-loop-back-off.ts";
import { createSandbox } from "./create-sandbox.ts";
import { BackOffEvent, SandboxChanged } from "./events.ts";
import { killContainer } from "./kill-container.ts";
import { killPod } from "./kill-pod.ts";
import { containerFieldPath, PodRecorder } from "./pod-recorder.ts";
import { removeContainer } from "./remove-container.ts";
import type { SandboxConfigSource } from "./sandbox-config-source.ts";
import { settleCreated } from "./settle-created.ts";
import { startContainer } from "./start-container.ts";
import type { StartContainerDeps } from "./start-container.ts";
import { PodSyncError } from "./sync-error.ts";
import type { PodSyncResult, StartedContainer, SyncOptions } from "./sync-result.ts";

/** Everything that a sync reaches. */
export interface SyncDeps extends StartContainerDeps {
  readonly runtime: PodRuntime;
  readonly publish: Publisher;
  readonly metrics: Metrics;
  readonly probes: ProbeResults;
  readonly backoff: CrashLoopBackOff;
  readonly sandboxConfigs: SandboxConfigSource;
  /** Dead containers kept per name; negative keeps all. */
  readonly keepDead: number;
  readonly nodeIps: () => readonly string[];
}

/** Until the next look at a container of which the runtime says something else than its record. */
const STALE_MS = 100;

/** Where a pod's containers are started. */
interface Sandbox {
  readonly sandboxId: string;
  readonly config: DeepPartial<PodSandboxConfig>;
  readonly ips: readonly string[];
}

/** Lives for one sync. */
export class PodSync {
  readonly #deps: SyncDeps;
  readonly #pod: Pod;
  readonly #status: RuntimePodStatus;
  readonly #options: SyncOptions;
  readonly #recorder: PodRecorder;
  readonly #newest: ReadonlyMap<string, ContainerRecord>;
  readonly #started: StartedContainer[] = [];
  readonly #waiting = new Map<string, WaitingReason>();
  /** What is left to be written or tidied once everything runs. */
  readonly #afterwards: (() => Promise<void> | void)[] = [];
  #acted = false;
  #error: HoldfastError | undefined;
  #comeBackAt: number | undefined;
  #newIps: readonly string[] | undefined;

  constructor(deps: SyncDeps, pod: Pod, status: RuntimePodStatus, options: SyncOptions) {
    this.#deps = deps;
    this.#pod = pod;
    this.#status = status;
    this.#options = options;
    this.#recorder = new PodRecorder(deps.publish, pod.metadata, options.causes);
    this.#newest = newestByName(status);
  }

  /** Never rejects. */
  async run(): Promise<PodSyncResult> {
    const actions = computePodActions(this.#pod, this.#status, this.#deps.probes);
    try {
      this.#options.signal.throwIfAborted();
      await this.#kill(actions);
      const sandbox = await this.#sandbox(actions);
      if (sandbox !== undefined) await this.#startAll(actions, sandbox);
    } catch (error) {
      this.#fail(error);
    }
    for (const work of this.#afterwards) await this.#quietly(work);
    return {
      acted: this.#acted,
      started: this.#started,
      waiting: this.#waiting,
      awaitingConfirmation: actions.awaitingConfirmation,
      comeBackAt: this.#comeBackAt,
      error: this.#error,
      ips: this.#newIps,
    };
  }

  async #kill(actions: PodActions): Promise<void> {
    const { signal } = this.#options;
    const recorder = this.#recorder;
    if (!actions.killPod) {
      for (const [containerId, { container, reason, message }] of actions.containersToKill) {
        this.#acted = true;
        const request = { pod: this.#pod, name: container.name, containerId, reason, message };
        await killContainer(this.#deps, { ...request, recorder, signal });
      }
      return;
    }
    if (actions.createSandbox && actions.sandboxId !== "") {
      const message = "Pod sandbox changed, it will be killed and re-created.";
      const event = { eventType: "Normal", reason: "SandboxChanged", message } as const;
      recorder.emit(SandboxChanged, { ...event, sandboxId: actions.sandboxId });
    }
    if (this.#status.sandboxes.length > 0 || this.#status.containers.length > 0) {
      this.#acted ||= this.#isUp() || actions.createSandbox;
      const { error } = await killPod(this.#deps, {
        pod: this.#pod,
        status: this.#status,
        gracePeriodOverride: undefined,
        reason: actions.createSandbox ? "SandboxChanged" : "PodKilled",
        message: undefined,
        signal,
        recorder,
      });
      if (error !== undefined) throw error;
    }
    if (actions.createSandbox) await this.#purgeInitContainers();
  }

  /** Anything that a kill would change. */
  #isUp(): boolean {
    const { sandboxes, containers } = this.#status;
    return (
      sandboxes.some(({ state }) => state === "ready") || containers.some(({ state }) => state === "running")
    );
  }

  /** In a new sandbox they all run anew. kubelet: purgeInitContainers. */
  async #purgeInitContainers(): Promise<void> {
    const names = new Set(this.#pod.spec.initContainers?.map(({ name }) => name));
    for (const record of this.#status.containers)
      if (names.has(record.name))
        await removeContainer(this.#deps, this.#pod.metadata, record, this.#recorder);
  }

  /** The sandbox that is kept or a new one; undefined when nothing is to be started. */
  async #sandbox(actions: PodActions): Promise<Sandbox | undefined> {
    const { sandboxConfigs, files, nodeIps } = this.#deps;
    const pod = this.#pod;
    const recorder = this.#recorder;
    const { signal, cgroupParent } = this.#options;
    const starts = actions.initContainersToStart.length + actions.containersToStart.length;
    if (!actions.createSandbox && (actions.killPod || starts === 0)) return undefined;
    signal.throwIfAborted();
    const { attempt, createSandbox: fresh } = actions;
    const config = await sandboxConfigs.make(pod, attempt, cgroupParent, recorder, fresh);
    const addresses = (own: readonly string[]): readonly string[] =>
      pod.spec.hostNetwork === true ? nodeIps() : own;
    if (!fresh) return { sandboxId: actions.sandboxId, config, ips: addresses(this.#status.ips) };
    this.#acted = true;
    this.#count("kubelet_started_pods_total", "Pods whose sandbox was asked for.");
    await files.makePodLogDirectory(pod).catch((error: unknown) => {
      throw PodSyncError.from("ConfigPodSandboxError", error);
    });
    try {
      const made = await createSandbox(this.#deps, { pod, config, attempt, recorder, signal });
      this.#newIps = made.ips;
      return { sandboxId: made.sandboxId, config, ips: addresses(made.ips) };
    } catch (error) {
      this.#count("kubelet_started_pods_errors_total", "Sandboxes that could not be created.");
      throw error;
    }
  }

  async #startAll(actions: PodActions, sandbox: Sandbox): Promise<void> {
    for (const container of actions.initContainersToStart) {
      const started = await this.#startOne(container, sandbox);
      if (!started && !isSidecar(container)) return;
    }
    for (const container of actions.containersToStart) await this.#startOne(container, sandbox);
  }

  /** Whether the container runs now. Rejects only when the sync is given up. */
  async #startOne(container: Container, sandbox: Sandbox): Promise<boolean> {
    const { volumes, signal } = this.#options;
    signal.throwIfAborted();
    const previous = this.#newest.get(container.name);
    const type = { container_type: this.#typeOf(container) };
    if (!(await this.#settleCreated(container))) return false;
    try {
      this.#checkBackOff(container);
      this.#acted = true;
      this.#count("kubelet_started_containers_total", "Containers whose start was begun.", type);
      const started = await startContainer(this.#deps, {
        pod: this.#pod,
        container,
        previous,
        sandboxId: sandbox.sandboxId,
        sandboxConfig: sandbox.config,
        ips: sandbox.ips,
        volumes,
        recorder: this.#recorder,
        signal,
      });
      this.#started.push(started);
      if (previous !== undefined) this.#tidy(container);
      return true;
    } catch (error) {
      signal.throwIfAborted();
      const failure = PodSyncError.from("RunContainerError", error);
      const { reason, message, comeBackAt } = failure;
      const next = comeBackAt === undefined ? {} : { nextAttemptAt: comeBackAt };
      this.#waiting.set(container.name, { reason, message, ...next });
      if (comeBackAt !== undefined) this.#comeBackBy(comeBackAt);
      if (!failure.isBackOff) {
        this.#count("kubelet_started_containers_errors_total", "Containers that did not start.", {
          ...type,
          code: reason,
        });
        this.#error ??= failure;
      }
      return false;
    }
  }

  /** Whether nothing that an earlier start left behind can still come to life. As a rule there is nothing to be asked. */
  async #settleCreated({ name }: Container): Promise<boolean> {
    const { signal } = this.#options;
    const created = this.#status.containers.filter((one) => one.name === name && one.state === "created");
    try {
      for (const record of created) {
        this.#acted = true;
        const request = { pod: this.#pod.metadata, record, recorder: this.#recorder, signal };
        if (await settleCreated(this.#deps, request)) continue;
        // What to do now is for the next sync, which looks anew.
        this.#comeBackBy(this.#deps.clock.monotonic() + STALE_MS);
        return false;
      }
      return true;
    } catch (error) {
      signal.throwIfAborted();
      const failure = PodSyncError.from("RemoveContainerError", error);
      if (failure.comeBackAt !== undefined) this.#comeBackBy(failure.comeBackAt);
      // The container goes on waiting for the reason that it has.
      this.#error ??= failure;
      return false;
    }
  }

  #comeBackBy(at: number): void {
    this.#comeBackAt = Math.min(this.#comeBackAt ?? at, at);
  }

  /** Throws CrashLoopBackOff while the container has to wait; else its next wait grows. kubelet: doBackOff. */
  #checkBackOff(container: Container): void {
    const { backoff, clock } = this.#deps;
    const exited = this.#status.containers.find(
      ({ name, state }) => name === container.name && state === "exited",
    );
    if (exited === undefined) return;
    const waiting = backoff.waiting(this.#pod, container, exited);
    if (waiting === undefined) {
      const persist = backoff.starting(this.#pod, container, exited);
      this.#afterwards.push(persist);
      return;
    }
    const { name } = container;
    const about = formatPod(this.#pod);
    if (backoff.shouldTell(exited))
      this.#recorder.emit(
        BackOffEvent,
        {
          eventType: "Warning",
          reason: "BackOff",
          message: `Back-off restarting failed container ${name} in pod ${about}`,
          fieldPath: containerFieldPath(this.#pod, name),
          waiting: "CrashLoopBackOff",
          remainingMs: Math.max(waiting.until - clock.monotonic(), 0),
        },
        { container: name },
      );
    throw new PodSyncError(
      "CrashLoopBackOff",
      `back-off ${formatDuration(waiting.delayMs)} restarting failed container=${name} pod=${about}`,
      { comeBackAt: waiting.until, announced: true },
    );
  }

  /** After a restart: older dead ones go, and what is known of the image is renewed. kubelet: containerDeletor, pruneInitContainers. */
  #tidy(container: Container): void {
    const { images, keepDead } = this.#deps;
    const { signal } = this.#options;
    const dead = this.#status.containers.filter(
      ({ name, state, exitUnconfirmed }) =>
        name === container.name && state === "exited" && exitUnconfirmed !== true,
    );
    // The one that just exited may not be confirmed yet; it is kept and counts.
    const unconfirmed = this.#newest.get(container.name)?.exitUnconfirmed === true ? 1 : 0;
    const old = keepDead < 0 ? [] : dead.slice(Math.max(keepDead, 1) - unconfirmed);
    this.#afterwards.push(async () => {
      for (const record of old)
        if (!signal.aborted)
          await this.#quietly(() => removeContainer(this.#deps, this.#pod.metadata, record, this.#recorder));
      await images.refresh(container, signal);
    });
  }

  /** Tidying up: its failure changes nothing for the pod. */
  async #quietly(work: () => Promise<void> | void): Promise<void> {
    try {
      await work();
    } catch (error) {
      this.#deps.logger.warn("tidying up after a sync failed", {
        podUid: this.#pod.metadata.uid,
        err: errorText(error),
      });
    }
  }

  #fail(error: unknown): void {
    if (this.#options.signal.aborted)
      this.#error = new HoldfastError("POD_SYNC_ABORTED", "cancelled", "the pod's sync was given up", {
        cause: error,
      });
    else this.#error ??= PodSyncError.from("RunContainerError", error);
  }

  #typeOf(container: Container): string {
    return this.#pod.spec.containers.includes(container) ? "container" : "init_container";
  }

  #count(name: string, help: string, labels: Readonly<Record<string, string>> = {}): void {
    this.#deps.metrics.counter(name, help).inc(labels);
  }
}
