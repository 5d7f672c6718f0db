// SPDX-License-Identifier: Apache-2.0

/**
 * Feeds the OOM watcher: containerd's task events, ends of containers, who is who and where their cgroups are; and says whether the kernel kills
 * one process or the whole container.
 */
import type { Bus, EnvelopeOf, Subject, Subscription } from "@holdfast/bus";
import type { Clock } from "@holdfast/core/clock";
import type { Component, Health } from "@holdfast/core/lifecycle";
import type { Logger } from "@holdfast/core/log";
import type { Metrics } from "@holdfast/core/metrics";
import type { RuntimePodStatus } from "@holdfast/core/runtime-status";
import type { ContainerdTaskEvent, CriClient } from "@holdfast/cri";
import { SINGLE_PROCESS_OOM_KILL_ANNOTATION } from "@holdfast/core/names";
import type { Container, Pod } from "@holdfast/core/pod-types";
import type { Journal } from "@holdfast/journal";
import { computeOomGroup, OomWatcher } from "@holdfast/oom";
import type { KmsgDevice, OomContainer, OomCounters, ReplayPoint } from "@holdfast/oom";
import { ContainerDied, ContainerStarted } from "@holdfast/pleg";
import { containerFlag, ContainerCreated } from "@holdfast/pod";
import type { ContainerResources } from "@holdfast/resource";

/** What it is made from. */
export interface OomSideOptions {
  readonly clock: Clock;
  readonly bus: Bus;
  readonly metrics: Metrics;
  readonly logger: Logger;
  readonly nodeName: string;
  readonly device: KmsgDevice;
  /** All pods of ours that the runtime has. */
  readonly statuses: () => readonly RuntimePodStatus[];
  /** The second witness. Default: none. */
  readonly counters?: OomCounters | undefined;
  /** Path of a container's cgroup; undefined where the runtime alone knows it. */
  readonly cgroupOf: (podUid: string, containerId: string) => string | undefined;
  readonly bootId?: string | undefined;
  /** Tells what the kernel's log has since then. Default: only what comes. */
  readonly replay?: ReplayPoint | undefined;
}

type Events = Subscription<
  EnvelopeOf<typeof ContainerCreated> | EnvelopeOf<typeof ContainerDied> | EnvelopeOf<typeof ContainerStarted>
>;

const CAPACITY = 1024;

/** See the top of the file. */
export class OomSide implements Component {
  readonly name = "oom";
  readonly watcher: OomWatcher;
  readonly #options: OomSideOptions;
  #events: Events | undefined;
  #reading: Promise<void> = Promise.resolve();

  constructor(options: OomSideOptions) {
    this.#options = options;
    const { clock, bus, metrics, logger, nodeName, device, counters, bootId, replay } = options;
    this.watcher = new OomWatcher({
      ...(counters === undefined ? {} : { counters }),
      ...(bootId === undefined ? {} : { bootId }),
      ...(replay === undefined ? {} : { replay }),
      clock,
      device,
      publish: bus,
      metrics,
      logger,
      nodeName,
      lookup: {
        find: async (containerId) => this.#find(containerId),
        // The kernel's log is the machine's: other agents' pods are not told as ours.
        ownsPod: (podUid) => options.statuses().some(({ uid }) => uid === podUid),
        podName: (podUid) => {
          const status = options.statuses().find(({ uid }) => uid === podUid);
          return status === undefined || status.name === "" ? undefined : nameOf(status);
        },
      },
    });
  }

