// SPDX-License-Identifier: Apache-2.0
import { HoldfastError } from "@holdfast/core/errors";
import { ManualClock } from "@holdfast/core/manual-clock";
import { MetricsRegistry } from "@holdfast/core/metrics";
import type { Pod } from "@holdfast/core/pod-types";
import { describe, expect, it } from "vitest";
import { CpuManager, CpuSet, CpuTopology, TopologyManager } from "@holdfast/resource";
import type { CpuManagerOptions, ResourceContainer } from "@holdfast/resource";
import { memoryCheckpoint } from "./fixtures/checkpoint.ts";
import { HT1, layOut } from "./fixtures/machines.ts";
import { container, guaranteed, podOf } from "./fixtures/pods.ts";

/** A manager on HT1 with CPU 0 reserved, and the node around it. */
class Node {
  readonly clock = new ManualClock();
  readonly metrics = new MetricsRegistry();
  readonly checkpoint;
  readonly updates: string[] = [];
  readonly containers = new Map<string, Map<string, ResourceContainer>>();
  pods: Pod[] = [];
  ready = true;
  failing = false;
  gone = false;
  manager: CpuManager;

  constructor(options: Partial<CpuManagerOptions> = {}, kept: Readonly<Record<string, string>> = {}) {
    this.checkpoint = memoryCheckpoint(kept);
    this.manager = this.make(options);
  }

  make(options: Partial<CpuManagerOptions> = {}): CpuManager {
    this.manager = new CpuManager({
      policy: "static",
      topology: new CpuTopology(layOut(HT1)),
      reservedMilliCpu: 1000,
      checkpoint: this.checkpoint,
      clock: this.clock,
      metrics: this.metrics,
      updateCpuset: (id, cpus) => {
        if (this.gone) return Promise.reject(new HoldfastError("CRI_NOT_FOUND", "not-found", "it is gone"));
        if (this.failing) return Promise.reject(new Error("no such container"));
        this.updates.push(`${id}=${cpus}`);
        return Promise.resolve();
      },
      pods: {
        activePods: () => this.pods,
        containers: (uid) => this.containers.get(uid) ?? new Map(),
        sourcesReady: () => this.ready,
      },
      ...options,
    });
    return this.manager;
  }

  async admit(pod: Pod): Promise<void> {
    this.pods.push(pod);
    const topology = new TopologyManager({ providers: [this.manager], numaNodes: [], clock: this.clock });
    expect(await topology.admit(pod)).toEqual({ admit: true });
  }

  run(pod: Pod, state: ResourceContainer["state"] = "running", attempt = 0): void {
    const all = [...(pod.spec.initContainers ?? []), ...pod.spec.containers];
    const { uid } = pod.metadata;
    this.containers.set(
      uid,
      new Map(all.map(({ name }) => [name, { id: `${uid}-${name}-${attempt}`, state }])),
    );
  }
}

const shared = podOf("shared", [container("web")]);

