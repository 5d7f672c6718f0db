// SPDX-License-Identifier: Apache-2.0

import { execFile } from "node:child_process";
import { mkdir, mkdtemp, readFile, readlink, rm, stat, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { mountPointsIn } from "../../src/node/mount-points.ts";
import { NodePodFiles, nodePodFiles } from "../../src/node/pod-files.ts";
import type { PodFiles } from "../../src/ports.ts";

let base: string;
let root: string;
let files: PodFiles;
beforeEach(async () => {
  base = await mkdtemp(join(tmpdir(), "pod-files-"));
  root = join(base, "pods");
  await mkdir(root);
  files = nodePodFiles([root]);
});
afterEach(() => rm(base, { recursive: true, force: true }));

const modeOf = async (path: string): Promise<number> => (await stat(path)).mode & 0o7777;

describe("NodePodFiles", () => {
  it("writes with exactly the mode, whatever was there", async () => {
    await files.mkdir(`${root}/u1`, 0o750);
    expect(await modeOf(`${root}/u1`)).toBe(0o750);
    await files.mkdir(`${root}/u1`, 0o750);
    await files.writeFile(`${root}/u1/manifest.json`, "{}", 0o600);
    expect(await modeOf(`${root}/u1/manifest.json`)).toBe(0o600);
    await files.writeFile(`${root}/u1/manifest.json`, '{"a":1}', 0o600);
    expect(await readFile(`${root}/u1/manifest.json`, "utf8")).toBe('{"a":1}');
    expect(await files.list(`${root}/u1`)).toEqual(["manifest.json"]);
    await files.writeFile(`${root}/u1/containers/app/0`, "", 0o666, { inPlace: true });
    expect(await modeOf(`${root}/u1/containers/app/0`)).toBe(0o666);
  });

  it("names the file that cannot be written", async () => {
    await expect(
      nodePodFiles(["/dev"]).writeFile("/dev/full", "x", 0o666, { inPlace: true }),
    ).rejects.toThrow(/^writing \/dev\/full: (there is no space left on its disk$|EPERM)/);
    await expect(files.writeFile(`${root}/none/file`, "x", 0o600)).rejects.toThrow(
      `writing ${root}/none/file: ENOENT`,
    );
  });

  it("writes in place: what is mounted from the file stays mounted", async () => {
    await files.writeFile(`${root}/u1/etc-hosts`, "one", 0o644, { inPlace: true });
    const before = await stat(`${root}/u1/etc-hosts`);
    await files.writeFile(`${root}/u1/etc-hosts`, "2", 0o644, { inPlace: true });
    expect((await stat(`${root}/u1/etc-hosts`)).ino).toBe(before.ino);
    expect(await files.readFile(`${root}/u1/etc-hosts`, 100)).toBe("2");
  });

  it("reads the beginning, the end, and nothing where nothing is", async () => {
    await files.writeFile(`${root}/log`, "0123456789", 0o600);
    expect(await files.readFile(`${root}/log`, 4)).toBe("0123");
    expect(await files.readFile(`${root}/log`, 4, { fromEnd: true })).toBe("6789");
    expect(await files.readFile(`${root}/log`, 100, { fromEnd: true })).toBe("0123456789");
    expect(await files.readFile(`${root}/none`, 4)).toBeUndefined();
    expect(await files.list(`${root}/none`)).toEqual([]);
    await files.removeFile(`${root}/none`);
    await files.removeTree(`${root}/none`);
    await files.removeTree(`${root}/none/below`);
  });

  it("does not wait for a writer of a pipe, and follows no link that a container left", async () => {
    await promisify(execFile)("mkfifo", [`${root}/pipe`]);
    await expect(files.readFile(`${root}/pipe`, 10)).rejects.toMatchObject({ kind: "bad-input" });
    await writeFile(join(base, "secret"), "secret");
    await symlink(join(base, "secret"), `${root}/link`);
    await expect(files.readFile(`${root}/link`, 10)).rejects.toThrow("ELOOP");
    await expect(files.writeFile(`${root}/link`, "x", 0o600, { inPlace: true })).rejects.toThrow("ELOOP");
    expect(await readFile(join(base, "secret"), "utf8")).toBe("secret");
  });

  it("removes a tree without following links out of it", async () => {
    await mkdir(join(base, "outside/inner"), { recursive: true });
    await writeFile(join(base, "outside/inner/keep"), "keep");
    await mkdir(`${root}/u1/a/b/c`, { recursive: true });
    await writeFile(`${root}/u1/a/b/c/file`, "x");
    await symlink(join(base, "outside"), `${root}/u1/a/link`);
    await symlink("/nowhere", `${root}/u1/dangling`);
    await files.removeTree(`${root}/u1`);
    expect(await files.list(root)).toEqual([]);
    expect(await readFile(join(base, "outside/inner/keep"), "utf8")).toBe("keep");
  });

  it("does not go through a folder that became a link", async () => {
    await mkdir(join(base, "outside/containers"), { recursive: true });
    await symlink(join(base, "outside"), `${root}/u1`);
    await expect(files.removeTree(`${root}/u1/containers`)).rejects.toThrow(/ELOOP|ENOTDIR/);
    expect(await stat(join(base, "outside/containers"))).toBeDefined();
    await files.removeTree(`${root}/u1`);
    expect(await stat(join(base, "outside/containers"))).toBeDefined();
    expect(await files.list(root)).toEqual([]);
  });

  it("removes nothing while something is mounted in the tree", async () => {
    const line = `36 35 8:1 / ${root}/u1/volumes/a\\040b rw,relatime - ext4 /dev/sda1 rw`;
    const mounted = new NodePodFiles({ roots: [root], mountInfo: async () => `${line}\n` });
    await mkdir(`${root}/u1/volumes/a b`, { recursive: true });
    await expect(mounted.removeTree(`${root}/u1`)).rejects.toMatchObject({
      code: "POD_TREE",
      kind: "retryable",
    });
    expect(await files.list(`${root}/u1/volumes`)).toEqual(["a b"]);
    await mounted.removeTree(`${root}/u10`);
  });

  it("gives up on a tree that is absurdly deep, by name", async () => {
    await mkdir(`${root}/deep/${"d/".repeat(300)}`, { recursive: true });
    await expect(files.removeTree(`${root}/deep`)).rejects.toThrow("deeper than 256");
  });

  it.each([
    "/etc/passwd",
    "ROOT",
    "ROOT/",
    "ROOT/../x",
    "ROOT/a/../../x",
    "ROOTX/a",
    "ROOT//a",
    "ROOT/a/",
    "a",
    "",
  ])("refuses %s", async (text) => {
    const path = text.replace("ROOT", root);
    for (const attempt of [
      () => files.removeTree(path),
      () => files.removeFile(path),
      () => files.writeFile(path, "", 0o600),
      () => files.mkdir(path, 0o700),
      () => files.symlink("/", path),
      () => files.readFile(path, 1),
      () => files.readLink(path),
    ])
      await expect(attempt()).rejects.toMatchObject({ code: "POD_PATH" });
  });

  it("makes links, and replaces links only", async () => {
    await files.symlink("/a", `${root}/links/one`);
    await files.symlink("/a", `${root}/links/one`);
    await files.symlink("/b", `${root}/links/one`);
    expect(await readlink(`${root}/links/one`)).toBe("/b");
    expect(await files.list(`${root}/links`)).toEqual(["one"]);
    await files.writeFile(`${root}/file`, "", 0o600);
    expect(await files.readLink(`${root}/links/one`)).toBe("/b");
    for (const name of ["file", "links", "missing"])
      expect(await files.readLink(`${root}/${name}`)).toBeUndefined();
    await expect(files.symlink("/a", `${root}/file`)).rejects.toThrow("EEXIST");
  });

  it("says what is in the way of a folder", async () => {
    await files.writeFile(`${root}/u1`, "", 0o600);
    await expect(files.mkdir(`${root}/u1`, 0o750)).rejects.toThrow("EEXIST");
    await expect(files.mkdir(`${root}/u1/x`, 0o750)).rejects.toThrow(/ENOTDIR|EEXIST/);
  });
});

describe("mountPointsIn", () => {
  it("knows the path itself and what is below it, not its neighbours", () => {
    const text = [
      "22 1 8:1 / / rw - ext4 /dev/sda1 rw",
      "30 22 0:25 / /pods/u1 rw - tmpfs tmpfs rw",
      "31 22 0:26 / /pods/u1/volumes/x rw - tmpfs tmpfs rw",
      "32 22 0:27 / /pods/u10/volumes/x rw - tmpfs tmpfs rw",
      "",
    ].join("\n");
    expect(mountPointsIn(text, "/pods/u1")).toEqual(["/pods/u1", "/pods/u1/volumes/x"]);
    expect(mountPointsIn(text, "/pods/u2")).toEqual([]);
  });
});
