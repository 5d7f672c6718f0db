// SPDX-License-Identifier: Apache-2.0

/**
 * One probe of one container. kubelet: prober.worker.
 *
 * Owns: the state of the container instance that it watches, its next moment, its attempts. Reads: the target, at each look.
 * Invariants: nothing is asked twice at once; a new container id begins anew; a look at an unchanged container asks nothing before its
 * time. Lost on a crash: what was not worth a write: thresholds of the last second.
 */
import { clampedAge } from "@holdfast/core/clock";
import { isSidecar } from "@holdfast/core/pod";
import type { Container, Pod } from "@holdfast/core/pod-types";
import { buildProbeRequest } from "./build-probe-request.ts";
import type { ProbeRequest } from "./build-probe-request.ts";
import { restartsAll, wouldRestart } from "./compute-restart.ts";
import { computeStep } from "./compute-step.ts";
import type { ProbedRecord, Step } from "./compute-step.ts";
import { computeFirstState, computeVerdict, RAN_BEFORE_MS, UNKNOWN_STATE } from "./compute-verdict.ts";
import type { ProbeState } from "./compute-verdict.ts";
import { eventOf, firstLine, verdictOf, withoutQuotes } from "./outcome.ts";
import type { ProbeOutcome } from "./outcome.ts";
import { ProbeAttempts } from "./probe-attempts.ts";
import { WorkerCounts } from "./probe-exposition.ts";
import type { ProbeKind, ProbeSpec } from "./probe-spec.ts";
import type { TimerEntry } from "./timer-heap.ts";
import type { RestoredVerdict, VerdictKey } from "./verdict-store.ts";
import type { WorkerHost } from "./worker-host.ts";

/** Who a worker is. */
export interface WorkerIdentity {
  readonly pod: Pod;
  readonly container: Container;
  readonly kind: ProbeKind;
  readonly spec: ProbeSpec;
}

/** `idle`: nothing to ask; `delayed`: not yet; `probing`: the next probe has its time. */
type Mode = "idle" | "delayed" | "probing";

const MAX_AGE_MS = 10 * 365 * 86_400_000;
const IDLE_GRAIN_MS = 250;

/** See the top of the file. */
export class ProbeWorker implements TimerEntry {
  readonly pod: Pod;
  readonly container: Container;
  readonly kind: ProbeKind;
  readonly spec: ProbeSpec;
  readonly podUid: string;
  readonly containerName: string;
  readonly counts: WorkerCounts = new WorkerCounts();
  /** The worker of the same container's startup probe, while there is one. */
  startup: ProbeWorker | undefined;
  heapIndex = -1;
  dueAt = 0;
  readonly #host: WorkerHost;
  readonly #attempts: ProbeAttempts;
  #containerId: string | undefined;
  #state: ProbeState = UNKNOWN_STATE;
  #mode: Mode = "idle";
  #ended = false;
  /** Monotonic; undefined until the container runs. */
  #startedAt: number | undefined;
  #ranBefore = false;
  #spread = false;
  #lastLookAt: number | undefined;
  /** When the probe under way, or the next one, is or was due. */
  #base = 0;
  /** The same by the rhythm alone, not rounded up to what wakes together: else each round would add to the next. */
  #beat = 0;
  #request: ProbeRequest | undefined;
  #requestIp: string | undefined;
  #verdictSince = 0;
  #probedAt: number | undefined;
  #restored: RestoredVerdict | undefined;
  #lastProblem = "";

