// SPDX-License-Identifier: Apache-2.0

/**
 * Rotation of the logs of running containers, and retention of those of dead ones. kubelet: pkg/kubelet/logs/container_log_manager.go.
 *
 *   targets (every 10 s, ─> looks ─> rotate: old files go, rename, reopen ─> compress, apart
 *      or as announced)      ▲▲  each log when it should have reached its size, at least every 10 s;
 *   free space (every 1 s) ──┘│  all at once when free space falls by more than a log's size;
 *   a write to a quiet log ───┘  one that nobody wrote to for two looks at once when somebody does, and else every minute
 *
 * Owns: how fast each log grows. Invariants: one rotation of a log at a time; one that hangs does not keep the others waiting for longer than 10 s; files of
 * pods that nothing proves ours are not touched. Lost on a crash: nothing that a look does not bring back.
 */
import { nullPublisher } from "@holdfast/bus";
import type { Publisher } from "@holdfast/bus";
import type { Clock } from "@holdfast/core/clock";
import { errorText, isNotFound } from "@holdfast/core/errors";
import { withDeadline } from "@holdfast/core/lifecycle";
import type { Component, Health } from "@holdfast/core/lifecycle";
import { Limiter } from "@holdfast/core/limiter";
import { silentLogger } from "@holdfast/core/log";
import type { Logger } from "@holdfast/core/log";
import { noMetrics } from "@holdfast/core/metrics";
import type { Counter, Metrics } from "@holdfast/core/metrics";
import { LogRotationFailed } from "../events.ts";
import { PeriodicLoop } from "../periodic-loop.ts";
import type { ContainerLogRuntime, LogFiles, ReadFilesystem } from "../ports.ts";
import { LogCompressor } from "./log-compressor.ts";
import { resolveLogRetentionPolicy, resolveLogRotationPolicy } from "./log-policy.ts";
import type { LogRetentionPolicy, LogRotationPolicy } from "./log-policy.ts";
import { planAllRetention, pruneLogs } from "./log-pruner.ts";
import type { FolderRetention, LogPrunerDeps } from "./log-pruner.ts";
import { reopenLog, rotateLog, subjectOf } from "./log-rotator.ts";
import type { LogRotatorDeps } from "./log-rotator.ts";
import type { ListLogTargets } from "./log-targets.ts";
import { WatchedLog } from "./watched-log.ts";

/** How a {@link ContainerLogManager} is made. Milliseconds. */
export interface ContainerLogManagerOptions {
  readonly runtime: ContainerLogRuntime;
  readonly clock: Clock;
  readonly files: LogFiles;
  /** Containers of ours: `runtimeLogTargets`, or the PLEG's cache. */
  readonly targets: ListLogTargets;
  /** Proof that logs of a pod that is not on the runtime are ours. Default: nothing is; then only logs beside containers are pruned. */
  readonly ownsPod?: (uid: string) => boolean;
  readonly rotation?: Partial<LogRotationPolicy>;
  readonly retention?: Partial<LogRetentionPolicy>;
  /** Default /var/log/pods. */
  readonly podLogsDir?: string;
  /** Free space of the file system with the logs: a fast writer is noticed within a second. Without it, within the interval. */
  readonly filesystem?: ReadFilesystem;
  /** The longest time between two looks at a log that is written to. At least 3000, default 10 000. kubelet: containerLogMonitorInterval. */
  readonly monitorIntervalMs?: number;
  /** Whether {@link ContainerLogManager.targetsChanged} is called when containers start: then they are listed each minute only. Default false. */
  readonly targetsAnnounced?: boolean;
  /** Rotations under way at once. Default 1. kubelet: containerLogMaxWorkers. */
  readonly maxWorkers?: number;
  /** Between two passes of retention. Default 300 000. */
  readonly retentionPeriodMs?: number;
  readonly publish?: Publisher;
  readonly logger?: Logger;
  readonly metrics?: Metrics;
}

const DEFAULT_INTERVAL_MS = 10_000;
const MIN_INTERVAL_MS = 3000;
/** Only for logs that fill in less. */
const FASTEST_LOOK_MS = 100;
/** Many containers that start at once are listed once. */
const ANNOUNCED_MS = 250;
/** Between two looks at a quiet log, and two lists of containers whose starts are announced: nothing should be found. */
const SAFETY_MS = 60_000;
const FREE_SPACE_MS = 1000;
/** A timer may fire a little before its time. */
const EARLY_MS = 5;
const DEFAULT_RETENTION_MS = 5 * 60_000;
/** A container that starts may be one that ends again and again, and each time leaves a log: retention looks earlier then. */
const RETENTION_AFTER_START_MS = 60_000;
const RELEASE_AFTER_MS = 10_000;
const STOP_LIMIT_MS = 5000;

