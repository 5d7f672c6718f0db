// SPDX-License-Identifier: Apache-2.0

import { Bus, defineEvent } from "@holdfast/bus";
import type { AnyEnvelope } from "@holdfast/bus";
import { ManualClock } from "@holdfast/core/manual-clock";
import { MetricsRegistry } from "@holdfast/core/metrics";
import type { Container, Pod, PodSpec, Probe } from "@holdfast/core/pod-types";
import { ProbeManager } from "@holdfast/probe";
import type {
  HandlerRun,
  KnownPodStatus,
  ProbeCheckpoint,
  ProbedRecord,
  ProbeHandlers,
  ProbeManagerOptions,
  ProbeOutcome,
  SocketProbeRequest,
} from "@holdfast/probe";

export const PodSync = defineEvent<object>()("test/PodSync");

export const SUCCESS: ProbeOutcome = { result: "success", output: "" };
export const FAILURE: ProbeOutcome = { result: "failure", output: "HTTP probe failed with statuscode: 500" };
export const ERROR: ProbeOutcome = {
  result: "unknown",
  output: "",
  error: { why: "runtime", text: "cannot be spawned" },
};

/** An httpGet probe; the port tells handlers which probe asks. */
export const http = (more: Partial<Probe> = {}, port = 80): Probe => ({ httpGet: { port }, ...more });

export function podOf(
  container: Partial<Container>,
  more: {
    readonly uid?: string;
    readonly spec?: Partial<PodSpec>;
    readonly metadata?: Partial<Pod["metadata"]>;
  } = {},
): Pod {
  return {
    apiVersion: "v1",
    kind: "Pod",
    metadata: { name: "web", namespace: "default", uid: more.uid ?? "uid-1", ...more.metadata },
    spec: { containers: [{ name: "app", image: "busybox", ...container }], ...more.spec },
  };
}

/** A checkpoint in memory, handed from one manager to the next. */
export class MemoryCheckpoint implements ProbeCheckpoint {
  readonly map = new Map<string, string>();
  writes = 0;
  set(key: string, value: string): void {
    this.writes += 1;
    this.map.set(key, value);
  }
  delete(key: string): void {
    this.map.delete(key);
  }
  entries(prefix: string): readonly (readonly [string, string])[] {
    return [...this.map].filter(([key]) => key.startsWith(prefix));
  }
}

/** Answers by port; a port without an answer hangs until its time is up. */
export class ScriptedHandlers implements ProbeHandlers {
  readonly answers = new Map<number, ProbeOutcome | (() => ProbeOutcome)>();
  readonly asked: { readonly port: number; readonly at: number; readonly request: SocketProbeRequest }[] = [];
  /** How late the answer to an expiry comes, in turns of the event loop: none. */
  active = 0;
  readonly #clock: ManualClock;

  constructor(clock: ManualClock) {
    this.#clock = clock;
  }

  start(request: SocketProbeRequest, onDone: (outcome: ProbeOutcome) => void): HandlerRun {
    const port = request.handler === "http" ? request.http.port : request.port;
    this.asked.push({ port, at: this.#clock.monotonic(), request });
    this.active += 1;
    let open = true;
    const finish = (outcome: ProbeOutcome): void => {
      if (!open) return;
      open = false;
      this.active -= 1;
      onDone(outcome);
    };
    const answer = this.answers.get(port);
    if (answer !== undefined) queueMicrotask(() => finish(typeof answer === "function" ? answer() : answer));
    return {
      expire: () => finish({ result: "failure", output: "timed out", timedOut: true }),
      cancel: () => {
        if (open) this.active -= 1;
        open = false;
      },
    };
  }

  /** When it was asked, by port. */
  times(port = 80): number[] {
    return this.asked.filter((one) => one.port === port).map(({ at }) => at);
  }
}

/** A probe manager in virtual time, with containers as the test says. */
export class Environment implements AsyncDisposable {
  readonly clock: ManualClock;
  readonly bus: Bus;
  readonly metrics = new MetricsRegistry();
  readonly handlers: ScriptedHandlers;
  readonly checkpoint: MemoryCheckpoint;
  /** Newest first. */
  readonly containers: ProbedRecord[] = [];
  status: KnownPodStatus | undefined;
  ips: string[] = ["10.88.0.2"];
  manager: ProbeManager;
  #seen = 0;
  readonly #options: Partial<ProbeManagerOptions>;

  constructor(
    options: Partial<ProbeManagerOptions> & {
      readonly checkpoint?: MemoryCheckpoint;
      readonly clock?: ManualClock;
    } = {},
  ) {
    this.clock = options.clock ?? new ManualClock();
    this.bus = new Bus({ clock: this.clock, ringSize: 4096 });
    this.handlers = new ScriptedHandlers(this.clock);
    this.checkpoint = options.checkpoint ?? new MemoryCheckpoint();
    this.#options = options;
    this.manager = this.#make();
  }

  #make(): ProbeManager {
    return new ProbeManager({
      clock: this.clock,
      target: {
        runtimeStatus: () => ({ ips: this.ips, containers: this.containers }),
        podStatus: () => this.status,
      },
      handlers: this.handlers,
      checkpoint: this.checkpoint,
      publish: this.bus,
      bus: this.bus,
      wakeOn: [PodSync],
      metrics: this.metrics,
      // Exact times: nothing is rounded up, nothing is spread.
      coalesceMs: 0,
      restartSpreadMs: 0,
      ...this.#options,
    });
  }

  /** As after a crash: nothing is stopped cleanly, and a new process finds what is on the disk. */
  async crash(): Promise<void> {
    const old = this.manager;
    const saved = new Map(this.checkpoint.map);
    await old.stop();
    this.checkpoint.map.clear();
    for (const [key, value] of saved) this.checkpoint.map.set(key, value);
    this.manager = this.#make();
  }

  /** A container runs; tells the manager. */
  async run(id: string, more: Partial<ProbedRecord> = {}): Promise<void> {
    const record: ProbedRecord = {
      id,
      name: "app",
      state: "running",
      startedAt: this.clock.now(),
      exitCode: 0,
      ...more,
    };
    const at = this.containers.findIndex((known) => known.id === id);
    if (at !== -1) this.containers.splice(at, 1);
    this.containers.unshift(record);
    await this.changed();
  }

  async exit(id: string, exitCode = 1): Promise<void> {
    const at = this.containers.findIndex((known) => known.id === id);
    const known = this.containers[at];
    if (known !== undefined) this.containers[at] = { ...known, state: "exited", exitCode };
    await this.changed();
  }

  async changed(podUid = "uid-1"): Promise<void> {
    this.bus.publish(PodSync, {}, { subject: { podUid } });
    await this.clock.settle(4);
  }

  /** Events since the last time. */
  published(): AnyEnvelope[] {
    const fresh = this.bus.recent().filter(({ seq, type }) => seq > this.#seen && type !== "test/PodSync");
    this.#seen = this.bus.lastSeq;
    return fresh;
  }

  /** `kind previous->result` of the verdicts that changed since the last time. */
  changes(): string[] {
    return this.published()
      .filter(({ type }) => type === "probe/ResultChanged")
      .map(({ data }) => {
        const { kind, previous, result } = data as { kind: string; previous?: string; result: string };
        return `${kind} ${previous ?? "unknown"}->${result}`;
      });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.manager.stop();
    await this.clock.settle(4);
    if (this.clock.waiting > 0 || this.handlers.active > 0)
      throw new Error(`left behind: ${this.clock.waiting} timers, ${this.handlers.active} attempts`);
  }
}
