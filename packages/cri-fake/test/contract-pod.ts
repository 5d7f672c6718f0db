// SPDX-License-Identifier: Apache-2.0
//
// What the contract's cases stand on: runtimes, workloads, and one pod per case.

import { randomUUID } from "node:crypto";

import { ContainerState } from "@holdfast/cri";
import type { CriClient, DeepPartial, PodSandboxConfig } from "@holdfast/cri";
import { commandNotFound } from "@holdfast/cri-fake";
import type { Program, ProgramQuery } from "@holdfast/cri-fake";

/** A runtime under the contract. */
export interface ContractRuntime {
  readonly cri: CriClient;
  /** Lets time pass until `done`, or fails. */
  waitUntil(done: () => Promise<boolean>): Promise<void>;
  /** Carries a call out while time passes. */
  pass<Answer>(call: Promise<Answer>): Promise<Answer>;
  close(): Promise<void>;
}

/** The image of every container. */
export const IMAGE = "holdfast.local/busybox:1";

/** What a container does: as a command for a real runtime, as a program for the fake. */
export interface Workload {
  readonly command: readonly string[];
  readonly program: Program;
}

const script = (text: string, program: Program): Workload => ({ command: ["/bin/sh", "-c", text], program });

export const WORKLOADS = {
  forever: script("trap 'exit 143' TERM; while :; do sleep 0.1; done", {
    exec: ([, , text = ""]) =>
      text.startsWith("sleep")
        ? { afterMs: 60_000 }
        : { exitCode: 4, stdout: "to stdout\n", stderr: "to stderr\n" },
  }),
  stubborn: script("trap '' TERM; while :; do sleep 0.1; done", { ignoreSigterm: true }),
  polite: script("trap 'exit 7' TERM; while :; do sleep 0.1; done", { sigtermExitCode: 7 }),
  // Not at once: containerd 2.1 notes the start after the exit then, and finishedAt comes before startedAt.
  done: script("sleep 0.3; exit 0", { exitAfterMs: 300 }),
  failing: script("sleep 0.3; exit 3", { exitAfterMs: 300, exitCode: 3 }),
  hungry: script("sleep 0.3; exec tail /dev/zero", {
    memoryBytes: 4_000_000,
    memoryGrowthPerSecond: 40_000_000,
  }),
  inside: script("while :; do sleep 0.2; done", {}),
  missing: { command: ["no-such-command"], program: { startError: commandNotFound("no-such-command") } },
} as const satisfies Record<string, Workload>;

/** Tells what it finds around itself. */
export const insideProgram =
  "hostname; cat /etc/resolv.conf /proc/sys/kernel/shm_rmid_forced; id -u; id -G; " +
  "touch /x 2>&1 | grep -q Read-only && echo read-only || echo writable";

/** The fake's side of the workloads. */
export function contractPrograms({ command, inside }: ProgramQuery): Program {
  if (command.join(" ") === WORKLOADS.inside.command.join(" "))
    return {
      exec: () => ({
        stdout:
          `${inside.hostname}\n${inside.resolvConf}${inside.sysctls["kernel.shm_rmid_forced"]}\n${inside.uid}\n` +
          `${inside.groups.join(" ")}\n${inside.readOnlyRoot ? "read-only" : "writable"}\n`,
      }),
    };
  const found = Object.values(WORKLOADS).find((one) => one.command.join(" ") === command.join(" "));
  if (found === undefined) throw new Error(`no workload has the command ${command.join(" ")}`);
  return found.program;
}

/** One pod of one test. */
export class Pod {
  readonly cri: CriClient;
  readonly runtime: ContractRuntime;
  readonly uid: string = randomUUID();
  readonly labels: Record<string, string> = { "holdfast.agent/contract": this.uid };

  constructor(runtime: ContractRuntime) {
    this.runtime = runtime;
    this.cri = runtime.cri;
  }

  config(attempt = 0, network: 0 | 2 = 2): DeepPartial<PodSandboxConfig> {
    return {
      metadata: { name: "contract", namespace: "default", uid: this.uid, attempt },
      labels: this.labels,
      linux: { securityContext: { namespaceOptions: { network } } },
    };
  }

  async sandbox(attempt = 0): Promise<string> {
    return (await this.cri.runPodSandbox({ config: this.config(attempt) })).podSandboxId;
  }

  async create(
    podSandboxId: string,
    workload: Workload = WORKLOADS.forever,
    name = "app",
    memoryLimitInBytes = 0,
  ): Promise<string> {
    const { containerId } = await this.cri.createContainer({
      podSandboxId,
      sandboxConfig: this.config(),
      config: {
        metadata: { name, attempt: 0 },
        image: { image: IMAGE },
        command: [...workload.command],
        labels: { ...this.labels, name },
        linux: { resources: { memoryLimitInBytes } },
      },
    });
    return containerId;
  }

  async start(workload: Workload): Promise<string> {
    const containerId = await this.create(await this.sandbox(), workload);
    await this.cri.startContainer({ containerId });
    return containerId;
  }

  async status(containerId: string) {
    const { status } = await this.cri.containerStatus({ containerId });
    if (status === undefined) throw new Error(`no status of ${containerId}`);
    return status;
  }

  async exited(containerId: string) {
    await this.runtime.waitUntil(
      async () => (await this.status(containerId)).state === ContainerState.CONTAINER_EXITED,
    );
    return this.status(containerId);
  }

  async clean(): Promise<void> {
    const { items } = await this.cri.listPodSandbox({ filter: { labelSelector: this.labels } });
    for (const { id } of items) await this.runtime.pass(this.cri.removePodSandbox({ podSandboxId: id }));
  }
}
