// SPDX-License-Identifier: Apache-2.0

/** A plugin as a process of its own: eight devices on two NUMA nodes. */
import { join } from "node:path";
import process from "node:process";
import { setTimeout as pause } from "node:timers/promises";
import { serveDevicePlugin } from "@holdfast/device/plugin";
import { RESOURCE } from "../fake-plugin.ts";
import { registerRaw, serveRaw } from "../raw-plugin.ts";
import { answer } from "./answer.ts";
import type { PluginCall } from "./messages.ts";

let update: (healthy: readonly boolean[]) => void = () => {};
let isHanging = false;

async function allocate(ids: readonly string[]): Promise<Record<string, string>> {
  process.send?.({ allocating: ids });
  if (isHanging) await new Promise(() => {});
  return { DEVICES: ids.join(",") };
}

/** It likes the highest numbers best. */
function prefer(available: readonly string[], mustInclude: readonly string[], size: number): string[] {
  const others = available.filter((id) => !mustInclude.includes(id)).toSorted();
  return [...mustInclude, ...others.reverse()].slice(0, size);
}

async function serve(folder: string, healthy: readonly boolean[]): Promise<void> {
  const list = (isHealthy: readonly boolean[]) =>
    isHealthy.map((good, n) => ({ id: `d${n}`, healthy: good, numaNodes: [n % 2] }));
  const plugin = await serveDevicePlugin({
    resource: RESOURCE,
    folder,
    devices: list(healthy),
    prefer,
    allocate: async (ids) => ({ envs: await allocate(ids) }),
  });
  update = (next) => plugin.update(list(next));
}

async function serveQuietly(folder: string, healthy: readonly boolean[]): Promise<void> {
  let now = healthy;
  const list = () => ({
    devices: now.map((good, n) => ({
      ID: `d${n}`,
      health: good ? "Healthy" : "Unhealthy",
      topology: { nodes: [{ ID: n % 2 }] },
    })),
  });
  const writers = new Set<() => void>();
  // At once: what is told while nobody takes it counts, too.
  update = (next) => {
    now = next;
    for (const write of writers) write();
  };
  const endpoint = `quiet-${process.pid}.sock`;
  await serveRaw(join(folder, endpoint), {
    listAndWatch: (call) => {
      const write = (): void => void call.write(list());
      writers.add(write);
      call.on("cancelled", () => writers.delete(write));
      write();
    },
    allocate: (call, reply) => {
      const ids = call.request.containerRequests.flatMap(({ devicesIds }) => devicesIds);
      void allocate(ids).then((envs) =>
        reply(null, {
          containerResponses: [{ envs, mounts: [], devices: [], annotations: {}, cdiDevices: [] }],
        }),
      );
    },
  });
  // As they do: until somebody takes it, and never again.
  while ((await registerRaw(folder, { endpoint, resourceName: RESOURCE })) !== "") await pause(20);
}

answer<PluginCall>(async (call) => {
  if (call.do === "start") await (call.isQuiet ? serveQuietly : serve)(call.folder, call.healthy);
  else if (call.do === "health") update(call.healthy);
  else isHanging = true;
});
process.once("disconnect", () => process.exit(0));
