// SPDX-License-Identifier: Apache-2.0

/** Lines of `holdfast events` and of `describe`: pure. */
import { formatAge } from "@holdfast/core/duration";
import type { JournalEvent, KubeEvent } from "@holdfast/journal";
import { eventText } from "../api/pod-events.ts";
import { formatTable } from "./table.ts";

/** A narrower terminal gets the time of day, and columns no wider than what stands in them. */
const ROOMY = 120;

/** `TIME  TYPE  SUBJECT  text`, cut to the terminal. */
export function formatEventLine(event: JournalEvent, columns: number): string {
  const { pod, podUid, image, device } = event.subject;
  const time = new Date(event.at).toISOString();
  const about = pod ?? podUid ?? image ?? device ?? "node";
  const head =
    columns < ROOMY
      ? `${time.slice(11, 19)}Z ${event.type} ${about}`
      : `${time}  ${event.type.padEnd(26)}  ${about.padEnd(24)} `;
  const line = `${head} ${eventText(event)}`.trimEnd();
  return line.length > columns ? `${line.slice(0, Math.max(columns - 1, 1))}…` : line;
}

/** The table below `kubectl describe`. `now` is wall time in milliseconds. */
export function formatKubeEvents(events: readonly KubeEvent[], now: number, columns: number): string {
  const rows = events.map((event) => [
    event.type,
    event.reason,
    ageOf(event, now),
    event.source.component,
    event.message.split("\n", 1)[0] ?? "",
  ]);
  const heads = [
    { head: "Type" },
    { head: "Reason" },
    { head: "Age" },
    { head: "From" },
    { head: "Message", shrinks: true },
  ];
  return formatTable(heads, rows, columns);
}

/** kubectl: `2m (x3 over 10m)`. */
function ageOf({ firstTimestamp, lastTimestamp, count }: KubeEvent, now: number): string {
  const last = formatAge(now - Date.parse(lastTimestamp));
  return count > 1 ? `${last} (x${count} over ${formatAge(now - Date.parse(firstTimestamp))})` : last;
}
