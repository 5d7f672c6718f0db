// SPDX-License-Identifier: Apache-2.0

/** Rows of `holdfast get pods`: pure. */
import { formatAge } from "@holdfast/core/duration";
import { podPrinterColumns } from "@holdfast/status";
import type { PodList, PodObject } from "../api/types.ts";
import { formatTable } from "./table.ts";
import type { Column } from "./table.ts";

/** What of the list is shown. */
export interface PodTableOptions {
  readonly wide: boolean;
  readonly now: number;
  /** Columns of the terminal. */
  readonly width: number;
  readonly nodeName?: string;
}

const COLUMNS: readonly Column[] = [
  { head: "NAMESPACE" },
  { head: "NAME", shrinks: true },
  { head: "READY" },
  { head: "STATUS" },
  { head: "RESTARTS" },
  { head: "AGE" },
];
const WIDE: readonly Column[] = [
  { head: "IP" },
  { head: "NODE", shrinks: true },
  { head: "UID", shrinks: true },
];

/** The table, then what is wrong with manifests and the node, each on a line of its own. */
export function formatPodList(list: PodList, options: PodTableOptions): string {
  const sections: string[] = [];
  if (list.items.length === 0) sections.push("No pods found.");
  else {
    const rows = list.items.toSorted(byName).map((pod) => podRow(pod, options));
    sections.push(formatTable(options.wide ? [...COLUMNS, ...WIDE] : COLUMNS, rows, options.width));
  }
  const problems = [
    ...list.node.map((problem) => `node: ${problem}`),
    ...list.manifestProblems.map((problem) => `manifest: ${problem}`),
    ...list.items.flatMap((pod) =>
      [...pod.holdfast.problems, ...waitLines(pod, options.now)].map(
        (problem) => `${pod.metadata.namespace}/${pod.metadata.name}: ${problem}`,
      ),
    ),
  ];
  if (problems.length > 0) sections.push(problems.map((problem) => `! ${problem}`).join("\n"));
  return sections.join("\n\n");
}

/** What each waiting container waits for, in words. */
export function waitLines({ holdfast: { waits = [] } }: PodObject, now: number): string[] {
  return waits.map(({ container, reason, nextAttempt }) => {
    const left = nextAttempt === undefined ? 0 : Date.parse(nextAttempt) - now;
    const when = left < 1000 ? "now" : `in ${formatAge(left)}`;
    return `${container}: ${reason}, next attempt ${when}`;
  });
}

function podRow(pod: PodObject, options: PodTableOptions): string[] {
  const columns = podPrinterColumns(pod, pod.status, options.now);
  const started = pod.status.startTime ?? pod.metadata.creationTimestamp;
  const row = [
    pod.metadata.namespace,
    pod.metadata.name,
    columns.ready,
    pod.holdfast.worker === "terminating" && pod.metadata.deletionTimestamp === undefined
      ? "Terminating"
      : columns.status,
    columns.restarts,
    started === undefined ? "<unknown>" : formatAge(options.now - Date.parse(started)),
  ];
  return options.wide
    ? [...row, pod.status.podIP ?? "<none>", pod.spec.nodeName ?? "<none>", pod.metadata.uid]
    : row;
}

function byName(a: PodObject, b: PodObject): number {
  return (
    a.metadata.namespace.localeCompare(b.metadata.namespace) || a.metadata.name.localeCompare(b.metadata.name)
  );
}
