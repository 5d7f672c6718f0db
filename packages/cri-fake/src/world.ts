// SPDX-License-Identifier: Apache-2.0
//
// The inside of the runtime: sandboxes, containers, their processes, and the events that tell of them. Owns both maps; every change of state
// goes through here. Invariant: a process's exit is told by containerd's event first, and shown by the CRI `criLagMs` later.

import type { Clock } from "@holdfast/core/clock";
import type { Random } from "@holdfast/core/random";
import { ContainerEventType, Protocol } from "@holdfast/cri";
import type { ContainerdTaskEvent, ContainerEventResponse } from "@holdfast/cri";

import type { AddressPool } from "./addresses.ts";
import { noSuchContainer, noSuchSandbox } from "./failure.ts";
import type { FaultScript, FaultSubject } from "./faults.ts";
import type { ContainerLogs } from "./logs.ts";
import { toContainerStatus, toSandboxStatus } from "./messages.ts";
import { Process } from "./process.ts";
import type { Loopback, ProcessExit } from "./process.ts";
import type { Program } from "./program.ts";
import { findById, NameRegistry } from "./state.ts";
import type { ContainerRecord, SandboxRecord } from "./state.ts";
import type { EventHub } from "./stream.ts";
import { diskAt } from "./usage.ts";
import { duplicateContainers, duplicateSandboxes, podUidOf } from "./violations.ts";
import type { Violation } from "./violations.ts";

/** What the inside stands on. */
export interface WorldOptions {
  readonly clock: Clock;
  readonly random: Random;
  readonly addresses: AddressPool;
  readonly logs: ContainerLogs;
  readonly faults: FaultScript;
  readonly taskEvents: EventHub<ContainerdTaskEvent>;
  readonly criEvents: EventHub<ContainerEventResponse>;
  /** How long the CRI takes to show an exit that containerd has told, in milliseconds. */
  readonly criLagMs: number;
  /** Makes ports of programs real. */
  readonly loopback: Loopback | undefined;
  /** Whether the runtime is there to tell: events while it is not are lost. */
  readonly isDown: () => boolean;
}

type CriEventName = "CREATED" | "STARTED" | "STOPPED" | "DELETED";

const HOST = "127.0.0.1";
const NANOS_PER_MS = 1_000_000n;
const MAX_VIOLATIONS = 1000;
const FIRST_PID = 1000;
const ID_LENGTH = 64;
const REBOOT_EXIT: ProcessExit = { exitCode: 255, reason: "Unknown" };

/** See the top of the file. */
export class World {
  readonly sandboxes: Map<string, SandboxRecord> = new Map();
  readonly containers: Map<string, ContainerRecord> = new Map();
  readonly sandboxNames: NameRegistry = new NameRegistry("sandbox");
  readonly containerNames: NameRegistry = new NameRegistry("container");
  readonly violations: Violation[] = [];
  readonly options: WorldOptions;
  readonly #exitWaiters = new Map<ContainerRecord, Set<() => void>>();
  #pid = FIRST_PID;
  #lastMs = 0n;
  #inMs = 0n;

  constructor(options: WorldOptions) {
    this.options = options;
  }

  /** Now, in nanoseconds; two calls never have the same time while the wall clock does not go back. */
  stamp(): bigint {
    const ms = BigInt(Math.trunc(this.options.clock.now()));
    this.#inMs = ms === this.#lastMs ? this.#inMs + 1n : 0n;
    this.#lastMs = ms;
    return ms * NANOS_PER_MS + this.#inMs;
  }

  newId(): string {
    let id = "";
    while (id.length < ID_LENGTH)
      id += Math.floor(this.options.random() * 2 ** 32)
        .toString(16)
        .padStart(8, "0");
    return id;
  }

  newPid(): number {
    return this.#pid++;
  }

  findSandbox(id: string): SandboxRecord | undefined {
    return findById(this.sandboxes, id);
  }

  findContainer(id: string): ContainerRecord | undefined {
    return findById(this.containers, id);
  }

  sandbox(id: string): SandboxRecord {
    const found = this.findSandbox(id);
    if (found === undefined) throw noSuchSandbox(id);
    return found;
  }

  container(id: string): ContainerRecord {
    const found = this.findContainer(id);
    if (found === undefined) throw noSuchContainer(id);
    return found;
  }

  containersOf(sandbox: SandboxRecord): ContainerRecord[] {
    return [...this.containers.values()].filter((container) => container.sandbox === sandbox);
  }

  /** Which pod and container an id is about, for faults. */
  subjectOf(id: string): Partial<FaultSubject> {
    const container = findById(this.containers, id);
    const sandbox = container?.sandbox ?? findById(this.sandboxes, id);
    const { uid, name, namespace } = sandbox?.config.metadata ?? {};
    return {
      podUid: uid,
      podName: name,
      podNamespace: namespace,
      container: container?.config.metadata?.name,
    };
  }

