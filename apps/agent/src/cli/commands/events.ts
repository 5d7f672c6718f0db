// SPDX-License-Identifier: Apache-2.0

import { parseDuration } from "@holdfast/core/duration";
import { errorText } from "@holdfast/core/errors";
import type { JournalEvent } from "@holdfast/journal";
import type { EventList } from "../../api/types.ts";
import type { Command, CommandContext } from "../command.ts";
import { CommandError, countOption, textOption } from "../command.ts";
import { formatEventLine } from "../event-lines.ts";
import { podOfHistory } from "../pod-name.ts";
import { jsonLines } from "../watch-state.ts";

/** `holdfast events`. */
export const eventsCommand: Command = {
  name: "events",
  summary: "what happened on the node, from the journal",
  usage:
    "holdfast events [-f] [--pod POD] [-c CONTAINER] [--type TYPE] [--since DURATION] [--limit N] [-o json]",
  details: [
    "Oldest first, the last 100 unless told otherwise. TYPE is a name or a beginning, several with commas: pod/BackOff, 'oom/*,probe/*'.",
    "-o json prints one event a line, with its number, causes and payload.",
  ],
  options: {
    follow: { type: "boolean", short: "f", help: "go on as things happen" },
    pod: { type: "string", value: "POD", help: "only of this pod, also of one that is gone" },
    container: { type: "string", short: "c", value: "NAME", help: "only of this container" },
    type: { type: "string", value: "TYPE", help: "only of these types" },
    since: { type: "string", value: "DURATION", help: "only younger than this, like 10m" },
    limit: { type: "string", value: "N", help: "at most the last N; default 100, at most 10000" },
    output: { type: "string", short: "o", value: "FORMAT", help: "json" },
    namespace: { type: "string", short: "n", value: "NS", help: "namespace of POD" },
  },
  async run(context) {
    const { options, client, terminal, signal } = context;
    const output = textOption(context, "output");
    if (output !== undefined && output !== "json")
      throw new CommandError(`unknown output "${output}"; use json`, { exitCode: 2 });
    const print = (event: JournalEvent): void =>
      terminal.out(
        `${output === "json" ? JSON.stringify(event) : formatEventLine(event, terminal.columns)}\n`,
      );
    const query = await eventQuery(context);
    if (options["follow"] !== true) {
      const { items } = await client.get<EventList>(`/api/v1/journal/events?${query}`);
      for (const event of items) print(event);
      if (items.length === 0 && output === undefined) terminal.err("No events found.\n");
      return 0;
    }
    query.set("follow", "true");
    for await (const event of jsonLines<JournalEvent>(
      client.stream(`/api/v1/journal/events?${query}`, signal),
    ))
      print(event);
    if (signal.aborted) return 0;
    throw new CommandError("the agent ended the stream", {
      exitCode: 3,
      next: "is it still running? holdfast get node",
    });
  },
};

async function eventQuery(context: CommandContext): Promise<URLSearchParams> {
  const query = new URLSearchParams();
  const pod = textOption(context, "pod");
  if (pod !== undefined) query.set("pod", await podOfHistory(context, pod));
  for (const key of ["container", "type"]) {
    const value = textOption(context, key);
    if (value !== undefined) query.set(key, value);
  }
  const since = textOption(context, "since");
  if (since !== undefined) query.set("since", String(Math.round(context.now() - sinceMs(since))));
  query.set("limit", String(countOption(context, "limit") ?? 100));
  return query;
}

function sinceMs(text: string): number {
  try {
    return parseDuration(text);
  } catch (error) {
    throw new CommandError(`--since: ${errorText(error)}`, { exitCode: 2 });
  }
}
