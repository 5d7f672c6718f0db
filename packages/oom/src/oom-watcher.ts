// SPDX-License-Identifier: Apache-2.0

/**
 * Tells who was killed for want of memory.
 *
 *   /dev/kmsg -> KmsgReader -> OomAssembler -> queue -> lookup -> oom/ContainerOOM, oom/SystemOOM, oom/ProcessOOM
 *   containerd's events, exits with 137 -> settle (2 s) -> counters -> compareWitnesses -> the same, oomwatch/WitnessesDisagree
 *
 * Owns: the reader, the kills that wait, what is remembered of containers. Reads: the kernel's log, cgroup counters when asked, the lookup.
 * Invariants: a kill is told once; no container is named that the kernel did not name; kills are told in the kernel's order; every queue
 * and map is bounded; without the log the other witnesses still speak, and health says so.
 * Lost on a crash: kills since the last one told, unless the next run replays (OomWatcherOptions.replay).
 */
import { nullPublisher } from "@holdfast/bus";
import type { Publisher, Subject } from "@holdfast/bus";
import type { Timer } from "@holdfast/core/clock";
import { errorText } from "@holdfast/core/errors";
import { linkSignal, withDeadline } from "@holdfast/core/lifecycle";
import type { Component, Health, LinkedSignal } from "@holdfast/core/lifecycle";
import { silentLogger } from "@holdfast/core/log";
import type { Logger } from "@holdfast/core/log";
import { noMetrics } from "@holdfast/core/metrics";
import { parseCgroupOwner } from "./cgroup-path.ts";
import { compareWitnesses } from "./compare-witnesses.ts";
import { ContainerMemory } from "./container-memory.ts";
import type { RememberedContainer } from "./container-memory.ts";
import { describeKill, isSystemOom, limitOf } from "./describe-kill.ts";
import { ContainerOOM, KmsgChanged, KmsgGap, ProcessOOM, SystemOOM, WitnessesDisagree } from "./events.ts";
import { KmsgReader } from "./kmsg-reader.ts";
import { OomAssembler } from "./oom-assembler.ts";
import type { OomFact } from "./oom-assembler.ts";
import { OomMetrics } from "./oom-metrics.ts";
import { replayAfter } from "./options.ts";
import type { OomWatcherOptions } from "./options.ts";
import type { OomContainer, OomTaskEvent } from "./ports.ts";

const SIGKILLED = 137;
/** A pid names a process for so long after its exit; then it may be another's. */
const PID_FRESH_MS = 5000;
/** Just under the time between two looks while a report is open: a timer may come early by a fraction. */
const LOST_AFTER_MS = 900;

/** kubelet: oomWatcher, and cAdvisor's OOM counter. */
export class OomWatcher implements Component {
  readonly name = "oom-watcher";
  readonly #options: OomWatcherOptions;
  readonly #publish: Publisher;
  readonly #logger: Logger;
  readonly #metrics: OomMetrics;
  readonly #reader: KmsgReader;
  readonly #assembler = new OomAssembler();
  readonly #memory: ContainerMemory;
  readonly #settling = new Map<string, Timer>();
  readonly #queue: OomFact[] = [];
  #working: Promise<void> | undefined;
  /** Monotonic: since when a report is open without its kill line. */
  #pendingSince: number | undefined;
  #lastGapAt: number | undefined;
  #link: LinkedSignal | undefined;

