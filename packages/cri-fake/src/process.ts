// SPDX-License-Identifier: Apache-2.0
//
// A main process: a program being carried out on the clock. Owns its timers; ends once, and then no timer of it is left.

import type { Clock, Timer } from "@holdfast/core/clock";

import type { Program } from "./program.ts";

/** How a process ended. */
export interface ProcessExit {
  /** As a shell has it: 137 is killed by signal 9. */
  readonly exitCode: number;
  /** Empty: as the exit code says. */
  readonly reason: "" | "OOMKilled" | "Unknown";
}

/** What a process stands on. */
export interface ProcessOptions {
  readonly clock: Clock;
  readonly pid: number;
  readonly program: Program;
  readonly onExit: (exit: ProcessExit) => void;
  readonly onOutput: (stream: "stdout" | "stderr", text: string) => void;
}

const SIGTERM_EXIT = 143;
const SIGKILL_EXIT = 137;
const MAX_OUTPUT_LINES = 10_000;

/** See the top of the file. */
export class Process {
  readonly pid: number;
  readonly program: Program;
  readonly #clock: Clock;
  readonly #onExit: (exit: ProcessExit) => void;
  readonly #timers = new Set<Timer>();
  #terminating = false;
  #alive = true;

  constructor(options: ProcessOptions) {
    this.pid = options.pid;
    this.program = options.program;
    this.#clock = options.clock;
    this.#onExit = options.onExit;
    const { exitAfterMs, exitCode = 0, oomAfterMs, output = [] } = options.program;
    for (const { afterMs = 0, stream = "stdout", text } of output.slice(0, MAX_OUTPUT_LINES))
      this.#after(afterMs, () => options.onOutput(stream, text));
    if (exitAfterMs !== undefined) this.#arm(exitAfterMs, { exitCode, reason: "" });
    if (oomAfterMs !== undefined) this.#arm(oomAfterMs, { exitCode: SIGKILL_EXIT, reason: "OOMKilled" });
  }

  /** False from the moment of the exit, which is before the CRI shows it. */
  get alive(): boolean {
    return this.#alive;
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
    for (const timer of this.#timers) timer.cancel();
    this.#timers.clear();
    this.#onExit(exit);
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
    const timer = this.#clock.timer(ms, () => {
      this.#timers.delete(timer);
      act();
    });
    this.#timers.add(timer);
  }
}
