// SPDX-License-Identifier: Apache-2.0

export { PodContainerManager } from "./pod-container-manager.ts";
export type { DedicatedResources, PodContainerManagerOptions } from "./pod-container-manager.ts";
export { podCgroupPath, podUidOfCgroup, qosCgroupPath } from "./cgroup-names.ts";
export type { CgroupDriver } from "./cgroup-names.ts";
export {
  computeContainerResources,
  computeOomScoreAdj,
  computePodCgroup,
  milliCpuToQuota,
  milliCpuToShares,
  podTotal,
  sharesToWeight,
} from "./compute-resources.ts";
export type { ContainerResources, PodCgroupValues, ResourceSettings } from "./compute-resources.ts";
export type {
  CgroupTree,
  ResourceContainer,
  ResourcePods,
  SliceProperty,
  StateCheckpoint,
  SystemdSlices,
} from "./ports.ts";
export { openCgroupTree } from "./node/cgroup-tree.ts";
export { systemdSlices } from "./node/systemd-slices.ts";
export { combinationsOf, numaCombinations } from "./topology/hint.ts";
export type { HintProvider, TopologyHint, TopologyHints } from "./topology/hint.ts";
export { CpuSet } from "./machine/cpu-set.ts";
export { CpuTopology } from "./machine/machine-topology.ts";
export type { CpuInfo, CpuLevel, MachineTopology, NumaNode } from "./machine/machine-topology.ts";
export { readMachineHugePages, readMachineTopology } from "./machine/read-machine-topology.ts";
export type { SystemTree } from "./machine/read-machine-topology.ts";
export { openSystemTree } from "./node/system-tree.ts";
export { mergeHints } from "./topology/merge-hints.ts";
export type { MergeOptions } from "./topology/merge-hints.ts";
export {
  averageDistance,
  parseTopologyPolicy,
  parseTopologyPolicyOptions,
  parseTopologyScope,
  TopologyPolicy,
} from "./topology/topology-policy.ts";
export type {
  TopologyDecision,
  TopologyPolicyName,
  TopologyPolicyOptions,
  TopologyScope,
} from "./topology/topology-policy.ts";
export { admissionError, TOPOLOGY_AFFINITY_ERROR, TopologyManager } from "./topology/topology-manager.ts";
export type { AdmitResult, TopologyManagerOptions } from "./topology/topology-manager.ts";
export { AdmissionError } from "./admission/admission-error.ts";
export { CpuManager } from "./cpu/cpu-manager.ts";
export type { CpuManagerOptions, ReconcileReport } from "./cpu/cpu-manager.ts";
export { cpuTopologyHints } from "./cpu/cpu-hints.ts";
export type { CpuHintQuestion } from "./cpu/cpu-hints.ts";
export { parseCpuPolicy, parseCpuPolicyOptions, validateCpuPolicyOptions } from "./cpu/cpu-policy-options.ts";
export type { CpuPolicyName, CpuPolicyOptions } from "./cpu/cpu-policy-options.ts";
export { CpuState } from "./cpu/cpu-state.ts";
export type { CpuAssignments } from "./cpu/cpu-state.ts";
export { guaranteedCpus, podGuaranteedCpus } from "./cpu/guaranteed-cpus.ts";
export { SMT_ALIGNMENT_ERROR, StaticCpuPolicy } from "./cpu/static-cpu-policy.ts";
export type { StaticCpuPolicyOptions } from "./cpu/static-cpu-policy.ts";
export { takeByTopology } from "./cpu/take-by-topology.ts";
export type { PackingOptions } from "./cpu/take-by-topology.ts";
export { takeDistributed } from "./cpu/take-distributed.ts";
export { MemoryManager, parseMemoryPolicy } from "./memory/memory-manager.ts";
export type { MemoryManagerOptions, MemoryPolicyName } from "./memory/memory-manager.ts";
export { bestHint, memoryHints, violatesGroups } from "./memory/memory-hints.ts";
export type { ReusableMemory } from "./memory/memory-hints.ts";
export { hugePageResource, memoryRequests, podMemoryRequests } from "./memory/memory-requests.ts";
export type { MemoryAmounts } from "./memory/memory-requests.ts";
export { emptyMachine, MemoryState } from "./memory/memory-state.ts";
export type { MachineMemory, MemoryBlock, MemoryTable, NodeMemory } from "./memory/memory-state.ts";
export { resolveReservedMemory } from "./memory/reserved-memory.ts";
export type { MemoryReservation, ReservedMemory } from "./memory/reserved-memory.ts";
export { StaticMemoryPolicy } from "./memory/static-memory-policy.ts";
export type { StaticMemoryPolicyOptions } from "./memory/static-memory-policy.ts";
export { computeFit, isCriticalPod, isStaticPod } from "./admission/compute-fit.ts";
export type { CriticalOptions, FitFailure, FitOptions, Shortage } from "./admission/compute-fit.ts";
export { computePreemption, isPreemptable, podsToPreempt } from "./admission/compute-preemption.ts";
export type { PreemptionPlan } from "./admission/compute-preemption.ts";
export { matchesNode, untoleratedTaint } from "./admission/node-affinity.ts";
export { NodeAdmission, rejectionLabel } from "./admission/node-admission.ts";
export type { AdmitHandler, NodeAdmissionOptions } from "./admission/node-admission.ts";
export { nodeAllocatable, podsCgroupLimits, totalReservation } from "./admission/node-allocatable.ts";
export type { NodeReservations, PodsLimits, Quantities } from "./admission/node-allocatable.ts";
export { amountOf, isExtendedResource, podRequests, sumOfRequests } from "./admission/pod-requests.ts";
export type { ResourceAmounts } from "./admission/pod-requests.ts";
export type {
  NodeInfo,
  NodeSelectorRequirement,
  NodeSelectorTerm,
  SchedulingSpec,
  Taint,
  Toleration,
} from "./admission/scheduling-spec.ts";
export { CpusAssigned, PodRefused } from "./events.ts";
export type { PodRefusedData } from "./events.ts";
