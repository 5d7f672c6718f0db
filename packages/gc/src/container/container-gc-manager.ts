// SPDX-License-Identifier: Apache-2.0

/**
 * Container garbage collection: dead containers, dead sandboxes, logs of pods that are gone. kubelet: kuberuntime_gc.go.
 *
 * Owns: nothing. Reads: what the runtime lists under the labels that prove it ours, folders of logs. Invariants: nothing is touched that the labels, or for log folders
 * `ownsPod`, do not prove ours; a running container and a ready sandbox never go; a sandbox goes only when all of its pod's removals before it worked;
 * one pass at a time. Lost on a crash: nothing.
 */
import { nullPublisher } from "@holdfast/bus";
import type { EventType, Publisher, Subject } from "@holdfast/bus";
import type { Clock } from "@holdfast/core/clock";
import { errorText, HoldfastError, isDeadline, isNotFound } from "@holdfast/core/errors";
import type { Component, Health } from "@holdfast/core/lifecycle";
import { silentLogger } from "@holdfast/core/log";
import type { Logger } from "@holdfast/core/log";
import { noMetrics } from "@holdfast/core/metrics";
import type { Counter, Metrics } from "@holdfast/core/metrics";
import { joinedError, optionsError } from "../errors.ts";
import {
  ContainerGcFailed,
  ContainerGcStarted,
  DeadContainerRemoved,
  DeadContainerRemoving,
  DeadSandboxRemoved,
  DeadSandboxRemoving,
  LogsRemoved,
} from "../events.ts";
import type { DeadRemovalData } from "../events.ts";
import { containerLogFolder, isLogOfAttempt, legacyLogLink } from "../logs/log-names.ts";
import { PeriodicLoop } from "../periodic-loop.ts";
import type { ContainerGcRuntime, GcPods, LogFiles } from "../ports.ts";
import type {
  ContainerGcEntry,
  ContainerGcPlan,
  GcContainer,
  GcPodName,
  GcSandbox,
} from "./container-gc-facts.ts";
import { resolveContainerGcPolicy } from "./container-gc-policy.ts";
import type { ContainerGcPolicy } from "./container-gc-policy.ts";
import { listOwned } from "./list-owned.ts";
import { planContainerGc } from "./plan-container-gc.ts";

/** How a {@link ContainerGcManager} is made. */
export interface ContainerGcManagerOptions {
  readonly runtime: ContainerGcRuntime;
  readonly clock: Clock;
  /** Labels that prove a container or sandbox ours: node and instance. Not empty. */
  readonly labelSelector: Readonly<Record<string, string>>;
  readonly pods: GcPods;
  readonly policy?: Partial<ContainerGcPolicy>;
  /** Without it, logs are left alone. */
  readonly files?: LogFiles;
  /** Default /var/log/pods. */
  readonly podLogsDir?: string;
  /** Folder of the links that log collectors follow; a link goes with its container. Default: there are none. kubelet: /var/log/containers. */
  readonly containerLogsDir?: string;
  /** Whether logs go with their container, as the kubelet's do. Default false: log retention decides. */
  readonly removeLogsWithContainer?: boolean;
  /** From the end of one pass to the next. Default 60 000. kubelet: ContainerGCPeriod. */
  readonly periodMs?: number;
  /** Asked before each pass of its own: false saves the lists of a pass that would find nothing. Default: always. */
  readonly isNeeded?: () => boolean;
  readonly nodeName?: string;
  readonly publish?: Publisher;
  readonly logger?: Logger;
  readonly metrics?: Metrics;
}

/** What came of a pass. */
export interface ContainerGcResult {
  readonly plan: ContainerGcPlan | undefined;
  /** Ids, in order. */
  readonly containers: readonly string[];
  readonly sandboxes: readonly string[];
  /** Names. */
  readonly logFolders: readonly string[];
  readonly error: HoldfastError | undefined;
}

/** How a pass is made. */
export interface ContainerGcPassOptions {
  /** Dead containers of ended pods go too: disk pressure. Default false. kubelet: DeleteAllUnusedContainers. */
  readonly evictTerminated?: boolean;
  readonly causes?: readonly number[];
  readonly signal?: AbortSignal;
}

