// SPDX-License-Identifier: Apache-2.0
/* Two figures that the CPU manager and the topology manager share, with labels scope and boundary. */

export const ALIGNED_METRIC = "kubelet_container_aligned_compute_resources_count";
export const ALIGNED_HELP = "Containers, or pods, whose resources are aligned where a policy promises it.";
export const MISALIGNED_METRIC = "kubelet_container_aligned_compute_resources_failure_count";
export const MISALIGNED_HELP = "Containers, or pods, whose resources could not be aligned.";