  constructor(identity: WorkerIdentity, host: WorkerHost) {
    this.pod = identity.pod;
    this.container = identity.container;
    this.kind = identity.kind;
    this.spec = identity.spec;
    this.podUid = identity.pod.metadata.uid;
    this.containerName = identity.container.name;
    this.#host = host;
    this.#attempts = new ProbeAttempts(host.tools, this.podUid, identity.spec.timeoutMs, (outcome) =>
      this.#onOutcome(outcome),
    );
  }

  get containerId(): string | undefined {
    return this.#containerId;
  }
  get state(): ProbeState {
    return this.#state;
  }
  get ended(): boolean {
    return this.#ended;
  }
  /** The container ran before the manager was made, and nothing was kept about it. */
  get ranBefore(): boolean {
    return this.#ranBefore;
  }
  /** Monotonic milliseconds of the last probe that had a verdict; before any, of the one that was restored. */
  get probedAt(): number | undefined {
    return this.#probedAt;
  }
  /** Monotonic milliseconds since which the verdict holds. */
  get verdictSince(): number {
    return this.#verdictSince;
  }
  get restored(): boolean {
    return this.#restored !== undefined;
  }
  /** What the last probe that was no success came to; "" when there was none for this container. */
  get lastProblem(): string {
    return this.#lastProblem;
  }
  /** Where its verdict is kept. */
  get key(): VerdictKey {
    return { podUid: this.podUid, container: this.containerName, kind: this.kind };
  }

  /** Looks at the container; asks only when something changed. Cheap, and may be called at any time. */
  look(): void {
    this.#look(false);
  }

  /** The next moment has come. */
  onDue(): void {
    this.#base = this.dueAt;
    this.#look(true);
  }

  /** Ends for good: nothing is asked and nothing is known any more. */
  end(): void {
    if (this.#ended) return;
    this.#ended = true;
    this.#attempts.cancel();
    this.#host.tools.timers.disarm(this);
    this.#host.onEnded(this);
  }

  /** Lets go without forgetting: the manager stops. */
  pause(): void {
    this.#attempts.cancel();
    this.#host.tools.timers.disarm(this);
    this.#mode = "idle";
  }

  #look(isDue: boolean): void {
    if (this.#ended) return;
    const now = this.#host.tools.clock.monotonic();
    const runtime = this.#host.target.runtimeStatus(this.podUid);
    const record = newestOf(runtime?.containers, this.containerName);
    if (record !== undefined && record.id !== this.#containerId) this.#adopt(record);
    if (record?.state === "running" && this.#startedAt === undefined) this.#noteStart(record, now);
    this.#lastLookAt = now;
    if (!this.#host.isRunning()) return;
    const comesBack =
      record?.state !== "exited" ||
      wouldRestart(this.pod, this.container, record.exitCode) ||
      restartsAll(this.pod, runtime?.containers ?? []);
    this.#apply(this.#step(record, comesBack, now), now, isDue, runtime?.ips[0]);
  }

  #step(record: ProbedRecord | undefined, comesBack: boolean, now: number): Step {
    return computeStep({
      kind: this.kind,
      podEnded: this.#host.podEnded(this.podUid),
      record,
      wouldRestart: comesBack,
      onHold: this.#state.onHold,
      deleted: this.pod.metadata.deletionTimestamp !== undefined,
      started: this.#isStarted(),
      initialDelayMs: this.spec.initialDelayMs,
      runningForMs: now - (this.#startedAt ?? now),
    });
  }

  /** kubelet: `status.started`. */
  #isStarted(): boolean {
    const { startup } = this;
    if (this.kind !== "startup") {
      if (startup === undefined) return true;
      if (startup.containerId === this.#containerId && startup.state.verdict !== undefined)
        return startup.state.verdict === "success";
    }
    return this.#containerId !== undefined && this.#host.wasStarted(this, this.#containerId);
  }

  #apply(step: Step, now: number, isDue: boolean, ip: string | undefined): void {
    if (step.action === "probe") {
      if (this.#attempts.busy || (this.#mode === "probing" && !isDue)) return;
      if (this.#spread) this.#waitAtRandom(now);
      else this.#probe(now, isDue, ip);
      return;
    }
    this.#attempts.cancel();
    if (step.action === "wait") {
      this.#mode = "delayed";
      this.#host.tools.timers.arm(this, now + step.ms, 1);
    } else if (step.action === "idle" || step.action === "fail") {
      if (step.action === "fail" && this.#state.verdict !== "failure") this.#setDown();
      this.#mode = "idle";
      const recheckMs = Math.max(this.#host.idleRecheckMs, this.spec.periodMs);
      this.#host.tools.timers.arm(this, now + recheckMs, IDLE_GRAIN_MS);
    } else this.end();
  }

  /** The container has ended, and nothing changes that: told by nobody, for whoever reads verdicts sees that too. */
  #setDown(): void {
    this.#state = { ...this.#state, verdict: "failure" };
    this.#verdictSince = this.#host.tools.clock.monotonic();
  }

  #waitAtRandom(now: number): void {
    this.#spread = false;
    this.#mode = "probing";
    const windowMs = Math.min(this.#periodMs(), this.#host.restartSpreadMs);
    this.#beat = now + this.#host.random() * windowMs;
    this.#host.tools.timers.arm(this, this.#beat, 1);
  }

  #probe(now: number, isDue: boolean, ip: string | undefined): void {
    // After a delay or a change there is no rhythm yet: it begins here.
    if (!isDue || this.#mode !== "probing") this.#base = this.#beat = now;
    this.#mode = "probing";
    const podIp = ip ?? this.#host.hostIp(this.pod);
    if (this.#request === undefined || this.#requestIp !== podIp) {
      this.#requestIp = podIp;
      this.#request = buildProbeRequest({
        container: this.container,
        spec: this.spec,
        containerId: this.#containerId ?? "",
        podIp,
        userAgent: this.#host.userAgent,
      });
    }
    this.#attempts.begin(this.#request, this.#base);
  }

  #onOutcome(given: ProbeOutcome): void {
    if (this.#ended) return;
    const outcome = this.#host.probeOutput ? given : withoutQuotes(given);
    const problem = eventOf(this.kind, outcome);
    if (problem !== undefined) this.#lastProblem = firstLine(problem.message);
    const result = verdictOf(outcome);
    this.counts.count(result, this.#attempts.elapsedMs);
    if (result !== undefined) {
      this.#probedAt = this.#host.tools.clock.monotonic();
      const before = this.#state;
      const after = computeVerdict(before, result, this.kind, this.spec);
      this.#restored = undefined;
      if (after !== before) {
        this.#state = after;
        if (after.verdict !== before.verdict) this.#verdictSince = this.#probedAt;
        this.#host.onState(this, before, outcome);
      }
    }
    if (problem !== undefined) this.#host.onProblem(this, outcome, problem);
    this.#armNext();
  }

  /** A beat that was missed while the probe was under way comes at once. */
  #armNext(): void {
    if (this.#ended) return;
    if (this.#state.onHold) {
      this.#look(false);
      return;
    }
    const now = this.#host.tools.clock.monotonic();
    const periodMs = this.#periodMs();
    const next = this.#beat + periodMs;
    const { timers } = this.#host.tools;
    this.#beat = Math.max(next, now);
    if (next > now) timers.arm(this, next, Math.min(this.#host.grainMs, periodMs / 10));
    else timers.arm(this, now, 1);
  }

  #periodMs(): number {
    const { unreadyPeriodMs, periodMs } = this.spec;
    return this.kind === "liveness" || this.#state.verdict === "success" ? periodMs : unreadyPeriodMs;
  }

  /** Another container than the one before. */
  #adopt(record: ProbedRecord): void {
    this.#attempts.cancel();
    const previousId = this.#containerId;
    this.#containerId = record.id;
    this.#request = undefined;
    this.#startedAt = undefined;
    this.#spread = false;
    this.#lastProblem = "";
    this.#mode = "idle";
    const now = this.#host.tools.clock.monotonic();
    const restored = this.#host.restore(this, record.id);
    if (record.state === "running") this.#noteStart(record, now);
    const ranLong = this.#startedAt !== undefined && this.#startedAt < this.#host.createdAt - RAN_BEFORE_MS;
    this.#ranBefore = ranLong && restored === undefined;
    const startedSidecar = isSidecar(this.container) && this.#host.wasStarted(this, record.id);
    this.#restored = restored;
    this.#state = computeFirstState({
      kind: this.kind,
      restored: restored?.state,
      ranBefore: ranLong,
      startedSidecar,
      failureThreshold: this.spec.failureThreshold,
    });
    this.#probedAt = restored?.probedAt;
    this.#verdictSince = this.#probedAt ?? now;
    this.#host.onAdopted(this, previousId);
  }

  /**
   * When it started, on the clock that is never stepped. It cannot have started before our last look, which did not show it: so a stepped wall
   * clock neither ends a delay early nor makes it longer.
   */
  #noteStart(record: ProbedRecord, now: number): void {
    const { wall, createdAt } = this.#host;
    const oldest = this.#lastLookAt === undefined ? MAX_AGE_MS : now - this.#lastLookAt;
    this.#startedAt = now - clampedAge(wall, record.startedAt, oldest);
    this.#spread = this.#startedAt < createdAt;
  }
}

/**
 * The one that runs, else the newest: a newer one that does not run beside it is what a create has left whose caller had died, and the status is that of the
 * other one too.
 */
function newestOf(containers: readonly ProbedRecord[] | undefined, name: string): ProbedRecord | undefined {
  let newest: ProbedRecord | undefined;
  if (containers !== undefined)
    for (const record of containers) {
      if (record.name !== name) continue;
      if (record.state === "running") return record;
      newest ??= record;
    }
  return newest;
}