describe("CpuManager", () => {
  it("with policy none keeps nothing, times nothing and has no opinion", async () => {
    const node = new Node({ policy: "none", reservedMilliCpu: 0 });
    await node.manager.start();
    const pod = guaranteed("p", [2]);
    await node.admit(pod);
    expect(node.manager.topologyHints(pod, container("app0")).size).toBe(0);
    expect(node.manager.podTopologyHints(pod).size).toBe(0);
    expect(node.manager.cpusForCreate("p", "app0")).toBeUndefined();
    expect(node.manager.allocatableCpus().size + node.manager.sharedCpus().size).toBe(0);
    expect(await node.manager.reconcile()).toEqual({ applied: [], failed: [] });
    expect(node.clock.waiting).toBe(0);
    expect(node.checkpoint.values.size).toBe(0);
  });

  it("tells what a container is created with", async () => {
    const node = new Node();
    await node.admit(guaranteed("p", [2]));
    expect(String(node.manager.cpusForCreate("p", "app0"))).toBe("1,5");
    expect(String(node.manager.cpusForCreate("shared", "web"))).toBe("0,2-4,6-7");
    expect(String(node.manager.exclusiveCpus("p", "app0"))).toBe("1,5");
    expect(node.manager.exclusiveCpus("shared", "web").size).toBe(0);
    expect(String(node.manager.allocatableCpus())).toBe("1-7");
  });

  it("moves what runs when the pool shrinks and when it grows, at once", async () => {
    const node = new Node();
    node.pods.push(shared);
    node.manager.cpusForCreate("shared", "web");
    node.run(shared);
    await node.manager.start();
    await node.clock.advance(50);
    expect(node.updates).toEqual([]);
    const pod = guaranteed("p", [2]);
    await node.admit(pod);
    await node.clock.advance(50);
    expect(node.updates).toEqual(["shared-web-0=0,2-4,6-7"]);
    node.pods = [shared];
    node.manager.removePod("p");
    await node.clock.advance(50);
    expect(node.updates.at(-1)).toBe("shared-web-0=0-7");
    await node.manager.stop();
    expect(node.clock.waiting).toBe(0);
  });

  // kubelet: TestReconcileState
  describe("reconcile", () => {
    it("sets what differs, and only once", async () => {
      const node = new Node();
      await node.admit(guaranteed("p", [2], [4]));
      node.pods.push(shared);
      for (const pod of node.pods) node.run(pod);
      const first = await node.manager.reconcile();
      expect(first).toEqual({
        applied: ["default/p/init0", "default/p/app0", "default/shared/web"],
        failed: [],
      });
      expect(node.updates).toEqual(["p-init0-0=1-2,5-6", "p-app0-0=1,5", "shared-web-0=0,3-4,7"]);
      expect(await node.manager.reconcile()).toEqual({ applied: [], failed: [] });
    });

    it("passes over what waits or is not there, and what has ended", async () => {
      const node = new Node();
      node.pods.push(shared);
      expect((await node.manager.reconcile()).failed).toEqual(["default/shared/web"]);
      node.run(shared, "waiting");
      expect((await node.manager.reconcile()).failed).toEqual(["default/shared/web"]);
      node.run(shared, "terminated");
      expect(await node.manager.reconcile()).toEqual({ applied: [], failed: [] });
      expect(node.updates).toEqual([]);
    });

    it("never sets an empty set, which would mean all CPUs: what shares runs on the reserved ones", async () => {
      const node = new Node({
        reservedCpus: CpuSet.parse("0"),
        policyOptions: { strictCpuReservation: true },
      });
      await node.admit(guaranteed("p", [7]));
      node.pods.push(shared);
      for (const pod of node.pods) node.run(pod);
      await node.manager.reconcile();
      expect(node.updates).toEqual(["p-app0-0=1-7", "shared-web-0=0"]);
    });

    it("tries again what failed, and says so until it succeeds", async () => {
      const node = new Node();
      node.pods.push(shared);
      node.run(shared);
      node.failing = true;
      expect((await node.manager.reconcile()).failed).toEqual(["default/shared/web"]);
      expect(node.manager.health().failures).toEqual(["the CPUs of default/shared/web cannot be set"]);
      node.failing = false;
      expect((await node.manager.reconcile()).applied).toEqual(["default/shared/web"]);
      expect(node.manager.health().failures).toEqual([]);
    });

    it("minds nothing that ended meanwhile, and forgets what failed when it is gone", async () => {
      const node = new Node();
      node.pods.push(shared);
      node.run(shared);
      node.gone = true;
      expect(await node.manager.reconcile()).toEqual({ applied: [], failed: [] });
      expect(node.manager.health().failures).toEqual([]);
      node.gone = false;
      node.failing = true;
      await node.manager.reconcile();
      expect(node.manager.health().failures).toHaveLength(1);
      node.pods = [];
      await node.manager.reconcile();
      expect(node.manager.health().failures).toEqual([]);
    });

    it("sets a restarted container's CPUs at create, not again", async () => {
      const node = new Node();
      node.pods.push(shared);
      node.run(shared);
      await node.manager.reconcile();
      node.manager.cpusForCreate("shared", "web");
      node.run(shared, "running", 1);
      expect(await node.manager.reconcile()).toEqual({ applied: [], failed: [] });
      expect([...node.checkpoint.values.keys()].filter((key) => key.startsWith("applied/"))).toEqual([
        "applied/shared-web-1",
      ]);
    });

    it("comes every period, and when it is asked to", async () => {
      const node = new Node({ reconcilePeriodMs: 20_000 });
      await node.manager.start();
      await node.clock.advance(50);
      node.pods.push(shared);
      node.run(shared);
      await node.clock.advance(19_000);
      expect(node.updates).toEqual([]);
      await node.clock.advance(1000);
      expect(node.updates).toHaveLength(1);
      node.run(shared, "running", 1);
      node.manager.requestReconcile();
      await node.clock.advance(50);
      expect(node.updates).toHaveLength(2);
    });
  });

  // kubelet: TestReconcileState: stale pod removed
  it("takes CPUs back from pods that are gone, once all sources have listed", async () => {
    const node = new Node();
    node.ready = false;
    await node.admit(guaranteed("p", [6]));
    node.pods = [];
    await node.manager.reconcile();
    expect(String(node.manager.sharedCpus())).toBe("0,4");
    node.ready = true;
    await node.admit(guaranteed("q", [6]));
    expect(String(node.manager.exclusiveCpus("q", "app0"))).toBe("1-3,5-7");
    expect(node.manager.exclusiveCpus("p", "app0").size).toBe(0);
  });

  it("comes back after a restart with what it had, and moves nothing", async () => {
    const node = new Node();
    await node.admit(guaranteed("p", [2]));
    node.pods.push(shared);
    for (const pod of node.pods) node.run(pod);
    await node.manager.reconcile();
    node.updates.length = 0;
    node.make();
    await node.manager.start();
    await node.clock.advance(50);
    expect(node.updates).toEqual([]);
    expect(String(node.manager.exclusiveCpus("p", "app0"))).toBe("1,5");
    expect(node.metrics.value("kubelet_cpu_manager_exclusive_cpu_allocation_count")).toBe(2);
  });

  it("sets an unfit state aside and goes on, or fails as the kubelet if it is told so", () => {
    const kept = { cpu_manager_state: '{"policyName":"static","defaultCpuSet":"0-15","entries":{}}' };
    const node = new Node({}, kept);
    expect(String(node.manager.sharedCpus())).toBe("0-7");
    expect(node.checkpoint.get("cpu_manager_state.unfit")).toBe(kept.cpu_manager_state);
    expect(() => new Node({ onInvalidState: "fail" }, kept)).toThrow("doesn't match with CPUs in state");
  });

  it("counts", async () => {
    const node = new Node({ policyOptions: { fullPcpusOnly: true } });
    await node.admit(guaranteed("p", [2]));
    const odd = guaranteed("odd", [3]);
    expect(() =>
      node.manager.allocate(odd, odd.spec.containers[0] ?? container(""), {
        numaNodes: undefined,
        preferred: false,
      }),
    ).toThrow("SMT Alignment Error");
    const value = (name: string, labels = {}): number => node.metrics.value(`kubelet_${name}`, labels);
    expect(value("cpu_manager_pinning_requests_total")).toBe(2);
    expect(value("cpu_manager_pinning_errors_total")).toBe(1);
    expect(value("cpu_manager_shared_pool_size_millicores")).toBe(5000);
    expect(value("cpu_manager_allocation_per_numa", { numa_node: "0" })).toBe(2);
    const labels = { scope: "container", boundary: "physical_cpu" };
    expect(value("container_aligned_compute_resources_count", labels)).toBe(1);
    expect(value("container_aligned_compute_resources_failure_count", labels)).toBe(1);
  });
});
