// SPDX-License-Identifier: Apache-2.0

/**
 * A node of its own for one test: folders, names and cgroups that nobody else has, and an agent on the runtime that the tests were given.
 * `await using node = await startNode()`: at the end the agent is stopped and everything that it made is removed, whatever the test's outcome.
 */
import { execFile } from "node:child_process";
import { randomBytes } from "node:crypto";
import { existsSync, mkdtempSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { CONTAINER_NAME_LABEL, NODE_LABEL, POD_NAME_LABEL } from "@holdfast/core/names";
import { ContainerState } from "@holdfast/cri";
import type { Container, ContainerStatus, CriClient, PodSandbox } from "@holdfast/cri";
import type { NodeObject, PodList, PodObject } from "../../../src/api/types.ts";
import { AgentProcess, holdfastBin, tail, writeConfig } from "./agent-process.ts";
import type { AgentPlaces, ConfigOverrides } from "./agent-process.ts";
import { podCgroups, removeCgroups } from "./cgroups.ts";
import type { Manifest } from "./manifests.ts";
import { namesIn, unmountBelow } from "./mounts.ts";
import { RuntimePlaces, testEndpoint } from "./runtime.ts";
import { getJson } from "./unix-http.ts";
import { GiveUp, PATIENCE_MS, until } from "./until.ts";

/** How a test's node differs from the usual. */
export interface NodeOptions extends ConfigOverrides {
  /** Default: the one that the tests were given. */
  readonly endpoint?: string;
  /** False: the agent is not started yet. */
  readonly start?: boolean;
  /** False: does not wait for the node to be ready. */
  readonly awaitReady?: boolean;
  /** Written before the agent starts. */
  readonly pods?: readonly Manifest[];
}

/** What a command printed. */
export interface CliResult {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** Makes a node and starts its agent. */
export async function startNode(options: NodeOptions = {}): Promise<TestNode> {
  const node = new TestNode(options);
  try {
    for (const pod of options.pods ?? []) node.write(pod);
    if (options.start !== false) await node.start(options.awaitReady !== false);
    return node;
  } catch (error) {
    await node[Symbol.asyncDispose]();
    throw error;
  }
}

export class TestNode implements AsyncDisposable {
  readonly name: string;
  readonly places: AgentPlaces;
  readonly runtime: RuntimePlaces;
  readonly client: CriClient;
  readonly socket: string;
  agent: AgentProcess | undefined;
  readonly #base: string;
  readonly #namespacesBefore: ReadonlySet<string>;

  constructor(options: NodeOptions) {
    const id = randomBytes(3).toString("hex");
    this.name = `test-${id}`;
    this.#base = mkdtempSync(join(tmpdir(), "holdfast-test-"));
    const run = join("/run", `hft-${id}`);
    this.places = {
      nodeName: this.name,
      cgroupRoot: `/hft${id}`,
      manifests: join(this.#base, "manifests"),
      state: join(this.#base, "state"),
      podLogs: join(this.#base, "logs"),
      run,
      config: join(this.#base, "config.yaml"),
      log: join(this.#base, "agent.log"),
    };
    this.runtime = new RuntimePlaces(options.endpoint ?? testEndpoint());
    this.client = this.runtime.client();
    this.socket = join(run, "holdfast.sock");
    this.#namespacesBefore = new Set(this.runtime.networkNamespaces());
    writeConfig(this.places, this.runtime.endpoint, options);
  }

  // The agent's process.

  async start(awaitReady = true): Promise<void> {
    if (this.agent !== undefined && this.agent.exitCode === undefined)
      throw new Error("the agent runs already");
    this.agent = new AgentProcess(this.places);
    if (awaitReady) await this.until(() => this.isReady(), "the node is Ready");
  }

  async isReady(): Promise<boolean> {
    if (this.agent?.exitCode !== undefined) throw new GiveUp(`the agent ended with ${this.agent.exitCode}`);
    return (await this.nodeObject()).conditions.some(
      ({ type, status }) => type === "Ready" && status === "True",
    );
  }

  async kill9(): Promise<void> {
    await this.agent?.kill9();
  }

  async stop(signal: "SIGTERM" | "SIGINT" = "SIGTERM"): Promise<number> {
    return (await this.agent?.stop(signal)) ?? 0;
  }

  async restart(): Promise<void> {
    await this.stop();
    await this.start();
  }

  // The manifest folder.

  /** Puts a manifest into the folder in one step. The file is named after the pod, unless told. */
  write(manifest: Manifest | string, file?: string): string {
    const metadata = typeof manifest === "string" ? undefined : (manifest["metadata"] as { name: string });
    const name = file ?? `${metadata?.name ?? "pod"}.yaml`;
    const path = join(this.places.manifests, name);
    const next = join(this.#base, `${name}.next`);
    writeFileSync(next, typeof manifest === "string" ? manifest : `${JSON.stringify(manifest, null, 2)}\n`);
    renameSync(next, path);
    return path;
  }

  /** Takes a pod's file, or a file by its name, out of the folder. */
  remove(name: string): void {
    rmSync(join(this.places.manifests, name.includes(".") ? name : `${name}.yaml`));
  }

  // What the agent says.

  nodeObject(): Promise<NodeObject> {
    return getJson(this.socket, "/api/v1/node");
  }

  podList(): Promise<PodList> {
    return getJson(this.socket, "/api/v1/pods");
  }

  /** A pod by the name in its manifest; the agent adds the node's. */
  async pod(name: string): Promise<PodObject | undefined> {
    const { items } = await this.podList();
    return items.find(({ metadata }) => metadata.name === `${name}-${this.name}` || metadata.name === name);
  }

  /** Runs `holdfast ARGS` against this agent. */
  cli(...args: readonly string[]): Promise<CliResult> {
    const env = { ...process.env, HOLDFAST_SOCKET: this.socket };
    return new Promise((resolve) => {
      execFile(holdfastBin, args, { env, timeout: 60_000 }, (error, stdout, stderr) => {
        const code = error === null ? 0 : typeof error.code === "number" ? error.code : 128;
        resolve({ code, stdout, stderr });
      });
    });
  }

  // What the runtime says.

  async sandboxes(name?: string): Promise<PodSandbox[]> {
    const { items } = await this.client.listPodSandbox({ filter: { labelSelector: this.#selector(name) } });
    return items;
  }

  /** Containers of this node, or of one pod, newest attempt last. */
  async containers(name?: string): Promise<Container[]> {
    const { containers } = await this.client.listContainers({
      filter: { labelSelector: this.#selector(name) },
    });
    return containers.sort((a, b) => Number(a.createdAt - b.createdAt));
  }

  async running(name?: string): Promise<Container[]> {
    return (await this.containers(name)).filter(({ state }) => state === ContainerState.CONTAINER_RUNNING);
  }

  /** Waits for one running container of the pod (of that container's name) and returns it. */
  runningContainer(name: string, containerName = "main", atLeastAttempt = 0): Promise<Container> {
    return this.until(async () => {
      const found = await this.running(name);
      return found.find(
        ({ labels, metadata }) =>
          labels[CONTAINER_NAME_LABEL] === containerName && (metadata?.attempt ?? 0) >= atLeastAttempt,
      );
    }, `container ${containerName} of ${name} runs, attempt ${atLeastAttempt} or later`);
  }

  /** Status and the pid of the main process. */
  async containerStatus(containerId: string): Promise<{ status: ContainerStatus; pid: number }> {
    const { status, info } = await this.client.containerStatus({ containerId, verbose: true });
    if (status === undefined) throw new Error(`no status of ${containerId}`);
    return { status, pid: (JSON.parse(info["info"] ?? "{}") as { pid?: number }).pid ?? 0 };
  }

  /** Kills a container's main process, as an operator or the kernel would. */
  async killContainer(containerId: string): Promise<void> {
    const { pid } = await this.containerStatus(containerId);
    if (pid > 1) process.kill(pid, "SIGKILL");
  }

  // Waiting and leftovers.

  /** {@link until}, with what the agent logged last. */
  until<T>(
    condition: () => T | Promise<T>,
    what: string,
    timeoutMs: number = PATIENCE_MS,
  ): ReturnType<typeof until<T>> {
    return until(condition, what, timeoutMs, () => this.diagnosis());
  }

  async diagnosis(): Promise<string> {
    const { stdout, stderr } = await this.cli("get", "pods");
    const ended = this.agent?.exitCode;
    return `--- the agent ${ended === undefined ? "runs" : `ended with ${ended}`}\n--- get pods\n${stdout}${stderr}\n--- agent's log\n${tail(this.places.log, 40)}`;
  }

  log(): string {
    return existsSync(this.places.log) ? readFileSync(this.places.log, "utf8") : "";
  }

  /** Everything that this node left on the machine, one line each. */
  async leftovers(): Promise<string[]> {
    const sandboxes = await this.sandboxes();
    const { items } = await this.client.listPodSandbox({});
    const known = new Set(items.map(({ id }) => id));
    const leases = [...this.runtime.leases()].filter(([owner]) => !known.has(owner));
    const namespaces = await this.#strayNamespaces(items);
    return [
      ...sandboxes.map(({ id, labels }) => `sandbox ${id.slice(0, 12)} of ${labels[POD_NAME_LABEL]}`),
      ...(await this.containers()).map(
        ({ id, labels }) => `container ${id.slice(0, 12)} of ${labels[POD_NAME_LABEL]}`,
      ),
      ...leases.map(
        ([owner, address]) => `address ${address} of sandbox ${owner.slice(0, 12)}, which is gone`,
      ),
      ...namespaces.map((name) => `network namespace ${name}`),
      ...podCgroups(this.places.cgroupRoot).map((path) => `cgroup ${path}`),
      ...namesIn(join(this.places.state, "pods")).map((name) => `pod folder ${name}`),
      ...namesIn(this.places.podLogs).map((name) => `log folder ${name}`),
    ];
  }

  /** Network namespaces that came since this node was made and belong to no sandbox: of this node or of another. */
  async #strayNamespaces(sandboxes: readonly PodSandbox[]): Promise<string[]> {
    const fresh = this.runtime.networkNamespaces().filter((name) => !this.#namespacesBefore.has(name));
    if (fresh.length === 0) return [];
    const used: string[] = [];
    for (const { id } of sandboxes) {
      const { info } = await this.client.podSandboxStatus({ podSandboxId: id, verbose: true });
      used.push(info["info"] ?? "");
    }
    return fresh.filter((name) => !used.some((text) => text.includes(name)));
  }

  /** Waits until nothing is left of this node's pods, and tells what stays. */
  async assertNothingLeft(timeoutMs: number = PATIENCE_MS): Promise<void> {
    let left: string[] = [];
    await this.until(
      async () => (left = await this.leftovers()).length === 0,
      "nothing is left of the pods",
      timeoutMs,
    ).catch((error: unknown) => {
      throw new Error(`left behind:\n  ${left.join("\n  ")}`, { cause: error });
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.agent?.kill9();
    try {
      for (const { id } of await this.sandboxes()) {
        await this.client.stopPodSandbox({ podSandboxId: id });
        await this.client.removePodSandbox({ podSandboxId: id });
      }
    } catch {
      // A test that ends with its runtime down: the instance is removed as a whole.
    }
    await this.client.close();
    removeCgroups(this.places.cgroupRoot);
    unmountBelow(this.#base);
    for (const dir of [this.#base, this.places.run]) rmSync(dir, { recursive: true, force: true });
  }

  #selector(name?: string): Record<string, string> {
    return {
      [NODE_LABEL]: this.name,
      ...(name === undefined ? {} : { [POD_NAME_LABEL]: `${name}-${this.name}` }),
    };
  }
}
