// SPDX-License-Identifier: Apache-2.0

/** Where on the machine a count of devices could be had. Pure. kubelet: devicemanager/topology_hints.go. */

/** kubelet: topologymanager.TopologyHint. The same shape as `@holdfast/resource` has. */
export interface TopologyHint {
  /** Ascending ids of NUMA nodes; undefined: no opinion. */
  readonly numaNodes: readonly number[] | undefined;
  readonly preferred: boolean;
}

/** What hints of one resource are made from. */
export interface HintQuestion {
  readonly requested: number;
  /** NUMA nodes of every device of the resource in any state, by id. */
  readonly devices: ReadonlyMap<string, readonly number[]>;
  /** Ids that could be given now. */
  readonly available: Iterable<string>;
  /** Ids that the pod has and that this container may take over. */
  readonly reusable: Iterable<string>;
  /** NUMA nodes of the machine. */
  readonly machineNodes: readonly number[];
}

/** Beyond this many nodes only single nodes and all of them are looked at: the subsets of more are too many. */
const MAX_NODES = 12;

/** Undefined: no opinion, since no device has a place. Empty: the count cannot be had. */
export function computeTopologyHints(question: HintQuestion): readonly TopologyHint[] | undefined {
  const { requested, devices, machineNodes } = question;
  if (![...devices.values()].some((nodes) => nodes.length > 0)) return undefined;
  const reusable = new Set(question.reusable);
  const usable = new Set(question.available);
  for (const id of reusable) usable.add(id);
  if (usable.size < requested) return [];
  return generate(requested, devices, reusable, usable, machineNodes);
}

/** Hints for devices that the container has already. kubelet: regenerated from the allocated ids. */
export function hintsOfRecorded(
  question: Pick<HintQuestion, "requested" | "devices" | "machineNodes">,
  recorded: readonly string[],
): readonly TopologyHint[] | undefined {
  const { requested, devices, machineNodes } = question;
  if (![...devices.values()].some((nodes) => nodes.length > 0)) return undefined;
  if (recorded.length !== requested) return [];
  return generate(requested, devices, new Set(recorded), new Set(recorded), machineNodes);
}

function generate(
  requested: number,
  devices: ReadonlyMap<string, readonly number[]>,
  reusable: ReadonlySet<string>,
  usable: ReadonlySet<string>,
  machineNodes: readonly number[],
): readonly TopologyHint[] {
  const onMachine = new Set(machineNodes);
  const hosting = new Set([...devices.values()].flat().filter((node) => onMachine.has(node)));
  const nodes = (hosting.size > 0 ? [...hosting] : [...machineNodes]).sort((a, b) => a - b);
  const bit = new Map(nodes.map((node, index) => [node, index]));
  const maskOf = (id: string): number =>
    (devices.get(id) ?? []).reduce((mask, node) => {
      const index = bit.get(node);
      return index === undefined ? mask : mask + (hasBit(mask, index) ? 0 : 2 ** index);
    }, 0);
  // Devices in the same places count together: the work grows with the places, not with the devices.
  const groups = new Map<number, { all: number; usable: number }>();
  const mustTouch = new Set<number>();
  for (const [id] of devices) {
    const mask = maskOf(id);
    const group = groups.get(mask) ?? { all: 0, usable: 0 };
    group.all++;
    if (usable.has(id)) group.usable++;
    groups.set(mask, group);
    if (mask !== 0 && reusable.has(id)) mustTouch.add(mask);
  }
  const hints: { numaNodes: readonly number[]; preferred: boolean }[] = [];
  let narrowest = nodes.length;
  for (const members of subsets(nodes.length)) {
    let all = 0;
    let free = 0;
    for (const [places, group] of groups) {
      if (!meets(places, members)) continue;
      all += group.all;
      free += group.usable;
    }
    if (all >= requested) narrowest = Math.min(narrowest, members.length);
    if (free < requested || ![...mustTouch].every((places) => meets(places, members))) continue;
    hints.push({ numaNodes: members.map((index) => nodes[index] as number), preferred: false });
  }
  return hints.map((hint) => ({ ...hint, preferred: hint.numaNodes.length === narrowest }));
}

function hasBit(mask: number, index: number): boolean {
  return Math.floor(mask / 2 ** index) % 2 === 1;
}

function meets(places: number, members: readonly number[]): boolean {
  return members.some((index) => hasBit(places, index));
}

/** Non-empty subsets of 0..count-1 by size. */
function* subsets(count: number): Generator<readonly number[]> {
  for (let size = 1; size <= count; size++) {
    if (count > MAX_NODES && size > 1 && size < count) continue;
    yield* ofSize(count, size, 0, []);
  }
}

function* ofSize(
  count: number,
  size: number,
  from: number,
  chosen: readonly number[],
): Generator<readonly number[]> {
  if (chosen.length === size) {
    yield chosen;
    return;
  }
  for (let index = from; index <= count - (size - chosen.length); index++)
    yield* ofSize(count, size, index + 1, [...chosen, index]);
}
