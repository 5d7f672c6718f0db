// SPDX-License-Identifier: Apache-2.0
/* Memory and huge pages that containers and pods ask for, in bytes by resource name. Pure. kubelet: getRequestedResources. */
import { isSidecar } from "@holdfast/core/pod";
import type { Container, Pod } from "@holdfast/core/pod-types";
import { wholeValue } from "@holdfast/core/quantity";

/** Bytes by resource: `memory`, `hugepages-2Mi` … */
export type MemoryAmounts = ReadonlyMap<string, number>;

const UNITS: readonly (readonly [number, string])[] = [
  [2 ** 40, "Ti"],
  [2 ** 30, "Gi"],
  [2 ** 20, "Mi"],
  [2 ** 10, "Ki"],
];

/** Whether the memory manager looks after this resource. */
export function isMemoryResource(name: string): boolean {
  return name === "memory" || name.startsWith("hugepages-");
}

/** `hugepages-2Mi` for 2097152. kubelet: HugePageResourceName. */
export function hugePageResource(pageBytes: number): string {
  const [size, unit] = UNITS.find(([bytes]) => pageBytes % bytes === 0) ?? [1, ""];
  return `hugepages-${pageBytes / size}${unit}`;
}

/** What one container asks for; requests default to limits. Zero is nothing. */
export function memoryRequests({ resources }: Container): MemoryAmounts {
  const amounts = new Map<string, number>();
  for (const [name, quantity] of Object.entries({ ...resources?.limits, ...resources?.requests })) {
    const bytes = isMemoryResource(name) ? wholeValue(quantity) : 0;
    if (bytes > 0) amounts.set(name, bytes);
  }
  return amounts;
}

/** The most that the pod holds at one time. kubelet: getPodRequestedResources. */
export function podMemoryRequests({ spec }: Pod): MemoryAmounts {
  const sidecars = new Map<string, number>();
  const steps = new Map<string, number>();
  const running = new Map<string, number>();
  const add = (to: Map<string, number>, amounts: MemoryAmounts): void => {
    for (const [name, bytes] of amounts) to.set(name, (to.get(name) ?? 0) + bytes);
  };
  for (const init of spec.initContainers ?? []) {
    const asked = memoryRequests(init);
    if (isSidecar(init)) add(sidecars, asked);
    else
      for (const [name, bytes] of asked)
        steps.set(name, Math.max(steps.get(name) ?? 0, bytes + (sidecars.get(name) ?? 0)));
  }
  add(running, sidecars);
  for (const app of spec.containers) add(running, memoryRequests(app));
  for (const [name, bytes] of steps) running.set(name, Math.max(running.get(name) ?? 0, bytes));
  return running;
}