  constructor(options: OomWatcherOptions) {
    this.#options = options;
    this.#publish = options.publish ?? nullPublisher;
    this.#logger = options.logger ?? silentLogger;
    this.#metrics = new OomMetrics(options.metrics ?? noMetrics, options.maxLabelSets ?? 500);
    this.#memory = new ContainerMemory(options.memoryCapacity ?? 1024);
    this.#reader = new KmsgReader({
      device: options.device,
      clock: options.clock,
      ...(options.periodMs === undefined ? {} : { periodMs: options.periodMs }),
      isHalfway: () => this.#assembler.isPending,
      afterSequence: replayAfter(options.replay, options.bootId),
      onRecord: (record) => {
        this.#metrics.records.inc();
        for (const fact of this.#assembler.push(record)) this.#enqueue(fact);
      },
      onGap: (lost) => this.#gap(lost),
      onDrained: () => this.#drained(),
      onProblem: (problem) => this.#problemChanged(problem),
    });
  }

  /** Resolves when the log was read once. A log that cannot be read is no failure: see {@link OomWatcher.health}. */
  async start(signal?: AbortSignal): Promise<void> {
    if (this.#link !== undefined) return;
    signal?.throwIfAborted();
    this.#link = linkSignal();
    await this.#reader.start(signal);
  }

  async stop(): Promise<void> {
    const link = this.#link;
    this.#link = undefined;
    for (const timer of this.#settling.values()) timer.cancel();
    this.#settling.clear();
    await this.#reader.stop();
    link?.abort(new Error("oom-watcher stops"));
    this.#queue.length = 0;
    await this.#working;
  }

  health(): Health {
    const { problem } = this.#reader;
    if (problem === undefined) return { failures: [] };
    return {
      failures: [
        `the kernel's log cannot be read (${problem}): OOM kills are told from cgroup counters and containerd's events only, without the victim's name`,
      ],
    };
  }

  /** For the debug page and failing tests. */
  snapshot(): Readonly<Record<string, unknown>> {
    return {
      lastSequence: this.#reader.lastSequence,
      problem: this.#reader.problem,
      waiting: this.#queue.length,
      settling: this.#settling.size,
      remembered: this.#memory.size,
    };
  }

  /** Reads what the log has now and tells it: resolves when the bus has it. */
  async drain(): Promise<void> {
    await this.#reader.poke();
    await this.#working;
  }

  /**
   * Says who a container is: its names, its main process, its cgroup. Call it with `isNew` for one that was just created, and without for what
   * runs already when the agent starts: then its counter is read, so that kills before now are not told as new. Never rejects.
   */
  async remember(
    container: OomContainer,
    { isNew = false }: { readonly isNew?: boolean } = {},
  ): Promise<void> {
    const entry = this.#memory.touch(container.containerId);
    entry.facts = container;
    entry.pid = container.pid ?? entry.pid;
    entry.cgroupPath = container.cgroupPath ?? entry.cgroupPath;
    if (isNew) entry.baseline ??= 0;
    if (entry.baseline !== undefined) return;
    const count = await this.#count(entry.cgroupPath);
    // What the kernel counts from now on is new, whatever was told meanwhile.
    entry.baseline ??= count;
  }

  /** Whether the container was heard of, so that nothing has to be asked about it. */
  knows(containerId: string): boolean {
    const entry = this.#memory.peek(containerId);
    return entry?.facts !== undefined && entry.baseline !== undefined;
  }

  /** Whether an event of containerd has told the container's end. */
  sawExit(containerId: string): boolean {
    return this.#memory.peek(containerId)?.exitedAt !== undefined;
  }

  /** containerd's events: main processes are learnt, and `/tasks/oom` is a witness. Never throws, never waits. */
  observe(event: OomTaskEvent): void {
    // containerd 1.6 tells a kill without naming a process.
    if (event.topic !== "/tasks/oom" && event.id !== event.containerId) return;
    const entry = this.#memory.touch(event.containerId);
    switch (event.topic) {
      case "/tasks/start":
        entry.pid = event.pid;
        // A cgroup that was just made has counted nothing.
        entry.baseline = 0;
        return;
      case "/tasks/exit":
        entry.exitedAt = this.#options.clock.monotonic();
        // The cgroup goes within milliseconds: before anybody else is told.
        this.noteExit(event.containerId, event.exitStatus);
        return;
      case "/tasks/oom":
        entry.containerd += 1;
        this.#askOthers(event.containerId);
        return;
      case "/tasks/delete":
        return;
      default:
        event.topic satisfies never;
    }
  }

  /** A container ended: the log is looked at. After 137 the other witnesses are asked: its counter at once, as the cgroup soon goes. */
  noteExit(containerId: string, exitCode: number | undefined): void {
    if (this.#link === undefined) return;
    if (exitCode === SIGKILLED) {
      this.#memory.touch(containerId).ended = true;
      this.#askOthers(containerId);
    } else void this.#reader.poke();
  }

  /** The log and the counter now, and a comparison when all have had their time. */
  #askOthers(containerId: string): void {
    if (this.#link === undefined) return;
    void this.#reader.poke();
    void this.#noteCount(containerId);
    this.#settle(containerId);
  }

  #gap(lost: number): void {
    for (const fact of this.#assembler.gap()) this.#enqueue(fact);
    this.#metrics.lost.inc({}, lost);
    this.#lastGapAt = this.#options.clock.monotonic();
    this.#logger.warn("records of the kernel's log were lost", { lost });
    this.#publish.publish(KmsgGap, { lost }, this.#onNode());
  }

  /** The kill line follows its summary within microseconds: what is pending for a second has lost it. */
  #drained(): void {
    const now = this.#options.clock.monotonic();
    if (now - (this.#pendingSince ?? now) >= LOST_AFTER_MS)
      for (const fact of this.#assembler.flush()) this.#enqueue(fact);
    this.#pendingSince = this.#assembler.isPending ? (this.#pendingSince ?? now) : undefined;
  }

  #problemChanged(problem: string | undefined): void {
    if (problem !== undefined) this.#logger.warn("the kernel's log cannot be read", { problem });
    this.#publish.publish(KmsgChanged, { problem }, this.#onNode());
  }

  #onNode(podUid?: string): { readonly subject: Subject } {
    const { nodeName } = this.#options;
    return {
      subject: {
        ...(nodeName === undefined ? {} : { node: nodeName }),
        ...(podUid === undefined ? {} : { podUid, ...this.#podName(podUid) }),
      },
    };
  }

  #ownsPod(podUid: string | undefined): boolean {
    return podUid !== undefined && (this.#options.lookup?.ownsPod?.(podUid) ?? true);
  }

  #podName(podUid: string): { readonly pod?: string } {
    const pod = this.#options.lookup?.podName?.(podUid);
    return pod === undefined ? {} : { pod };
  }

  #enqueue(fact: OomFact): void {
    if (this.#queue.length >= (this.#options.queueCapacity ?? 1024)) {
      this.#metrics.dropped.inc();
      return;
    }
    this.#queue.push(fact);
    this.#working ??= this.#work();
  }

  async #work(): Promise<void> {
    for (let fact = this.#queue.shift(); fact !== undefined; fact = this.#queue.shift())
      await this.#tell(fact);
    this.#working = undefined;
  }

  async #tell(fact: OomFact): Promise<void> {
    const killedAt =
      this.#options.clock.now() - Math.max(this.#options.device.uptimeMs() - fact.timestampUs / 1000, 0);
    const owner = fact.taskCgroup === undefined ? undefined : parseCgroupOwner(fact.taskCgroup);
    const containerId = owner?.containerId ?? this.#containerOfPid(fact);
    const facts = containerId === undefined ? undefined : await this.#find(containerId);
    if (this.#link === undefined) return;
    const isOurs = facts !== undefined && (owner?.podUid === undefined || owner.podUid === facts.podUid);
    const entry = containerId === undefined ? undefined : this.#memory.peek(containerId);
    const data = describeKill(fact, this.#mainPidOf(entry, facts), killedAt);
    const causes: number[] = [];
    if (isSystemOom(fact)) {
      this.#metrics.system.inc();
      const { mainProcess: _, ...system } = data;
      causes.push(this.#publish.publish(SystemOOM, system, this.#onNode()));
    }
    if (containerId !== undefined && (isOurs || this.#ownsPod(owner?.podUid))) {
      const remembered = this.#memory.touch(containerId);
      remembered.kmsg += 1;
      remembered.hadGroupKill ||= fact.isGroupMember;
      if (limitOf(fact) === "container") remembered.ownCgroup += 1;
      const named = isOurs ? facts : undefined;
      if (isOurs && !fact.isGroupMember) this.#metrics.container(facts);
      this.#publish.publish(ContainerOOM, data, {
        ...this.#subject(containerId, named, owner?.podUid),
        causes,
      });
    } else if (!isSystemOom(fact)) this.#publish.publish(ProcessOOM, data, this.#onNode(owner?.podUid));
  }

  #subject(
    containerId: string,
    facts: OomContainer | undefined,
    podUid: string | undefined,
  ): { readonly subject: Subject } {
    if (facts !== undefined) {
      const { pod, container } = facts;
      return { subject: { podUid: facts.podUid, pod, container, containerId } };
    }
    return {
      subject: { containerId, ...(podUid === undefined ? {} : { podUid, ...this.#podName(podUid) }) },
    };
  }

  /** Undefined where the log's pids cannot be compared with the runtime's. */
  #mainPidOf(entry: RememberedContainer | undefined, facts: OomContainer | undefined): number | undefined {
    return this.#options.device.foreignPids === true ? undefined : (entry?.pid ?? facts?.pid);
  }

  /** A kill without a cgroup: old kernels' machine OOMs, and reports that the rate limit cut. The victim may be a known main process. */
  #containerOfPid(fact: OomFact): string | undefined {
    if (this.#options.device.foreignPids === true) return undefined;
    return this.#memory.byPid(fact.pid, this.#options.clock.monotonic() - PID_FRESH_MS);
  }

  async #find(containerId: string): Promise<OomContainer | undefined> {
    const { lookup, clock, lookupTimeoutMs = 2000 } = this.#options;
    const known = this.#memory.peek(containerId);
    if (known?.facts !== undefined) return known.facts;
    if (lookup === undefined || this.#link === undefined) return undefined;
    using link = linkSignal(this.#link.signal);
    try {
      const found = await withDeadline(
        clock,
        lookupTimeoutMs,
        `looking up container ${containerId}`,
        lookup.find(containerId, link.signal),
      );
      if (found !== undefined) {
        const entry = this.#memory.touch(containerId);
        entry.facts = found;
        entry.pid ??= found.pid;
        entry.cgroupPath ??= found.cgroupPath;
      }
      return found;
    } catch (error) {
      link.abort();
      this.#logger.warn("an OOM kill's container could not be looked up", {
        containerId,
        err: errorText(error),
      });
      return undefined;
    }
  }

  async #noteCount(containerId: string): Promise<void> {
    const entry: RememberedContainer = this.#memory.touch(containerId);
    // Only who looks the container up knows where its cgroup was.
    if (entry.cgroupPath === undefined) await this.#find(containerId);
    const { ended } = entry;
    const count = await this.#count(entry.cgroupPath);
    if (count === undefined) return;
    entry.lastCount = Math.max(count, entry.lastCount ?? 0);
    entry.isCountFinal ||= ended;
  }

  async #count(cgroupPath: string | undefined): Promise<number | undefined> {
    if (cgroupPath === undefined) return undefined;
    return await this.#options.counters?.read(cgroupPath);
  }

  /** One comparison per container at a time; beyond the memory's bound none is begun. */
  #settle(containerId: string): void {
    if (this.#link === undefined || this.#settling.has(containerId)) return;
    if (this.#settling.size >= (this.#options.memoryCapacity ?? 1024)) return;
    const timer = this.#options.clock.timer(this.#options.settleMs ?? 2000, () => {
      this.#settling.delete(containerId);
      void this.#compare(containerId);
    });
    this.#settling.set(containerId, timer);
  }

  async #compare(containerId: string): Promise<void> {
    await this.drain();
    const facts = await this.#find(containerId);
    const entry = this.#memory.peek(containerId);
    if (entry === undefined || facts === undefined) return;
    const now = await this.#count(entry.cgroupPath);
    const count = now ?? entry.lastCount;
    const isCountFinal = now !== undefined || entry.isCountFinal;
    // Read after the last wait: what was told in between counts.
    if (this.#link === undefined) return;
    // A group kill's first victim is killed, and counted, twice: then the counter says nothing about single kills.
    const isComparable = !entry.hadGroupKill && entry.baseline !== undefined && count !== undefined;
    const since = isComparable ? count - (entry.baseline ?? 0) : undefined;
    const gapAge =
      this.#lastGapAt === undefined ? Infinity : this.#options.clock.monotonic() - this.#lastGapAt;
    const isLogWhole = this.#reader.problem === undefined && gapAge > 60_000;
    const { kmsg, ownCgroup, containerd, told } = entry;
    const verdict = compareWitnesses({
      kmsg,
      ownCgroup,
      cgroup: since,
      isCountFinal,
      containerd,
      told,
      isLogWhole,
    });
    const options = this.#subject(containerId, facts, undefined);
    entry.told += verdict.untold;
    if (verdict.untold > 0) {
      this.#metrics.container(facts);
      this.#publish.publish(ContainerOOM, { witness: verdict.witness }, options);
    }
    if (verdict.disagreement === undefined) return;
    const kind = verdict.disagreement;
    this.#metrics.disagreements.inc({ kind });
    this.#logger.warn("witnesses of an OOM kill disagree", { containerId, kind });
    const counted = since === undefined ? {} : { cgroup: since };
    this.#publish.publish(WitnessesDisagree, { kind, kmsg, containerd, ...counted }, options);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop();
  }
}
