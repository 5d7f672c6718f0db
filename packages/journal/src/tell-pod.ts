// SPDX-License-Identifier: Apache-2.0

/** Pure: the story of a pod's containers, from the ledger and the pod's newest events. */
import { formatAge, formatDuration } from "@holdfast/core/duration";
import { rfc3339Seconds } from "@holdfast/core/rfc3339";
import type { JournalEvent } from "./journal-event.ts";
import { isRecord } from "./redact.ts";
import type { Chapter, Story } from "./story.ts";
import { START_FAILURES } from "./cause-evidence.ts";
import type { CauseClass, Termination } from "./termination.ts";

/** What a story is made of. */
export interface PodHistory {
  /** `namespace/name`. */
  readonly pod: string;
  readonly container?: string | undefined;
  /** Newest first. */
  readonly terminations: readonly Termination[];
  /** Of the pod, newest first. */
  readonly events: readonly JournalEvent[];
}

/** Ends in one story at most. */
export const MAX_TOLD = 20;

/** What a cause is in a sentence about a container. */
export const CAUSE_WORDS: Readonly<Record<CauseClass, string>> = {
  Finished: "finished",
  ApplicationError: "failed by itself",
  LivenessProbe: "was stopped because its liveness probe failed",
  StartupProbe: "was stopped because its startup probe failed",
  GracePeriodExceeded: "was killed because it did not stop within its grace period",
  MemoryLimit: "was killed by the kernel at a memory limit",
  NodeOOM: "was killed by the kernel because the machine was out of memory",
  Evicted: "was stopped because its pod was evicted",
  SpecChanged: "was stopped because its definition changed",
  DeviceLost: "ended after one of its devices was lost",
  RuntimeOrReboot: "was lost by the runtime or to a reboot",
  Outside: "was killed by someone outside Holdfast",
  Removed: "was stopped with its pod",
  DeadlineExceeded: "was stopped because the pod was active for too long",
  PostStartHook: "was stopped because its postStart hook failed",
};

/** Undefined: nothing is known of the pod. */
export function tellPod({ pod, container, terminations, events }: PodHistory): Story | undefined {
  if (terminations.length === 0 && events.length === 0) return undefined;
  const about = `pod ${pod}${container === undefined ? "" : `, container ${container}`}`;
  const now = waitingChapters(events);
  const ends = terminations.map((row) => endChapter(row, events));
  const chapters = [...now, ...ends, ...childChapters(events, terminations)].toSorted(
    (a, b) => b.seq - a.seq,
  );
  return { about, headline: headline(terminations, now), chapters };
}

function headline(terminations: readonly Termination[], waiting: readonly Chapter[]): string {
  const [last] = terminations;
  const [now] = waiting;
  const first = now === undefined ? "" : `; now: ${now.title}`;
  if (last === undefined) return now === undefined ? "no container of it has ended" : now.title;
  const count = terminations.length;
  const ends = count === 1 ? "ended once" : `ended ${count < MAX_TOLD ? "" : "at least "}${count} times`;
  return `${ends}; the last: ${last.container} ${endWords(last)}${first}`;
}

/** Causes whose words say who asked for it already. */
const SAYS_WHO: ReadonlySet<CauseClass> = new Set<CauseClass>([
  "Finished",
  "ApplicationError",
  "LivenessProbe",
  "StartupProbe",
  "MemoryLimit",
  "NodeOOM",
  "Evicted",
  "DeviceLost",
  "Outside",
  "DeadlineExceeded",
  "PostStartHook",
]);
/** Reasons of the runtime that say no more than the exit code does. */
const PLAIN_REASONS: ReadonlySet<string> = new Set(["", "Completed", "Error"]);
/** Evidence that is enough of a kind for a person: our intent to stop it is in the title. */
const IN_TITLE: ReadonlySet<string> = new Set(["kill"]);

