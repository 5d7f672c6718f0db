// SPDX-License-Identifier: Apache-2.0

/** Pure: what people read of container GC. */
import { formatAge } from "@holdfast/core/duration";
import type { ContainerGcPlan, GcPodName } from "./container-gc-facts.ts";

/** Headings of {@link containerGcPlanRows}. */
export const CONTAINER_GC_PLAN_COLUMNS: readonly string[] = ["KIND", "NAME", "AGE", "VERDICT", "RULE", "WHY"];

/** A plan as lines of a table: containers, sandboxes, log folders. `now` is wall time. */
export function containerGcPlanRows(plan: ContainerGcPlan, now: number): readonly (readonly string[])[] {
  const age = (createdAt: number): string => formatAge(Math.max(now - createdAt, 0));
  return [
    ...plan.containers.map(({ thing, verdict, rule, reason }) => [
      "container",
      `${shownPod(thing)}/${thing.name} #${thing.attempt}`,
      age(thing.createdAt),
      verdict,
      rule,
      reason,
    ]),
    ...plan.sandboxes.map(({ thing, verdict, rule, reason }) => [
      "sandbox",
      `${shownPod(thing)} #${thing.attempt}`,
      age(thing.createdAt),
      verdict,
      rule,
      reason,
    ]),
    ...plan.logFolders.map(({ thing, verdict, rule, reason }) => ["logs", thing, "-", verdict, rule, reason]),
  ];
}

/** What a plan comes to, in one line. */
export function containerGcPlanSummary({ containers, sandboxes, logFolders }: ContainerGcPlan): string {
  const going = (entries: readonly { readonly verdict: string }[], one: string): string => {
    const count = entries.filter(({ verdict }) => verdict === "remove").length;
    return `${count} of ${entries.length} ${one}`;
  };
  return `${going(containers, "containers")}, ${going(sandboxes, "sandboxes")} and ${going(logFolders, "log folders")} would go`;
}

function shownPod({ podNamespace, podName, podUid }: GcPodName): string {
  return podName === "" ? podUid : `${podNamespace}/${podName}`;
}
