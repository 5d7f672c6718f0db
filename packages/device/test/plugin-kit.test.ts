// SPDX-License-Identifier: Apache-2.0
import { lstat, mkdir, readdir, readFile, rm, symlink, writeFile } from "node:fs/promises";
import { createServer } from "node:net";
import { join } from "node:path";
import type { DeviceManager } from "@holdfast/device";
import { DEVICES_ANNOTATION } from "@holdfast/core/names";
import { serveDevicePlugin } from "@holdfast/device/plugin";
import { expect, test, vi } from "vitest";
import { idsOf, makePod, RESOURCE } from "./fake-plugin.ts";
import { registerRaw, serveRaw } from "./raw-plugin.ts";
import { startAgent } from "./device-agent.ts";
import { hold, newFolder } from "./sockets.ts";

const until = (check: () => void | Promise<void>): Promise<void> =>
  vi.waitFor(check, { timeout: 15_000, interval: 20 });

function counts(manager: DeviceManager): readonly [number, number] {
  const [found] = manager.resources();
  return [found?.capacity ?? -1, found?.allocatable ?? -1];
}

const makePlugin = (folder: string) =>
  serveDevicePlugin({
    resource: RESOURCE,
    folder,
    devices: [
      { id: "a", numaNodes: [0] },
      { id: "b", numaNodes: [1] },
    ],
    allocate: (ids) => ({
      envs: { DEVICES: ids.join(",") },
      devices: ids.map((id) => ({ hostPath: "/dev/null", containerPath: `/dev/${id}` })),
      mounts: [{ hostPath: "/tmp", containerPath: "/data", readOnly: true }],
      cdiDevices: ids.map((id) => `example.com/resource=${id}`),
    }),
  });

test("a plugin registers, is allocated, tells health, goes and comes back", async () => {
  const folder = await newFolder();
  await using agent = await startAgent(folder);
  const { manager } = agent;
  {
    await using plugin = await makePlugin(folder);
    await until(() => expect(counts(manager)).toEqual([2, 2]));
    const pod = makePod("pod", [{ count: 1 }]);
    expect(await manager.admit(pod)).toEqual({ kind: "admitted" });
    const options = await manager.containerDevices(pod, pod.spec.containers[0]!);
    expect(options).toEqual({
      envs: [{ name: "DEVICES", value: "a" }],
      devices: [{ hostPath: "/dev/null", containerPath: "/dev/a", permissions: "rw" }],
      mounts: [{ hostPath: "/tmp", containerPath: "/data", readOnly: true }],
      annotations: { [DEVICES_ANNOTATION]: `{"${RESOURCE}":["a"]}` },
      cdiDevices: ["example.com/resource=a"],
    });
    plugin.update([{ id: "a", healthy: "it smokes" }, { id: "b" }]);
    await until(() => expect(counts(manager)).toEqual([2, 1]));
    const seen = manager.snapshot()[0]?.devices.find(({ id }) => id === "a");
    expect(seen).toMatchObject({ health: "Unhealthy", reason: "the plugin says Unhealthy: it smokes" });
  }
  await until(() => expect(counts(manager)).toEqual([2, 0]));
  hold(await makePlugin(folder));
  await until(() => expect(counts(manager)).toEqual([2, 2]));
  expect(idsOf(manager, makePod("pod", []))).toEqual(["a"]);
});

test("a plugin that is there first waits for the agent, and finds each new one", async () => {
  const folder = await newFolder();
  await using plugin = await makePlugin(folder);
  expect(plugin.health().failures).toEqual([`waits for ${join(folder, "kubelet.sock")}`]);
  const pod = makePod("pod", [{ count: 2 }]);
  for (let run = 1; run <= 3; run++) {
    await using agent = await startAgent(folder);
    await until(() => expect(counts(agent.manager)).toEqual([2, 2]));
    await until(() => expect(plugin.registrations).toBe(run));
    expect(await agent.manager.admit(pod)).toEqual({ kind: "admitted" });
  }
});