/** See the top of the file. */
export class ContainerLogManager implements Component {
  readonly name = "container-logs";
  readonly #options: ContainerLogManagerOptions;
  readonly #rotation: LogRotationPolicy;
  readonly #intervalMs: number;
  readonly #listMs: number;
  readonly #logger: Logger;
  readonly #publish: Publisher;
  readonly #limiter: Limiter;
  readonly #compressor: LogCompressor;
  readonly #rotator: LogRotatorDeps;
  readonly #pruner: LogPrunerDeps;
  readonly #rotations: Counter;
  readonly #failures: Counter;
  readonly #pruned: Counter;
  readonly #watched = new Map<string, WatchedLog>();
  readonly #underWay = new Set<Promise<void>>();
  readonly #looking: PeriodicLoop;
  readonly #pruning: PeriodicLoop;
  #listAt = -Infinity;
  #freeBytes: number | undefined;
  #freeAt = -Infinity;
  #nextFellAt = -Infinity;
  #fellPauseMs = FREE_SPACE_MS;
  #retentionTargets = new Set<string>();
  #prunedAt = -Infinity;

  /** Throws `GC_OPTIONS`. */
  constructor(options: ContainerLogManagerOptions) {
    this.#options = options;
    const { clock, files, runtime, metrics = noMetrics } = options;
    this.#rotation = resolveLogRotationPolicy(options.rotation);
    this.#intervalMs = Math.max(options.monitorIntervalMs ?? DEFAULT_INTERVAL_MS, MIN_INTERVAL_MS);
    this.#listMs =
      options.targetsAnnounced === true ? Math.max(SAFETY_MS, this.#intervalMs) : this.#intervalMs;
    this.#logger = options.logger ?? silentLogger;
    this.#publish = options.publish ?? nullPublisher;
    const limit = options.maxWorkers ?? 1;
    this.#limiter = new Limiter({ clock, limit, releaseAfterMs: RELEASE_AFTER_MS });
    this.#rotations = metrics.counter("holdfast_log_rotations_total", "Logs that were rotated.");
    this.#failures = metrics.counter("holdfast_log_failures_total", "Failures of log rotation, by step.");
    this.#pruned = metrics.counter("holdfast_log_pruned_bytes_total", "Bytes of old logs that were removed.");
    this.#compressor = new LogCompressor({ files, logger: this.#logger, failures: this.#failures });
    this.#rotator = {
      runtime,
      files,
      clock,
      compressor: this.#compressor,
      policy: this.#rotation,
      publish: this.#publish,
    };
    const { ownsPod } = options;
    this.#pruner = {
      files,
      podLogsDir: options.podLogsDir ?? "/var/log/pods",
      ownsPod: (uid) => this.#retentionTargets.has(uid) || ownsPod?.(uid) === true,
      policy: resolveLogRetentionPolicy(options.retention),
      publish: this.#publish,
    };
    const shared = { clock, logger: this.#logger };
    this.#looking = new PeriodicLoop({
      ...shared,
      name: this.name,
      periodMs: () => this.#pauseMs(),
      work: (signal) => this.#round(signal),
    });
    this.#pruning = new PeriodicLoop({
      ...shared,
      name: "log-retention",
      periodMs: options.retentionPeriodMs ?? DEFAULT_RETENTION_MS,
      work: async (signal) => void (await this.prune(signal)),
    });
  }

  /** Begins to look. Resolves at once. */
  start(_signal?: AbortSignal): Promise<void> {
    this.#compressor.open();
    if (this.#rotation.maxSizeBytes >= 0) this.#looking.start();
    this.#pruning.start();
    return Promise.resolve();
  }

  /** Waits for rotations under way, at most 5 s. Idempotent. */
  async stop(): Promise<void> {
    await Promise.all([this.#looking.stop(), this.#pruning.stop(), this.#compressor.stop()]);
    const { clock } = this.#options;
    try {
      await withDeadline(clock, STOP_LIMIT_MS, "stopping log rotation", Promise.all(this.#underWay));
    } catch (error) {
      this.#logger.warn("a rotation was left behind", { err: errorText(error) });
    }
    for (const watched of this.#watched.values()) watched[Symbol.dispose]();
    this.#watched.clear();
    this.#listAt = -Infinity;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop();
  }

  /** Fails when containers cannot be listed, or pods' logs cannot be rotated. */
  health(): Health {
    const logs = [...this.#watched.values()].flatMap(({ problem, target }) =>
      problem === undefined ? [] : [`${target.pod}/${target.container}: ${problem}`],
    );
    return { failures: [this.#looking.problem ?? [], this.#pruning.problem ?? [], logs].flat() };
  }

  /** A container was started, or has gone: they are listed within 250 ms. */
  targetsChanged(): void {
    const now = this.#options.clock.monotonic();
    if (now - this.#prunedAt >= RETENTION_AFTER_START_MS) this.#pruning.nudge();
    const listAt = now - this.#listMs + ANNOUNCED_MS;
    if (this.#listAt <= listAt) return;
    this.#listAt = listAt;
    this.#looking.nudge();
  }

  /** Lists, looks at every log at once, and waits for the rotations that come of it. kubelet: rotateLogs. */
  async rotateLogs(signal: AbortSignal = NEVER): Promise<void> {
    await this.#list(signal);
    await this.#look([...this.#watched.values()], signal);
    await Promise.all(this.#underWay);
  }

  /** What retention would remove now, and why. */
  async planRetention(signal: AbortSignal = NEVER): Promise<readonly FolderRetention[]> {
    const targets = await this.#options.targets(signal);
    this.#retentionTargets = new Set(targets.map(({ podUid }) => podUid));
    return planAllRetention(this.#pruner, targets, signal);
  }

  /** Removes what retention does not keep. Returns how many bytes. */
  async prune(signal: AbortSignal = NEVER): Promise<number> {
    // Before the work: one that fails is tried again after the period.
    this.#prunedAt = this.#options.clock.monotonic();
    const bytes = await pruneLogs(this.#pruner, await this.planRetention(signal), signal);
    this.#pruned.inc({}, bytes);
    return bytes;
  }

  /** How many logs there are, how many of them are quiet or being rotated, and what waits. */
  snapshot(): {
    readonly logs: number;
    readonly quiet: number;
    readonly rotating: number;
    readonly compressing: number;
  } {
    const all = [...this.#watched.values()];
    return {
      logs: all.length,
      quiet: all.filter(({ quiet }) => quiet !== undefined).length,
      rotating: all.filter((one) => one.rotating).length,
      compressing: this.#compressor.waiting,
    };
  }

  async #round(signal: AbortSignal): Promise<void> {
    const now = this.#options.clock.monotonic() + EARLY_MS;
    // Whoever filled the disk did it since the figures were read before.
    const sinceMs = now - this.#freeAt;
    const fell = await this.#spaceFell(signal);
    // One that was only just started is in no list yet.
    if (fell || now - this.#listAt >= this.#listMs) await this.#list(signal);
    const all = [...this.#watched.values()];
    if (!fell) {
      await this.#look(
        all.filter(({ nextLookAt }) => nextLookAt <= now),
        signal,
      );
      return;
    }
    const wasLogs = await this.#look(all, signal, sinceMs);
    // Somebody else fills the disk: looking at every log each second does not help.
    this.#fellPauseMs = wasLogs ? FREE_SPACE_MS : Math.min(this.#fellPauseMs * 2, this.#intervalMs);
    this.#nextFellAt = now + this.#fellPauseMs;
  }

  #pauseMs(): number {
    const now = this.#options.clock.monotonic();
    const freeAt = this.#options.filesystem === undefined ? Infinity : this.#freeAt + FREE_SPACE_MS;
    let next = Math.min(this.#listAt + this.#listMs, freeAt);
    for (const { nextLookAt, rotating } of this.#watched.values())
      if (!rotating) next = Math.min(next, nextLookAt);
    return Math.min(Math.max(next - now, FASTEST_LOOK_MS), this.#listMs);
  }

  async #list(signal: AbortSignal): Promise<void> {
    const now = this.#options.clock.monotonic();
    // Before the call: one that fails is tried again after the interval.
    this.#listAt = now;
    const targets = await this.#options.targets(signal);
    const running = new Set<string>();
    for (const target of targets) {
      if (!target.running) continue;
      running.add(target.containerId);
      const known = this.#watched.get(target.containerId);
      if (known === undefined) this.#watched.set(target.containerId, new WatchedLog(target, now));
      else known.target = target;
    }
    for (const [id, watched] of this.#watched) {
      if (running.has(id)) continue;
      watched[Symbol.dispose]();
      this.#watched.delete(id);
    }
  }

  /** Whether something took more than a log may hold since the last time. */
  async #spaceFell(signal: AbortSignal): Promise<boolean> {
    const { clock, filesystem } = this.#options;
    const now = clock.monotonic();
    if (filesystem === undefined || now + EARLY_MS - this.#freeAt < FREE_SPACE_MS) return false;
    this.#freeAt = now;
    const before = this.#freeBytes;
    try {
      const read = filesystem(this.#pruner.podLogsDir);
      const figures = await withDeadline(clock, FREE_SPACE_MS, "reading free space", read);
      this.#freeBytes = figures.availableBytes;
    } catch {
      signal.throwIfAborted();
      this.#freeBytes = undefined; // the looks at each log go on without it
    }
    if (before === undefined || this.#freeBytes === undefined || now < this.#nextFellAt) return false;
    return before - this.#freeBytes >= this.#rotation.maxSizeBytes;
  }

  /** Looks at logs, and begins to rotate those that are due. Returns whether some were. */
  async #look(due: readonly WatchedLog[], signal: AbortSignal, sinceMs: number = Infinity): Promise<boolean> {
    const { clock, files } = this.#options;
    let found = false;
    for (const watched of due) {
      signal.throwIfAborted();
      if (watched.rotating) {
        found = true;
        continue;
      }
      const bytes = await files.size(watched.path).catch(() => undefined);
      const now = clock.monotonic();
      watched.reckon(bytes ?? 0, now, sinceMs);
      this.#schedule(watched, bytes ?? 0);
      if (bytes !== undefined && bytes < this.#rotation.maxSizeBytes) {
        if (watched.isIdle) await this.#waitForWrite(watched, bytes);
        continue;
      }
      found ||= bytes !== undefined;
      this.#rotate(watched, bytes === undefined, signal);
    }
    return found;
  }

  #schedule(watched: WatchedLog, bytes: number): void {
    const limits = { fastestMs: FASTEST_LOOK_MS, slowestMs: this.#intervalMs };
    watched.schedule(bytes, this.#options.clock.monotonic(), this.#rotation.maxSizeBytes, limits);
  }

  /** Nobody writes to it: instead of looking again and again, the next write is waited for. */
  async #waitForWrite(watched: WatchedLog, bytes: number): Promise<void> {
    const { clock, files } = this.#options;
    if (!watched.tells) return;
    if (watched.quiet === undefined) {
      const watch = files.watch?.(watched.path, () => this.#disturbed(watched));
      if (watch === undefined) return;
      watched.quiet = watch;
      // Between the look and the watch somebody may have written.
      const now = await files.size(watched.path).catch(() => undefined);
      if (watched.quiet !== watch) return;
      if (now !== bytes) {
        watched.disturb(clock.monotonic());
        return;
      }
    }
    watched.nextLookAt = clock.monotonic() + SAFETY_MS;
  }

  /** Also when its container has ended: then the list does not have it any more. */
  #disturbed(watched: WatchedLog): void {
    if (watched.quiet === undefined) return;
    watched.disturb(this.#options.clock.monotonic());
    this.#listAt = -Infinity;
    this.#looking.nudge();
  }

  /** Not waited for: other logs are looked at meanwhile. */
  #rotate(watched: WatchedLog, missing: boolean, signal: AbortSignal): void {
    watched.rotating = true;
    const work = this.#limiter
      .run(() => this.#rotateNow(watched, missing, signal), { signal })
      .catch(() => undefined)
      .finally(() => {
        watched.rotating = false;
        this.#underWay.delete(work);
        // The pause was reckoned without it.
        this.#looking.nudge();
      });
    this.#underWay.add(work);
  }

  async #rotateNow(watched: WatchedLog, missing: boolean, signal: AbortSignal): Promise<void> {
    const { target } = watched;
    const { clock, files } = this.#options;
    try {
      // kubelet: a log that is missing is made by the runtime, and looked at again.
      if (missing) await reopenLog(this.#rotator, target, signal);
      if (await rotateLog(this.#rotator, target, signal)) {
        this.#rotations.inc();
        // How fast it grows is known: it is looked at when it will be full again.
        const bytes = (await files.size(watched.path)) ?? 0;
        this.#schedule(watched, bytes);
      }
      watched.problem = undefined;
    } catch (error) {
      if (signal.aborted) return;
      // The container went while its log was looked at; the next list does not have it.
      if (isNotFound(error)) watched.nextLookAt = clock.monotonic() + this.#intervalMs;
      else this.#failed(watched, errorText(error));
    }
  }

  #failed(watched: WatchedLog, problem: string): void {
    const { path, target } = watched;
    this.#failures.inc({ step: "rotate" });
    watched.nextLookAt = this.#options.clock.monotonic() + this.#intervalMs;
    if (watched.problem === undefined) {
      this.#logger.warn("log could not be rotated", { path, err: problem });
      this.#publish.publish(LogRotationFailed, { path, error: problem }, { subject: subjectOf(target) });
    }
    watched.problem = problem;
  }
}

const NEVER: AbortSignal = new AbortController().signal;
