// SPDX-License-Identifier: Apache-2.0

// A device plugin: eight devices that are all /dev/null, four on each of two NUMA nodes, and best taken from one. SIGUSR1 breaks the first one, and mends it the next time.
// node --conditions=@holdfast/source packages/device/examples/null-devices.ts [PLUGIN FOLDER]
import { tmpdir } from "node:os";
import process from "node:process";
import { serveDevicePlugin } from "@holdfast/device/plugin";
import type { PluginDevice } from "@holdfast/device/plugin";

const folder = process.argv[2] ?? "/var/lib/kubelet/device-plugins";
const ids = Array.from({ length: 8 }, (_, n) => `null-${n}`);
let isBroken = false;
const list = (): PluginDevice[] =>
  ids.map((id, n) => ({ id, numaNodes: [n % 2], healthy: n === 0 && isBroken ? "it is full" : true }));

const plugin = await serveDevicePlugin({
  resource: "holdfast.example/null",
  folder,
  devices: list(),
  prefer: (available, mustInclude, size) => {
    const left = available.filter((id) => !mustInclude.includes(id));
    const [even, odd] = [0, 1].map((node) => left.filter((id) => Number(id.at(-1)) % 2 === node));
    return [...mustInclude, ...[even ?? [], odd ?? []].sort((a, b) => b.length - a.length).flat()].slice(
      0,
      size,
    );
  },
  allocate: (given) => ({
    envs: { NULL_DEVICES: given.join(",") },
    devices: given.map((id) => ({ hostPath: "/dev/null", containerPath: `/dev/${id}` })),
    mounts: [{ hostPath: tmpdir(), containerPath: "/host-tmp", readOnly: true }],
    annotations: { "holdfast.example/null": given.join(",") },
  }),
});
process.on("SIGUSR1", () => {
  isBroken = !isBroken;
  plugin.update(list());
});
process.once("SIGTERM", () => void plugin.stop());
process.once("SIGINT", () => void plugin.stop());
