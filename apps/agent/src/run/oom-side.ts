// SPDX-License-Identifier: Apache-2.0

/** Feeds the OOM watcher: containerd's task events, ends of containers, and who is who. */
import type { Bus, EnvelopeOf, Subscription } from "@holdfast/bus";
import type { Clock } from "@holdfast/core/clock";
import type { Component, Health } from "@holdfast/core/lifecycle";
import type { Logger } from "@holdfast/core/log";
import type { Metrics } from "@holdfast/core/metrics";
import type { RuntimePodStatus } from "@holdfast/core/runtime-status";
import type { ContainerdTaskEvent, CriClient } from "@holdfast/cri";
import { OomWatcher } from "@holdfast/oom";
import type { KmsgDevice, OomContainer } from "@holdfast/oom";
import { ContainerDied } from "@holdfast/pleg";

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
}

type Deaths = Subscription<EnvelopeOf<typeof ContainerDied>>;

const CAPACITY = 1024;
const SIGKILLED = 137;

/** See the top of the file. */
export class OomSide implements Component {
  readonly name = "oom";
  readonly watcher: OomWatcher;
  readonly #options: OomSideOptions;
  #deaths: Deaths | undefined;
  #reading: Promise<void> = Promise.resolve();

  constructor(options: OomSideOptions) {
    this.#options = options;
    const { clock, bus, metrics, logger, nodeName, device } = options;
    this.watcher = new OomWatcher({
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
    this.#deaths = this.#options.bus.subscribe([ContainerDied], {
      name: this.name,
      capacity: CAPACITY,
      overflow: "drop-oldest",
    });
    this.#reading = this.#read(this.#deaths);
    await this.watcher.start(signal);
  }

  async stop(): Promise<void> {
    this.#deaths?.[Symbol.dispose]();
    await this.#reading;
    await this.watcher.stop();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop();
  }

  health(): Health {
    return this.watcher.health();
  }

  /** containerd's events, with the watcher looking on. The subscription is made at once. */
  tasks(
    runtime: Pick<CriClient, "containerdEvents">,
    options: { readonly signal: AbortSignal },
  ): AsyncIterable<ContainerdTaskEvent> {
    const events = runtime.containerdEvents(options);
    return observed(events, (event) => this.watcher.observe(event));
  }

  /** A death by SIGKILL may be the kernel's doing, and its log says so already. A death that is missed here is still told, a second later. */
  async #read(deaths: Deaths): Promise<void> {
    for await (const event of deaths) {
      if (event.type === "gap") continue;
      const { containerId, exitCode } = event.data;
      this.watcher.noteExit(containerId, exitCode);
      if (exitCode === SIGKILLED) void this.watcher.drain();
    }
  }

  #find(containerId: string): OomContainer | undefined {
    for (const status of this.#options.statuses()) {
      const record = status.containers.find(({ id }) => id === containerId);
      if (record !== undefined)
        return { containerId, podUid: status.uid, pod: nameOf(status), container: record.name };
    }
    return undefined;
  }
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
