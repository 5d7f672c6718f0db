// SPDX-License-Identifier: Apache-2.0

import { ManualClock } from "@holdfast/core/manual-clock";
import { CONTAINER_NAME_LABEL, POD_NAME_LABEL, POD_NAMESPACE_LABEL } from "@holdfast/core/names";
import { FakeRuntime } from "@holdfast/cri-fake";
import { computeDiskLedger, diskHeldBy, DiskLedger, diskLedgerHead, diskLedgerRows } from "@holdfast/gc";
import type { DiskFacts, DiskHolder, DiskLedgerEntry, DiskLedgerHost, DiskLedgerView } from "@holdfast/gc";
import fc from "fast-check";
import { describe, expect, test } from "vitest";

const MIB = 1024 * 1024;

const ONE_DISK = {
  device: 1,
  roles: ["node", "images", "logs"],
  capacityBytes: 1000 * MIB,
  availableBytes: 250 * MIB,
  usedBytes: 700 * MIB,
};

const FACTS: DiskFacts = {
  filesystems: [ONE_DISK],
  images: {
    device: 1,
    onDiskBytes: 330 * MIB,
    list: [
      { name: "web", bytes: 60 * MIB, inUse: true },
      { name: "old", bytes: 30 * MIB, inUse: false },
      { name: "older", bytes: 10 * MIB, inUse: false },
    ],
  },
  layers: {
    device: 1,
    list: [
      { name: "default/web/app", bytes: 20 * MIB, running: true },
      { name: "default/job/main", bytes: 10 * MIB, running: false },
    ],
  },
  folders: [
    {
      kind: "logs",
      device: 1,
      list: [
        { name: "default/web", bytes: 100 * MIB },
        { name: "default/job", bytes: MIB },
      ],
    },
    { kind: "emptydirs", device: 1, list: [{ name: "default/web", bytes: 0 }] },
    { kind: "agent", device: 1, list: [{ name: "state", bytes: 4 * MIB }] },
  ],
};

function ledgerOf(facts: DiskFacts): DiskLedgerEntry {
  const [entry] = computeDiskLedger(facts);
  if (entry === undefined) throw new Error("no entry");
  return entry;
}

const inMib = (holders: readonly DiskHolder[]): unknown[] =>
  holders.map(({ kind, bytes, count }) => [kind, bytes / MIB, count]);

describe("who holds one disk", () => {
  test("images by what they take on it, apportioned by their sizes, without the writable layers", () => {
    expect(inMib(ledgerOf(FACTS).holders)).toEqual([
      ["images-in-use", 180, 1],
      ["images-unused", 120, 2],
      ["logs", 101, 2],
      ["writable-layers", 20, 1],
      ["dead-containers", 10, 1],
      ["agent", 4, 1],
      ["emptydirs", 0, 1],
      ["others", 265, 0],
      ["reserved", 50, 0],
    ]);
  });

  test("as people read it", () => {
    const entry = ledgerOf(FACTS);
    expect(diskLedgerHead(entry)).toBe(
      "node, images, logs: 700.0 MiB of 1000.0 MiB used, 250.0 MiB available (75% full)",
    );
    expect(diskLedgerRows(entry).slice(0, 3)).toEqual([
      ["images in use", "~180.0 MiB", "18.0%", "1", "web 60.0 MiB"],
      ["unused images", "~120.0 MiB", "12.0%", "2", "old 30.0 MiB, older 10.0 MiB"],
      ["logs", "101.0 MiB", "10.1%", "2", "default/web 100.0 MiB, default/job 1.0 MiB"],
    ]);
    expect(diskHeldBy(entry)).toBe(
      "images in use ~180.0 MiB (web), unused images ~120.0 MiB (2), logs 101.0 MiB (2, default/web 100.0 MiB), " +
        "writable layers 20.0 MiB (default/web/app), dead containers 10.0 MiB (default/job/main), others on this file system 265.0 MiB, reserved for root 50.0 MiB",
    );
  });

  test("without the runtime's word on the disk, images count with their listed sizes", () => {
    const { images } = FACTS;
    if (images === undefined) throw new Error("no images");
    const [first, second] = ledgerOf({ ...FACTS, images: { ...images, onDiskBytes: undefined } }).holders;
    expect(inMib([first, second].filter((one) => one !== undefined))).toEqual([
      ["logs", 101, 2],
      ["images-in-use", 60, 1],
    ]);
  });

  test("what could not be had is among the others", () => {
    const holders = ledgerOf({ ...FACTS, images: undefined, layers: undefined }).holders;
    expect(inMib(holders).at(-2)).toEqual(["others", 595, 0]);
  });

  test("what was not wholly looked at says so", () => {
    const entry = ledgerOf({
      ...FACTS,
      folders: [{ kind: "emptydirs", device: 1, list: [{ name: "a/b", bytes: MIB, atLeast: true }] }],
    });
    const row = diskLedgerRows(entry).find(([what]) => what === "emptyDirs");
    expect(row?.[1]).toBe("≥1.0 MiB");
  });
});