/** What speaks for the cause and is not in the title. All of it is in the ledger. */
function evidenceLines(row: Termination): readonly string[] {
  const told = row.evidence.filter(({ kind }) => !IN_TITLE.has(kind));
  const words = told.every(({ kind }) => kind === "runtime") ? row.evidence : told;
  return words
    .filter(({ kind }) => kind !== "runtime" || !PLAIN_REASONS.has(row.reason ?? ""))
    .map(({ text }) => text);
}

/** What happened to it, in the words of a title. */
function endWords({ cause, reason = "" }: Termination): string {
  return cause === "ApplicationError" && START_FAILURES.has(reason)
    ? "could not be started"
    : CAUSE_WORDS[cause];
}

function endChapter(row: Termination, events: readonly JournalEvent[]): Chapter {
  const how = [
    row.exitCode === undefined ? "no exit code" : `exit code ${row.exitCode}`,
    ...(row.signal === undefined ? [] : [row.signal]),
  ].join(", ");
  const ran =
    row.ranMs === undefined
      ? ""
      : ` after ${row.ranMs < 1000 ? formatDuration(row.ranMs) : formatAge(row.ranMs)}`;
  const count = row.restartCount === undefined ? "" : ` (start ${row.restartCount + 1})`;
  const next = nextStart(row, events);
  return {
    at: row.at,
    seq: row.seq,
    title: `${row.container}${count} ${endWords(row)} (${how})${ran}`,
    lines: [
      ...(SAYS_WHO.has(row.cause) ? [] : [`asked for by: ${row.askedBy}`]),
      ...evidenceLines(row),
      ...(next === undefined ? [] : [next]),
      ...(row.log === undefined ? [] : [`log: ${row.log.file}`]),
    ],
    termination: row,
  };
}

/** When the container came up again, as far as the events go. */
function nextStart(row: Termination, events: readonly JournalEvent[]): string | undefined {
  const start = events.findLast(
    ({ type, seq, subject }) =>
      type === "pod/ContainerStarted" &&
      seq > row.seq &&
      subject.container === row.container &&
      // On a slow machine a container may have died before its own start was told.
      subject.containerId !== row.containerId,
  );
  return start === undefined ? undefined : `it was started again at ${timeText(start.at)}`;
}

/** RFC 3339, to the second; what is no time at all gives an empty text. */
function timeText(at: number): string {
  return Number.isNaN(at) ? "" : rfc3339Seconds(at);
}

/** What stands in the way, by type of event. */
const OBSTACLES: ReadonlySet<string> = new Set([
  "pod/BackOff",
  "pod/ContainerFailed",
  "pod/PullFailed",
  "pod/SandboxFailed",
  "pod/SyncFailed",
]);
/** What ends an obstacle. */
const PROGRESS: ReadonlySet<string> = new Set(["pod/ContainerStarted", "pleg/ContainerStarted"]);

/** For each container (and for the pod) the newest obstacle that nothing has overcome. */
function waitingChapters(events: readonly JournalEvent[]): readonly Chapter[] {
  const decided = new Set<string>();
  const chapters: Chapter[] = [];
  for (const event of events) {
    // What was in the way of a pod that is down is nobody's concern any more.
    if (event.type === "pod/PodTerminated") break;
    const key = event.subject.container ?? "";
    if (decided.has(key)) continue;
    if (PROGRESS.has(event.type)) {
      decided.add(key);
      // A container that runs has a sandbox, and its pod was synced.
      decided.add("");
    } else if (OBSTACLES.has(event.type)) {
      decided.add(key);
      // A sync that came to a container's wait had no other trouble: what failed before is told by the container.
      if (event.type === "pod/BackOff") decided.add("");
      chapters.push(obstacleChapter(event, lastFailure(event, events)));
    }
  }
  return withoutEcho(chapters, events);
}