  addSandbox(sandbox: SandboxRecord): void {
    this.sandboxes.set(sandbox.id, sandbox);
    const other = duplicateSandboxes(sandbox, this.sandboxes.values());
    if (other !== undefined)
      this.#violated("pod-has-two-sandboxes", sandbox, `${sandbox.id} is made while ${other.id} is ready`);
    this.tellCri("CREATED", sandbox);
    this.tellTask({ topic: "/tasks/start", ...this.#main(sandbox.id), pid: sandbox.pid });
    this.tellCri("STARTED", sandbox);
  }

  /** The pause process ends and the address goes back. The containers are ended by whoever wants that. */
  endSandbox(sandbox: SandboxRecord): void {
    if (!sandbox.ready) return;
    sandbox.ready = false;
    this.options.addresses.release(sandbox.ip);
    this.#tellExit(sandbox.id, sandbox.pid, 137);
    this.#tellDelete(sandbox.id, sandbox.pid, 137);
    this.tellCri("STOPPED", sandbox);
  }

  dropSandbox(sandbox: SandboxRecord): void {
    this.sandboxes.delete(sandbox.id);
    this.sandboxNames.release(sandbox.key, sandbox.id);
    this.tellCri("DELETED", sandbox);
  }

  dropContainer(container: ContainerRecord): void {
    container.removed = true;
    this.containers.delete(container.id);
    this.containerNames.release(container.key, container.id);
    this.options.logs.forget(container.id);
    this.tellCri("DELETED", container.sandbox, container);
  }

  start(container: ContainerRecord, program: Program): void {
    const { clock } = this.options;
    container.phase = "running";
    container.startedAt = this.stamp();
    container.process = new Process({
      clock,
      pid: this.newPid(),
      program,
      memoryLimit: () => Number(container.resources?.resources?.memoryLimitInBytes ?? 0n),
      loopback: this.options.loopback,
      placesOf: ({ port }) => [
        { host: hostOf(container.sandbox), port },
        ...hostPortsOf(container.sandbox, port).map((hostPort) => ({ host: HOST, port: hostPort })),
      ],
      onExit: (exit) => this.#exited(container, exit),
      onOutput: (stream, text) => this.output(container, stream, `${text}\n`),
    });
    const other = duplicateContainers(container, this.containers.values());
    if (other !== undefined)
      this.#violated(
        "container-runs-twice",
        container.sandbox,
        `${container.config.metadata?.name ?? ""}: ${container.id} is started while ${other.id} runs`,
      );
    this.tellTask({ topic: "/tasks/start", ...this.#main(container.id), pid: container.process.pid });
    this.tellCri("STARTED", container.sandbox, container);
  }

  /** The container writes, whole lines as a rule. */
  output(container: ContainerRecord, stream: "stdout" | "stderr", text: string): void {
    const { logDirectory } = container.sandbox.config;
    const { logPath } = container.config;
    const path = logPath === "" ? "" : `${logDirectory}/${logPath}`;
    for (const line of text.replace(/\n$/, "").split("\n"))
      this.options.logs.write(container.id, path, this.stamp(), stream, line);
    for (const watch of container.watchers) watch(stream, text);
  }

  /** It could not be started: exited without having run. */
  failStart(container: ContainerRecord, message: string): void {
    container.phase = "exited";
    container.finishedAt = this.stamp();
    container.exitCode = 128;
    container.reason = "StartError";
    container.message = message;
  }

  /** Calls `act` when the CRI shows the exit of a running container. Returns how to stop waiting. */
  onExitShown(container: ContainerRecord, act: () => void): () => void {
    const waiters = this.#exitWaiters.get(container) ?? new Set();
    waiters.add(act);
    this.#exitWaiters.set(container, waiters);
    return () => waiters.delete(act);
  }

  /** Resolves when the CRI shows the exit. Rejects with the signal's reason. */
  exitShown(container: ContainerRecord, signal: AbortSignal): Promise<void> {
    if (container.phase !== "running") return Promise.resolve();
    if (signal.aborted) return Promise.reject(signal.reason as Error);
    return new Promise((resolve, reject) => {
      const onAbort = (): void => {
        stopWaiting();
        reject(signal.reason as Error);
      };
      const stopWaiting = this.onExitShown(container, () => {
        signal.removeEventListener("abort", onAbort);
        resolve();
      });
      signal.addEventListener("abort", onAbort, { once: true });
    });
  }

  /** The machine goes down and comes back: no process is left, no address is held. */
  reboot(): void {
    for (const container of this.containers.values()) container.process?.exit(REBOOT_EXIT);
    for (const sandbox of this.sandboxes.values()) this.endSandbox(sandbox);
  }

  /** An exec in a container has ended: containerd tells of it under the container's id. */
  tellExec(container: ContainerRecord, exitStatus: number): void {
    const pid = this.newPid();
    const at = this.stamp();
    this.tellTask({
      topic: "/tasks/exit",
      containerId: container.id,
      id: this.newId(),
      timestamp: at,
      pid,
      exitStatus,
      exitedAt: at,
    });
  }

  tellTask(event: ContainerdTaskEvent): void {
    if (this.options.isDown()) return;
    const subject = { ...this.subjectOf(event.containerId), method: "containerdEvents", topic: event.topic };
    const decision = this.options.faults.decide({ ...subject, target: event.containerId });
    this.options.taskEvents.publish(event, decision);
  }

  tellCri(name: CriEventName, sandbox: SandboxRecord, container?: ContainerRecord): void {
    if (this.options.isDown()) return;
    const id = container?.id ?? sandbox.id;
    const { uid, name: podName, namespace } = sandbox.config.metadata ?? {};
    const decision = this.options.faults.decide({
      method: "GetContainerEvents",
      target: id,
      topic: `CONTAINER_${name}_EVENT`,
      podUid: uid,
      podName,
      podNamespace: namespace,
      container: container?.config.metadata?.name,
    });
    if (this.options.criEvents.subscribers === 0) return;
    this.options.criEvents.publish(
      {
        containerId: id,
        containerEventType: ContainerEventType[`CONTAINER_${name}_EVENT`],
        createdAt: this.stamp(),
        podSandboxStatus: this.sandboxes.has(sandbox.id) ? toSandboxStatus(sandbox) : undefined,
        containersStatuses: this.containersOf(sandbox).map(toContainerStatus),
      },
      decision,
    );
  }

  /** Bytes in a container's writable layer, were there room. */
  diskOf({ process: main, diskBytes }: ContainerRecord): number {
    return main?.alive === true ? diskAt(main.program, main.ageMs) : diskBytes;
  }

  #exited(container: ContainerRecord, exit: ProcessExit): void {
    const { clock, criLagMs } = this.options;
    const main = container.process;
    if (main !== undefined) container.diskBytes = diskAt(main.program, main.ageMs);
    const finishedAt = this.stamp();
    if (exit.reason === "OOMKilled") this.tellTask({ topic: "/tasks/oom", ...this.#main(container.id) });
    const pid = container.process?.pid ?? 0;
    this.#tellExit(container.id, pid, exit.exitCode);
    const show = (): void => {
      container.phase = "exited";
      container.finishedAt = finishedAt;
      container.exitCode = exit.exitCode;
      container.reason = exit.reason;
      container.process = undefined;
      this.#tellDelete(container.id, pid, exit.exitCode);
      this.tellCri("STOPPED", container.sandbox, container);
      const waiters = this.#exitWaiters.get(container) ?? new Set();
      this.#exitWaiters.delete(container);
      for (const shown of waiters) shown();
    };
    if (criLagMs > 0) clock.timer(criLagMs, show);
    else show();
  }

  #main(id: string): { containerId: string; id: string; timestamp: bigint } {
    return { containerId: id, id, timestamp: this.stamp() };
  }

  #tellExit(id: string, pid: number, exitStatus: number): void {
    this.tellTask({ topic: "/tasks/exit", ...this.#main(id), pid, exitStatus, exitedAt: this.stamp() });
  }

  #tellDelete(id: string, pid: number, exitStatus: number): void {
    this.tellTask({ topic: "/tasks/delete", ...this.#main(id), pid, exitStatus, exitedAt: this.stamp() });
  }

  #violated(kind: Violation["kind"], sandbox: SandboxRecord, text: string): void {
    if (this.violations.length >= MAX_VIOLATIONS) return;
    const pod = `${sandbox.config.metadata?.namespace ?? ""}/${sandbox.config.metadata?.name ?? ""}`;
    const at = this.options.clock.now();
    this.violations.push({ at, kind, podUid: podUidOf(sandbox), text: `${pod}: ${text}` });
  }
}

/** The host's ports that lead to a pod's TCP port. */
function hostPortsOf({ config, ip }: SandboxRecord, port: number): number[] {
  // With the host's network there is nothing to lead anywhere.
  if (ip === "") return [];
  return config.portMappings
    .filter((one) => one.containerPort === port && one.hostPort > 0 && one.protocol === Protocol.TCP)
    .map(({ hostPort }) => hostPort);
}

/** A pod whose address is one of loopback's own 16 million has its ports there; others share 127.0.0.1. */
export function hostOf({ ip }: SandboxRecord): string {
  return ip.startsWith("127.") ? ip : HOST;
}
