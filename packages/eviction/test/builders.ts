// SPDX-License-Identifier: Apache-2.0

import type { EnvelopeOf, Subscription } from "@holdfast/bus";
import { Bus } from "@holdfast/bus";
import { HoldfastError } from "@holdfast/core/errors";
import { ManualClock } from "@holdfast/core/manual-clock";
import { MetricsRegistry } from "@holdfast/core/metrics";
import type { Pod, ResourceRequirements, Volume } from "@holdfast/core/pod-types";
import { wholeValue } from "@holdfast/core/quantity";
import {
  EvictionManager,
  ExceededGracePeriod,
  parseThresholdConfig,
  PodEvicting,
  PressureChanged,
  SignalUnknown,
  ThresholdMet,
} from "@holdfast/eviction";
import type {
  EvictionManagerOptions,
  EvictionRequest,
  EvictionSettings,
  FsFigures,
  NodeFigures,
  PodFigures,
} from "@holdfast/eviction";

export const MI: number = 2 ** 20;
export const GI: number = 2 ** 30;

export interface PodShape {
  readonly priority?: number;
  readonly requests?: ResourceRequirements["requests"];
  readonly limits?: ResourceRequirements["limits"];
  readonly volumes?: Volume[];
  readonly grace?: number;
  readonly isStatic?: boolean;
  readonly createdAt?: string;
}

/** One container `main`. */
export function pod(name: string, shape: PodShape = {}): Pod {
  const { priority, requests, limits, volumes, grace, isStatic = false, createdAt } = shape;
  return {
    apiVersion: "v1",
    kind: "Pod",
    metadata: {
      name,
      namespace: "default",
      uid: name,
      ...(isStatic && { annotations: { "kubernetes.io/config.source": "file" } }),
      ...(createdAt !== undefined && { creationTimestamp: createdAt }),
    },
    spec: {
      containers: [
        {
          name: "main",
          image: "x",
          resources: { ...(requests && { requests }), ...(limits && { limits }) },
        },
      ],
      ...(priority !== undefined && { priority }),
      ...(volumes !== undefined && { volumes }),
      ...(grace !== undefined && { terminationGracePeriodSeconds: grace }),
    },
  };
}

export interface UsageShape {
  readonly memory?: string;
  readonly processes?: number;
  readonly rootfs?: string;
  readonly logs?: string;
  readonly volumes?: Readonly<Record<string, string>>;
  readonly inodes?: number;
}

/** Figures of a pod of {@link pod}. */
export function figuresOf(name: string, usage: UsageShape): PodFigures {
  const memory = usage.memory === undefined ? {} : { memory: { workingSetBytes: wholeValue(usage.memory) } };
  const fs = (text: string | undefined): FsFigures => ({
    usedBytes: wholeValue(text ?? 0),
    inodesUsed: usage.inodes ?? 0,
  });
  return {
    podRef: { uid: name },
    ...memory,
    ...(usage.processes !== undefined && { process_stats: { process_count: usage.processes } }),
    containers: [{ name: "main", ...memory, rootfs: fs(usage.rootfs), logs: fs(usage.logs) }],
    volume: Object.entries(usage.volumes ?? {}).map(([volume, text]) => ({
      name: volume,
      usedBytes: wholeValue(text),
      inodesUsed: 0,
    })),
  };
}

export const EVENTS = [
  ThresholdMet,
  PodEvicting,
  ExceededGracePeriod,
  PressureChanged,
  SignalUnknown,
] as const;
export type Told = EnvelopeOf<(typeof EVENTS)[number]>;