const DEFAULT_PERIOD_MS = 60_000;
const REMOVE_DEADLINE_MS = 30_000;
const MAX_DEADLINES = 3;
const MIN_GRACE_SECONDS = 2;
const DEFAULT_POD_LOGS_DIR = "/var/log/pods";

/** See the top of the file. */
export class ContainerGcManager implements Component {
  readonly name = "container-gc";
  readonly #options: ContainerGcManagerOptions;
  readonly #policy: ContainerGcPolicy;
  readonly #logger: Logger;
  readonly #publish: Publisher;
  readonly #podLogsDir: string;
  readonly #removed: Counter;
  readonly #loop: PeriodicLoop;
  #turn: Promise<unknown> = Promise.resolve();
  #problem: string | undefined;

  /** Throws `GC_OPTIONS`. */
  constructor(options: ContainerGcManagerOptions) {
    if (Object.keys(options.labelSelector).length === 0)
      throw optionsError(["labelSelector is empty: nothing would prove a container ours"]);
    this.#options = options;
    this.#policy = resolveContainerGcPolicy(options.policy);
    this.#logger = options.logger ?? silentLogger;
    this.#publish = options.publish ?? nullPublisher;
    this.#podLogsDir = options.podLogsDir ?? DEFAULT_POD_LOGS_DIR;
    this.#removed = (options.metrics ?? noMetrics).counter(
      "holdfast_container_gc_removed_total",
      "What container GC removed, by kind and rule.",
    );
    this.#loop = new PeriodicLoop({
      clock: options.clock,
      name: this.name,
      logger: this.#logger,
      periodMs: options.periodMs ?? DEFAULT_PERIOD_MS,
      work: async (signal) => {
        if (options.isNeeded?.() === false) return;
        const { error } = await this.collect({ signal });
        if (error !== undefined) throw error;
      },
    });
  }

  /** Begins a pass at once, and then in each period. Resolves at once. */
  start(_signal?: AbortSignal): Promise<void> {
    this.#loop.start();
    return Promise.resolve();
  }

  /** Ends a pass under way after the removal it is at. Idempotent, bounded. */
  stop(): Promise<void> {
    return this.#loop.stop();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop();
  }

  /** Fails when the last pass did. */
  health(): Health {
    return { failures: this.#problem === undefined ? [] : [this.#problem] };
  }

  /** What a pass would do now, and why. Removes nothing. Rejects with what the runtime says. */
  plan(options: ContainerGcPassOptions = {}): Promise<ContainerGcPlan> {
    return this.#look(options.evictTerminated ?? false, options.signal ?? NEVER);
  }

  /** One pass. Rejects only with the signal's reason. kubelet: GarbageCollect. */
  collect(options: ContainerGcPassOptions = {}): Promise<ContainerGcResult> {
    const mine = this.#turn.then(() => this.#collect(options));
    this.#turn = mine.catch(() => undefined);
    return mine;
  }

  async #collect({
    evictTerminated = false,
    causes = [],
    signal = NEVER,
  }: ContainerGcPassOptions): Promise<ContainerGcResult> {
    let plan: ContainerGcPlan;
    try {
      plan = await this.#look(evictTerminated, signal);
    } catch (cause) {
      signal.throwIfAborted();
      const error = new HoldfastError("GC_REMOVE", "retryable", errorText(cause), { cause });
      this.#tell(error, causes);
      return { plan: undefined, containers: [], sandboxes: [], logFolders: [], error };
    }
    const pass = new Pass();
    const going = {
      containers: plan.containers.filter(isGoing),
      sandboxes: plan.sandboxes.filter(isGoing),
      logFolders: plan.logFolders.filter(isGoing),
    };
    const { containers, sandboxes, logFolders } = going;
    if (containers.length + sandboxes.length + logFolders.length > 0) {
      const counts = {
        containers: containers.length,
        sandboxes: sandboxes.length,
        logFolders: logFolders.length,
      };
      const seq = this.#publish.publish(ContainerGcStarted, counts, { causes, subject: this.#subject() });
      for (const entry of containers) await this.#removeContainer(entry, pass, seq, signal);
      for (const entry of sandboxes) await this.#removeSandbox(entry, pass, seq, signal);
      for (const entry of logFolders) await this.#removeLogs(entry, pass, seq, signal);
    }
    const error = pass.failures.length === 0 ? undefined : joinedError("GC_REMOVE", pass.failures);
    if (error === undefined) this.#problem = undefined;
    else this.#tell(error, causes);
    return {
      plan,
      containers: pass.containers,
      sandboxes: pass.sandboxes,
      logFolders: pass.logFolders,
      error,
    };
  }

  async #look(evictTerminated: boolean, signal: AbortSignal): Promise<ContainerGcPlan> {
    const { runtime, labelSelector, pods, files, clock } = this.#options;
    // Asked before the lists: a pod that comes meanwhile is no garbage.
    const allSourcesReady = pods.allSourcesReady();
    const logFolders = (await files?.folders(this.#podLogsDir)) ?? [];
    const { containers, sandboxes, tooLarge } = await listOwned(runtime, labelSelector, signal);
    if (tooLarge) this.#logger.warn("the list of containers does not fit into one answer", {});
    return planContainerGc(
      {
        containers,
        sandboxes,
        logFolders,
        allSourcesReady,
        isGone: (uid) => pods.shouldPodContentBeRemoved(uid),
        isTerminated: (uid) => pods.shouldPodRuntimeBeRemoved(uid),
        isOurs: (uid) => pods.ownsPod(uid),
        now: clock.now(),
        evictTerminated,
      },
      this.#policy,
    );
  }

  async #removeContainer(
    entry: ContainerGcEntry<GcContainer>,
    pass: Pass,
    cause: number,
    signal: AbortSignal,
  ): Promise<void> {
    const { runtime } = this.#options;
    const { thing } = entry;
    const subject = { ...subjectOf(thing), container: thing.name, containerId: thing.id };
    const done = await this.#attempt(pass, thing, signal, async () => {
      const intent = this.#intend(DeadContainerRemoving, entry, subject, cause);
      const options = { signal, deadlineMs: REMOVE_DEADLINE_MS };
      if (thing.state === "unknown") {
        // The runtime does not know whether it runs.
        const timeout = Math.max(thing.graceSeconds, MIN_GRACE_SECONDS);
        await ignoreMissing(
          runtime.stopContainer({ containerId: thing.id, timeout: BigInt(timeout) }, { signal }),
        );
      }
      await this.#removeLink(thing);
      if (this.#options.removeLogsWithContainer === true) await this.#removeOwnLogs(thing);
      await ignoreMissing(runtime.removeContainer({ containerId: thing.id }, options));
      this.#intend(DeadContainerRemoved, entry, subject, intent);
    });
    if (!done) return;
    pass.containers.push(thing.id);
    this.#removed.inc({ kind: "container", rule: entry.rule });
  }

  /** Stopped once more first, so that its network is given back. */
  async #removeSandbox(
    entry: ContainerGcEntry<GcSandbox>,
    pass: Pass,
    cause: number,
    signal: AbortSignal,
  ): Promise<void> {
    const { runtime } = this.#options;
    const { thing } = entry;
    if (pass.failedPods.has(thing.podUid)) return;
    const subject = { ...subjectOf(thing), containerId: thing.id };
    const done = await this.#attempt(pass, thing, signal, async () => {
      const options = { signal, deadlineMs: REMOVE_DEADLINE_MS };
      const intent = this.#intend(DeadSandboxRemoving, entry, subject, cause);
      await ignoreMissing(runtime.stopPodSandbox({ podSandboxId: thing.id }, options));
      await ignoreMissing(runtime.removePodSandbox({ podSandboxId: thing.id }, options));
      this.#intend(DeadSandboxRemoved, entry, subject, intent);
    });
    if (!done) return;
    pass.sandboxes.push(thing.id);
    this.#removed.inc({ kind: "sandbox", rule: entry.rule });
  }

  async #removeLogs(
    { thing, rule, reason }: ContainerGcEntry<string>,
    pass: Pass,
    cause: number,
    signal: AbortSignal,
  ): Promise<void> {
    const podUid = thing.slice(thing.lastIndexOf("_") + 1);
    if (pass.failedPods.has(podUid)) return;
    const path = `${this.#podLogsDir}/${thing}`;
    const done = await this.#attempt(pass, { podUid }, signal, async () => {
      await this.#options.files?.removeTree(path);
      const data = { path, bytes: 0, rule, reason };
      this.#publish.publish(LogsRemoved, data, { causes: [cause], subject: { podUid } });
    });
    if (!done) return;
    pass.logFolders.push(thing);
    this.#removed.inc({ kind: "logs", rule });
  }

  /** Before its container: afterwards nobody knows the id any more, which is in the link's name. */
  async #removeLink(container: GcContainer): Promise<void> {
    const { containerLogsDir = "", files } = this.#options;
    if (containerLogsDir === "" || container.podName === "") return;
    await files?.remove(legacyLogLink(containerLogsDir, container, container.name, container.id));
  }

  /** A rule of the kubelet's: what has the log's path as the beginning of its name. */
  async #removeOwnLogs(container: GcContainer): Promise<void> {
    const { files } = this.#options;
    if (files === undefined || container.podName === "") return;
    const folder = containerLogFolder(this.#podLogsDir, container, container.name);
    for (const { name } of await files.list(folder))
      if (isLogOfAttempt(name, container.attempt)) await files.remove(`${folder}/${name}`);
  }

  /** A failure is told at the end; its thing comes again with the next pass. */
  async #attempt(
    pass: Pass,
    { podUid }: Pick<GcPodName, "podUid">,
    signal: AbortSignal,
    work: () => Promise<void>,
  ): Promise<boolean> {
    signal.throwIfAborted();
    if (pass.deadlines >= MAX_DEADLINES) return false;
    try {
      await work();
      pass.deadlines = 0;
      return true;
    } catch (error) {
      signal.throwIfAborted();
      pass.failures.push(error);
      pass.failedPods.add(podUid);
      pass.deadlines = isDeadline(error) ? pass.deadlines + 1 : 0;
      return false;
    }
  }

  #intend(
    type: EventType<DeadRemovalData>,
    { thing, rule, reason }: ContainerGcEntry<{ readonly id: string }>,
    subject: Subject,
    cause: number,
  ): number {
    return this.#publish.publish(type, { id: thing.id, rule, reason }, { subject, causes: [cause] });
  }

  #tell(error: HoldfastError, causes: readonly number[]): void {
    if (this.#problem === undefined) this.#logger.warn("container GC failed", { err: error.message });
    this.#problem = error.message;
    this.#publish.publish(
      ContainerGcFailed,
      { eventType: "Warning", reason: "ContainerGCFailed", message: error.message, detail: "" },
      { causes, subject: this.#subject() },
    );
  }

  #subject(): Subject {
    return this.#options.nodeName === undefined ? {} : { node: this.#options.nodeName };
  }
}

/** What a pass has done so far. */
class Pass {
  readonly containers: string[] = [];
  readonly sandboxes: string[] = [];
  readonly logFolders: string[] = [];
  readonly failures: unknown[] = [];
  readonly failedPods = new Set<string>();
  deadlines = 0;
}

const NEVER: AbortSignal = new AbortController().signal;

function isGoing({ verdict }: { readonly verdict: "remove" | "keep" }): boolean {
  return verdict === "remove";
}

function subjectOf({ podUid, podNamespace, podName }: GcPodName): Subject {
  return podName === "" ? { podUid } : { podUid, pod: `${podNamespace}/${podName}` };
}

async function ignoreMissing(work: Promise<unknown>): Promise<void> {
  try {
    await work;
  } catch (error) {
    if (!isNotFound(error)) throw error;
  }
}
