// SPDX-License-Identifier: Apache-2.0

import { formatAge } from "@holdfast/core/duration";
import type { NodeObject } from "../api/types.ts";

/** What `holdfast get node` prints. */
export function formatNode(node: NodeObject, now: number): string {
  const ready = node.conditions.find((condition) => condition.type === "Ready");
  const pressure = node.conditions.filter(
    ({ type, status }) => type.endsWith("Pressure") && status === "True",
  );
  const rows: (readonly [string, string])[] = [
    ["Name", node.name],
    ["Ready", `${ready?.status ?? "Unknown"}${ready?.status === "True" ? "" : ` (${ready?.message ?? ""})`}`],
    ...pressure.map(({ type, message }) => [type, message] as const),
    [
      "Runtime",
      `${[node.runtime.name, node.runtime.version].filter(Boolean).join(" ") || "not connected"} at ${node.runtime.endpoint}`,
    ],
    ["Pods", `${node.pods.running} running, ${node.pods.total} in all, room for ${node.pods.capacity}`],
    [
      "Agent",
      `holdfast ${node.agent.version}, pid ${node.agent.pid}, up ${formatAge(now - Date.parse(node.agent.startedAt))}`,
    ],
    ["Configuration", node.agent.configFile ?? "none, every setting has its default"],
    ["Instance", node.instanceId],
    ...(node.resources ?? []).map(
      ({ name, capacity, allocatable }) => [name, `${capacity} devices, ${allocatable} allocatable`] as const,
    ),
    ...Object.entries(node.nodeInfo).map(([key, value]) => [key, String(value)] as const),
  ];
  const width = Math.max(...rows.map(([label]) => label.length)) + 2;
  const warnings = node.warnings.map((warning) => `! ${warning}`);
  return [...rows.map(([label, value]) => `${`${label}:`.padEnd(width)} ${value}`), ...warnings].join("\n");
}
