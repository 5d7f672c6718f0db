// SPDX-License-Identifier: Apache-2.0

/** A process that a test has started, asked over IPC, and killed for real. */
import { fork } from "node:child_process";
import type { ChildProcess } from "node:child_process";
import type { Answered } from "./messages.ts";

interface Waiting {
  readonly resolve: (answer: unknown) => void;
  readonly reject: (error: Error) => void;
}

export class Child<C> {
  readonly #process: ChildProcess;
  readonly #waiting = new Map<number, Waiting>();
  #numbers = 0;

  /** `program`: beside this file. `hear` gets what is said without being asked. */
  constructor(program: string, hear: (said: object) => void = () => {}) {
    const path = new URL(program, import.meta.url);
    this.#process = fork(path, { execArgv: ["--conditions=@holdfast/source"], stdio: "inherit" });
    this.#process.on("message", (said: object) => {
      if ("number" in said) this.#settle(said as Answered);
      else hear(said);
    });
    this.#process.once("exit", () => {
      for (const number of this.#waiting.keys()) this.#settle({ number, error: "the process is gone" });
    });
  }

  async ask<A>(call: C): Promise<A> {
    const number = this.#numbers++;
    const answer = await new Promise<unknown>((resolve, reject) => {
      this.#waiting.set(number, { resolve, reject });
      this.#process.send({ number, call });
    });
    return answer as A;
  }

  /** SIGKILL, and waits until it is gone. */
  async kill(): Promise<void> {
    if (this.#process.exitCode !== null || this.#process.signalCode !== null) return;
    await new Promise((resolve) => {
      this.#process.once("exit", resolve);
      this.#process.kill("SIGKILL");
    });
  }

  #settle({ number, answer, error }: Answered): void {
    const waiting = this.#waiting.get(number);
    this.#waiting.delete(number);
    if (error === undefined) waiting?.resolve(answer);
    else waiting?.reject(new Error(error));
  }
}
