// SPDX-License-Identifier: Apache-2.0

/** Pure: the stories of the node and of an image, from their events. */
import { formatDuration } from "@holdfast/core/duration";
import { GAP_TYPE } from "./events.ts";
import type { JournalEvent } from "./journal-event.ts";
import { isRecord } from "./redact.ts";
import type { Chapter, Story } from "./story.ts";

const MAX_CHAPTERS = 50;

type Sentence = (data: Readonly<Record<string, unknown>>, event: JournalEvent) => string | undefined;

const MAX_PLAIN = 200;
/** What a runtime says of a failed pull is a paragraph. */
const MAX_TITLE = 160;

function shortened(title: string): string {
  return title.length > MAX_TITLE ? `${title.slice(0, MAX_TITLE)}…` : title;
}

function mebibytes(data: Readonly<Record<string, unknown>>, key: string): string {
  const bytes = data[key];
  return typeof bytes === "number" ? `${(bytes / 2 ** 20).toFixed(1)} MiB` : "an unknown amount";
}

/** The victim of the kernel, as far as it is known. */
function victim(data: Readonly<Record<string, unknown>>): string {
  const name = said(data, "process") || "a process";
  const pid = said(data, "pid") === "" ? "" : ` (pid ${said(data, "pid")})`;
  return `${name}${pid}${data["memoryBytes"] === undefined ? "" : `, which held ${mebibytes(data, "memoryBytes")}`}`;
}

function said(data: Readonly<Record<string, unknown>>, key: string): string {
  const value = data[key];
  return typeof value === "string" || typeof value === "number" ? String(value) : "";
}

const NODE_SENTENCES: Readonly<Record<string, Sentence>> = {
  "journal/Started": (data) => `the agent started${suffix(said(data, "version"))}`,
  "journal/NodeRebooted": (data) => `the machine was booted: boot id ${said(data, "bootId")}`,
  [GAP_TYPE]: (data) =>
    `${said(data, "dropped")} events were lost: they came faster than they could be written`,
  "node/RuntimeReadinessChanged": (data) => {
    const [runtime, network] = [said(data, "runtime"), said(data, "network")];
    if (runtime === "" && network === "") return "the runtime and its network are ready";
    return runtime === "" ? `the network is not ready: ${network}` : `the runtime is not ready: ${runtime}`;
  },
  "oom/SystemOOM": (data) => `the machine was out of memory: the kernel killed ${victim(data)}`,
  "oom/ProcessOOM": (data) =>
    `the kernel killed ${victim(data)} at a memory limit that is no container's of ours`,
  "oomwatch/KmsgGap": (data) =>
    `${said(data, "lost")} records of the kernel's log were overwritten before they were read`,
  "oomwatch/KmsgChanged": (data) =>
    said(data, "problem") === ""
      ? "the kernel's log can be read again"
      : `the kernel's log cannot be read: ${said(data, "problem")}`,
  "gc/ImageGcStarted": (data) => {
    const usage = said(data, "usagePercent");
    const by = said(data, "by");
    return `image GC: ${said(data, "images")} ${said(data, "images") === "1" ? "image has" : "images have"} to go${usage === "" ? "" : `, their disk is ${usage} % full`}${by === "" ? "" : ` (asked for by ${by})`}`;
  },
  "gc/LogRotationFailed": (data) => `log ${said(data, "path")} was not rotated: ${said(data, "error")}`,
  "device/ResourceChanged": (data) =>
    `${said(data, "resource")}: ${said(data, "allocatable")} of ${said(data, "capacity")} devices can be used`,
  "pod/ManifestProblemChanged": (data) => {
    const first = said(data, "first");
    return first === ""
      ? `manifest ${said(data, "path")} is well again`
      : `manifest ${said(data, "path")}: ${first}`;
  },
  "pod/PodsChanged": (data) => {
    const counts = [
      count(data, "added", "added"),
      count(data, "updated", "changed"),
      count(data, "removed", "removed"),
    ];
    return `source ${said(data, "source")}: ${counts.filter((one) => one !== "").join(", ") || "nothing changed"}`;
  },
};

/** "2 pods added"; "" for none. */
function count(data: Readonly<Record<string, unknown>>, key: string, what: string): string {
  const many = said(data, key);
  return many === "" || many === "0" ? "" : `${many} ${many === "1" ? "pod" : "pods"} ${what}`;
}

function suffix(text: string): string {
  return text === "" ? "" : ` (${text})`;
}

const IMAGE_SENTENCES: Readonly<Record<string, Sentence>> = {
  "gc/ImageRemoving": (data) => `it will be removed: ${said(data, "reason")}`,
  "gc/ImageRemoved": (data) => `removed, ${mebibytes(data, "sizeBytes")}: ${said(data, "reason")}`,
  "gc/ImageSpared": (data) => `it stays: ${said(data, "why")}`,
  "pod/BackOff": (data) => {
    const left = data["remainingMs"];
    const wait =
      typeof left === "number"
        ? `; the next pull comes in ${formatDuration(Math.round(left / 1000) * 1000)}`
        : "";
    return `${said(data, "message")}${wait}`;
  },
};

/** What befell the node, newest first. */
export function tellNode(events: readonly JournalEvent[]): Story {
  const chapters = events.flatMap((event) => chapterOf(event, NODE_SENTENCES) ?? []).slice(0, MAX_CHAPTERS);
  const [last] = chapters;
  const headline = last === undefined ? "nothing has befallen the node" : `the last: ${last.title}`;
  return { about: "node", headline, chapters };
}

/** What became of an image, newest first. */
export function tellImage(image: string, events: readonly JournalEvent[]): Story {
  const chapters = events.flatMap((event) => chapterOf(event, IMAGE_SENTENCES) ?? []).slice(0, MAX_CHAPTERS);
  const [last] = chapters;
  const headline = last === undefined ? "nothing is known of this image" : `the last: ${last.title}`;
  return { about: `image ${image}`, headline, chapters };
}

/** For events that nobody taught this package to tell. */
function plain(name: string, data: Readonly<Record<string, unknown>>): string {
  const parts = Object.entries(data).flatMap(([key, value]) =>
    typeof value === "object" || value === "" ? [] : [`${key}=${String(value)}`],
  );
  return [name, ...parts].join(" ").slice(0, MAX_PLAIN);
}

/** Its own words where an event has them, else its name and payload. */
function chapterOf(event: JournalEvent, sentences: Readonly<Record<string, Sentence>>): Chapter | undefined {
  const data = isRecord(event.data) ? event.data : {};
  const sentence = sentences[event.type]?.(data, event);
  const message = said(data, "message");
  const reason = said(data, "reason");
  const name = event.type.slice(event.type.indexOf("/") + 1);
  const own = message === "" ? plain(name, data) : `${reason === "" ? name : reason}: ${message}`;
  const { pod, container, device } = event.subject;
  const lines = [
    ...(message.length > MAX_TITLE ? [message] : []),
    ...(pod === undefined ? [] : [`pod ${pod}${container === undefined ? "" : `, container ${container}`}`]),
    ...(device === undefined ? [] : [`device ${device}`]),
  ];
  return { at: event.at, seq: event.seq, title: shortened(sentence ?? own), lines };
}
