// SPDX-License-Identifier: Apache-2.0

/** What the pod manager needs beside the ports of this package. */
import type { EventType, Publisher, Subscriber } from "@holdfast/bus";
import type { Clock } from "@holdfast/core/clock";
import type { Logger } from "@holdfast/core/log";
import type { Metrics } from "@holdfast/core/metrics";
import type { Pod } from "@holdfast/core/pod-types";
import type { Random } from "@holdfast/core/random";
import type { PodUpdateListener } from "../config/pod-config.ts";
import type { PodRuntimeManager } from "../kuberuntime/pod-runtime-manager.ts";
import type {
  PodAdmission,
  PodCache,
  PodContainerManager,
  PodFiles,
  PodStatusPort,
  PodVolumes,
  RuntimeReadiness,
} from "../ports.ts";

/** The actions on the runtime. `PodRuntimeManager` fits. */
export type PodRuntimeActions = Pick<
  PodRuntimeManager,
  "syncPod" | "killPod" | "removePod" | "garbageCollect" | "forgetPod" | "retry"
>;

/** What is wanted. `PodConfig` fits. */
export interface DesiredPods {
  subscribe(listener: PodUpdateListener): Disposable;
  pods(): readonly Pod[];
  get(uid: string): Pod | undefined;
  /** Until then nothing is an orphan. */
  seenAllSources(): boolean;
  /** Inputs that cannot be read: while there are any, nothing is an orphan. */
  unknownInputs(): readonly string[];
}

/** One pod of ours on the runtime, dead or alive, as its labels name it. */
export interface OwnedPod {
  readonly uid: string;
  readonly name: string;
  readonly namespace: string;
  /** It has a ready sandbox or a running container: it holds its name and its host ports. */
  readonly live: boolean;
}

/** Lists what the runtime has of ours, by the labels that prove it. `OwnedPodLister` fits. */
export interface OwnedPods {
  list(signal: AbortSignal): Promise<readonly OwnedPod[]>;
}

/** What watches over the containers of pods that are kept. `ProbeManager` of `@holdfast/probe` fits. */
export interface PodProbes {
  /** At each sync; a pod that is known already is fine. kubelet: prober Manager.AddPod. */
  addPod(pod: Pod): void;
  /** The pod begins to end: what could kill its containers stops, readiness goes on. */
  stopLivenessAndStartup(podUid: string): void;
  /** Nothing of the pod runs any more. */
  removePod(podUid: string): void;
  /** Forgets every pod but these, also on the disk. Only called once all sources have listed. */
  cleanupPods(known: ReadonlySet<string>): void;
}

/** Everything that a `PodManager` is made of. Paths are absolute and without a slash at the end. */
export interface PodManagerDeps {
  readonly clock: Clock;
  readonly desired: DesiredPods;
  readonly cache: PodCache;
  readonly status: PodStatusPort;
  readonly runtime: PodRuntimeActions;
  readonly owned: OwnedPods;
  readonly resources: Pick<PodContainerManager, "ensureExists" | "destroy">;
  readonly volumes: PodVolumes;
  /** Default: nobody is kept waiting, and nothing is given. */
  readonly admission?: PodAdmission;
  readonly files: PodFiles;
  readonly readiness: RuntimeReadiness;
  /** Default: nothing is probed. */
  readonly probes?: PodProbes;
  /** Where events of the runtime come from, and which wake the pod that is their subject: the PLEG's Started, Died and PodSync. */
  readonly bus?: Subscriber;
  readonly wakeOn?: readonly EventType<unknown>[];
  readonly publish?: Publisher;
  readonly logger?: Logger;
  readonly metrics?: Metrics;
  /** For jitter. Default: seeded with 1. */
  readonly random?: Random;
  /** `ROOT/pods`. */
  readonly podsDir: string;
  /** Default /var/log/pods. */
  readonly podLogsDir?: string;
  /** kubelet: syncFrequency. Default 60 000. */
  readonly syncFrequencyMs?: number;
  /** Between two housekeeping passes without a reason. Default 60 000: the kubelet's 2 s would cost what idle must not. */
  readonly housekeepingMs?: number;
  /** kubelet: maxPods. Default 110. */
  readonly maxPods?: number;
  /** How long a step waits for a look at its pod. Default 30 000. */
  readonly lookDeadlineMs?: number;
}
