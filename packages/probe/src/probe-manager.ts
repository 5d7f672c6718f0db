// SPDX-License-Identifier: Apache-2.0

/**
 * The probe manager. kubelet: pkg/kubelet/prober.
 *
 *   addPod ──> workers ──> attempts ──> outcome ──> thresholds ──> verdict ──┬─> checkpoint
 *                 ▲  one timer heap        │ prober error: thrown away       ├─> probe/ResultChanged
 *   PLEG events ──┘                        └─> probe/Unhealthy               └─> liveness, readiness, startup (read by others)
 *
 * Owns: workers and their verdicts. Reads: the target (pod cache, status), events as hints to look at once.
 * Invariants: a verdict is on the disk before it is told; only the target's own failures move a verdict; one worker per pod, container and
 * kind; everything is bounded. Lost on a crash: thresholds of the last second; verdicts come back from the checkpoint with their age.
 */
import type { AnyEnvelope, Gap, Subscription } from "@holdfast/bus";
import type { Component, Health } from "@holdfast/core/lifecycle";
import { isSidecar } from "@holdfast/core/pod";
import type { Container, Pod } from "@holdfast/core/pod-types";
import { ProbeResultChanged, ProbeTimingRefused } from "./events.ts";
import { ExecProber } from "./exec-prober.ts";
import { KnownStatuses } from "./known-statuses.ts";
import { resolveOptions } from "./options.ts";
import type { ProbeManagerOptions, ResolvedProbeOptions } from "./options.ts";
import { firstLine } from "./outcome.ts";
import type { ProbeOutcome, ProbeVerdict } from "./outcome.ts";
import { parseProbeTimings, timingFor } from "./parse-probe-timing.ts";
import { PlaceGate } from "./place-gate.ts";
import { probeExposition } from "./probe-exposition.ts";
import { ProbeMetrics } from "./probe-metrics.ts";
import { PROBE_KINDS, probeOf, resolveProbe } from "./probe-spec.ts";
import type { ProbeKind } from "./probe-spec.ts";
import { ProbeWorker } from "./probe-worker.ts";
import { snapshotOf } from "./snapshot.ts";
import type { ProbeSnapshot } from "./snapshot.ts";
import { grainBelow, TimerHeap } from "./timer-heap.ts";
import type { TimerEntry } from "./timer-heap.ts";
import { subjectOf, UnhealthyTeller } from "./unhealthy-teller.ts";
import { VerdictStore } from "./verdict-store.ts";
import type { ProblemText, WorkerHost } from "./worker-host.ts";

const FLUSH_MS = 1000;
/** About so many probes wake the process together: more would be late by one another. */
const TOGETHER = 20;
const WAKE_QUEUE = 1024;