test("each disk has its own holders", () => {
  const other = { ...ONE_DISK, device: 2, roles: ["images"] };
  const [node, images] = computeDiskLedger({
    ...FACTS,
    filesystems: [ONE_DISK, other],
    images: FACTS.images && { ...FACTS.images, device: 2 },
  });
  expect(node?.holders.map(({ kind }) => kind)).not.toContain("images-in-use");
  // Layers lie elsewhere: they are not in what images take.
  expect(inMib(images?.holders ?? [])).toEqual([
    ["images-in-use", 198, 1],
    ["images-unused", 132, 2],
    ["others", 370, 0],
    ["reserved", 50, 0],
  ]);
});

test("property: nobody holds less than nothing, and together they hold what is not available", () => {
  const bytes = fc.nat(1000);
  const item = fc.record({ name: fc.string(), bytes });
  const facts = fc.record({
    used: bytes,
    available: bytes,
    extra: bytes,
    images: fc.option(
      fc.record({
        onDisk: fc.option(bytes, { nil: undefined }),
        list: fc.array(fc.tuple(item, fc.boolean())),
      }),
      { nil: undefined },
    ),
    layers: fc.array(fc.tuple(item, fc.boolean())),
    logs: fc.array(item),
  });
  fc.assert(
    fc.property(facts, ({ used, available, extra, images, layers, logs }) => {
      const entry = ledgerOf({
        filesystems: [
          {
            device: 1,
            roles: [],
            usedBytes: used,
            availableBytes: available,
            capacityBytes: used + available + extra,
          },
        ],
        images: images && {
          device: 1,
          onDiskBytes: images.onDisk,
          list: images.list.map(([one, inUse]) => ({ ...one, inUse })),
        },
        layers: { device: 1, list: layers.map(([one, running]) => ({ ...one, running })) },
        folders: [{ kind: "logs", device: 1, list: logs }],
      });
      const sum = entry.holders.reduce((total, holder) => total + holder.bytes, 0);
      expect(entry.holders.every((holder) => holder.bytes >= 0 && holder.largest.length <= 5)).toBe(true);
      expect(sum).toBeGreaterThanOrEqual(used + extra);
      if (entry.holders.some(({ kind }) => kind === "others")) expect(sum).toBe(used + extra);
    }),
  );
});

const CONTENT = "/var/lib/containerd/io.containerd.content.v1.content";

class MemoryDisk implements DiskLedgerHost {
  readonly trees = new Map<string, number>([
    [CONTENT, 5 * MIB],
    ["/state", MIB],
    ["/state/journal", 2 * MIB],
    ["/var/log/pods/default_web_u1", 7 * MIB],
    ["/state/pods/u1/volumes/kubernetes.io~empty-dir", 3 * MIB],
  ]);
  readonly broken = new Set<string>();
  treeCalls: string[] = [];

  async filesystem(path: string): ReturnType<DiskLedgerHost["filesystem"]> {
    if (this.broken.has(path)) throw new Error(`statfs of ${path} has not answered for 2 s`);
    const { roles: _roles, ...figures } = ONE_DISK;
    return figures;
  }

  async tree(path: string): ReturnType<DiskLedgerHost["tree"]> {
    this.treeCalls.push(path);
    if (this.broken.has(path)) throw new Error(`${path} has not answered for 2 s`);
    const usedBytes = this.trees.get(path);
    return usedBytes === undefined ? undefined : { usedBytes, complete: true };
  }

  async folders(path: string): Promise<readonly string[]> {
    const known: Readonly<Record<string, readonly string[]>> = {
      "/var/log/pods": ["default_web_u1"],
      "/state/pods": ["u1", "u2"],
      "/state": ["pods", "journal"],
    };
    return known[path] ?? [];
  }
}

interface World {
  readonly clock: ManualClock;
  readonly fake: FakeRuntime;
  readonly disk: MemoryDisk;
  readonly ledger: DiskLedger;
}

async function world(): Promise<World> {
  const clock = new ManualClock();
  const fake = new FakeRuntime({
    clock,
    images: ["used", "unused", "pause"].map((name) => ({
      reference: `holdfast.local/${name}:1`,
      size: 10 * MIB,
    })),
  });
  const labels = {
    [POD_NAME_LABEL]: "web",
    [POD_NAMESPACE_LABEL]: "default",
    [CONTAINER_NAME_LABEL]: "app",
  };
  const metadata = { name: "web", namespace: "default", uid: "u1", attempt: 0 };
  const { podSandboxId } = await fake.runPodSandbox({ config: { metadata, labels } });
  for (const attempt of [0, 1]) {
    const { containerId } = await fake.createContainer({
      podSandboxId,
      config: { metadata: { name: "app", attempt }, image: { image: "holdfast.local/used:1" }, labels },
    });
    await fake.startContainer({ containerId });
    if (attempt === 0) await fake.stopContainer({ containerId, timeout: 0n });
  }
  const disk = new MemoryDisk();
  const ledger = new DiskLedger({
    runtime: {
      listImages: fake.listImages,
      listContainers: fake.listContainers,
      listContainerStats: fake.listContainerStats,
      imageFsInfo: fake.imageFsInfo,
      // As containerd 1.6 says it.
      status: async (request, options) => ({
        ...(await fake.status(request, options)),
        info: { config: JSON.stringify({ sandboxImage: "holdfast.local/pause:1" }) },
      }),
    },
    host: disk,
    clock,
    stateDir: "/state",
    podsDir: "/state/pods",
    podName: (uid) => (uid === "u1" ? "default/web" : undefined),
  });
  return { clock, fake, disk, ledger };
}

