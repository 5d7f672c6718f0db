// SPDX-License-Identifier: Apache-2.0

/** Pure: the stories of the node and of an image, from their events. */
import { GAP_TYPE } from "./events.ts";
import type { JournalEvent } from "./journal-event.ts";
import { isRecord } from "./redact.ts";
import type { Chapter, Story } from "./story.ts";

const MAX_CHAPTERS = 50;

type Sentence = (data: Readonly<Record<string, unknown>>, event: JournalEvent) => string | undefined;

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
  "pod/ManifestProblemChanged": (data) => {
    const first = said(data, "first");
    return first === ""
      ? `manifest ${said(data, "path")} is well again`
      : `manifest ${said(data, "path")}: ${first}`;
  },
  "pod/PodsChanged": (data) =>
    `source ${said(data, "source")}: ${said(data, "added")} pods added, ${said(data, "updated")} changed, ${said(data, "removed")} removed`,
};

function suffix(text: string): string {
  return text === "" ? "" : ` (${text})`;
}

/** What befell the node, newest first. */
export function tellNode(events: readonly JournalEvent[]): Story {
  const chapters = events.flatMap((event) => chapterOf(event, NODE_SENTENCES) ?? []).slice(0, MAX_CHAPTERS);
  const [last] = chapters;
  const headline = last === undefined ? "nothing has befallen the node" : `the last: ${last.title}`;
  return { about: "node", headline, chapters };
}

/** What became of an image, newest first. */
export function tellImage(image: string, events: readonly JournalEvent[]): Story {
  const chapters = events.flatMap((event) => chapterOf(event, {}) ?? []).slice(0, MAX_CHAPTERS);
  const [last] = chapters;
  const headline = last === undefined ? "nothing is known of this image" : `the last: ${last.title}`;
  return { about: `image ${image}`, headline, chapters };
}

/** Its own words where an event has them, else its name. */
function chapterOf(event: JournalEvent, sentences: Readonly<Record<string, Sentence>>): Chapter | undefined {
  const data = isRecord(event.data) ? event.data : {};
  const sentence = sentences[event.type]?.(data, event);
  const message = said(data, "message");
  const reason = said(data, "reason");
  const name = event.type.slice(event.type.indexOf("/") + 1);
  const own = message === "" ? name : `${reason === "" ? name : reason}: ${message}`;
  const { pod, container, device } = event.subject;
  const lines = [
    ...(pod === undefined ? [] : [`pod ${pod}${container === undefined ? "" : `, container ${container}`}`]),
    ...(device === undefined ? [] : [`device ${device}`]),
  ];
  return { at: event.at, seq: event.seq, title: sentence ?? own, lines };
}
