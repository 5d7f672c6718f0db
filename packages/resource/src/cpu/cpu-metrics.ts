// SPDX-License-Identifier: Apache-2.0
/* The kubelet's figures of exclusive CPUs. */
import type { Metrics } from "@holdfast/core/metrics";
import { CpuSet } from "../machine/cpu-set.ts";
import type { CpuTopology } from "../machine/machine-topology.ts";
import {
  ALIGNED_HELP,
  ALIGNED_METRIC,
  MISALIGNED_HELP,
  MISALIGNED_METRIC,
} from "../topology/alignment-metrics.ts";
import type { CpuPolicyOptions } from "./cpu-policy-options.ts";
import type { CpuState } from "./cpu-state.ts";
import type { StaticCpuPolicy } from "./static-cpu-policy.ts";

const MILLI = 1000;

/** Kept by the CPU manager. */
export class CpuMetrics {
  readonly #topology: CpuTopology;
  readonly #requests;
  readonly #errors;
  readonly #pool;
  readonly #exclusive;
  readonly #perNode;
  readonly #aligned;
  readonly #misaligned;

  constructor(metrics: Metrics, topology: CpuTopology) {
    this.#topology = topology;
    this.#requests = metrics.counter(
      "kubelet_cpu_manager_pinning_requests_total",
      "Exclusive CPUs that were asked for.",
    );
    this.#errors = metrics.counter(
      "kubelet_cpu_manager_pinning_errors_total",
      "Exclusive CPUs that could not be given.",
    );
    this.#pool = metrics.gauge("kubelet_cpu_manager_shared_pool_size_millicores", "The shared pool.");
    this.#exclusive = metrics.gauge(
      "kubelet_cpu_manager_exclusive_cpu_allocation_count",
      "CPUs that are exclusive.",
    );
    this.#perNode = metrics.gauge("kubelet_cpu_manager_allocation_per_numa", "Exclusive CPUs by NUMA node.");
    this.#aligned = metrics.counter(ALIGNED_METRIC, ALIGNED_HELP);
    this.#misaligned = metrics.counter(MISALIGNED_METRIC, MISALIGNED_HELP);
    this.#requests.inc({}, 0);
    this.#errors.inc({}, 0);
  }

  requested(): void {
    this.#requests.inc();
  }

  failed(options: CpuPolicyOptions): void {
    this.#errors.inc();
    if (options.fullPcpusOnly === true)
      this.#misaligned.inc({ scope: "container", boundary: "physical_cpu" });
  }

  allocated(policy: StaticCpuPolicy, cpus: CpuSet, options: CpuPolicyOptions): void {
    if (options.fullPcpusOnly === true)
      (policy.isAligned("core", cpus) ? this.#aligned : this.#misaligned).inc({
        scope: "container",
        boundary: "physical_cpu",
      });
    if (options.preferAlignCpusByUncoreCache === true && policy.isAligned("uncore", cpus))
      this.#aligned.inc({ scope: "container", boundary: "uncore_cache" });
  }

  changed(state: CpuState, reserved: CpuSet): void {
    let assigned = CpuSet.empty;
    for (const containers of state.assignments.values())
      for (const cpus of containers.values()) assigned = assigned.union(cpus);
    this.#pool.set(state.defaultSet.difference(reserved).size * MILLI);
    this.#exclusive.set(assigned.size);
    for (const node of this.#topology.numaNodes)
      this.#perNode.set(this.#topology.cpusOf("numaNode", node).intersection(assigned).size, {
        numa_node: String(node),
      });
  }
}