function kinds(view: DiskLedgerView): Readonly<Record<string, readonly string[]>> {
  const holders = view.filesystems[0]?.holders ?? [];
  return Object.fromEntries(holders.map(({ kind, largest }) => [kind, largest.map(({ name }) => name)]));
}

describe("the ledger of a runtime", () => {
  test("names who holds what", async () => {
    const { ledger } = await world();
    const view = await ledger.read();
    expect(view.problems).toEqual([]);
    expect(view.filesystems).toHaveLength(1);
    expect(view.filesystems[0]?.roles).toEqual(["node", "images", "writable layers", "logs"]);
    expect(kinds(view)).toMatchObject({
      // The second is what sandboxes are made of.
      "images-in-use": [expect.stringContaining("used:1"), expect.stringContaining("pause:1")],
      "images-unused": [expect.stringContaining("unused:1")],
      logs: ["default/web"],
      emptydirs: ["default/web"],
      agent: ["journal", "state"],
    });
    const counts = view.filesystems[0]?.holders.map(({ kind, count }) => [kind, count]);
    expect(counts).toContainEqual(["writable-layers", 1]);
    expect(counts).toContainEqual(["dead-containers", 1]);
  });

  test("is not computed again within 30 s, nor twice at once, nor by itself", async () => {
    const { ledger, disk, fake, clock } = await world();
    const [one, two] = await Promise.all([ledger.read(), ledger.read()]);
    expect(two).toBe(one);
    const calls = disk.treeCalls.length;
    const asked = fake.calls["ListImages"];
    await clock.advance(30_000);
    expect(await ledger.read()).toBe(one);
    expect(disk.treeCalls).toHaveLength(calls);
    expect(fake.calls["ListImages"]).toBe(asked);
    expect(clock.waiting).toBe(0);
    expect(await ledger.read({ maxAgeMs: 0 })).not.toBe(one);
  });

  test("says what could not be looked at, and goes on with the rest", async () => {
    const { ledger, disk } = await world();
    disk.broken.add("/var/log/pods/default_web_u1");
    disk.broken.add("/var/log/pods");
    const view = await ledger.read();
    expect(view.problems).toEqual([
      "the file system of logs: statfs of /var/log/pods has not answered for 2 s",
    ]);
    expect(kinds(view)).not.toHaveProperty("logs");
    expect(kinds(view)).toHaveProperty("images-in-use");
  });

  test("without the runtime is that of the node's own folders", async () => {
    const { disk, clock } = await world();
    const away = (): Promise<never> => Promise.reject(new Error("the runtime is away"));
    const ledger = new DiskLedger({
      runtime: {
        listImages: away,
        listContainers: away,
        listContainerStats: away,
        imageFsInfo: away,
        status: away,
      },
      host: disk,
      clock,
      stateDir: "/state",
      podsDir: "/state/pods",
    });
    const view = await ledger.read();
    expect(view.problems).toHaveLength(5);
    expect(Object.keys(kinds(view))).toEqual(["logs", "emptydirs", "agent", "others", "reserved"]);
  });

  test("in one line for image GC's message", async () => {
    const { ledger, disk } = await world();
    expect(await ledger.heldBy()).toMatch(
      /others on this file system \d+\.\d MiB, reserved for root 50\.0 MiB$/,
    );
    for (const path of ["/state", "/var/log/pods"]) disk.broken.add(path);
    expect(await ledger.heldBy("logs")).toMatch(/^logs|others/);
    const { clock } = await world();
    const dead = new DiskLedger({
      runtime: new FakeRuntime({ clock }),
      host: { ...disk, filesystem: () => new Promise(() => {}), tree: disk.tree, folders: disk.folders },
      clock,
      stateDir: "/state",
      podsDir: "/state/pods",
    });
    const asked = dead.heldBy();
    await clock.advance(10_000);
    expect(await asked).toBeUndefined();
  });

  test("that nobody answers is given up after 30 s, and asked anew then", async () => {
    const { disk, clock } = await world();
    let hangs = true;
    const runtime = new FakeRuntime({ clock });
    const ledger = new DiskLedger({
      runtime: {
        listImages: (request, options) =>
          hangs ? new Promise(() => {}) : runtime.listImages(request, options),
        listContainers: runtime.listContainers,
        listContainerStats: runtime.listContainerStats,
        imageFsInfo: runtime.imageFsInfo,
        status: runtime.status,
      },
      host: disk,
      clock,
      stateDir: "/state",
      podsDir: "/state/pods",
    });
    const asked = ledger.read().catch((error: Error) => error.message);
    await clock.advance(30_000);
    expect(await asked).toMatch(/the disk ledger took longer than 30000 ms/);
    hangs = false;
    expect((await ledger.read()).problems).toEqual([]);
  });
});
