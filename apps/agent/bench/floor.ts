// SPDX-License-Identifier: Apache-2.0

/**
 * The floor: what the same pods cost when the CRI calls are made directly, with nothing around them. The requests carry what the agent's and the kubelet's
 * carry (log paths, hosts file, termination log, cgroup parent, DNS, masked paths, the sandbox's seccomp filter), so that the runtime does the same work:
 * building that filter alone is a tenth of a pod's start.
 */
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { PodSandboxState, SecurityProfile_ProfileType } from "@holdfast/cri";
import type { ContainerConfig, CriClient, DeepPartial, PodSandboxConfig } from "@holdfast/cri";
import type { AgentPlaces } from "../test/integration/harness/agent-process.ts";

/** Label on the floor's sandboxes and containers. */
export const FLOOR_LABEL = "holdfast.bench/floor";

/** kubelet: securitycontext.defaultMaskedPaths, defaultReadonlyPaths. */
const MASKED_PATHS = [
  "asound",
  "acpi",
  "interrupts",
  "kcore",
  "keys",
  "latency_stats",
  "timer_list",
  "timer_stats",
  "sched_debug",
  "scsi",
].map((name) => `/proc/${name}`);
const READONLY_PATHS = ["bus", "fs", "irq", "sys", "sysrq-trigger"].map((name) => `/proc/${name}`);

/** One pod made directly. */
export interface FloorPod {
  readonly name: string;
  readonly sandboxId: string;
  readonly sandboxConfig: DeepPartial<PodSandboxConfig>;
  readonly containerConfig: DeepPartial<ContainerConfig>;
  readonly containerId: string;
}

/** Makes, restarts and removes pods by direct calls. */
export class Floor {
  readonly #client: CriClient;
  readonly #places: AgentPlaces;
  readonly #image: string;
  readonly #command: readonly string[];

  constructor(client: CriClient, places: AgentPlaces, image: string, command: readonly string[]) {
    this.#client = client;
    this.#places = places;
    this.#image = image;
    this.#command = command;
  }

  /** RunPodSandbox, CreateContainer, StartContainer. */
  async up(name: string): Promise<FloorPod> {
    const sandboxConfig = this.#sandboxConfig(name);
    const { podSandboxId: sandboxId } = await this.#client.runPodSandbox({ config: sandboxConfig });
    const containerConfig = this.#containerConfig(name, 0);
    const containerId = await this.createAndStart(sandboxId, containerConfig, sandboxConfig);
    return { name, sandboxId, sandboxConfig, containerConfig, containerId };
  }

  /** CreateContainer and StartContainer; returns when the start has returned. */
  async createAndStart(
    podSandboxId: string,
    config: DeepPartial<ContainerConfig>,
    sandboxConfig: DeepPartial<PodSandboxConfig>,
  ): Promise<string> {
    const { containerId } = await this.#client.createContainer({ podSandboxId, config, sandboxConfig });
    await this.#client.startContainer({ containerId });
    return containerId;
  }

  /** The request for a successor: the next attempt of the same container. Its files are made here: the agent makes them beforehand too. */
  successor(pod: FloorPod): DeepPartial<ContainerConfig> {
    return this.#containerConfig(pod.name, 1);
  }

  /** What the kubelet calls to end a pod: StopContainer, StopPodSandbox, RemoveContainer, RemovePodSandbox. */
  async down(pod: FloorPod): Promise<void> {
    await this.#client.stopContainer({ containerId: pod.containerId, timeout: 1n });
    await this.#client.stopPodSandbox({ podSandboxId: pod.sandboxId });
    await this.#client.removeContainer({ containerId: pod.containerId });
    await this.#client.removePodSandbox({ podSandboxId: pod.sandboxId });
  }

  /** Removes whatever the floor still has on the runtime. */
  async clear(): Promise<void> {
    const { items } = await this.#client.listPodSandbox({
      filter: { labelSelector: { [FLOOR_LABEL]: this.#places.nodeName } },
    });
    await inFlight(4, items, async ({ id, state }) => {
      if (state === PodSandboxState.SANDBOX_READY) await this.#client.stopPodSandbox({ podSandboxId: id });
      await this.#client.removePodSandbox({ podSandboxId: id });
    });
  }

  #sandboxConfig(name: string): DeepPartial<PodSandboxConfig> {
    const logDirectory = join(this.#places.podLogs, `default_${name}_${name}`);
    mkdirSync(join(logDirectory, "main"), { recursive: true });
    return {
      metadata: { name, namespace: "default", uid: name, attempt: 0 },
      hostname: name,
      logDirectory,
      dnsConfig: { servers: ["192.0.2.53"], searches: [], options: [] },
      labels: { [FLOOR_LABEL]: this.#places.nodeName, "io.kubernetes.pod.name": name },
      linux: {
        cgroupParent: `${this.#places.cgroupRoot}/floor/pod${name}`,
        resources: { cpuShares: 2n, cpuPeriod: 100_000n },
        securityContext: {
          namespaceOptions: { pid: 1 },
          seccomp: { profileType: SecurityProfile_ProfileType.RuntimeDefault, localhostRef: "" },
        },
      },
    };
  }

  #containerConfig(name: string, attempt: number): DeepPartial<ContainerConfig> {
    const files = join(this.#places.state, "floor", name);
    mkdirSync(files, { recursive: true });
    const hosts = join(files, "etc-hosts");
    const terminationLog = join(files, `termination-log-${attempt}`);
    writeFileSync(hosts, "127.0.0.1 localhost\n");
    writeFileSync(terminationLog, "");
    return {
      metadata: { name: "main", attempt },
      image: { image: this.#image },
      command: [...this.#command],
      logPath: `main/${attempt}.log`,
      labels: { [FLOOR_LABEL]: this.#places.nodeName, "io.kubernetes.pod.name": name },
      mounts: [
        { containerPath: "/etc/hosts", hostPath: hosts },
        { containerPath: "/dev/termination-log", hostPath: terminationLog },
      ],
      linux: {
        resources: { cpuShares: 2n, cpuPeriod: 100_000n, oomScoreAdj: 1000n },
        securityContext: {
          namespaceOptions: { pid: 1 },
          maskedPaths: [...MASKED_PATHS, "/sys/firmware", "/sys/devices/virtual/powercap"],
          readonlyPaths: READONLY_PATHS,
          seccomp: { profileType: SecurityProfile_ProfileType.Unconfined, localhostRef: "" },
        },
      },
    };
  }
}

/** Works through `items`, `width` at a time; the first failure ends it. */
export async function inFlight<T, R>(
  width: number,
  items: readonly T[],
  work: (item: T) => Promise<R>,
): Promise<R[]> {
  const results: R[] = [];
  const queue = items.entries();
  const lane = async (): Promise<void> => {
    for (const [index, item] of queue) results[index] = await work(item);
  };
  await Promise.all(Array.from({ length: width }, lane));
  return results;
}