test("a plugin that registers once in its life is found by the next agent", async () => {
  const folder = await newFolder();
  hold(await serveRaw(join(folder, "quiet.sock"), {}));
  const first = await startAgent(folder);
  const resourceName = "example.com/quiet";
  expect(await registerRaw(folder, { endpoint: "quiet.sock", resourceName })).toBe("");
  await until(() => expect(first.manager.pool(resourceName)?.phase).toBe("listing"));
  await first[Symbol.asyncDispose]();
  await using second = await startAgent(folder, { reconnectMs: 1 });
  await until(() => expect(second.manager.pool(resourceName)?.phase).toBe("listing"));
  expect(second.manager.resources()).toEqual([{ name: resourceName, capacity: 1, allocatable: 1 }]);
});

test("a plugin whose socket was swept away, as a kubelet's start does, serves on a new one", async () => {
  const folder = await newFolder();
  await using agent = await startAgent(folder);
  await using plugin = await makePlugin(folder);
  await until(() => expect(counts(agent.manager)).toEqual([2, 2]));
  const before = plugin.socket!;
  await rm(join(folder, before));
  await until(() => expect(plugin.registrations).toBe(2));
  expect(plugin.socket).not.toBe(before);
  await until(() => expect(counts(agent.manager)).toEqual([2, 2]));
});

test("the registration socket: mode, fresh inode, left alone where somebody lives, and others' sockets too", async () => {
  const folder = join(await newFolder(), "device-plugins");
  await mkdir(folder);
  const other = createServer();
  await new Promise<void>((resolve) => other.listen(join(folder, "other.sock"), resolve));
  await writeFile(join(folder, "DEPRECATION"), "");
  const path = join(folder, "kubelet.sock");
  let inode: bigint;
  {
    await using agent = await startAgent(folder);
    expect(agent.server.health().failures).toEqual([]);
    const stats = await lstat(path, { bigint: true });
    inode = stats.ino;
    expect(Number(stats.mode & 0o777n)).toBe(0o600);
    await using second = await startAgent(folder);
    expect(second.server.health().failures[0]).toContain("somebody serves on");
    expect((await lstat(path, { bigint: true })).ino).toBe(inode);
  }
  await expect(lstat(path)).rejects.toThrow("ENOENT");
  // A dead one, as after a crash.
  const dead = createServer();
  await new Promise<void>((resolve) => dead.listen(join(folder, "d.sock"), resolve));
  await symlink("d.sock", path);
  await using third = await startAgent(folder);
  expect(third.server.health().failures[0]).toContain("is no socket");
  await rm(path);
  await using fourth = await startAgent(folder);
  expect(fourth.server.health().failures).toEqual([]);
  expect(await readdir(folder)).toEqual(
    expect.arrayContaining(["DEPRECATION", "other.sock", "kubelet.sock"]),
  );
  await new Promise((resolve) => other.close(resolve));
  await new Promise((resolve) => dead.close(resolve));
});

test("where a kubelet lives already, its checkpoint is neither read nor written, and nothing is given", async () => {
  const folder = await newFolder();
  await using first = await startAgent(folder);
  await using plugin = await makePlugin(folder);
  await until(() => expect(counts(first.manager)).toEqual([2, 2]));
  const pod = makePod("pod", [{ count: 1 }]);
  await first.manager.admit(pod);
  const checkpoint = join(folder, "kubelet_internal_checkpoint");
  const before = await readFile(checkpoint, "utf8");
  await using second = await startAgent(folder, {
    pods: { activePods: () => new Set(), isRunning: () => false },
  });
  second.manager.collectGarbage();
  expect(second.manager.records.all()).toEqual([]);
  expect(await second.manager.admit(makePod("other", [{ count: 1 }]))).toMatchObject({ kind: "refused" });
  await expect(
    second.manager.register({ version: "v1beta1", endpoint: plugin.socket ?? "", resourceName: RESOURCE }),
  ).rejects.toThrow("somebody serves on");
  expect(second.manager.health().failures[0]).toContain("somebody serves on");
  expect(await readFile(checkpoint, "utf8")).toBe(before);
});