/** A container's failure fails the pod's sync, too: that is told once, with the time of the next attempt, which the sync knows. */
function withoutEcho(chapters: readonly Chapter[], events: readonly JournalEvent[]): readonly Chapter[] {
  const typeOf = new Map(events.map(({ seq, type }) => [seq, type]));
  const echo = chapters.find(({ seq }) => typeOf.get(seq) === "pod/SyncFailed");
  const [message, ...due] = echo?.lines ?? [];
  if (message === undefined) return chapters;
  const isSame = (chapter: Chapter): boolean =>
    chapter !== echo && chapter.lines.some((line) => line.includes(message));
  if (!chapters.some(isSame)) return chapters;
  return chapters.flatMap((chapter) => {
    if (chapter === echo) return [];
    return isSame(chapter) && chapter.lines.length === 1
      ? [{ ...chapter, lines: [...chapter.lines, ...due] }]
      : [chapter];
  });
}

/** A container may lose a process and go on: nothing ended, and still something is wrong. */
function childChapters(
  events: readonly JournalEvent[],
  terminations: readonly Termination[],
): readonly Chapter[] {
  const ended = new Set(terminations.map(({ containerId }) => containerId));
  // A group is killed with its main process: that is told by the end.
  const killed = terminations.filter(({ cause }) => cause === "MemoryLimit" || cause === "NodeOOM");
  const fatal = new Set(killed.flatMap(({ evidence }) => evidence.map((one) => one.seq)));
  const groups = new Set(killed.map(({ containerId }) => containerId));
  const chapters: Chapter[] = [];
  for (const { at, data, seq, subject, type } of events) {
    if (!type.startsWith("oom/") || !isRecord(data) || chapters.length === MAX_TOLD) continue;
    if (subject.containerId === undefined || fatal.has(seq)) continue;
    if (data["groupMember"] === true && groups.has(subject.containerId)) continue;
    // Where nobody knows whether it was the main process, a container that did not end has lost another one.
    if (
      !(data["mainProcess"] === undefined ? !ended.has(subject.containerId) : data["mainProcess"] === false)
    )
      continue;
    const { limitBytes, memoryBytes, pid, process, scope } = data;
    const where = scope === "node" ? "because the machine was out of memory" : "at a memory limit";
    chapters.push({
      at,
      seq,
      title: `a process of ${subject.container ?? "a container"} was killed by the kernel ${where}; the container goes on`,
      lines: [
        `${typeof process === "string" ? process : "it"} (pid ${String(pid ?? "unknown")})${mebibytes(" held", memoryBytes)}${mebibytes("; the limit is", limitBytes)}`,
      ],
    });
  }
  return chapters;
}

function mebibytes(what: string, bytes: unknown): string {
  return typeof bytes === "number" ? `${what} ${(bytes / 2 ** 20).toFixed(1)} MiB` : "";
}

/** Why the pull that is waited for failed the last time: of a container that ended, its end tells it. */
function lastFailure({ seq, subject, data }: JournalEvent, events: readonly JournalEvent[]): string {
  if (!isRecord(data) || data["waiting"] !== "ImagePullBackOff") return "";
  const failed = events.find(
    (event) =>
      event.seq < seq && event.type === "pod/PullFailed" && event.subject.container === subject.container,
  );
  const message = isRecord(failed?.data) ? failed.data["message"] : undefined;
  return typeof message === "string" ? message : "";
}

function obstacleChapter({ at, seq, type, subject, data }: JournalEvent, failure: string): Chapter {
  const payload = isRecord(data) ? data : {};
  const message = typeof payload["message"] === "string" ? payload["message"] : "";
  const waiting = payload["waiting"] ?? payload["reason"];
  const reason = typeof waiting === "string" ? waiting : type.slice(type.indexOf("/") + 1);
  const who = subject.container ?? "the pod";
  const left = payload["remainingMs"] ?? payload["retryInMs"];
  return {
    at,
    seq,
    title: `${who} waits: ${reason}`,
    lines: [
      ...(failure === "" ? [] : [failure]),
      ...(message === "" || failure !== "" ? [] : [message]),
      ...(typeof left === "number" ? [`the next attempt is due at ${timeText(at + left)}`] : []),
    ],
  };
}
