// SPDX-License-Identifier: Apache-2.0

/** One agent process: how it is configured, started, killed and stopped. It is a process group of its own, as under systemd. */
import { spawn } from "node:child_process";
import type { ChildProcess } from "node:child_process";
import { closeSync, existsSync, mkdirSync, openSync, readFileSync, writeFileSync } from "node:fs";
import { constants } from "node:os";
import { dirname, join } from "node:path";
import process from "node:process";
import { fileURLToPath } from "node:url";
import { until } from "./until.ts";

export const repo = join(dirname(fileURLToPath(import.meta.url)), "../../../../..");
/** The launcher that users run. */
export const holdfastBin = join(repo, "apps/agent/bin/holdfast");

/** Where an agent keeps its things. */
export interface AgentPlaces {
  readonly nodeName: string;
  /** No dash: systemd reads one as a step down. */
  readonly cgroupRoot: string;
  readonly manifests: string;
  readonly state: string;
  readonly podLogs: string;
  /** Short: a socket's path may have 107 bytes. */
  readonly run: string;
  readonly config: string;
  /** What the process prints. */
  readonly log: string;
}

/** Keys of the two documents, over the ones that follow from the places. */
export interface ConfigOverrides {
  readonly kubelet?: Readonly<Record<string, unknown>>;
  readonly agent?: Readonly<Record<string, unknown>>;
}

/** Makes the folders and writes the configuration. JSON is YAML. */
export function writeConfig(places: AgentPlaces, endpoint: string, overrides: ConfigOverrides = {}): void {
  for (const dir of [places.manifests, places.state, places.podLogs, places.run])
    mkdirSync(dir, { recursive: true, mode: 0o700 });
  const kubelet = {
    apiVersion: "kubelet.config.k8s.io/v1beta1",
    kind: "KubeletConfiguration",
    staticPodPath: places.manifests,
    containerRuntimeEndpoint: endpoint,
    podLogsDir: places.podLogs,
    cgroupRoot: places.cgroupRoot,
    ...overrides.kubelet,
  };
  const agent = {
    apiVersion: "holdfast.agent/v1alpha1",
    kind: "AgentConfiguration",
    nodeName: places.nodeName,
    stateDir: places.state,
    runDir: places.run,
    ...overrides.agent,
  };
  writeFileSync(places.config, `${JSON.stringify(kubelet)}\n---\n${JSON.stringify(agent)}\n`);
}

/** A running agent, or one that has ended. */
export class AgentProcess {
  readonly #child: ChildProcess;
  readonly #ended: Promise<number>;
  #exitCode: number | undefined;

  /** `wrapper` runs the agent as its last arguments; its third file is `fd`. */
  constructor(
    places: AgentPlaces,
    { wrapper = [], fd }: { readonly wrapper?: readonly string[]; readonly fd?: number } = {},
  ) {
    const log = openSync(places.log, "a");
    const [command = holdfastBin, ...args] = [...wrapper, holdfastBin, "run", "--config", places.config];
    this.#child = spawn(command, args, {
      cwd: "/",
      detached: true,
      stdio: ["ignore", log, log, ...(fd === undefined ? [] : [fd])],
    });
    closeSync(log);
    this.#ended = new Promise((resolve) => {
      const settle = (code: number): void => {
        this.#exitCode ??= code;
        resolve(code);
      };
      this.#child.on("error", () => settle(127));
      // As a shell has it: 128 and the signal's number.
      this.#child.on("exit", (code, signal) =>
        settle(code ?? 128 + (signal ? constants.signals[signal] : 0)),
      );
    });
  }

  /** The launcher replaces itself by the agent: its pid is the agent's. */
  get pid(): number {
    return this.#child.pid ?? 0;
  }

  /** Undefined while it runs. */
  get exitCode(): number | undefined {
    return this.#exitCode;
  }

  /** Kills the whole process group without warning. */
  async kill9(): Promise<void> {
    this.#signal("SIGKILL");
    await this.#ended;
  }

  /** Asks the whole process group to end, as Ctrl-C and systemd do; returns the exit code. */
  async stop(signal: "SIGTERM" | "SIGINT" = "SIGTERM"): Promise<number> {
    this.#signal(signal);
    return this.exit();
  }

  /** Waits for its end, and kills it when it does not come. */
  async exit(): Promise<number> {
    try {
      await until(() => this.#exitCode !== undefined, "the agent ends", 30_000);
    } catch (error) {
      this.#signal("SIGKILL");
      throw error;
    }
    return this.#ended;
  }

  #signal(signal: NodeJS.Signals): void {
    if (this.#exitCode !== undefined || this.pid === 0) return;
    try {
      process.kill(-this.pid, signal);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== "ESRCH") throw error;
    }
  }
}

/** The end of a file. */
export function tail(path: string, lines: number): string {
  return existsSync(path) ? readFileSync(path, "utf8").trimEnd().split("\n").slice(-lines).join("\n") : "";
}
