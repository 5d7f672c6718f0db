// SPDX-License-Identifier: Apache-2.0

import { formatAge } from "@holdfast/core/duration";
import type { DeviceList } from "../../run/device-side.ts";
import { formatTable } from "../table.ts";

const COLUMNS = [
  { head: "RESOURCE", shrinks: true },
  { head: "DEVICE", shrinks: true },
  { head: "HEALTH" },
  { head: "NUMA" },
  { head: "POD", shrinks: true },
  { head: "CONTAINERS" },
  { head: "CHANGED" },
  { head: "REASON" },
];

/** What `holdfast get devices` prints: every device, then what is wrong with plugins. */
export function formatDevices({ items, folder, refused }: DeviceList, now: number, width: number): string {
  const rows = items.flatMap(({ name, devices, holders }) =>
    devices.map(({ id, health, numaNodes, podUid, containers, history, reason }) => {
      const last = history.at(-1);
      return [
        name,
        id,
        health,
        numaNodes.length === 0 ? "-" : numaNodes.join(","),
        podUid === undefined ? "-" : (holders[podUid] ?? podUid),
        containers.length === 0 ? "-" : containers.join(","),
        last === undefined ? "-" : formatAge(now - last.at),
        reason ?? "",
      ].map(plain);
    }),
  );
  const notes = items.flatMap(({ name, phase, problem, phaseForMs }) => {
    const text = PHASES[phase];
    const lines = text === undefined ? [] : [`! ${name}: ${text}, for ${formatAge(phaseForMs)}`];
    return problem === undefined ? lines : [...lines, `! ${name}: ${problem}`];
  });
  for (const { socket, resource, message } of refused)
    notes.push(
      `! ${JSON.stringify(socket)}${resource === "" ? "" : ` (${JSON.stringify(resource)})`}: refused: ${message}`,
    );
  if (rows.length === 0 && notes.length === 0) return `No device plugin has registered in ${folder}.`;
  const table = rows.length === 0 ? [] : [formatTable(COLUMNS, rows, width)];
  return [...table, ...notes.map(plain)].join("\n");
}

/** What a plugin says is shown, and moves nobody's cursor. */
function plain(text: string): string {
  return text.replaceAll(/\p{Cc}/gu, "?");
}

const PHASES: Readonly<Record<DeviceList["items"][number]["phase"], string | undefined>> = {
  unseen:
    "its plugin has not registered since the agent started (one that does not watch kubelet.sock has to be restarted)",
  connected: "its plugin has registered and listed nothing yet",
  listing: undefined,
  stopped: "its plugin is gone",
  removed: "its plugin is gone, and it counts for nothing any more",
};
