// SPDX-License-Identifier: Apache-2.0
//
// A main process: a program being carried out on the clock. Owns its timers and its ports; ends once, and then none of them is left.

import type { Clock, Timer } from "@holdfast/core/clock";

import type { OutputLine, Program, ServedPort } from "./program.ts";
import { outOfMemoryAt, portChangesAt, portStateAt } from "./usage.ts";
import type { PortState } from "./usage.ts";

/** How a process ended. */
export interface ProcessExit {
  /** As a shell has it: 137 is killed by signal 9. */
  readonly exitCode: number;
  /** Empty: as the exit code says. */
  readonly reason: "" | "OOMKilled" | "Unknown";
}

/** A port that is listened on. */
export interface OpenPort {
  close(): void;
}

/** Makes a program's ports real. */
export interface Loopback {
  /**
   * Listens on `host`, 127.0.0.1 or the pod's own address. `state` is asked at each request; `onError` is told, later, when it cannot listen: the program ends then, as a
   * server does whose port is taken.
   */
  open(port: ServedPort, state: () => PortState, onError: (text: string) => void, host: string): OpenPort;
}

/** An address on loopback. */
export interface PortPlace {
  readonly host: string;
  readonly port: number;
}

/** What a process stands on. */
export interface ProcessOptions {
  readonly clock: Clock;
  readonly pid: number;
  readonly program: Program;
  /** Bytes, as they are now; 0 is none. */
  readonly memoryLimit: () => number;
  readonly loopback: Loopback | undefined;
  /** Where a port is opened: in the pod, and on the host's ports that lead to it. */
  readonly placesOf: (port: ServedPort) => readonly PortPlace[];
  readonly onExit: (exit: ProcessExit) => void;
  readonly onOutput: (stream: "stdout" | "stderr", text: string) => void;
}

const SIGTERM_EXIT = 143;
const SIGKILL_EXIT = 137;
const MAX_OUTPUT_LINES = 10_000;
const MAX_PORTS = 16;
const OUT_OF_MEMORY: ProcessExit = { exitCode: SIGKILL_EXIT, reason: "OOMKilled" };

/** See the top of the file. */
export class Process {
  readonly pid: number;
  readonly program: Program;
  readonly #options: ProcessOptions;
  readonly #startedAt: number;
  readonly #timers = new Set<Timer>();
  readonly #open = new Map<ServedPort, readonly OpenPort[]>();
  #memoryTimer: Timer | undefined;
  #terminating = false;
  #alive = true;

  constructor(options: ProcessOptions) {
    this.pid = options.pid;
    this.program = options.program;
    this.#options = options;
    this.#startedAt = options.clock.monotonic();
    const { exitAfterMs, exitCode = 0, oomAfterMs, output = [] } = options.program;
    for (const line of output.slice(0, MAX_OUTPUT_LINES))
      this.#after(line.afterMs ?? 0, () => this.#write(line));
    if (exitAfterMs !== undefined) this.#arm(exitAfterMs, { exitCode, reason: "" });
    if (oomAfterMs !== undefined) this.#arm(oomAfterMs, OUT_OF_MEMORY);
    this.memoryLimitChanged();
    for (const port of this.ports)
      for (const ms of portChangesAt(port)) this.#after(ms, () => this.#openOrClose(port, ms));
  }

  /** False from the moment of the exit, which is before the CRI shows it. */
  get alive(): boolean {
    return this.#alive;
  }

  /** Milliseconds since the start. */
  get ageMs(): number {
    return this.#options.clock.monotonic() - this.#startedAt;
  }

  /** What it listens on, sooner or later. */
  get ports(): readonly ServedPort[] {
    return (this.program.serve ?? []).slice(0, MAX_PORTS);
  }

  /** Looks anew when the memory is used up. */
  memoryLimitChanged(): void {
    this.#memoryTimer?.cancel();
    const { clock, memoryLimit } = this.#options;
    const at = outOfMemoryAt(this.program, memoryLimit());
    if (!Number.isFinite(at)) return;
    // Not before the next turn: who started it learns of the start first. A whole millisecond: no more than that is counted.
    const ms = Math.max(Math.ceil(at - this.ageMs), 0);
    this.#memoryTimer = clock.timer(ms, () => this.exit(OUT_OF_MEMORY));
  }

  /** SIGTERM, or whatever the image's stop signal is. A second one changes nothing. */
  terminate(): void {
    const { ignoreSigterm, exitOnSigtermAfterMs = 0, sigtermExitCode = SIGTERM_EXIT } = this.program;
    if (ignoreSigterm || this.#terminating) return;
    this.#terminating = true;
    this.#after(exitOnSigtermAfterMs, () => this.exit({ exitCode: sigtermExitCode, reason: "" }));
  }

  /** SIGKILL. */
  kill(): void {
    if (!this.program.ignoreSigkill) this.exit({ exitCode: SIGKILL_EXIT, reason: "" });
  }

  /** Ends it, whatever its program says. Does nothing the second time. */
  exit(exit: ProcessExit): void {
    if (!this.#alive) return;
    this.#alive = false;
    this.#memoryTimer?.cancel();
    for (const timer of this.#timers) timer.cancel();
    this.#timers.clear();
    for (const port of this.#open.values()) closeAll(port);
    this.#open.clear();
    this.#options.onExit(exit);
  }

  #write(line: OutputLine): void {
    const { stream = "stdout", text, everyMs } = line;
    this.#options.onOutput(stream, text);
    if (everyMs !== undefined) this.#schedule(Math.max(everyMs, 1), () => this.#write(line));
  }

  /** `ms` after the start: a real timer may come a little early. */
  #openOrClose(port: ServedPort, ms: number): void {
    const { loopback, placesOf } = this.#options;
    const closed = portStateAt(port, Math.max(ms, this.ageMs)) === "closed";
    if (closed) {
      closeAll(this.#open.get(port) ?? []);
      this.#open.delete(port);
    } else if (loopback !== undefined && !this.#open.has(port)) {
      const opened = placesOf(port).map((place, index) =>
        loopback.open(
          { ...port, port: place.port },
          () => portStateAt(port, this.ageMs),
          // Of two pods that want a port of the host the first has it, and the other goes on.
          index === 0 ? (text) => this.#cannotListen(text) : () => undefined,
          place.host,
        ),
      );
      this.#open.set(port, opened);
    }
  }

  #cannotListen(text: string): void {
    if (!this.#alive) return;
    this.#options.onOutput("stderr", text);
    this.exit({ exitCode: 1, reason: "" });
  }

  /** An exit is never within the constructor: who started it learns of the start first. */
  #arm(ms: number, exit: ProcessExit): void {
    if (ms !== Number.POSITIVE_INFINITY) this.#schedule(ms, () => this.exit(exit));
  }

  #after(ms: number, act: () => void): void {
    if (ms <= 0) act();
    else if (ms !== Number.POSITIVE_INFINITY) this.#schedule(ms, act);
  }

  #schedule(ms: number, act: () => void): void {
    const timer = this.#options.clock.timer(ms, () => {
      this.#timers.delete(timer);
      act();
    });
    this.#timers.add(timer);
  }
}

function closeAll(ports: readonly OpenPort[]): void {
  for (const port of ports) port.close();
}