  async start(signal?: AbortSignal): Promise<void> {
    this.#events = this.#options.bus.subscribe([ContainerCreated, ContainerDied, ContainerStarted], {
      name: this.name,
      capacity: CAPACITY,
      overflow: "drop-oldest",
    });
    this.#reading = this.#read(this.#events);
    await this.watcher.start(signal);
  }

  async stop(): Promise<void> {
    this.#events?.[Symbol.dispose]();
    await this.#reading;
    await this.watcher.stop();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop();
  }

  /** Without the kernel's log the other witnesses speak: the node is as well as it was. */
  health(): Health {
    return { failures: [] };
  }

  /** What is not as good as it could be, for who looks at the node. */
  warnings(): readonly string[] {
    return this.watcher.health().failures;
  }

  /** containerd's events, with the watcher looking on. The subscription is made at once. */
  tasks(
    runtime: Pick<CriClient, "containerdEvents">,
    options: { readonly signal: AbortSignal },
  ): AsyncIterable<ContainerdTaskEvent> {
    const events = runtime.containerdEvents(options);
    return observed(events, (event) => this.watcher.observe(event));
  }

  /** What is missed here is known from containerd, or looked up when it matters. */
  async #read(events: Events): Promise<void> {
    for await (const event of events) {
      if (event.type === "gap") continue;
      const { containerId } = event.data;
      // A runtime without containerd's events tells of deaths by the PLEG alone.
      if (event.type === ContainerDied.name) {
        if (!this.watcher.sawExit(containerId)) this.watcher.noteExit(containerId, event.data.exitCode);
      } else if (event.type === ContainerCreated.name) await this.#remember(event.subject, containerId, true);
      else if (event.data.kind === "container" && !this.watcher.knows(containerId))
        await this.#remember(event.subject, containerId, false);
    }
  }

  /** One that is new has counted nothing; of one that ran before this agent the counter is read, once. */
  #remember({ podUid, pod, container }: Subject, containerId: string, isNew: boolean): Promise<void> {
    if (podUid === undefined || pod === undefined || container === undefined) return Promise.resolve();
    const cgroupPath = this.#options.cgroupOf(podUid, containerId);
    return this.watcher.remember({ containerId, podUid, pod, container, cgroupPath }, { isNew });
  }

  #find(containerId: string): OomContainer | undefined {
    for (const status of this.#options.statuses()) {
      const record = status.containers.find(({ id }) => id === containerId);
      if (record === undefined) continue;
      const cgroupPath = this.#options.cgroupOf(status.uid, containerId);
      return { containerId, podUid: status.uid, pod: nameOf(status), container: record.name, cgroupPath };
    }
    return undefined;
  }
}

/** Where a replay begins: after the last kill that the journal tells, if it was in this boot. Undefined: the journal cannot be read. */
export function replayPoint(journal: Pick<Journal, "events">): ReplayPoint | undefined {
  try {
    const kill = journal
      .events({ types: ["oom/*"], limit: KILLS_LOOKED_AT })
      .find(({ data }) => typeof sequenceOf(data) === "number");
    const [run] = journal.events({
      types: ["journal/Started"],
      limit: 1,
      ...(kill === undefined ? {} : { before: kill.seq }),
    });
    const bootId = (run?.data as { readonly bootId?: string } | undefined)?.bootId ?? "";
    // Of another boot, or with nothing known at all: everything of this boot.
    return kill === undefined
      ? { bootId: "", sequence: -1 }
      : { bootId, sequence: sequenceOf(kill.data) ?? -1 };
  } catch {
    return undefined;
  }
}

/** Kills that the other witnesses told have no place in the log. */
const KILLS_LOOKED_AT = 100;

function sequenceOf(data: unknown): number | undefined {
  return (data as { readonly kmsgSequence?: number }).kmsgSequence;
}

/** Resources of containers, with memory.oom.group as the node's setting or the container's annotation has it. kubelet: singleProcessOOMKill. */
export function withOomGroup<T extends ResourcesOf>(
  resources: T,
  cgroupVersion: 1 | 2,
  singleProcessOOMKill: boolean | undefined,
): Pick<ResourcesOf, "containerResources"> {
  return {
    containerResources: (pod, container) => {
      const computed = resources.containerResources(pod, container);
      const own = containerFlag(pod, SINGLE_PROCESS_OOM_KILL_ANNOTATION, container.name);
      const { "memory.oom.group": _group, ...others } = computed.unified;
      const group = computeOomGroup({ cgroupVersion, singleProcessOOMKill, own });
      return { ...computed, unified: { ...others, ...group } };
    },
  };
}

interface ResourcesOf {
  containerResources(pod: Pod, container: Container): ContainerResources;
}

async function* observed<T>(events: AsyncIterable<T>, look: (event: T) => void): AsyncGenerator<T> {
  for await (const event of events) {
    look(event);
    yield event;
  }
}

function nameOf({ namespace, name }: RuntimePodStatus): string {
  return `${namespace}/${name}`;
}
