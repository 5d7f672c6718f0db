// SPDX-License-Identifier: Apache-2.0

import { Bus } from "@holdfast/bus";
import { Limiter } from "@holdfast/core/limiter";
import { ManualClock } from "@holdfast/core/manual-clock";
import { MetricsRegistry } from "@holdfast/core/metrics";
import type { Pod } from "@holdfast/core/pod-types";
import type { RuntimePodStatus } from "@holdfast/core/runtime-status";
import type { KubeRuntimeOptions } from "../../src/kuberuntime/options.ts";
import { PodRuntimeManager } from "../../src/kuberuntime/pod-runtime-manager.ts";
import type { PodSyncResult, SyncOptions } from "../../src/kuberuntime/sync-result.ts";
import { MemoryCheckpoint, MemoryFiles } from "./memory-ports.ts";
import { ScriptedRuntime } from "./scripted-runtime.ts";

/** A manager with everything around it in memory. */
export class Harness {
  readonly clock = new ManualClock();
  readonly runtime = new ScriptedRuntime();
  readonly files = new MemoryFiles();
  readonly checkpoint = new MemoryCheckpoint();
  readonly metrics = new MetricsRegistry();
  readonly limiter: Limiter = new Limiter({ clock: this.clock, limit: 4, releaseAfterMs: 10_000 });
  readonly bus: Bus = new Bus({ clock: this.clock, ringSize: 1000 });
  readonly liveness = new Map<string, "success" | "failure">();
  readonly manager: PodRuntimeManager;

  constructor(options: Partial<KubeRuntimeOptions> = {}) {
    this.manager = new PodRuntimeManager({
      runtime: this.runtime,
      clock: this.clock,
      publish: this.bus,
      metrics: this.metrics,
      resources: {
        containerResources: () => ({
          cpuPeriod: 100_000,
          cpuQuota: 0,
          cpuShares: 2,
          memoryLimitInBytes: 0,
          oomScoreAdj: 1000,
          cpusetCpus: "",
          cpusetMems: "",
          unified: { "memory.oom.group": "1" },
        }),
      },
      files: this.files,
      probes: { liveness: (id) => this.liveness.get(id), startup: () => undefined },
      checkpoint: this.checkpoint,
      limiter: this.limiter,
      options: {
        nodeName: "node-1",
        instanceId: "instance-1",
        clusterDns: ["10.0.0.10"],
        podsDir: "/var/lib/holdfast/pods",
        resolvConf: async () => "nameserver 9.9.9.9\n",
        hostsFile: async () => "127.0.0.1\tlocalhost\n",
        nodeIps: () => ["192.168.1.1"],
        ...options,
      },
    });
  }

  status(pod: Pod): RuntimePodStatus {
    return this.runtime.status(pod.metadata);
  }

  sync(
    pod: Pod,
    more: Partial<SyncOptions> & { readonly status?: RuntimePodStatus } = {},
  ): Promise<PodSyncResult> {
    const { status = this.status(pod), ...options } = more;
    return this.manager.syncPod(pod, status, {
      volumes: new Map(),
      cgroupParent: "/kubepods/poduid-1",
      signal: new AbortController().signal,
      causes: [],
      ...options,
    });
  }

  /** Types of events since the last call. */
  #seen = 0;
  events(): string[] {
    const fresh = this.bus.recent().filter(({ seq }) => seq > this.#seen);
    this.#seen = this.bus.lastSeq;
    return fresh.map(({ type }) => type.replace("pod/", ""));
  }

  /** Calls since the last call of this. */
  calls(): string[] {
    return this.runtime.calls.splice(0);
  }

  dataOf(type: string): Record<string, unknown> {
    return (this.bus.recent().findLast((event) => event.type === `pod/${type}`)?.data ?? {}) as Record<
      string,
      unknown
    >;
  }
}
