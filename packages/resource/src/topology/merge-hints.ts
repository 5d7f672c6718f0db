// SPDX-License-Identifier: Apache-2.0
/*
 * Merges the hints of all providers into the one that holds. Pure; keeps nothing. kubelet: HintMerger.
 *
 * The kubelet visits the cross product of all lists: 255^4 combinations on 8 nodes with 4 providers that do not care where. Here each list is
 * folded into the set of masks that can come out of it, of which there are never more than 2^nodes. That loses nothing: which of two results
 * wins depends on their masks and flags alone, and `better` is a total order, so the order of visits does not matter (a property test
 * compares with the plain cross product).
 */
import type { TopologyHint } from "./hint.ts";

/** Which of two masks of equal size is the fitter. kubelet: prefer-closest-numa-nodes. */
export interface MergeOptions {
  /** The machine's NUMA nodes, ascending; at most 30. */
  readonly numaNodes: readonly number[];
  /** Mean distance between the nodes of a set; leave out to go by the lowest ids only. */
  readonly averageDistance?: (nodes: readonly number[]) => number;
}

/** A mask has one bit for each node, by the node's place in the list; undefined is no opinion. */
interface MaskedHint {
  readonly mask: number | undefined;
  readonly preferred: boolean;
}

/** What the combinations of the lists so far can come to. */
interface Reachable {
  /** All hints so far were preferred and had no opinion. */
  open: boolean;
  /** All hints so far were preferred, and those with an opinion had this one. */
  readonly agreed: MaskSet;
  /** Anything else. */
  readonly mixed: MaskSet;
}

/** Up to so many nodes a set of masks is one byte for each possible mask. */
const FEW_NODES = 16;

/** Masks without repetition: a step of the fold adds up to 65,000 on 8 nodes, of which 255 are different. */
class MaskSet {
  readonly members: number[] = [];
  readonly #seen: Uint8Array | undefined;
  readonly #others = new Set<number>();

  constructor(nodes: number) {
    this.#seen = nodes <= FEW_NODES ? new Uint8Array(2 ** nodes) : undefined;
  }

  add(mask: number): void {
    if (this.#seen === undefined) {
      if (this.#others.has(mask)) return;
      this.#others.add(mask);
    } else {
      if (this.#seen[mask] === 1) return;
      this.#seen[mask] = 1;
    }
    this.members.push(mask);
  }
}

/** The best combination of one hint from each list; all nodes, not preferred, when no combination leaves a node. */
export function mergeHints(
  lists: readonly (readonly TopologyHint[])[],
  { numaNodes, averageDistance }: MergeOptions,
): TopologyHint & { readonly numaNodes: readonly number[] } {
  const places = new Map(numaNodes.map((node, index) => [node, index] as const));
  const all = 2 ** numaNodes.length - 1;
  const masked = lists.map((list) => list.map((hint) => toMasked(hint, places)));
  const nodesOf = (mask: number): readonly number[] => numaNodes.filter((_, index) => (mask >> index) & 1);
  const distance = memoized((mask) => averageDistance?.(nodesOf(mask)) ?? 0);
  const { open, agreed, mixed } = reach(masked, all, numaNodes.length);
  if (open) agreed.add(all);
  const fitter = (a: number, b: number): number =>
    bits(a) - bits(b) || (averageDistance === undefined ? 0 : distance(a) - distance(b)) || a - b;
  const preferred = least(agreed, fitter);
  if (preferred !== undefined) return { numaNodes: nodesOf(preferred), preferred: true };
  const target = maxOfMinAffinityCounts(masked);
  const rank = (mask: number): number => distanceFrom(bits(mask), target);
  const second = least(mixed, (a, b) => rank(a) - rank(b) || fitter(a, b));
  return { numaNodes: nodesOf(second ?? all), preferred: false };
}

/** As many nodes as the most demanding resource needs is best; fewer are better than more. kubelet: HintMerger.compare. */
function distanceFrom(count: number, target: number): number {
  return count <= target ? target - count : 64 + count;
}

/** The size of the narrowest hint of the resource that needs most. kubelet: maxOfMinAffinityCounts. */
function maxOfMinAffinityCounts(lists: readonly (readonly MaskedHint[])[]): number {
  let most = 0;
  for (const list of lists) {
    const counts = list.flatMap(({ mask }) => (mask === undefined ? [] : [bits(mask)]));
    if (counts.length > 0) most = Math.max(most, Math.min(...counts));
  }
  return most;
}

function reach(lists: readonly (readonly MaskedHint[])[], all: number, nodes: number): Reachable {
  const empty = (open: boolean): Reachable => ({
    open,
    agreed: new MaskSet(nodes),
    mixed: new MaskSet(nodes),
  });
  let state = empty(true);
  for (const list of lists) {
    const next = empty(false);
    const mix = (mask: number): void => {
      if (mask !== 0) next.mixed.add(mask);
    };
    for (const { mask, preferred } of list) {
      if (state.open) {
        if (!preferred) mix((mask ?? all) & all);
        else if (mask === undefined) next.open = true;
        else if ((mask & all) !== 0) next.agreed.add(mask & all);
      }
      for (const known of state.agreed.members) {
        if (preferred && (mask === undefined || mask === known)) next.agreed.add(known);
        else mix(known & (mask ?? known));
      }
    }
    // What is mixed already stays so, whatever comes: only the mask counts.
    const masks = new Set(list.map(({ mask }) => mask ?? all));
    for (const mask of masks) for (const known of state.mixed.members) mix(known & mask);
    state = next;
  }
  return state;
}

function toMasked({ numaNodes, preferred }: TopologyHint, places: ReadonlyMap<number, number>): MaskedHint {
  if (numaNodes === undefined) return { mask: undefined, preferred };
  let mask = 0;
  for (const node of numaNodes) {
    const place = places.get(node);
    if (place !== undefined) mask |= 1 << place;
  }
  return { mask, preferred };
}

function least({ members }: MaskSet, compare: (a: number, b: number) => number): number | undefined {
  let best: number | undefined;
  for (const mask of members) if (best === undefined || compare(mask, best) < 0) best = mask;
  return best;
}

function bits(mask: number): number {
  let count = 0;
  for (let rest = mask; rest !== 0; rest &= rest - 1) count++;
  return count;
}

function memoized(of: (mask: number) => number): (mask: number) => number {
  const known = new Map<number, number>();
  return (mask) => {
    const value = known.get(mask) ?? of(mask);
    known.set(mask, value);
    return value;
  };
}
