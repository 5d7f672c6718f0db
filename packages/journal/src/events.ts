// SPDX-License-Identifier: Apache-2.0

import { defineEvent } from "@holdfast/bus";
import type { EventType } from "@holdfast/bus";

/** A run of the agent begins. */
export interface JournalStartedData {
  readonly version: string;
  readonly bootId: string;
  /** The newest `seq` of the runs before; 0 for none. */
  readonly lastSeq: number;
}

/** The first event of every run: what stands before it was done by an agent that is gone. */
export const JournalStarted: EventType<JournalStartedData, "journal/Started"> =
  defineEvent<JournalStartedData>()("journal/Started");

/** The machine was booted since the last run. kubelet: Rebooted. */
export const NodeRebooted: EventType<
  { readonly bootId: string; readonly previousBootId: string },
  "journal/NodeRebooted"
> = defineEvent<{ readonly bootId: string; readonly previousBootId: string }>()("journal/NodeRebooted");

/** Name of the row that stands where events were lost. Never published: it is written in their place. */
export const GAP_TYPE = "journal/Gap";
