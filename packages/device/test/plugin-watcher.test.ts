// SPDX-License-Identifier: Apache-2.0
import { symlink, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { MetricsRegistry } from "@holdfast/core/metrics";
import { systemClock } from "@holdfast/core/node";
import { DeviceManager } from "@holdfast/device";
import { nodePluginDialer, PluginWatcher } from "@holdfast/device/node";
import { expect, test, vi } from "vitest";
import type { RegistrationServer as WatcherServer } from "../src/gen/pluginregistration/v1/pluginregistration.ts";
import { MemoryCheckpoint, RESOURCE } from "./fake-plugin.ts";
import { serveRaw } from "./raw-plugin.ts";
import { hold, newFolder } from "./sockets.ts";

const until = (check: () => void | Promise<void>): Promise<void> =>
  vi.waitFor(check, { timeout: 15_000, interval: 20 });

/** Who a plugin says it is, and what it was told. */
function identity(info: { type?: string; name?: string; versions?: string[]; endpoint?: string }) {
  const told: { pluginRegistered: boolean; error: string }[] = [];
  const server: WatcherServer = {
    getInfo: (_call, reply) =>
      reply(null, {
        type: info.type ?? "DevicePlugin",
        name: info.name ?? RESOURCE,
        endpoint: info.endpoint ?? "",
        supportedVersions: info.versions ?? ["v1beta1"],
      }),
    notifyRegistrationStatus: (call, reply) => {
      told.push(call.request);
      reply(null, {});
    },
  };
  return { told, server };
}

async function watching(folder: string) {
  const metrics = new MetricsRegistry();
  const manager = new DeviceManager({
    clock: systemClock,
    dialer: nodePluginDialer("/nowhere", [folder]),
    checkpoint: new MemoryCheckpoint(),
    pods: { activePods: () => undefined, isRunning: () => false },
    bootId: "boot",
  });
  const watcher = new PluginWatcher({
    folder,
    clock: systemClock,
    handlers: new Map([["DevicePlugin", manager.pluginHandler]]),
    metrics,
  });
  await manager.start();
  await watcher.start();
  return {
    manager,
    watcher,
    /** How many plugins are there, and how many have registered. */
    totals: () =>
      ["desired", "actual"].map(
        (state) => metrics.exposition().split(`state="${state}_state_of_world"} 1`).length - 1,
      ),
    [Symbol.asyncDispose]: async () => {
      await watcher.stop();
      await manager.stop();
    },
  };
}

test("a socket that is there, one that comes, one that goes and comes anew", async () => {
  const folder = await newFolder();
  const first = identity({});
  const early = await serveRaw(join(folder, "early.sock"), {}, first.server);
  await using node = await watching(folder);
  const phase = (name: string) => node.manager.pool(name)?.phase;
  await until(() => expect(phase(RESOURCE)).toBe("listing"));
  await until(() => expect(first.told).toEqual([{ pluginRegistered: true, error: "" }]));
  const second = identity({ name: "example.com/late" });
  hold(await serveRaw(join(folder, "late.sock"), {}, second.server));
  await until(() => expect(phase("example.com/late")).toBe("listing"));
  await until(() => expect(node.totals()).toEqual([2, 2]));
  await early[Symbol.asyncDispose]();
  await until(() => expect(phase(RESOURCE)).toBe("stopped"));
  await until(() => expect(node.totals()).toEqual([1, 1]));
  hold(await serveRaw(join(folder, "early.sock"), {}, first.server));
  await until(() => expect(phase(RESOURCE)).toBe("listing"));
  // Registered is what has been told so and has answered: the plugin knows a moment before the watcher.
  await until(() =>
    expect(node.watcher.plugins().map(({ name }) => name)).toEqual(
      expect.arrayContaining([RESOURCE, "example.com/late"]),
    ),
  );
  expect(first.told).toHaveLength(2);
});

test("plugins that are refused are told why, and what is no socket is passed over", async () => {
  const folder = await newFolder();
  const elsewhere = await newFolder();
  await using node = await watching(folder);
  const cases = [
    { info: { type: "CSIPlugin" }, text: 'no handler registered for plugin type: "CSIPlugin"' },
    { info: { versions: ["v1"] }, text: "not among plugin supported versions" },
    { info: { name: "cpu" }, text: 'the ResourceName "cpu" is invalid' },
    { info: { endpoint: join(elsewhere, "out.sock") }, text: "outside of" },
  ];
  hold(await serveRaw(join(elsewhere, "out.sock"), {}, identity({}).server));
  await symlink(join(elsewhere, "out.sock"), join(folder, "link.sock"));
  await writeFile(join(folder, "readme.txt"), "");
  const plugins = await Promise.all(
    cases.map(async ({ info, text }, index) => {
      const who = identity(info);
      const raw = await serveRaw(join(folder, `p${index}.sock`), {}, who.server);
      return { raw, text, told: who.told };
    }),
  );
  for (const { told, text } of plugins)
    await until(() =>
      expect(told[0]).toMatchObject({ pluginRegistered: false, error: expect.stringContaining(text) }),
    );
  expect(node.watcher.plugins()).toHaveLength(4);
  expect(node.manager.resources()).toEqual([]);
  for (const { raw } of plugins) await raw[Symbol.asyncDispose]();
});
