// SPDX-License-Identifier: Apache-2.0

/** Pure: a story as text. */
import { formatAge } from "@holdfast/core/duration";
import { rfc3339Seconds } from "@holdfast/core/rfc3339";
import type { Chapter, Story } from "./story.ts";

/** How a story is shown. */
export interface StoryFormat {
  /** Wall milliseconds. */
  readonly now: number;
  /** Last lines of ended containers, by the `seq` of their chapter. */
  readonly lastLines?: ReadonlyMap<number, readonly string[]>;
}

/** The headline, then each chapter with its time and its lines. */
export function formatStory(story: Story, format: StoryFormat): string {
  const { about, headline, chapters } = story;
  const lines = [`${about}: ${headline}`];
  for (let at = 0; at < chapters.length;) {
    const run = alikeFrom(chapters, at);
    const told = run.length > MAX_ALIKE + 1 ? run.slice(0, MAX_ALIKE) : run;
    for (const chapter of told) lines.push(...chapterLines(chapter, format));
    const others = run.slice(told.length);
    if (others.length > 0) lines.push(...summaryLines(others, format));
    at += run.length;
  }
  return lines.join("\n");
}

/** Chapters of one kind, one after the other, that are told whole; how many more there are is told in one. */
const MAX_ALIKE = 3;

/** This chapter and those after it that say the same. */
function alikeFrom(chapters: readonly Chapter[], at: number): readonly Chapter[] {
  const key = kindOf(chapters[at]);
  const end = chapters.findIndex((chapter, index) => index > at && (key === "" || kindOf(chapter) !== key));
  return chapters.slice(at, end === -1 ? chapters.length : end);
}

/** "" is like nothing else. */
function kindOf(chapter: Chapter | undefined): string {
  if (chapter === undefined) return "";
  const { termination, title } = chapter;
  if (termination === undefined) return title;
  const { podUid, container, cause, exitCode, reason } = termination;
  return [podUid, container, cause, exitCode, reason].join(" ");
}

function summaryLines(others: readonly Chapter[], { now }: StoryFormat): string[] {
  const [newest] = others;
  const oldest = others.at(-1);
  if (newest === undefined || oldest === undefined) return [];
  const since = `since ${rfc3339Seconds(oldest.at)} (${formatAge(now - oldest.at)} ago)`;
  return ["", `${rfc3339Seconds(newest.at)}  and ${others.length} times more like this, ${since}`];
}

function chapterLines(chapter: Chapter, { now, lastLines }: StoryFormat): string[] {
  const time = rfc3339Seconds(chapter.at);
  const log = lastLines?.get(chapter.seq) ?? [];
  return [
    "",
    `${time}  (${formatAge(now - chapter.at)} ago)  ${chapter.title}`,
    ...chapter.lines.map((line) => `    ${line}`),
    ...log.map((line) => `    | ${line}`),
  ];
}
