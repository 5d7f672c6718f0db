// SPDX-License-Identifier: Apache-2.0

/** Whether a pod may come to a node that is short of something. Pure. kubelet: managerImpl.Admit. */
import { podQosClass } from "@holdfast/core/pod";
import type { Pod } from "@holdfast/core/pod-types";
import { EVICTED } from "./eviction-message.ts";
import { isCriticalPod } from "./pod-requests.ts";
import type { CriticalOptions } from "./pod-requests.ts";
import type { PressureConditionType } from "./signals.ts";

/** Why not, as the kubelet says it. */
export interface PressureRefusal {
  readonly reason: typeof EVICTED;
  readonly message: string;
}

const MEMORY_TAINT = "node.kubernetes.io/memory-pressure";

/** kubelet: v1.Toleration. */
interface Toleration {
  readonly key?: string;
  readonly operator?: string;
  readonly value?: string;
  readonly effect?: string;
}

/** Undefined: it may come. */
export function admitUnderPressure(
  pod: Pod,
  conditions: readonly PressureConditionType[],
  options: CriticalOptions = {},
): PressureRefusal | undefined {
  if (conditions.length === 0 || isCriticalPod(pod, options)) return undefined;
  const onlyMemory = conditions.length === 1 && conditions[0] === "MemoryPressure";
  if (onlyMemory && (podQosClass(pod.spec) !== "BestEffort" || toleratesMemoryPressure(pod)))
    return undefined;
  return { reason: EVICTED, message: `The node had condition: [${conditions.join(" ")}]. ` };
}

function toleratesMemoryPressure({ spec }: Pod): boolean {
  return ((spec.tolerations ?? []) as readonly Toleration[]).some(
    ({ key = "", operator = "", value = "", effect = "" }) => {
      if (effect !== "" && effect !== "NoSchedule") return false;
      if (key !== "" && key !== MEMORY_TAINT) return false;
      if (operator === "Exists") return true;
      return (operator === "" || operator === "Equal") && key !== "" && value === "";
    },
  );
}
