// SPDX-License-Identifier: Apache-2.0

/** A node in virtual time: the pod manager and the kuberuntime manager over the fake runtime, files in memory. The agent can be restarted. */
import { Bus } from "@holdfast/bus";
import type { AnyEnvelope } from "@holdfast/bus";
import { Limiter } from "@holdfast/core/limiter";
import { ManualClock } from "@holdfast/core/manual-clock";
import { CONFIG_SOURCE_ANNOTATION } from "@holdfast/core/names";
import type { Pod } from "@holdfast/core/pod-types";
import { seededRandom } from "@holdfast/core/random";
import { FakeRuntime } from "@holdfast/cri-fake";
import type { FakeRuntimeOptions, Program } from "@holdfast/cri-fake";
import { PodConfig } from "../../src/config/pod-config.ts";
import type { PodSource } from "../../src/config/pod-update.ts";
import { PodRuntimeManager } from "../../src/kuberuntime/pod-runtime-manager.ts";
import { OwnedPodLister } from "../../src/workers/owned-pod-lister.ts";
import { PodManager } from "../../src/workers/pod-manager.ts";
import type { PodManagerDeps } from "../../src/workers/ports.ts";
import { LookingCache, MemoryDisk, PlainStatus, PodSeen, SettableReadiness } from "./fakes.ts";

export const PODS_DIR = "/state/pods";
export const LOGS_DIR = "/var/log/pods";
const OWNER = { nodeName: "node-1", instanceId: "instance-1" };
const RELIST_MS = 1000;

/** How a {@link TestNode} is made. */
export interface TestNodeOptions {
  readonly programs?: Record<string, Program>;
  readonly fake?: Partial<FakeRuntimeOptions>;
  readonly manager?: Partial<PodManagerDeps>;
  /** Default: just "file". */
  readonly sources?: readonly PodSource[];
}

/** One run of the agent. */
export interface Agent {
  readonly bus: Bus;
  readonly config: PodConfig;
  readonly cache: LookingCache;
  readonly manager: PodManager;
  readonly runtime: PodRuntimeManager;
}

/** See the top of the file. */
export class TestNode {
  readonly clock = new ManualClock();
  readonly disk = new MemoryDisk();
  readonly status: PlainStatus = new PlainStatus(this.clock);
  readonly readiness = new SettableReadiness();
  readonly cgroups = new Set<string>();
  readonly volumes = new Set<string>();
  /** Everything that came over the bus, of all runs. */
  readonly events: AnyEnvelope[] = [];
  readonly fake: FakeRuntime;
  /** How each started container of a name behaves. */
  readonly programs: Record<string, Program>;
  /** What the folder of manifests says. */
  wanted: Pod[] = [];
  /** Called before volumes are set up: may hang or throw. */
  beforeVolumes: (pod: Pod) => Promise<void> = async () => {};
  beforeTearDown: (uid: string) => Promise<void> = async () => {};
  readonly #options: TestNodeOptions;
  #agent: Agent | undefined;
  #relisting: { cancel(): void } | undefined;

  constructor(options: TestNodeOptions = {}) {
    this.#options = options;
    this.programs = options.programs ?? {};
    this.fake = new FakeRuntime({
      clock: this.clock,
      programs: ({ name }) => this.programs[name] ?? {},
      ...options.fake,
    });
  }

