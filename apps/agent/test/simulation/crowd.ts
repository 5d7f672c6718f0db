// SPDX-License-Identifier: Apache-2.0

/** A node with many equal pods on a runtime that takes its time as containerd does, and how quickly it reacts. */
import { manifest } from "./pods.ts";
import { SimulatedNode } from "./simulated-node.ts";
import type { SimulatedNodeOptions } from "./simulated-node.ts";

/** Milliseconds, as measured on a real containerd. DESIGN.md, The numbers to beat. */
const LATENCY_MS = {
  default: 2,
  RunPodSandbox: 90,
  CreateContainer: 12,
  StartContainer: 45,
  StopPodSandbox: 60,
};
const LAG_MS = 20;
const STEP_MS = 5;

/** Name of the pod with that number. */
export function podName(number: number): string {
  return `p${String(number).padStart(3, "0")}`;
}

/** See the top of the file. */
export class Crowd extends SimulatedNode {
  readonly size: number;

  constructor(size: number, options: SimulatedNodeOptions = {}) {
    super({ ...options, fake: { latencyMs: LATENCY_MS, criLagMs: LAG_MS, ...options.fake } });
    this.size = size;
  }

  /** Starts the agent on all pods and waits until they run and everything is quiet. */
  async up(): Promise<void> {
    for (let number = 0; number < this.size; number++)
      this.manifests.write(`${podName(number)}.json`, manifest(podName(number)));
    await this.start();
    await this.until("all run", () => this.running().length === this.size, 120_000);
    await this.advance(15_000);
  }

  /** The container that runs in a pod, `name` as in its manifest. */
  containerOf(name: string): { readonly id: string; readonly attempt: number } | undefined {
    return this.running().find((container) => container.podName.startsWith(`${name}-`));
  }

  /** Kills a pod's container. Returns how long it takes until its successor runs. */
  async restart(name: string): Promise<number> {
    const old = this.containerOf(name);
    if (old === undefined) throw new Error(`${name} does not run`);
    this.runtime.kill(old.id);
    const isBack = (): boolean => (this.containerOf(name)?.attempt ?? -1) > old.attempt;
    return this.until(`${name} is restarted`, isBack, 60_000, STEP_MS);
  }

  /** Writes a manifest. Returns how long it takes until that very version runs. */
  async apply(name: string, version: number): Promise<number> {
    this.manifests.write(`${name}.json`, manifest(name, {}, version));
    const runs = (): boolean => {
      const ready = this.runtime.sandboxes().filter((sandbox) => sandbox.ready);
      const mine = ready.find(
        ({ podName: full, labels }) => full.startsWith(`${name}-`) && labels["version"] === String(version),
      );
      return this.running().some(({ sandboxId }) => sandboxId === mine?.id);
    };
    return this.until(`${name} version ${version} runs`, runs, 60_000, STEP_MS);
  }

  /** How quickly each of these pods is restarted, and how quickly others are changed and made. The slowest of each, in milliseconds. */
  async pace(
    names: readonly string[],
  ): Promise<{ readonly restart: number; readonly change: number; readonly make: number }> {
    let restart = 0;
    for (const name of names) restart = Math.max(restart, await this.restart(name));
    let change = 0;
    for (const name of names.slice(0, 5)) change = Math.max(change, await this.apply(name, 2));
    return { restart, change, make: await this.apply("fresh", 1) };
  }

  /** The Ready condition's status, and everything that `holdfast get node` says. */
  async nodeText(): Promise<{ readonly ready: string; readonly text: string }> {
    const { conditions, warnings } = await this.node();
    const [condition] = conditions;
    return { ready: condition?.status ?? "", text: [condition?.message ?? "", ...warnings].join("\n") };
  }
}
