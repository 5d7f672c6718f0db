// SPDX-License-Identifier: Apache-2.0

/** Plugins in memory, a node to try them on, and pods to give devices to. */
import { Bus } from "@holdfast/bus";
import { ManualClock } from "@holdfast/core/manual-clock";
import { MetricsRegistry } from "@holdfast/core/metrics";
import type { Container, Pod } from "@holdfast/core/pod-types";
import { DeviceManager } from "@holdfast/device";
import type {
  ContainerAnswer,
  DeviceCheckpoint,
  DeviceManagerOptions,
  ListedDevice,
  PluginConnection,
  PluginDialer,
  PluginOptions,
  PreferenceQuestion,
} from "@holdfast/device";

export const RESOURCE = "example.com/resource";
const NO_OPTIONS: PluginOptions = { preStartRequired: false, getPreferredAllocationAvailable: false };
export const NO_ANSWER: ContainerAnswer = {
  envs: {},
  mounts: [],
  devices: [],
  annotations: {},
  cdiDevices: [],
};

/** A device that is good, on these NUMA nodes. */
export function good(id: string, ...numaNodes: number[]): ListedDevice {
  return { id, health: "Healthy", numaNodes };
}

export function bad(id: string, ...numaNodes: number[]): ListedDevice {
  return { id, health: "Unhealthy", numaNodes };
}

/** Lists that a reader has not taken yet. */
class ListQueue {
  #lists: (readonly ListedDevice[])[] = [];
  #wake: () => void = () => {};
  #over = false;

  push(list: readonly ListedDevice[]): void {
    this.#lists.push(list);
    this.#wake();
  }

  end(): void {
    this.#over = true;
    this.#wake();
  }