  get #sources(): readonly PodSource[] {
    return this.#options.sources ?? ["file"];
  }

  get agent(): Agent {
    if (this.#agent === undefined) throw new Error("no agent runs");
    return this.#agent;
  }

  /** Starts an agent; `deliver: false`: the sources are silent at first. */
  async start({ deliver = true } = {}): Promise<Agent> {
    const { clock, fake, disk } = this;
    const bus = new Bus({ clock });
    const log = bus.subscribeAll({ name: "test", capacity: 100_000 });
    void (async () => {
      for await (const event of log) if (event.type !== "gap") this.events.push(event as AnyEnvelope);
    })();
    const cache = new LookingCache(clock, fake, bus);
    const config = new PodConfig({ sources: this.#sources, clock, publish: bus });
    const resources = {
      ensureExists: async ({ metadata }: Pod) => {
        this.cgroups.add(metadata.uid);
        return `/kubepods/${metadata.uid}`;
      },
      destroy: async (uid: string) => void this.cgroups.delete(uid),
    };
    const runtime = new PodRuntimeManager({
      runtime: fake,
      clock,
      publish: bus,
      resources: { containerResources: () => NO_RESOURCES },
      files: disk,
      probes: { liveness: () => undefined, startup: () => undefined },
      checkpoint: NO_CHECKPOINT,
      limiter: new Limiter({ clock, limit: 4, releaseAfterMs: 10_000 }),
      options: {
        ...OWNER,
        podsDir: PODS_DIR,
        podLogsDir: LOGS_DIR,
        containerLogsDir: "",
        resolvConf: async () => "",
        hostsFile: async () => "",
        nodeIps: () => ["192.168.0.2"],
      },
    });
    const manager = new PodManager({
      clock,
      desired: config,
      cache,
      status: this.status,
      runtime,
      owned: new OwnedPodLister(fake, OWNER),
      resources,
      volumes: {
        setUp: async (pod) => {
          await this.beforeVolumes(pod);
          this.volumes.add(pod.metadata.uid);
          return new Map();
        },
        tearDown: async (uid) => {
          await this.beforeTearDown(uid);
          this.volumes.delete(uid);
        },
      },
      files: disk,
      readiness: this.readiness,
      bus,
      wakeOn: [PodSeen],
      publish: bus,
      random: seededRandom(7),
      podsDir: PODS_DIR,
      podLogsDir: LOGS_DIR,
      ...this.#options.manager,
    });
    this.#agent = { bus, cache, config, manager, runtime };
    const relist = (): void => {
      this.#relisting = clock.timer(RELIST_MS, () => {
        void cache.relist().catch(() => undefined);
        relist();
      });
    };
    relist();
    await manager.start();
    if (deliver && this.#sources.includes("file")) this.deliver();
    await this.settle();
    return this.#agent;
  }

  /** Ends the agent as kill -9 would, or politely. */
  async stop({ politely = true } = {}): Promise<void> {
    const { manager, cache } = this.agent;
    this.#relisting?.cancel();
    cache.closed = true;
    const stopping = manager.stop();
    // A call that is under way when the agent is killed may still be carried out by the runtime: nobody waits for it.
    if (politely) await Promise.all([stopping, this.clock.advance(10_000)]);
    this.#agent = undefined;
  }

  /** The file source says what it has. */
  deliver(unknown: readonly string[] = []): void {
    this.agent.config.update({ source: "file", pods: this.wanted, ready: true, unknown });
  }

  /** The folder of manifests becomes this. */
  async want(...pods: Pod[]): Promise<void> {
    this.wanted = pods;
    this.deliver();
    await this.settle();
  }

  /** Lets everything that needs no time happen. */
  async settle(turns = 60): Promise<void> {
    await this.clock.settle(turns);
  }

  /** Moves time on in steps, so that what one step woke can arm its timers. */
  async advance(ms: number, stepMs = 250): Promise<void> {
    for (let left = ms; left > 0; left -= stepMs) {
      await this.clock.advance(Math.min(left, stepMs));
      await this.settle(8);
    }
  }

  /** `POD/CONTAINER` of what runs, sorted. */
  running(): string[] {
    return this.fake
      .containers()
      .filter(({ alive }) => alive)
      .map(({ podUid, name }) => `${podUid}/${name}`)
      .sort();
  }

  stateOf(uid: string): string | undefined {
    return this.agent.manager.pods().find(({ pod }) => pod.metadata.uid === uid)?.state;
  }

  problemOf(uid: string): string | undefined {
    return this.agent.manager.pods().find(({ pod }) => pod.metadata.uid === uid)?.problem;
  }

  /** Types of the events about a pod. */
  story(uid: string, prefix = "pod/"): string[] {
    return this.events
      .filter(({ subject, type }) => subject.podUid === uid && type.startsWith(prefix))
      .map(({ type }) => type.slice(prefix.length));
  }

  /** Nothing of a pod is left anywhere. */
  leftovers(uid: string): string[] {
    return [
      ...this.fake
        .sandboxes()
        .filter(({ podUid }) => podUid === uid)
        .map(({ id }) => `sandbox ${id}`),
      ...this.fake
        .containers()
        .filter(({ podUid }) => podUid === uid)
        .map(({ id }) => `container ${id}`),
      ...(this.cgroups.has(uid) ? ["cgroup"] : []),
      ...(this.volumes.has(uid) ? ["volumes"] : []),
      ...[...this.disk.files.keys(), ...this.disk.folders].filter((path) => path.includes(uid)),
      ...(this.status.get(uid) === undefined ? [] : ["status"]),
    ];
  }
}

/** A static pod; its UID is its name unless given. */
export function staticPod(
  name: string,
  spec: Partial<Pod["spec"]> = {},
  { uid = name, source = "file" }: { uid?: string; source?: string } = {},
): Pod {
  return {
    apiVersion: "v1",
    kind: "Pod",
    metadata: { name, namespace: "default", uid, annotations: { [CONFIG_SOURCE_ANNOTATION]: source } },
    spec: {
      containers: [{ name: "app", image: "holdfast.local/busybox:1", imagePullPolicy: "IfNotPresent" }],
      restartPolicy: "Always",
      terminationGracePeriodSeconds: 30,
      ...spec,
    },
  };
}

/** One container with ports. */
export function withHostPort(hostPort: number, hostIP = ""): Partial<Pod["spec"]> {
  return {
    containers: [
      {
        name: "app",
        image: "holdfast.local/busybox:1",
        imagePullPolicy: "IfNotPresent",
        ports: [{ containerPort: 80, hostPort, hostIP, protocol: "TCP" }],
      },
    ],
  };
}

const NO_RESOURCES = {
  cpuPeriod: 0,
  cpuQuota: 0,
  cpuShares: 2,
  memoryLimitInBytes: 0,
  oomScoreAdj: 1000,
  cpusetCpus: "",
  cpusetMems: "",
  unified: {},
};
const NO_CHECKPOINT = { get: () => undefined, set: () => {}, delete: () => {}, entries: () => [] };
