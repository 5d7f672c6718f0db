// SPDX-License-Identifier: Apache-2.0

// A mount whose server never answers: a FUSE file system without anybody behind it. Whoever asks it hangs in the kernel.
import { execFileSync } from "node:child_process";
import { closeSync, existsSync, mkdtempSync, openSync, rmSync, writeFileSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { systemClock } from "@holdfast/core/node";
import { SummaryProvider } from "@holdfast/stats";
import { nodeStatsHost } from "@holdfast/stats/node";
import { expect, test } from "vitest";

/** Mounts it; closing the device lets everybody go who waits. */
class DeadMount implements Disposable {
  readonly path = mkdtempSync(join(tmpdir(), "holdfast-dead-"));
  readonly #fd = openSync("/dev/fuse", "r+");
  #closed = false;

  constructor() {
    const options = "fd=3,rootmode=40000,user_id=0,group_id=0";
    execFileSync("mount", ["-i", "-t", "fuse", "-o", options, "holdfast-dead", this.path], {
      stdio: ["ignore", "ignore", "inherit", this.#fd],
    });
  }

  /** What waits gets an error. */
  comeToItsEnd(): void {
    if (!this.#closed) closeSync(this.#fd);
    this.#closed = true;
  }

  [Symbol.dispose](): void {
    this.comeToItsEnd();
    execFileSync("umount", ["-l", this.path]);
    rmSync(this.path, { recursive: true });
  }
}

test.skipIf(!existsSync("/dev/fuse"))(
  "dead mounts cost their own figures, hold two threads at most, and block nobody",
  async () => {
    using node = new DeadMount();
    using logs = new DeadMount();
    using volume = new DeadMount();
    const folder = mkdtempSync(join(tmpdir(), "holdfast-alive-"));
    await using stats = new SummaryProvider({
      clock: systemClock,
      host: nodeStatsHost(),
      pods: () => [
        {
          uid: "u",
          name: "web",
          namespace: "default",
          sandboxId: "s",
          createdAt: 0,
          containers: [{ id: "c", name: "c", createdAt: 0, logFolder: logs.path }],
          volumes: [{ name: "v", path: volume.path, ephemeral: true }],
        },
      ],
      nodeName: "here",
      nodeFsPath: node.path,
      filesystemDeadlineMs: 300,
    });
    const { summary, problems } = await stats.sample();
    const told = problems.map(({ part, message }) => `${part}: ${message}`).join("\n");
    expect(told).toContain(`node.fs: statfs of ${node.path} has not answered for 0 s`);
    expect(told).toContain(`pods: ${logs.path} has not answered`);
    // The third is not even asked: one folder that hangs is enough.
    expect(told).toContain(`${volume.path} is not asked: ${logs.path} holds all places`);
    expect(summary.node).not.toHaveProperty("fs");
    expect(summary.node.memory?.workingSetBytes).toBeGreaterThan(0);
    expect(summary.pods).toHaveLength(1);

    // Files elsewhere are read and written as ever, by the same threads.
    await Promise.all(
      Array.from({ length: 16 }, async (_, index) => {
        const file = join(folder, String(index));
        writeFileSync(file, "alive");
        expect(await readFile(file, "utf8")).toBe("alive");
      }),
    );
    rmSync(folder, { recursive: true });

    // When the mounts are let go of, all is as it was.
    for (const mount of [node, logs, volume]) mount.comeToItsEnd();
    const hung = (): number => (stats.snapshot() as { readonly hung: readonly unknown[] }).hung.length;
    while (hung() > 0) await nodeStatsHost().breathe();
    const after = await stats.sample({ maxAgeMs: 0 });
    expect(after.problems.map(({ message }) => message).join("\n")).toContain("ENOTCONN");
  },
);
