// SPDX-License-Identifier: Apache-2.0

/** Pure: a story as text. */
import { formatAge } from "@holdfast/core/duration";
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
  return [`${about}: ${headline}`, ...chapters.flatMap((chapter) => chapterLines(chapter, format))].join(
    "\n",
  );
}

function chapterLines(chapter: Chapter, { now, lastLines }: StoryFormat): string[] {
  const time = new Date(chapter.at).toISOString().replace(/\.\d+Z$/, "Z");
  const log = lastLines?.get(chapter.seq) ?? [];
  return [
    "",
    `${time}  (${formatAge(now - chapter.at)} ago)  ${chapter.title}`,
    ...chapter.lines.map((line) => `    ${line}`),
    ...log.map((line) => `    | ${line}`),
  ];
}
