// SPDX-License-Identifier: Apache-2.0

import {
  appendFile,
  chmod,
  mkdir,
  mkdtemp,
  readFile,
  rename,
  rm,
  stat,
  symlink,
  writeFile,
} from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { gunzipSync } from "node:zlib";
import { nodeLogFiles, readNodeFilesystem } from "@holdfast/gc";
import { afterEach, beforeEach, describe, expect, it } from "vitest";

let root = "";
beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), "holdfast-gc-"));
});
afterEach(() => rm(root, { recursive: true }));

describe("log files on a disk", () => {
  it("compresses with the same mode and removes the source", async () => {
    // kubelet: TestCompressLog
    const files = nodeLogFiles([root]);
    const path = `${root}/0.log.20260101-000000`;
    const text = "2026-01-01T00:00:00Z stdout F hello\n".repeat(10_000);
    await writeFile(path, text);
    await writeFile(`${path}.tmp`, "left over");
    await chmod(path, 0o640);
    await files.compress(path, new AbortController().signal);
    expect((await files.list(root)).map(({ name }) => name)).toEqual(["0.log.20260101-000000.gz"]);
    expect(gunzipSync(await readFile(`${path}.gz`)).toString()).toBe(text);
    expect((await stat(`${path}.gz`)).mode & 0o777).toBe(0o640);
  });

  it("leaves the source and nothing else when compression is given up", async () => {
    const files = nodeLogFiles([root]);
    await writeFile(`${root}/a`, "x".repeat(1e6));
    await expect(files.compress(`${root}/a`, AbortSignal.abort())).rejects.toThrow(/abort/i);
    expect((await files.list(root)).map(({ name }) => name)).toEqual(["a"]);
  });

  it("sees regular files and folders only, and what is missing as empty", async () => {
    const files = nodeLogFiles([root]);
    await mkdir(`${root}/pod/app`, { recursive: true });
    await writeFile(`${root}/pod/file`, "12345");
    await symlink("/etc/passwd", `${root}/pod/link`);
    expect(await files.list(`${root}/pod`)).toEqual([{ name: "file", bytes: 5 }]);
    expect(await files.folders(`${root}/pod`)).toEqual(["app"]);
    expect(await files.size(`${root}/pod/link`)).toBeUndefined();
    await expect(files.compress(`${root}/pod/link`, new AbortController().signal)).rejects.toThrow(/ELOOP/);
    expect([await files.list(`${root}/none`), await files.folders(`${root}/none`)]).toEqual([[], []]);
    await files.remove(`${root}/none`);
    await files.removeTree(`${root}/pod`);
    expect(await files.folders(root)).toEqual([]);
    expect(await readFile("/etc/passwd", "utf8")).not.toBe("");
  });

  it("tells of writes to a file until it is told to stop, and has no watch for one that is missing", async () => {
    const files = nodeLogFiles([root]);
    const path = `${root}/0.log`;
    await writeFile(path, "a");
    let told = Promise.withResolvers<void>();
    const watch = files.watch?.(path, () => told.resolve());
    await appendFile(path, "b");
    await told.promise;
    told = Promise.withResolvers();
    await rename(path, `${root}/1.log`);
    await told.promise;
    watch?.[Symbol.dispose]();
    watch?.[Symbol.dispose]();
    expect(watch).toBeDefined();
    expect(files.watch?.(path, () => {})).toBeUndefined();
    expect(() => files.watch?.("/etc/passwd", () => {})).toThrow(/not under a log folder/);
  });

  it("touches nothing outside its roots", async () => {
    const files = nodeLogFiles([`${root}/logs`]);
    for (const path of ["/etc/passwd", `${root}/logs/../x`, `${root}/logsx/a`, `${root}/logs`])
      await expect(files.remove(path)).rejects.toMatchObject({ code: "GC_LOG", kind: "bad-input" });
  });
});

describe("figures of a file system", () => {
  it("are what statfs says", async () => {
    const { capacityBytes, availableBytes } = await readNodeFilesystem(root);
    expect(capacityBytes).toBeGreaterThan(0);
    expect(availableBytes).toBeLessThanOrEqual(capacityBytes);
    await expect(readNodeFilesystem(`${root}/none`)).rejects.toThrow(/ENOENT/);
  });
});
