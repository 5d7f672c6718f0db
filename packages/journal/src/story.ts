// SPDX-License-Identifier: Apache-2.0

import type { Termination } from "./termination.ts";

/** One thing that happened, or that is so now. */
export interface Chapter {
  /** Wall milliseconds: to be shown. */
  readonly at: number;
  /** The order of chapters: newest first. */
  readonly seq: number;
  readonly title: string;
  /** Who asked for it, and what speaks for it; the strongest first. */
  readonly lines: readonly string[];
  /** The row of the ledger that it tells of. */
  readonly termination?: Termination;
}

/** What `holdfast why` tells, for people and for programs. */
export interface Story {
  /** `pod default/web`, `node`, `image docker.io/library/busybox:1.36`. */
  readonly about: string;
  /** The answer in one line. */
  readonly headline: string;
  /** Newest first. */
  readonly chapters: readonly Chapter[];
}