/** A node whose figures a test writes. */
export class Rig {
  readonly clock: ManualClock = new ManualClock();
  readonly bus: Bus = new Bus({ clock: this.clock });
  readonly metrics: MetricsRegistry = new MetricsRegistry();
  readonly killed: { readonly pod: string; readonly request: EvictionRequest }[] = [];
  readonly reclaimed: string[] = [];
  pods: Pod[] = [];
  usage: PodFigures[] = [];
  node: NodeFigures = {};
  layout: { dedicatedImageFs: boolean; splitContainerFs: boolean } | undefined = {
    dedicatedImageFs: false,
    splitContainerFs: false,
  };
  problems: { part: string; message: string }[] = [];
  /** What a step of reclaim does. */
  onReclaim: (step: string) => void = () => {};
  /** How many containers a reclaim removes. */
  removes = 0;
  onKill: (pod: Pod) => Promise<void> = async () => {};
  onNode: () => Promise<void> = async () => {};
  cleanedUp = true;
  conditionChanges = 0;
  readonly manager: EvictionManager;
  readonly #events: Subscription<Told>;

  constructor(settings: EvictionSettings, options: Partial<EvictionManagerOptions> = {}) {
    this.#events = this.bus.subscribe(EVENTS, {
      name: "test",
      capacity: 1000,
      overflow: "drop-oldest",
    });
    this.manager = new EvictionManager({
      clock: this.clock,
      publish: this.bus,
      metrics: this.metrics,
      nodeName: "here",
      thresholds: parseThresholdConfig(settings),
      onConditionsChanged: () => (this.conditionChanges += 1),
      stats: {
        node: async () => {
          await this.onNode();
          const { node, layout, problems } = this;
          return { at: this.clock.monotonic(), node, layout, problems };
        },
        pods: async () => this.usage,
        storage: async (pods) =>
          this.usage.filter(({ podRef }) => pods.some((one) => one.metadata.uid === podRef.uid)),
      },
      pods: {
        activePods: () => this.pods,
        isCleanedUp: () => this.cleanedUp,
        kill: async (victim, request) => {
          this.killed.push({ pod: victim.metadata.name, request });
          await this.onKill(victim);
          this.pods = this.pods.filter((one) => one !== victim);
        },
      },
      reclaim: {
        deleteUnusedContainers: async () => {
          this.reclaimed.push("containers");
          this.onReclaim("containers");
          return this.removes;
        },
        deleteUnusedImages: async () => {
          this.reclaimed.push("images");
          this.onReclaim("images");
        },
      },
      ...options,
    });
  }

  add(name: string, shape: PodShape, usage: UsageShape): void {
    this.pods = [...this.pods, pod(name, shape)];
    this.usage = [...this.usage, figuresOf(name, usage)];
  }

  memory(available: string, total = "3Gi"): void {
    const availableBytes = wholeValue(available);
    this.node = {
      ...this.node,
      memory: { availableBytes, workingSetBytes: wholeValue(total) - availableBytes },
    };
  }

  fs(kind: "fs" | "imageFs" | "containerFs", figures: FsFigures): void {
    this.node =
      kind === "fs"
        ? { ...this.node, fs: figures }
        : { ...this.node, runtime: { ...this.node.runtime, [kind]: figures } };
  }

  /** One round, after so much time. Returns who was ended. */
  async round(afterMs = 10_000): Promise<string[]> {
    await this.clock.advance(afterMs);
    const evicted = await this.manager.synchronize();
    return evicted.map(({ metadata }) => metadata.name);
  }

  events(): Told[] {
    const all: Told[] = [];
    for (let event = this.#events.take(); event !== undefined; event = this.#events.take())
      if (event.type !== "gap") all.push(event);
    return all;
  }
}

export function deadline(): HoldfastError {
  return new HoldfastError("TEST_DEADLINE", "deadline", "too late");
}

/** Bytes and inodes as quantities. */
export function disk(available: string, capacity: string, inodesFree = "4Mi", inodes = "8Mi"): FsFigures {
  return {
    availableBytes: wholeValue(available),
    capacityBytes: wholeValue(capacity),
    inodesFree: wholeValue(inodesFree),
    inodes: wholeValue(inodes),
  };
}
