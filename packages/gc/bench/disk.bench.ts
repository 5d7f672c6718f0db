// SPDX-License-Identifier: Apache-2.0

// What the disk ledger costs by the number of pods (two containers, a log folder with three files, an emptyDir with ten): the first time, and when it is asked again
// within the minute for which folders keep their figures. The runtime is the fake, in this process; folders are real.
// node --expose-gc --conditions=@holdfast/source packages/gc/bench/disk.bench.ts
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { lstat, opendir, readdir, stat, statfs } from "node:fs/promises";
import { cpus, tmpdir } from "node:os";
import { join } from "node:path";
import { systemClock } from "@holdfast/core/node";
import { FakeRuntime } from "@holdfast/cri-fake";
import { DiskLedger } from "@holdfast/gc";
import type { DiskLedgerHost } from "@holdfast/gc";

interface Row {
  readonly pods: number;
  readonly firstMs: number;
  readonly firstCpuMs: number;
  readonly againCpuMs: number;
  readonly calls: number;
  readonly walks: number;
  readonly incomplete: number;
}

const SIZES = [10, 100, 500];
const ROUNDS = 5;
const BLOCK = 512;

async function add(path: string): Promise<number> {
  let bytes = (await lstat(path)).blocks * BLOCK;
  for await (const entry of await opendir(path)) {
    const below = join(path, entry.name);
    bytes += entry.isDirectory() ? await add(below) : (await lstat(below)).blocks * BLOCK;
  }
  return bytes;
}

/** Real folders; figures are kept as `@holdfast/stats` keeps them. */
class FolderHost implements DiskLedgerHost {
  readonly #known = new Map<string, number>();
  walks = 0;

  async filesystem(path: string): ReturnType<DiskLedgerHost["filesystem"]> {
    const at = path.startsWith(tmpdir()) ? path : tmpdir();
    const { bsize, blocks, bfree, bavail } = await statfs(at);
    const { dev } = await stat(at);
    return {
      device: dev,
      capacityBytes: blocks * bsize,
      availableBytes: bavail * bsize,
      usedBytes: (blocks - bfree) * bsize,
    };
  }

  async tree(path: string): ReturnType<DiskLedgerHost["tree"]> {
    const known = this.#known.get(path);
    if (known !== undefined) return { usedBytes: known, complete: true };
    this.walks += 1;
    const usedBytes = await add(path).catch(() => undefined);
    if (usedBytes === undefined) return undefined;
    this.#known.set(path, usedBytes);
    return { usedBytes, complete: true };
  }

  async folders(path: string): Promise<readonly string[]> {
    return (await readdir(path)).filter((name) => !name.includes("."));
  }
}

async function fill(fake: FakeRuntime, root: string, pods: number): Promise<void> {
  for (let index = 0; index < pods; index++) {
    const uid = `uid-${index}`;
    const name = `p${index}`;
    const metadata = { name, namespace: "default", uid, attempt: 0 };
    const { podSandboxId } = await fake.runPodSandbox({ config: { metadata } });
    for (const container of ["one", "two"]) {
      const { containerId } = await fake.createContainer({
        podSandboxId,
        config: { metadata: { name: container }, image: { image: "holdfast.local/busybox:1" } },
      });
      await fake.startContainer({ containerId });
    }
    const logs = join(root, "logs", `default_${name}_${uid}`, "one");
    const scratch = join(root, "pods", uid, "volumes/kubernetes.io~empty-dir/scratch");
    for (const folder of [logs, scratch]) mkdirSync(folder, { recursive: true });
    for (let file = 0; file < 3; file++) writeFileSync(join(logs, `${file}.log`), "x".repeat(5000));
    for (let file = 0; file < 10; file++) writeFileSync(join(scratch, `${file}`), "x");
  }
}

async function measure(pods: number): Promise<Row> {
  const root = mkdtempSync(join(tmpdir(), "holdfast-disk-bench-"));
  try {
    const fake = new FakeRuntime({ clock: systemClock });
    await fill(fake, root, pods);
    const host = new FolderHost();
    const ledger = new DiskLedger({
      runtime: fake,
      host,
      clock: systemClock,
      stateDir: root,
      podsDir: join(root, "pods"),
      podLogsDir: join(root, "logs"),
    });
    const callsBefore = Object.values(fake.calls).reduce((sum, count) => sum + count, 0);
    const started = performance.now();
    const usage = process.cpuUsage();
    const view = await ledger.read();
    const first = process.cpuUsage(usage);
    const firstMs = performance.now() - started;
    const calls = Object.values(fake.calls).reduce((sum, count) => sum + count, 0) - callsBefore;
    const { walks } = host;
    const again: number[] = [];
    for (let round = 0; round < ROUNDS; round++) {
      const before = process.cpuUsage();
      await ledger.read({ maxAgeMs: 0 });
      const { user, system } = process.cpuUsage(before);
      again.push((user + system) / 1000);
    }
    return {
      pods,
      firstMs,
      firstCpuMs: (first.user + first.system) / 1000,
      againCpuMs: again.sort((one, other) => one - other)[Math.floor(ROUNDS / 2)] ?? 0,
      calls,
      walks,
      incomplete: view.problems.length,
    };
  } finally {
    rmSync(root, { recursive: true, force: true });
  }
}

const rows: Row[] = [];
for (const size of SIZES) rows.push(await measure(size));
console.table(
  rows.map((row) =>
    Object.fromEntries(Object.entries(row).map(([key, value]) => [key, Math.round(Number(value) * 10) / 10])),
  ),
);
console.log(
  JSON.stringify({ bench: "disk", node: process.version, cpus: cpus().length, rounds: ROUNDS, rows }),
);
