// SPDX-License-Identifier: Apache-2.0
/*
 * Which device ids a container gets: a pure decision.
 * Owns nothing, reads only its arguments, keeps nothing, so a crash loses nothing.
 * Invariants: no id twice; no id that is unhealthy or another's; never more ids than asked; a plugin's
 * preference can only choose among ids that were offered to it.
 * The plugin's preference is an RPC, so a decision has two steps: the first may answer "ask this", and the
 * caller comes back with the answer.
 */

/** What one decision is made from. kubelet: cm/devicemanager/manager.go, devicesToAllocate. */
export interface DeviceChoice {
  /** Name of the extended resource, for messages. */
  readonly resource: string;
  /** Count that the container's limit asks for, reused devices included. */
  readonly requested: number;
  /** Healthy ids with the NUMA nodes that each lists (empty: none). Order decides between equals. */
  readonly healthy: ReadonlyMap<string, readonly number[]>;
  /** Ids that any container holds, those in `reusable` included. */
  readonly allocated: ReadonlySet<string>;
  /** Ids that earlier init containers of the same pod leave to this one. */
  readonly reusable: readonly string[];
  /** NUMA nodes of the merged topology hint; leave out for a hint without a mask. */
  readonly hint?: readonly number[];
  /** Whether the plugin offers GetPreferredAllocation. */
  readonly asksPreference: boolean;
}

/** What to send in GetPreferredAllocation. `size` is the whole count, not the remainder. */
export interface PreferenceQuestion {
  readonly available: readonly string[];
  readonly mustInclude: readonly string[];
  readonly size: number;
}

/** The outcome of one step of a decision. */
export type DeviceDecision =
  | { readonly kind: "chosen"; readonly ids: readonly string[] }
  | { readonly kind: "ask"; readonly question: PreferenceQuestion }
  | { readonly kind: "refused"; readonly message: string };

/** Devices by what the hint says of them. kubelet: filterByAffinity. */
export interface AffinitySplit {
  readonly aligned: readonly string[];
  readonly unaligned: readonly string[];
  readonly noAffinity: readonly string[];
}

/** Splits available ids by a hint. Without a mask, or where no device has topology, all are `noAffinity`. */
export function splitByAffinity(
  available: ReadonlyMap<string, readonly number[]>,
  hasTopology: boolean,
  hint: readonly number[] | undefined,
): AffinitySplit {
  if (hint === undefined || !hasTopology)
    return { aligned: [], unaligned: [], noAffinity: [...available.keys()] };
  const buckets = new Map<number, string[]>();
  for (const [id, nodes] of available) {
    for (const node of nodes.length === 0 ? [-1] : nodes) {
      const bucket = buckets.get(node);
      if (bucket === undefined) buckets.set(node, [id]);
      else bucket.push(id);
    }
  }
  const mask = new Set(hint);
  const group = (node: number): number => (node < 0 ? 2 : mask.has(node) ? 0 : 1);
  const ordered = [...buckets].sort(([a, x], [b, y]) => group(a) - group(b) || x.length - y.length || a - b);
  const split: [string[], string[], string[]] = [[], [], []];
  const seen = new Set<string>();
  for (const [node, ids] of ordered) {
    for (const id of ids) {
      if (seen.has(id)) continue;
      seen.add(id);
      (split[group(node)] as string[]).push(id);
    }
  }
  return { aligned: split[0], unaligned: split[1], noAffinity: split[2] };
}

/**
 * One step of choosing. Without `preferred` it may answer `ask`; with the plugin's answer it never does.
 * A negative or fractional count is refused. kubelet: devicesToAllocate, from the reusable devices on.
 */
export function chooseDevices(choice: DeviceChoice, preferred?: readonly string[]): DeviceDecision {
  const { requested, healthy, allocated, resource } = choice;
  if (!Number.isSafeInteger(requested) || requested < 0) {
    return { kind: "refused", message: `the count for ${resource} is not a whole number: ${requested}` };
  }
  const chosen = new Set<string>();
  const take = (ids: Iterable<string>): void => {
    for (const id of ids) {
      if (chosen.size >= requested) return;
      chosen.add(id);
    }
  };
  const done = (): DeviceDecision => ({ kind: "chosen", ids: [...chosen] });
  // An id that turned unhealthy since the init container had it is not handed on.
  take(choice.reusable.filter((id) => healthy.has(id)));
  if (chosen.size === requested) return done();

  const available = new Map([...healthy].filter(([id]) => !allocated.has(id) && !chosen.has(id)));
  const needed = requested - chosen.size;
  if (available.size < needed) {
    const counts = `Requested: ${needed}, Available: ${available.size}`;
    return { kind: "refused", message: `requested number of devices unavailable for ${resource}. ${counts}` };
  }
  const hasTopology = [...healthy.values()].some((nodes) => nodes.length > 0);
  const split = splitByAffinity(available, hasTopology, choice.hint);
  const alignedSuffices = needed < split.aligned.length;
  if (!alignedSuffices) take(split.aligned);
  if (chosen.size === requested) return done();

  const pool = alignedSuffices ? split.aligned : [...available.keys()];
  if (choice.asksPreference && preferred === undefined) {
    const question = {
      available: [...new Set([...pool, ...chosen])],
      mustInclude: [...chosen],
      size: requested,
    };
    return { kind: "ask", question };
  }
  const offered = new Set(pool);
  take((preferred ?? []).filter((id) => offered.has(id)));
  if (alignedSuffices) take(split.aligned);
  take(split.unaligned);
  take(split.noAffinity);
  return done();
}
