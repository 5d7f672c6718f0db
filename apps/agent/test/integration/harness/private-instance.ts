// SPDX-License-Identifier: Apache-2.0

import { execFileSync } from "node:child_process";
import { join } from "node:path";
import process from "node:process";
import { repo } from "./agent-process.ts";
import { RuntimePlaces } from "./runtime.ts";
import { until } from "./until.ts";

/** A containerd of one test's own, which it may kill: see scripts/containerd.mjs. Removed with all its containers at the end. */
export class PrivateInstance implements AsyncDisposable {
  readonly #name: string;
  readonly endpoint: string;
  /** What a shell gets by `eval "$(node scripts/containerd.mjs env)"`. */
  readonly #environment: NodeJS.ProcessEnv;

  constructor(name: string) {
    this.#name = name;
    const exports = this.#run("env").matchAll(/^export ([A-Z_]+)='([^']*)'$/gm);
    this.#environment = {
      ...process.env,
      ...Object.fromEntries(Array.from(exports, ([, key, value]) => [key, value])),
    };
    this.endpoint = this.#environment["CONTAINER_RUNTIME_ENDPOINT"] ?? "";
    if (this.endpoint === "") throw new Error(`scripts/containerd.mjs tells no endpoint for ${name}`);
  }

  /** Starts it, or starts it again on what it had. */
  up(): void {
    this.#run("up");
  }

  /** Ends the daemon as an operator would; its containers go on. */
  down(): void {
    this.#run("down");
  }

  /** containerd's own client, of the same version, on this instance's pods. */
  ctr(...args: readonly string[]): void {
    execFileSync("ctr", args, { env: this.#environment, stdio: ["ignore", "ignore", "pipe"] });
  }

  /** Kills the daemon; its containers go on. */
  async kill9(): Promise<void> {
    const pid = new RuntimePlaces(this.endpoint).pid();
    process.kill(pid, "SIGKILL");
    await until(() => !isAlive(pid), `containerd ${pid} is dead`);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#run("remove");
  }

  #run(command: string): string {
    const args = [join(repo, "scripts/containerd.mjs"), command, "--instance", this.#name];
    return execFileSync(process.execPath, args, { encoding: "utf8", stdio: ["ignore", "pipe", "pipe"] });
  }
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}
