// SPDX-License-Identifier: Apache-2.0
/*
 * What providers of dedicated resources (devices, CPUs, memory) and the topology manager tell one another.
 * Plain data, so that a provider in another package needs only the shape. Owns nothing; a crash loses nothing.
 */
import type { Container, Pod } from "@holdfast/core/pod-types";

/**
 * Where a request could be met. kubelet: topologymanager.TopologyHint.
 * Ids of NUMA nodes, ascending and without repetition; `undefined` is no opinion about the place.
 */
export interface TopologyHint {
  readonly numaNodes: readonly number[] | undefined;
  /** Whether this is as narrow as the resource could ever be given on this machine. */
  readonly preferred: boolean;
}

/**
 * Hints by resource. No entry at all: no opinion. An entry that is `undefined`: no opinion about this resource.
 * An empty list: the resource cannot be given.
 */
export type TopologyHints = ReadonlyMap<string, readonly TopologyHint[] | undefined>;

/**
 * A manager whose resources have a place. kubelet: topologymanager.HintProvider.
 * Between the question for hints and `allocate` no other pod is asked about, also when the answers are awaited.
 */
export interface HintProvider {
  /** For logs and messages: "devices", "cpu", "memory". */
  readonly name: string;
  /** Hints for one container. kubelet: GetTopologyHints. */
  topologyHints(pod: Pod, container: Container): TopologyHints | Promise<TopologyHints>;
  /** Hints for the pod as a whole, with scope `pod`. kubelet: GetPodTopologyHints. */
  podTopologyHints(pod: Pod): TopologyHints | Promise<TopologyHints>;
  /**
   * Gives the container its resources, under the decided hint. Must keep what the container already holds (a pod is asked again after a restart).
   * An error with a string `admissionReason` names the rejection's reason, its message is the text. kubelet: Allocate.
   */
  allocate(pod: Pod, container: Container, hint: TopologyHint): void | Promise<void>;
}

/**
 * Subsets of `nodes` by size, then in the order of their members: the order in which the kubelet visits them.
 * kubelet: bitmask.IterateBitMasks. 2^n of them: callers bound n (`max-allowable-numa-nodes`).
 */
export function* numaCombinations(nodes: readonly number[]): Generator<readonly number[]> {
  for (let size = 1; size <= nodes.length; size++) yield* combinationsOf(nodes, size);
}

/** Subsets of exactly `size` members, in the order of their members. */
export function* combinationsOf<T>(items: readonly T[], size: number): Generator<readonly T[]> {
  if (size < 0 || size > items.length) return;
  const places = Array.from({ length: size }, (_, index) => index);
  for (;;) {
    yield places.map((place) => items[place] as T);
    let last = size - 1;
    while (last >= 0 && places[last] === items.length - size + last) last--;
    if (last < 0) return;
    places[last] = (places[last] as number) + 1;
    for (let index = last + 1; index < size; index++) places[index] = (places[index - 1] as number) + 1;
  }
}