  async *read(): AsyncGenerator<readonly ListedDevice[]> {
    for (;;) {
      const list = this.#lists.shift();
      if (list !== undefined) yield list;
      else if (this.#over) return;
      else await new Promise<void>((resolve) => (this.#wake = resolve));
    }
  }
}

/** One plugin; it may be connected to again and again. */
export class FakePlugin {
  devices: readonly ListedDevice[];
  options: PluginOptions = NO_OPTIONS;
  /** Of its socket; undefined: it cannot be told from another one. */
  identity: string | undefined;
  readonly allocated: string[][] = [];
  readonly preStarted: string[][] = [];
  readonly questions: PreferenceQuestion[] = [];
  onAllocate: (ids: readonly string[]) => Promise<readonly ContainerAnswer[]> = (ids) =>
    Promise.resolve([{ ...NO_ANSWER, envs: { DEVICES: ids.join(",") } }]);
  onPreferred: (question: PreferenceQuestion) => Promise<readonly string[]> = () => Promise.resolve([]);
  onPreStart: () => Promise<void> = () => Promise.resolve();
  onOptions: () => Promise<PluginOptions> = () => Promise.resolve(this.options);
  #queues = new Set<ListQueue>();

  constructor(devices: readonly ListedDevice[]) {
    this.devices = devices;
  }

  /** Connections that are open. */
  get open(): number {
    return this.#queues.size;
  }

  update(devices: readonly ListedDevice[]): void {
    this.devices = devices;
    for (const queue of this.#queues) queue.push(devices);
  }

  /** As if its process had ended. */
  kill(): void {
    for (const queue of this.#queues) queue.end();
    this.#queues.clear();
  }

  connect(): PluginConnection {
    const queue = new ListQueue();
    const close = (): void => {
      queue.end();
      this.#queues.delete(queue);
    };
    return {
      identity: this.identity,
      options: () => this.onOptions(),
      lists: (signal) => {
        this.#queues.add(queue);
        signal.addEventListener("abort", close, { once: true });
        queue.push(this.devices);
        return queue.read();
      },
      preferred: (question) => {
        this.questions.push(question);
        return this.onPreferred(question);
      },
      allocate: (ids) => {
        this.allocated.push([...ids]);
        return this.onAllocate(ids);
      },
      preStart: (ids) => {
        this.preStarted.push([...ids]);
        return this.onPreStart();
      },
      close,
    };
  }
}

/** A checkpoint in memory that may refuse. */
export class MemoryCheckpoint implements DeviceCheckpoint {
  text: string | undefined;
  writes = 0;
  failure: Error | undefined;

  read(): Promise<string | undefined> {
    return Promise.resolve(this.text);
  }

  write(text: string): Promise<void> {
    this.writes++;
    if (this.failure !== undefined) return Promise.reject(this.failure);
    this.text = text;
    return Promise.resolve();
  }
}

/** What outlives the agent, and what is outside of it. */
export class TestNode {
  readonly clock: ManualClock = new ManualClock();
  readonly bus: Bus = new Bus({ clock: this.clock, ringSize: 4096 });
  readonly metrics: MetricsRegistry = new MetricsRegistry();
  readonly checkpoint = new MemoryCheckpoint();
  readonly plugins = new Map<string, FakePlugin>();
  readonly running = new Set<string>();
  readonly changedPods: string[] = [];
  active: Set<string> | undefined = new Set();
  bootId = "boot-1";
  changes = 0;
  readonly dialer: PluginDialer = {
    dial: (socket) => {
      const plugin = this.plugins.get(socket);
      if (plugin === undefined) return Promise.reject(new Error(`connection refused: ${socket}`));
      return Promise.resolve(plugin.connect());
    },
  };

  /** A new agent on this node. */
  async agent(options: Partial<DeviceManagerOptions> = {}): Promise<DeviceManager> {
    const manager = new DeviceManager({
      clock: this.clock,
      dialer: this.dialer,
      checkpoint: this.checkpoint,
      pods: {
        activePods: () => this.active,
        isRunning: (uid, container) => this.running.has(`${uid}/${container}`),
      },
      bootId: this.bootId,
      publish: this.bus,
      metrics: this.metrics,
      onChanged: () => this.changes++,
      onPodChanged: (uid) => void this.changedPods.push(uid),
      ...options,
    });
    await manager.start();
    return manager;
  }

  /** Starts a plugin and registers it, and waits until its list is taken. */
  async plug(
    manager: DeviceManager,
    plugin: FakePlugin,
    { resource = RESOURCE, socket = "plugin.sock" } = {},
  ): Promise<FakePlugin> {
    this.plugins.set(socket, plugin);
    await manager.register({ version: "v1beta1", endpoint: socket, resourceName: resource });
    await this.clock.settle();
    return plugin;
  }

  /** A pod that counts as active. */
  pod(name: string, containers: readonly PodPart[]): Pod {
    const pod = makePod(name, containers);
    this.active?.add(pod.metadata.uid);
    return pod;
  }

  events(type: string): readonly Record<string, unknown>[] {
    return this.bus
      .recent()
      .filter((event) => event.type === type)
      .map(({ data }) => data as Record<string, unknown>);
  }
}

/** A container: how many devices of which resource, and what kind of container it is. */
export interface PodPart {
  readonly name?: string;
  readonly count?: number;
  readonly resource?: string;
  readonly limits?: Record<string, string | number>;
  readonly kind?: "init" | "sidecar" | "app";
}

export function makePod(name: string, parts: readonly PodPart[]): Pod {
  const made = parts.map((part, index): [PodPart, Container] => {
    const { kind = "app", count, resource = RESOURCE } = part;
    const limits = part.limits ?? (count === undefined ? {} : { [resource]: count });
    const container: Container = { name: part.name ?? `c${index}`, image: "i", resources: { limits } };
    if (kind === "sidecar") container.restartPolicy = "Always";
    return [part, container];
  });
  const pick = (isApp: boolean): Container[] =>
    made.filter(([{ kind = "app" }]) => (kind === "app") === isApp).map(([, container]) => container);
  return {
    apiVersion: "v1",
    kind: "Pod",
    metadata: { name, namespace: "default", uid: `uid-${name}` },
    spec: { initContainers: pick(false), containers: pick(true) },
  };
}

/** Ids that a container holds. */
export function idsOf(
  manager: DeviceManager,
  pod: Pod,
  container = "c0",
  resource: string = RESOURCE,
): readonly string[] {
  return manager.records.get(pod.metadata.uid, container, resource)?.ids ?? [];
}
