// SPDX-License-Identifier: Apache-2.0

import { execFileSync } from "node:child_process";
import { chmod, mkdir, mkdtemp, readdir, rename, rm, stat, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { systemClock } from "@holdfast/core/node";
import { describe, expect, it, vi } from "vitest";
import { FilePodSource } from "../../src/config/file-pod-source.ts";
import type { SourceSnapshot } from "../../src/config/pod-update.ts";
import { FileLastGoodManifests } from "../../src/node/last-good-manifests.ts";
import { NodeManifestFolder, readManifestFile } from "../../src/node/manifest-folder.ts";

const pod = (name: string, image = "a:1"): string =>
  `apiVersion: v1\nkind: Pod\nmetadata: {name: ${name}}\nspec: {containers: [{name: c, image: "${image}"}]}\n`;

/** A folder of its own, removed afterwards, and perhaps a source on it. */
class Env implements AsyncDisposable {
  readonly root: string;
  readonly folder: string;
  last: SourceSnapshot | undefined;
  source: FilePodSource | undefined;

  constructor(root: string) {
    this.root = root;
    this.folder = join(root, "manifests");
  }

  async start(path: string = this.folder): Promise<FilePodSource> {
    this.source = new FilePodSource({
      folder: new NodeManifestFolder(path),
      lastGood: new FileLastGoodManifests(join(this.root, "state")),
      clock: systemClock,
      nodeName: "n1",
      deliver: (snapshot) => {
        this.last = snapshot;
      },
    });
    await this.source.start();
    return this.source;
  }

  get running(): readonly string[] {
    return (this.last?.pods ?? []).map(
      ({ metadata, spec }) => `${metadata.name} ${spec.containers[0]?.image}`,
    );
  }

  async until(expected: readonly string[]): Promise<void> {
    const wanted = JSON.stringify(expected);
    const check = (): void => {
      if (JSON.stringify(this.running) !== wanted) throw new Error(`not ${wanted}: ${this.running.join()}`);
    };
    await vi.waitFor(check, { timeout: 15_000, interval: 5 });
  }

  /** As kubectl, Ansible and dpkg do it. */
  async moveIn(name: string, text: string): Promise<void> {
    await writeFile(join(this.root, "new"), text);
    await rename(join(this.root, "new"), join(this.folder, name));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.source?.stop();
    await rm(this.root, { recursive: true, force: true });
  }
}

async function env(): Promise<Env> {
  const result = new Env(await mkdtemp(join(tmpdir(), "holdfast-manifests-")));
  await mkdir(result.folder);
  return result;
}

describe("a manifest folder on disk", () => {
  it("is followed: files written, moved in, changed, deleted", async () => {
    await using test = await env();
    await writeFile(join(test.folder, "a.yaml"), pod("a"));
    await test.start();
    await test.until(["a-n1 a:1"]);
    await test.moveIn("b.yaml", pod("b"));
    await test.until(["a-n1 a:1", "b-n1 a:1"]);
    await writeFile(join(test.folder, "a.yaml"), pod("a", "a:2"));
    await test.until(["a-n1 a:2", "b-n1 a:1"]);
    await test.moveIn("b.yaml", pod("b", "b:2"));
    await test.until(["a-n1 a:2", "b-n1 b:2"]);
    await rm(join(test.folder, "a.yaml"));
    await test.until(["b-n1 b:2"]);
    expect(test.source?.problems()).toEqual([]);
  });

  it("that is moved away keeps its pods, and is followed again when it is back", async () => {
    await using test = await env();
    await writeFile(join(test.folder, "a.yaml"), pod("a"));
    const source = await test.start();
    await test.until(["a-n1 a:1"]);
    await rename(test.folder, join(test.root, "away"));
    await vi.waitFor(() => expect(source.health().failures).toHaveLength(1), { timeout: 15_000 });
    expect(test.running).toEqual(["a-n1 a:1"]);
    await rename(join(test.root, "away"), test.folder);
    await vi.waitFor(() => expect(source.health().failures).toEqual([]), { timeout: 15_000 });
    await test.moveIn("b.yaml", pod("b"));
    await test.until(["a-n1 a:1", "b-n1 a:1"]);
  });

  it("may be one file", async () => {
    await using test = await env();
    const path = join(test.folder, "only.yaml");
    await writeFile(path, pod("a"));
    await writeFile(join(test.folder, "other.yaml"), pod("b"));
    await test.start(path);
    await test.until(["a-n1 a:1"]);
    await test.moveIn("only.yaml", pod("a", "a:2"));
    await test.until(["a-n1 a:2"]);
    await rm(path);
    await test.until([]);
    expect(test.source?.health().failures).toEqual([]);
  });

  it("names what cannot be read and goes on with the rest", async () => {
    await using test = await env();
    const at = (name: string): string => join(test.folder, name);
    await writeFile(at("a.yaml"), pod("a"));
    await writeFile(at("big.yaml"), new Uint8Array(10 * 1024 * 1024));
    await symlink("loop2", at("loop1"));
    await symlink("loop1", at("loop2"));
    await symlink("nowhere", at("dangling"));
    await mkdir(at("dir"));
    execFileSync("mkfifo", [at("pipe")]);
    await writeFile(at(".hidden"), "x");
    await writeFile(at("a.yaml~"), "x");
    const source = await test.start();
    await vi.waitFor(() => expect(source.problems()).toHaveLength(6), { timeout: 15_000 });
    expect(
      source
        .problems()
        .map(
          ({ file, reason }) =>
            `${file.slice(test.folder.length + 1)}: ${reason.replaceAll(`${test.folder}/`, "")}`,
        ),
    ).toEqual([
      "big.yaml: the file has 10485760 bytes; at most 262144 are read (maxManifestBytes)",
      "dangling: cannot be read: it is a symbolic link to nothing",
      "dir: is a folder; folders in the folder are not read",
      "loop1: cannot be read: its symbolic links form a loop",
      "loop2: cannot be read: its symbolic links form a loop",
      "pipe: is no regular file",
    ]);
    expect(test.running).toEqual(["a-n1 a:1"]);
    expect(test.last?.ready).toBe(true);
    // What was there at the start, and what comes later: the folder is watched all the same, long before the next look at all of it.
    await symlink("loop3", at("loop3"));
    await test.moveIn("b.yaml", pod("b"));
    await test.until(["a-n1 a:1", "b-n1 a:1"]);
    await rename(test.folder, join(test.root, "away"));
    await vi.waitFor(() => expect(source.health().failures).toHaveLength(1), { timeout: 15_000 });
  });

  it("follows symbolic links", async () => {
    await using test = await env();
    await writeFile(join(test.root, "real"), pod("a"));
    await symlink("../real", join(test.folder, "a.yaml"));
    await test.start();
    await test.until(["a-n1 a:1"]);
    await writeFile(join(test.root, "real"), pod("a", "a:2"));
    await test.until(["a-n1 a:2"]);
    expect(test.source?.problems()).toEqual([]);
  });
});

describe("reading one file", () => {
  it("neither waits for a pipe nor reads a folder or a large file", async () => {
    await using test = await env();
    const pipe = join(test.root, "pipe");
    execFileSync("mkfifo", [pipe]);
    await expect(readManifestFile(pipe)).rejects.toMatchObject({ kind: "bad-input" });
    await expect(readManifestFile(test.folder)).rejects.toMatchObject({ kind: "bad-input" });
    await expect(readManifestFile(join(test.root, "none"))).rejects.toMatchObject({ kind: "not-found" });
    await writeFile(join(test.root, "f"), "12345");
    await expect(readManifestFile(join(test.root, "f"), 4)).rejects.toMatchObject({ kind: "bad-input" });
    expect(await readManifestFile(join(test.root, "f"), 5)).toEqual(new TextEncoder().encode("12345"));
  });
});

describe("last good manifests on disk", () => {
  it("come back, are for their owner only, and skip what is torn", async () => {
    await using test = await env();
    const dir = join(test.root, "state");
    const kept = new FileLastGoodManifests(dir);
    expect(await kept.list()).toEqual(new Map());
    await kept.set("/m/a\nb.yaml", "text: 1\n");
    await kept.set("/m/c.yaml", "");
    await kept.set("/m/c.yaml", "text: 2\n");
    await kept.delete("/m/none");
    await writeFile(join(dir, "torn.manifest"), '"/m/x');
    expect(await kept.list()).toEqual(
      new Map([
        ["/m/a\nb.yaml", "text: 1\n"],
        ["/m/c.yaml", "text: 2\n"],
      ]),
    );
    for (const name of (await readdir(dir)).filter((item) => item !== "torn.manifest"))
      expect((await stat(join(dir, name))).mode & 0o777).toBe(0o600);
    await kept.delete("/m/c.yaml");
    expect([...(await kept.list()).keys()]).toEqual(["/m/a\nb.yaml"]);
    await chmod(dir, 0o700);
  });
});
