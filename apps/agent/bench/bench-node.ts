// SPDX-License-Identifier: Apache-2.0

/** The agent under the benchmark: one process in folders of its own, and what the runtime shows of it. */
import { mkdirSync, mkdtempSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import { NODE_LABEL, POD_NAME_LABEL } from "@holdfast/core/names";
import { ContainerState } from "@holdfast/cri";
import type { Container, CriClient } from "@holdfast/cri";
import type { NodeObject } from "../src/api/types.ts";
import { AgentProcess, tail, writeConfig } from "../test/integration/harness/agent-process.ts";
import type { AgentPlaces } from "../test/integration/harness/agent-process.ts";
import { removeCgroups } from "../test/integration/harness/cgroups.ts";
import type { Manifest } from "../test/integration/harness/manifests.ts";
import { getJson, getOverSocket } from "../test/integration/harness/unix-http.ts";
import { until } from "../test/integration/harness/until.ts";
import { TaskCount } from "./task-count.ts";

/** Between two looks at the runtime's lists while many pods come or go. */
const LOOK_MS = 20;
/** A pod's tasks: its sandbox and its one container. */
const TASKS_PER_POD = 2;
/** How long events alone are waited for. */
const EVENTS_MS = 60_000;
const GIVE_UP_MS = 120_000;

export class BenchNode implements AsyncDisposable {
  readonly places: AgentPlaces;
  readonly #client: CriClient;
  readonly #base: string;
  readonly #tasks: TaskCount;
  #agent: AgentProcess | undefined;

  constructor(client: CriClient, id: string) {
    this.#client = client;
    this.#tasks = new TaskCount(client);
    this.#base = mkdtempSync(join(tmpdir(), "holdfast-bench-"));
    this.places = {
      nodeName: `bench-${id}`,
      cgroupRoot: `/hfb${id}`,
      manifests: join(this.#base, "manifests"),
      state: join(this.#base, "state"),
      podLogs: join(this.#base, "logs"),
      run: `/run/hfb-${id}`,
      config: join(this.#base, "config.yaml"),
      log: join(this.#base, "agent.log"),
    };
    writeConfig(this.places, client.endpoint);
    mkdirSync(join(this.#base, "next"));
  }

  get pid(): number {
    return this.#agent?.pid ?? 0;
  }

  /** Starts the agent and waits until its node is Ready. */
  async start(): Promise<void> {
    this.#agent = new AgentProcess(this.places);
    const socket = join(this.places.run, "holdfast.sock");
    const ready = async (): Promise<boolean> => {
      const { conditions } = await getJson<NodeObject>(socket, "/api/v1/node");
      return conditions.some(({ type, status }) => type === "Ready" && status === "True");
    };
    await until(ready, "the node is Ready", 60_000, () => tail(this.places.log, 40));
  }

  /** Manifests into the folder at once; milliseconds until all containers run. */
  async drop(pods: readonly Manifest[]): Promise<number> {
    const names = pods.map((pod) => `${(pod["metadata"] as { name: string }).name}.yaml`);
    for (const [index, pod] of pods.entries())
      writeFileSync(join(this.#base, "next", names[index] ?? ""), JSON.stringify(pod));
    const startedAt = performance.now();
    const started = this.#tasks.reached("/tasks/start", TASKS_PER_POD * pods.length, EVENTS_MS);
    for (const name of names) renameSync(join(this.#base, "next", name), join(this.places.manifests, name));
    await started;
    await this.#look(async () => (await this.running()).length >= pods.length, `${pods.length} pods run`);
    return performance.now() - startedAt;
  }

  /** All manifests out of the folder; milliseconds until neither a sandbox nor a container of ours is left. */
  async remove(pods: readonly Manifest[]): Promise<number> {
    const startedAt = performance.now();
    const ended = this.#tasks.reached("/tasks/delete", TASKS_PER_POD * pods.length, EVENTS_MS);
    for (const pod of pods)
      rmSync(join(this.places.manifests, `${(pod["metadata"] as { name: string }).name}.yaml`));
    await ended;
    await this.#look(async () => (await this.#left()) === 0, "all pods are gone");
    return performance.now() - startedAt;
  }

  async running(): Promise<Container[]> {
    const { containers } = await this.#client.listContainers({
      filter: {
        state: { state: ContainerState.CONTAINER_RUNNING },
        labelSelector: { [NODE_LABEL]: this.places.nodeName },
      },
    });
    return containers.sort((a, b) =>
      (a.labels[POD_NAME_LABEL] ?? "").localeCompare(b.labels[POD_NAME_LABEL] ?? ""),
    );
  }

  async #left(): Promise<number> {
    const labelSelector = { [NODE_LABEL]: this.places.nodeName };
    const { items } = await this.#client.listPodSandbox({ filter: { labelSelector } });
    if (items.length > 0) return items.length;
    const { containers } = await this.#client.listContainers({ filter: { labelSelector } });
    return containers.length;
  }

  async #diagnosis(): Promise<string> {
    const ended = this.#agent?.exitCode;
    const shown = await getOverSocket(join(this.places.run, "holdfast.sock"), "/api/v1/pods").catch(String);
    const pods = typeof shown === "string" ? shown : shown.body;
    const left = `${(await this.running()).length} run, ${await this.#left()} left`;
    return [
      left,
      ended === undefined ? "the agent runs" : `the agent ended with ${ended}`,
      pods,
      tail(this.places.log, 40),
    ].join("\n");
  }

  async #look(done: () => Promise<boolean>, what: string): Promise<void> {
    const deadline = performance.now() + GIVE_UP_MS;
    while (!(await done())) {
      if (performance.now() > deadline)
        throw new Error(`waited ${GIVE_UP_MS / 1000} s in vain: ${what}\n${await this.#diagnosis()}`);
      await pause(LOOK_MS);
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#tasks[Symbol.dispose]();
    await this.#agent?.stop().catch(() => this.#agent?.kill9());
    const { items } = await this.#client.listPodSandbox({
      filter: { labelSelector: { [NODE_LABEL]: this.places.nodeName } },
    });
    for (const { id } of items) {
      await this.#client.stopPodSandbox({ podSandboxId: id });
      await this.#client.removePodSandbox({ podSandboxId: id });
    }
    removeCgroups(this.places.cgroupRoot);
    for (const dir of [this.#base, this.places.run]) rmSync(dir, { recursive: true, force: true });
  }
}
