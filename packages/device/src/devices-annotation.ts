// SPDX-License-Identifier: Apache-2.0

/** What is written on a container about its devices, and read back when the checkpoint is lost. Pure. */
import type { DeviceRecord } from "./pod-devices.ts";
import type { ContainerAnswer, FoundDevices } from "./ports.ts";
import { isExtendedResourceName } from "@holdfast/core/resource-name";

/** No boot's: whoever gives these devices again asks the plugin. */
const NO_BOOT = "";
const NO_ANSWER: ContainerAnswer = { envs: {}, mounts: [], devices: [], annotations: {}, cdiDevices: [] };

/** Ids by resource, as JSON. */
export function writeDevicesAnnotation(records: readonly DeviceRecord[]): string {
  return JSON.stringify(Object.fromEntries(records.map(({ resource, ids }) => [resource, ids])));
}

/** Records without the plugins' answers. What cannot be read is left out. */
export function readDevicesAnnotation({
  podUid,
  container,
  annotation,
}: FoundDevices): readonly DeviceRecord[] {
  let parsed: unknown;
  try {
    parsed = JSON.parse(annotation);
  } catch {
    return [];
  }
  if (typeof parsed !== "object" || parsed === null || Array.isArray(parsed)) return [];
  return Object.entries(parsed).flatMap(([resource, ids]: [string, unknown]): readonly DeviceRecord[] => {
    if (!isExtendedResourceName(resource) || !Array.isArray(ids)) return [];
    if (!ids.every((id) => typeof id === "string")) return [];
    const numaNodes = new Map(ids.map((id: string) => [id, []]));
    return [{ podUid, container, resource, ids, numaNodes, answer: NO_ANSWER, bootId: NO_BOOT }];
  });
}
