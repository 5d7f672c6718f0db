// SPDX-License-Identifier: Apache-2.0
import { existsSync, mkdirSync, mkdtempSync, rmSync, statSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Pod, Volume } from "@holdfast/core/pod-types";
import { computeEmptyDirMemorySize, volumeHost, VolumeManager } from "@holdfast/volume";
import type { VolumeHost } from "@holdfast/volume";
import { afterEach, beforeEach, expect, test } from "vitest";

let dir: string;
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), "holdfast-volume-"));
});
afterEach(() => rmSync(dir, { recursive: true }));

function pod(volumes: Volume[], limits?: string, fsGroup?: number): Pod {
  return {
    apiVersion: "v1",
    kind: "Pod",
    metadata: { name: "p", namespace: "default", uid: "u" },
    spec: {
      containers: [
        {
          name: "c",
          image: "i",
          volumeMounts: volumes.map(({ name }) => ({ name, mountPath: `/${name}` })),
          ...(limits !== undefined && { resources: { limits: { memory: limits } } }),
        },
      ],
      volumes,
      ...(fsGroup !== undefined && { securityContext: { fsGroup } }),
    },
  };
}
/** The real host, with mounts that are only remembered: mounting needs root. */
function hostWithoutMounts(): VolumeHost & { mounts: Map<string, number> } {
  const mounts = new Map<string, number>();
  return {
    ...volumeHost,
    mounts,
    isMountPoint: async (path) => mounts.has(path),
    mountTmpfs: async (path, size) => void mounts.set(path, size),
    unmount: async (path) => void mounts.delete(path),
  };
}

test("an emptyDir is writable by all, survives a second set-up, and goes with the pod", async () => {
  const volumes = new VolumeManager({ host: volumeHost, nodeMemoryBytes: 1e9 });
  const aPod = pod([{ name: "a", emptyDir: {} }]);
  const path = (await volumes.setUp(aPod, dir)).get("a")?.hostPath ?? "";
  expect(path).toBe(`${dir}/volumes/kubernetes.io~empty-dir/a`);
  expect(statSync(path).mode & 0o777).toBe(0o777);
  writeFileSync(join(path, "kept"), "");
  await volumes.setUp(aPod, dir);
  expect(existsSync(join(path, "kept"))).toBe(true);
  await volumes.tearDown("u", dir);
  await volumes.tearDown("u", dir);
  expect(existsSync(join(dir, "volumes"))).toBe(false);
});

test("taking down does not follow links out of the pod's folder", async () => {
  const volumes = new VolumeManager({ host: volumeHost, nodeMemoryBytes: 1e9 });
  const path = (await volumes.setUp(pod([{ name: "a", emptyDir: {} }]), dir)).get("a")?.hostPath ?? "";
  mkdirSync(join(dir, "outside"));
  writeFileSync(join(dir, "outside/precious"), "");
  symlinkSync(join(dir, "outside"), join(path, "link"));
  await volumes.tearDown("u", dir);
  expect(existsSync(join(dir, "outside/precious"))).toBe(true);
});

test("an in-memory emptyDir is mounted once, with its size, and unmounted", async () => {
  const host = hostWithoutMounts();
  const volumes = new VolumeManager({ host, nodeMemoryBytes: 1e9 });
  const aPod = pod([{ name: "m", emptyDir: { medium: "Memory", sizeLimit: "16Mi" } }]);
  await volumes.setUp(aPod, dir);
  await volumes.setUp(aPod, dir);
  expect([...host.mounts.values()]).toEqual([16_777_216]);
  await volumes.tearDown("u", dir);
  expect(host.mounts.size).toBe(0);
});

// kubelet: TestCalculateEmptyDirMemorySize
test.each<[string, string | undefined, string | undefined, number]>([
  ["nothing set", undefined, undefined, 1000],
  ["pod limit", "500", undefined, 500],
  ["sizeLimit is smaller", "500", "400", 400],
  ["the node is smallest", "5000", "4000", 1000],
])("memory size: %s", (_name, limit, sizeLimit, size) => {
  const volume: Volume = {
    name: "m",
    emptyDir: { medium: "Memory", ...(sizeLimit !== undefined && { sizeLimit }) },
  };
  expect(computeEmptyDirMemorySize(pod([volume], limit), volume, 1000)).toBe(size);
});

// kubelet: TestHostPathTypeCheckerInternal
test("hostPath types are checked, made where they say so, and never removed", async () => {
  const volumes = new VolumeManager({ host: volumeHost, nodeMemoryBytes: 1e9 });
  writeFileSync(join(dir, "file"), "");
  const setUp = (path: string, type: string) =>
    volumes.setUp(pod([{ name: "h", hostPath: { path: join(dir, path), type: type as "File" } }]), dir);
  await setUp("file", "File");
  await setUp("missing-is-fine", "");
  await setUp("made/deep", "DirectoryOrCreate");
  await setUp("made/file", "FileOrCreate");
  await expect(setUp("file", "Directory")).rejects.toThrow(
    "volume h: hostPath type check failed: " + join(dir, "file") + " is not a directory",
  );
  await expect(setUp("none", "File")).rejects.toMatchObject({ kind: "retryable" });
  await expect(setUp("file", "Socket")).rejects.toThrow("is not a socket file");
  await expect(volumes.setUp(pod([{ name: "h", hostPath: { path: "/a/../b" } }]), dir)).rejects.toMatchObject(
    { kind: "bad-input" },
  );
  await volumes.tearDown("u", dir);
  expect(existsSync(join(dir, "made/deep"))).toBe(true);
});

test("a volume that no container mounts is not set up; another kind is refused by name", async () => {
  const volumes = new VolumeManager({ host: volumeHost, nodeMemoryBytes: 1e9 });
  const aPod = pod([{ name: "a", emptyDir: {} }]);
  delete aPod.spec.containers[0]?.volumeMounts;
  expect((await volumes.setUp(aPod, dir)).size).toBe(0);
  await expect(volumes.setUp(pod([{ name: "x" }]), dir)).rejects.toMatchObject({
    code: "VOLUME_UNSUPPORTED",
  });
});
