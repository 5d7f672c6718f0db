// SPDX-License-Identifier: Apache-2.0

/** Pure: who holds the space of each file system. */
import type {
  DiskFacts,
  DiskFilesystem,
  DiskHolder,
  DiskHolderKind,
  DiskItem,
  DiskLedgerEntry,
} from "./disk-facts.ts";

const LARGEST = 5;

/** Every kind's share of every file system. */
export function computeDiskLedger(facts: DiskFacts): readonly DiskLedgerEntry[] {
  return facts.filesystems.map((filesystem) => entryOf(facts, filesystem));
}

function entryOf(facts: DiskFacts, filesystem: DiskFilesystem): DiskLedgerEntry {
  const { device, capacityBytes, availableBytes, usedBytes } = filesystem;
  const known = [
    ...imageHolders(facts, device),
    ...layerHolders(facts, device),
    ...facts.folders
      .filter((folder) => folder.device === device)
      .map(({ kind, list }) => holder(kind, sumOf(list), list)),
  ]
    .filter(({ bytes, count }) => bytes > 0 || count > 0)
    .toSorted((one, other) => other.bytes - one.bytes);
  const others = Math.max(usedBytes - known.reduce((sum, { bytes }) => sum + bytes, 0), 0);
  const reserved = Math.max(capacityBytes - availableBytes - usedBytes, 0);
  return {
    ...filesystem,
    holders: [
      ...known,
      ...(others > 0 ? [holder("others", others)] : []),
      ...(reserved > 0 ? [holder("reserved", reserved)] : []),
    ],
  };
}

/** What images take together is measured; whose it is follows their listed sizes, since layers are shared. */
function imageHolders({ images, layers }: DiskFacts, device: number): readonly DiskHolder[] {
  if (images === undefined || images.device !== device) return [];
  const used = images.list.filter(({ inUse }) => inUse);
  const unused = images.list.filter(({ inUse }) => !inUse);
  const listed = sumOf(images.list);
  const inSnapshots = layers?.device === device ? sumOf(layers.list) : 0;
  // The runtime counts writable layers with those of images.
  const onDisk = images.onDiskBytes === undefined ? listed : Math.max(images.onDiskBytes - inSnapshots, 0);
  // All that is there belongs to somebody: without listed images it is left-overs that nobody uses.
  const share = listed === 0 ? 0 : sumOf(used) / listed;
  const bytes = Math.round(onDisk * share);
  return [
    { ...holder("images-in-use", bytes, used), estimated: true },
    { ...holder("images-unused", onDisk - bytes, unused), estimated: true },
  ];
}

function layerHolders({ layers }: DiskFacts, device: number): readonly DiskHolder[] {
  if (layers === undefined || layers.device !== device) return [];
  const running = layers.list.filter((one) => one.running);
  const dead = layers.list.filter((one) => !one.running);
  return [holder("writable-layers", sumOf(running), running), holder("dead-containers", sumOf(dead), dead)];
}

function holder(kind: DiskHolderKind, bytes: number, list: readonly DiskItem[] = []): DiskHolder {
  return {
    kind,
    bytes,
    count: list.length,
    estimated: false,
    atLeast: list.some(({ atLeast }) => atLeast === true),
    largest: list
      .filter((item) => item.bytes > 0)
      .toSorted((one, other) => other.bytes - one.bytes)
      .slice(0, LARGEST)
      .map(({ name, bytes: of, atLeast }) => ({ name, bytes: of, ...(atLeast === true && { atLeast }) })),
  };
}

function sumOf(list: readonly DiskItem[]): number {
  return list.reduce((sum, { bytes }) => sum + bytes, 0);
}
