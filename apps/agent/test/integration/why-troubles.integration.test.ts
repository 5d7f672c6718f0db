// SPDX-License-Identifier: Apache-2.0

// The journal's file in trouble, on a real runtime: pods go on, the trouble is told, and what comes after it is written down.
import { execFileSync } from "node:child_process";
import { mkdirSync, rmSync, statfsSync, symlinkSync, truncateSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { Termination } from "@holdfast/journal";
import { expect, test } from "vitest";
import type { EventList, TerminationList } from "../../src/api/types.ts";
import { pod } from "./harness/manifests.ts";
import { startNode } from "./harness/test-node.ts";
import type { TestNode } from "./harness/test-node.ts";
import { getJson } from "./harness/unix-http.ts";

async function ends(node: TestNode): Promise<readonly Termination[]> {
  return (await getJson<TerminationList>(node.socket, "/api/v1/journal/terminations?limit=100")).items;
}

async function failures(node: TestNode): Promise<string> {
  return (await node.podList()).node.join("\n");
}

test("a damaged journal is set aside: pods go on untouched, and the next end is in a fresh one", async () => {
  await using node = await startNode({ pods: [pod("web")] });
  const { id } = await node.runningContainer("web");
  await node.stop();
  const path = join(node.places.state, "journal.db");
  rmSync(`${path}-wal`, { force: true });
  // Its first page stays: what is behind it is not what it says.
  truncateSync(path, 4096);
  writeFileSync(path, Buffer.alloc(64 * 1024, 0x5a), { flag: "a" });
  await node.start();
  expect((await node.runningContainer("web")).id).toBe(id);
  expect(await node.log()).toMatch(/journal.*(damaged|set aside|malformed)/i);
  await node.killContainer(id);
  await node.until(async () => (await ends(node))[0]?.cause === "Outside", "the end is in the fresh journal");
  expect((await node.cli("why", "web")).stdout).toContain("was killed by someone outside Holdfast");
});

test("a full disk: restarts go on, the trouble is told; with room again what comes is written down", async () => {
  await using node = await startNode({ start: false, pods: [pod("web")] });
  // A disk of its own for the journal, below the test's folder.
  const disk = join(node.places.state, "small-disk");
  mkdirSync(disk);
  execFileSync("mount", ["-t", "tmpfs", "-o", "size=2m", "tmpfs", disk]);
  symlinkSync(join(disk, "journal.db"), join(node.places.state, "journal.db"));
  await node.start();
  const first = await node.runningContainer("web");
  const { bavail, bsize } = statfsSync(disk);
  writeFileSync(join(disk, "filler"), Buffer.alloc(bavail * bsize));
  await node.killContainer(first.id);
  const second = await node.runningContainer("web", "main", 1);
  await node.until(async () => /journal|written down/.test(await failures(node)), "the trouble is told");
  rmSync(join(disk, "filler"));
  await node.until(async () => !/written down/.test(await failures(node)), "the journal is written again");
  await node.killContainer(second.id);
  await node.until(
    async () => (await ends(node))[0]?.containerId === second.id,
    "the next end is in the ledger",
  );
  const { items } = await getJson<EventList>(node.socket, "/api/v1/journal/events?limit=1000");
  const seqs = items.map(({ seq }) => seq);
  expect(seqs).toEqual(seqs.toSorted((a, b) => a - b));
});