/** See the top of the file. Fills `ProbeVerdicts` of pod status and `ProbeResults` of pod actions. */
export class ProbeManager implements Component {
  readonly name = "probe-manager";
  readonly #options: ResolvedProbeOptions;
  readonly #metrics: ProbeMetrics;
  readonly #timers: TimerHeap;
  readonly #store: VerdictStore;
  readonly #statuses: KnownStatuses;
  readonly #teller: UnhealthyTeller;
  readonly #execGate: PlaceGate;
  readonly #host: WorkerHost;
  readonly #pods = new Map<string, Set<ProbeWorker>>();
  readonly #byContainerId: Readonly<Record<ProbeKind, Map<string, ProbeWorker>>> = {
    startup: new Map(),
    readiness: new Map(),
    liveness: new Map(),
  };
  /** Whose thresholds moved without a verdict: written within a second. */
  readonly #unsaved = new Set<ProbeWorker>();
  readonly #flushing: TimerEntry = { dueAt: 0, heapIndex: -1, onDue: () => this.#flush() };
  /** Containers of which the log has said that their commands leave processes behind. */
  readonly #leftTold = new Set<string>();
  #count = 0;
  /** Probes per millisecond, if all workers were asking. */
  #ratePerMs = 0;
  #dropped = 0;
  #running = false;
  #subscription: Subscription<AnyEnvelope> | undefined;
  #listening: Promise<void> | undefined;

  constructor(options: ProbeManagerOptions) {
    this.#options = resolveOptions(options);
    const { clock, metrics, checkpoint, logger, capacity, publish, target } = this.#options;
    this.#metrics = new ProbeMetrics(metrics);
    this.#timers = new TimerHeap(clock);
    this.#store = new VerdictStore(checkpoint, clock, logger, capacity);
    this.#statuses = new KnownStatuses(target);
    this.#teller = new UnhealthyTeller(publish, clock, this.#options.eventRepeatMs);
    this.#execGate = new PlaceGate(this.#options.parallelExecs, this.#options.parallelExecsPerPod);
    this.#host = this.#makeHost();
  }

  /** Begins to probe what was added, and to listen for events. */
  start(_signal?: AbortSignal): Promise<void> {
    if (this.#running) return Promise.resolve();
    this.#running = true;
    const { bus, wakeOn } = this.#options;
    if (bus !== undefined && wakeOn.length > 0) {
      const subscription = bus.subscribe(wakeOn, {
        name: "probes",
        capacity: WAKE_QUEUE,
        overflow: "latest-by-key",
        keyOf: (event: AnyEnvelope) => event.subject.podUid ?? "",
      }) as Subscription<AnyEnvelope>;
      this.#subscription = subscription;
      this.#listening = this.#listen(subscription);
    }
    for (const workers of this.#pods.values()) for (const worker of workers) worker.look();
    return Promise.resolve();
  }

  /** Gives up every attempt and writes what is known. Verdicts stay readable; `start` goes on. */
  async stop(): Promise<void> {
    if (!this.#running) return;
    this.#running = false;
    this.#subscription?.[Symbol.dispose]();
    await this.#listening;
    for (const worker of this.#workers()) {
      worker.pause();
      // With the age that it has now.
      if (worker.probedAt !== undefined && !worker.restored) this.#save(worker);
    }
    this.#unsaved.clear();
    this.#timers.clear();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop();
  }

  health(): Health {
    const failures: string[] = [];
    if (this.#dropped > 0)
      failures.push(`${this.#dropped} probes are not made: there are ${this.#count}, the most allowed`);
    return { failures };
  }

  /** Makes the workers that are missing, and looks at each at once: what was kept is known when this returns. kubelet: AddPod. */
  addPod(pod: Pod): void {
    const { uid } = pod.metadata;
    const known = this.#pods.get(uid);
    const workers = known ?? new Set<ProbeWorker>();
    const fresh: ProbeWorker[] = [];
    const sidecars = (pod.spec.initContainers ?? []).filter(isSidecar);
    for (const container of [...pod.spec.containers, ...sidecars])
      fresh.push(...this.#addContainer(pod, container, workers));
    if (fresh.length === 0) return;
    if (known === undefined) this.#pods.set(uid, workers);
    this.#metrics.workers(this.#count);
    if (known === undefined) this.#refuseBadTimings(pod);
    for (const worker of fresh) worker.look();
  }

  /** All containers are down: nothing of the pod is probed or kept any more. kubelet: RemovePod. */
  removePod(uid: string): void {
    for (const worker of this.#pods.get(uid) ?? []) worker.end();
    this.#store.removePod(uid);
  }

  /** The pod is being taken down: only readiness is asked on, and everything of sidecars. kubelet: StopLivenessAndStartup. */
  stopLivenessAndStartup(uid: string): void {
    for (const worker of this.#pods.get(uid) ?? [])
      if (worker.kind !== "readiness" && !isSidecar(worker.container)) worker.end();
  }

  /** Ends what belongs to no pod of `desired`, also on the disk. Only once every source was heard. kubelet: CleanupPods. */
  cleanupPods(desired: ReadonlySet<string>): void {
    for (const uid of this.#pods.keys()) if (!desired.has(uid)) this.removePod(uid);
    this.#store.removeOrphans(desired);
  }

  /** Something about the pod may have changed: looks at its containers. Cheap; asks nothing before its time. */
  podChanged(uid: string): void {
    if (!this.#running) return;
    for (const worker of this.#pods.get(uid) ?? []) worker.look();
  }

  /** Whether a probe of this kind watches the container; also before its pod is added, when an earlier process watched it. */
  watches(podUid: string, container: string, kind: ProbeKind): boolean {
    for (const worker of this.#pods.get(podUid) ?? [])
      if (worker.kind === kind && worker.containerName === container) return true;
    return !this.#pods.has(podUid) && this.#store.has({ podUid, container, kind });
  }

  /** By the runtime's container id; `undefined`: no result yet. */
  startup(containerId: string): ProbeVerdict | undefined {
    return this.#verdict("startup", containerId);
  }

  liveness(containerId: string): ProbeVerdict | undefined {
    return this.#verdict("liveness", containerId);
  }

  /**
   * As above. A container that ran before this process, of which no verdict was kept, is as ready as its last status said, until it is
   * probed. kubelet: the restart rule of UpdatePodStatus.
   */
  readiness(containerId: string): ProbeVerdict | undefined {
    const verdict = this.#verdict("readiness", containerId);
    const worker = verdict === undefined ? this.#byContainerId.readiness.get(containerId) : undefined;
    return worker?.ranBefore === true && this.#statuses.wasReady(worker, containerId) ? "success" : verdict;
  }

  /** The pod of a container that is watched. */
  podOf(containerId: string): string | undefined {
    for (const kind of PROBE_KINDS) {
      const worker = this.#byContainerId[kind].get(containerId);
      if (worker !== undefined) return worker.podUid;
    }
    return undefined;
  }

  /** Every probe, or those of one pod, as they stand. */
  snapshot(podUid?: string): readonly ProbeSnapshot[] {
    const workers = podUid === undefined ? this.#workers() : (this.#pods.get(podUid) ?? []);
    return [...workers].map((worker) => snapshotOf(worker, this.#options.clock.monotonic()));
  }

  /** Text for `/metrics/probes`. */
  exposition(): string {
    return probeExposition(this.#workers());
  }

  *#workers(): Generator<ProbeWorker> {
    for (const workers of this.#pods.values()) yield* workers;
  }

  #verdict(kind: ProbeKind, containerId: string): ProbeVerdict | undefined {
    const worker = this.#byContainerId[kind].get(containerId);
    return worker === undefined ? this.#store.verdict(kind, containerId) : worker.state.verdict;
  }

  #addContainer(pod: Pod, container: Container, workers: Set<ProbeWorker>): readonly ProbeWorker[] {
    const fresh: ProbeWorker[] = [];
    let startup = [...workers].find(
      (worker) => worker.container.name === container.name && worker.kind === "startup",
    );
    for (const kind of PROBE_KINDS) {
      const probe = probeOf(container, kind);
      if (probe === undefined) continue;
      if ([...workers].some((worker) => worker.kind === kind && worker.containerName === container.name))
        continue;
      if (this.#count >= this.#options.capacity) {
        this.#dropped += 1;
        this.#metrics.dropped();
        continue;
      }
      const spec = resolveProbe(probe, timingFor(parseProbeTimings(pod, kind), container.name));
      const worker = new ProbeWorker({ pod, container, kind, spec }, this.#host);
      if (kind === "startup") startup = worker;
      else worker.startup = startup;
      workers.add(worker);
      fresh.push(worker);
      this.#count += 1;
      this.#ratePerMs += 1 / spec.periodMs;
    }
    return fresh;
  }

  #refuseBadTimings(pod: Pod): void {
    const { uid, name, namespace } = pod.metadata;
    for (const kind of PROBE_KINDS) {
      const { problem } = parseProbeTimings(pod, kind);
      if (problem === undefined) continue;
      const subject = { podUid: uid, pod: `${namespace}/${name}` };
      this.#options.logger.warn("probe timing refused, the probes' own fields hold", { ...subject, problem });
      const data = { eventType: "Warning", reason: "InvalidProbeTiming", message: problem } as const;
      this.#options.publish.publish(ProbeTimingRefused, data, { subject });
    }
  }

  async #listen(subscription: Subscription<AnyEnvelope>): Promise<void> {
    for await (const event of subscription as AsyncIterable<AnyEnvelope | Gap>) {
      if ("dropped" in event) for (const uid of this.#pods.keys()) this.podChanged(uid);
      else if (event.subject.podUid !== undefined) this.podChanged(event.subject.podUid);
    }
  }

  #makeHost(): WorkerHost {
    const options = this.#options;
    const { clock, target, runtime, handlers, processes, execAnswerGraceMs: answerGraceMs } = options;
    const onLeftBehind = this.#leftBehind.bind(this);
    const exec =
      runtime === undefined
        ? undefined
        : new ExecProber({ runtime, clock, answerGraceMs, processes, onLeftBehind });
    const grainMs = (): number =>
      grainBelow(Math.min(options.coalesceMs, TOGETHER / Math.max(this.#ratePerMs, 1e-6)));
    return {
      tools: {
        clock,
        timers: this.#timers,
        handlers,
        exec,
        execGate: this.#execGate,
        socketGate: new PlaceGate(options.parallelSockets),
        metrics: this.#metrics,
      },
      target,
      wall: clock,
      random: options.random,
      createdAt: clock.monotonic(),
      idleRecheckMs: options.idleRecheckMs,
      restartSpreadMs: options.restartSpreadMs,
      get grainMs() {
        return grainMs();
      },
      userAgent: options.userAgent,
      probeOutput: options.probeOutput,
      isRunning: () => this.#running,
      hostIp: (pod) => (pod.spec.hostNetwork === true ? (target.hostIPs?.()[0] ?? "127.0.0.1") : undefined),
      podEnded: (uid) => this.#statuses.podEnded(uid),
      wasStarted: (worker, id) => this.#statuses.wasStarted(worker, id),
      restore: (worker, id) => this.#store.restored(worker.key, id),
      onAdopted: (worker, previousId) => this.#onAdopted(worker, previousId),
      onState: (worker, before, outcome) => this.#onState(worker, before.verdict, outcome),
      onProblem: (worker, outcome, text: ProblemText) => this.#teller.tell(worker, outcome, text),
      onEnded: (worker) => this.#onEnded(worker),
    };
  }

  #leftBehind(containerId: string, processes: number, ended: number): void {
    this.#metrics.leftBehind(processes, ended);
    const facts = { containerId, processes, ended };
    // Once for each container: what comes after is counted.
    const level = this.#leftTold.has(containerId) ? "debug" : "warn";
    if (this.#leftTold.size >= this.#options.capacity) this.#leftTold.clear();
    this.#leftTold.add(containerId);
    this.#options.logger[level]("a probe's command timed out and left processes behind", facts);
  }

  #onAdopted(worker: ProbeWorker, previousId: string | undefined): void {
    const byId = this.#byContainerId[worker.kind];
    if (previousId !== undefined && byId.get(previousId) === worker) byId.delete(previousId);
    if (previousId !== undefined) this.#leftTold.delete(previousId);
    if (worker.containerId !== undefined) byId.set(worker.containerId, worker);
    this.#store.adopted(worker.key);
  }

  #onState(worker: ProbeWorker, previous: ProbeVerdict | undefined, outcome: ProbeOutcome): void {
    const { kind, containerId, state, podUid, containerName } = worker;
    const { verdict } = state;
    if (verdict === previous || verdict === undefined || containerId === undefined) {
      this.#unsaved.add(worker);
      if (this.#flushing.heapIndex === -1)
        this.#timers.arm(this.#flushing, this.#options.clock.monotonic() + FLUSH_MS, FLUSH_MS / 2);
      return;
    }
    this.#save(worker);
    this.#metrics.changed(kind);
    const output = firstLine(outcome.output);
    this.#options.publish.publish(
      ProbeResultChanged,
      { podUid, container: containerName, containerId, kind, result: verdict, previous, output },
      { subject: subjectOf(worker) },
    );
    if (kind === "startup") this.podChanged(podUid);
  }

  #onEnded(worker: ProbeWorker): void {
    const workers = this.#pods.get(worker.podUid);
    if (workers?.delete(worker) !== true) return;
    if (worker.containerId !== undefined) this.#leftTold.delete(worker.containerId);
    this.#count -= 1;
    this.#ratePerMs = this.#count === 0 ? 0 : this.#ratePerMs - 1 / worker.spec.periodMs;
    if (workers.size === 0) this.#pods.delete(worker.podUid);
    for (const other of workers) if (other.startup === worker) other.startup = undefined;
    const byId = this.#byContainerId[worker.kind];
    if (worker.containerId !== undefined && byId.get(worker.containerId) === worker)
      byId.delete(worker.containerId);
    this.#unsaved.delete(worker);
    this.#teller.forget(worker);
    // One that ended at its first look, as each sync of its pod makes it, has left nothing.
    if (worker.probedAt !== undefined || this.#store.has(worker.key)) this.#store.remove(worker.key);
    this.#metrics.workers(this.#count);
  }

  #flush(): void {
    for (const worker of this.#unsaved) this.#save(worker);
    this.#unsaved.clear();
  }

  #save(worker: ProbeWorker): void {
    const { containerId, probedAt } = worker;
    if (containerId === undefined || probedAt === undefined) return;
    const { clock } = this.#options;
    this.#store.save(worker.key, containerId, worker.state, clock.now() - (clock.monotonic() - probedAt));
  }
}
