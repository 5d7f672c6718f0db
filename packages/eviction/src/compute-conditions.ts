// SPDX-License-Identifier: Apache-2.0

/** The node's conditions of pressure, in the kubelet's words. Pure. kubelet: nodestatus.MemoryPressureCondition and its siblings. */
import { PRESSURE_CONDITIONS } from "./signals.ts";
import type { PressureConditionType } from "./signals.ts";

/** As `v1.NodeCondition`, without times. */
export interface PressureCondition {
  readonly type: PressureConditionType;
  readonly status: "True" | "False";
  readonly reason: string;
  readonly message: string;
}

/** Reason and message of one state of a condition, and the event's reason when it comes to it. */
interface Words {
  readonly reason: string;
  readonly message: string;
  readonly event: string;
}

const WORDS: Readonly<Record<PressureConditionType, { readonly True: Words; readonly False: Words }>> = {
  MemoryPressure: {
    True: words("KubeletHasInsufficientMemory", "insufficient memory available", "NodeHasInsufficientMemory"),
    False: words("KubeletHasSufficientMemory", "sufficient memory available", "NodeHasSufficientMemory"),
  },
  DiskPressure: {
    True: words("KubeletHasDiskPressure", "disk pressure", "NodeHasDiskPressure"),
    False: words("KubeletHasNoDiskPressure", "no disk pressure", "NodeHasNoDiskPressure"),
  },
  PIDPressure: {
    True: words("KubeletHasInsufficientPID", "insufficient PID available", "NodeHasInsufficientPID"),
    False: words("KubeletHasSufficientPID", "sufficient PID available", "NodeHasSufficientPID"),
  },
};

/** All three, whether there is pressure or not. */
export function computePressureConditions(
  conditions: readonly PressureConditionType[],
): readonly PressureCondition[] {
  return PRESSURE_CONDITIONS.map((type) => {
    const status = conditions.includes(type) ? "True" : "False";
    const { reason, message } = WORDS[type][status];
    return { type, status, reason, message };
  });
}

/** One condition that changed, and the event that tells it: `NodeHasDiskPressure`. */
export interface PressureChange {
  readonly type: PressureConditionType;
  readonly status: "True" | "False";
  readonly eventReason: string;
}

/** What is different now. kubelet: recordNodeStatusEvent on a transition. */
export function computePressureChanges(
  before: readonly PressureConditionType[],
  now: readonly PressureConditionType[],
): readonly PressureChange[] {
  return PRESSURE_CONDITIONS.flatMap((type) => {
    if (before.includes(type) === now.includes(type)) return [];
    const status = now.includes(type) ? "True" : "False";
    return [{ type, status, eventReason: WORDS[type][status].event }];
  });
}

function words(reason: string, has: string, event: string): Words {
  return { reason, message: `kubelet has ${has}`, event };
}
