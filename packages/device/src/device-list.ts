// SPDX-License-Identifier: Apache-2.0

/** A plugin's list, made safe to keep. Pure. */
import { HoldfastError } from "@holdfast/core/errors";
import type { ListedDevice } from "./ports.ts";

/** The one word for a device that can be used. kubelet: pluginapi.Healthy. */
export const HEALTHY = "Healthy";
/** Devices of one resource at most, unless told otherwise. */
export const DEFAULT_MAX_DEVICES = 65_536;
/** Highest id of a NUMA node that is believed. The kernel's own limit. */
const MAX_NUMA_NODE = 1023;
const MAX_ID_LENGTH = 1024;
const MAX_WORD_LENGTH = 256;

/** One device, as the manager keeps it. */
export interface Device {
  readonly id: string;
  /** As the plugin said it, cut to 256 characters. */
  readonly health: string;
  /** Ascending, without repetition; empty: no place. */
  readonly numaNodes: readonly number[];
}

/** A list that can be used, and what was wrong in it all the same. */
export interface CheckedList {
  readonly devices: ReadonlyMap<string, Device>;
  readonly problem: string | undefined;
}

/** Throws `bad-input` (DEVICE_LIST) when the list cannot be used at all: too many devices, ids that are empty or endless. */
export function checkDeviceList(list: readonly ListedDevice[], maxDevices: number): CheckedList {
  if (list.length > maxDevices)
    throw refused(`it lists ${list.length} devices, and ${maxDevices} is the most`);
  const devices = new Map<string, Device>();
  let doubles = 0;
  let firstDouble = "";
  for (const { id, health, numaNodes } of list) {
    if (id === "") throw refused("it lists a device without an id");
    if (id.length > MAX_ID_LENGTH) throw refused(`it lists an id of ${id.length} characters`);
    const word = health.length > MAX_WORD_LENGTH ? health.slice(0, MAX_WORD_LENGTH) : health;
    const known = devices.get(id);
    if (known !== undefined) {
      if (doubles++ === 0) firstDouble = id;
      // Two words for one device: the bad one counts.
      if (known.health !== HEALTHY) continue;
    }
    devices.set(id, { id, health: word, numaNodes: places(numaNodes) });
  }
  if (doubles === 0) return { devices, problem: undefined };
  const problem = `it lists ${doubles === 1 ? "a device" : `${doubles} devices`} twice, ${firstDouble} first: each counts once`;
  return { devices, problem };
}

const NOWHERE: readonly number[] = [];

function places(nodes: readonly number[]): readonly number[] {
  if (nodes.length === 0) return NOWHERE;
  const sane = nodes.filter((node) => Number.isInteger(node) && node >= 0 && node <= MAX_NUMA_NODE);
  return [...new Set(sane)].sort((a, b) => a - b);
}

function refused(message: string): HoldfastError {
  return new HoldfastError("DEVICE_LIST", "bad-input", message);
}
