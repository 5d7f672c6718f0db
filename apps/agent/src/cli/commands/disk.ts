// SPDX-License-Identifier: Apache-2.0

import { DISK_LEDGER_COLUMNS, diskLedgerHead, diskLedgerRows } from "@holdfast/gc";
import type { DiskAnswer } from "../../api/disk-routes.ts";
import type { Command } from "../command.ts";
import { CommandError, textOption } from "../command.ts";
import { formatTable } from "../table.ts";

/** `holdfast disk`. */
export const diskCommand: Command = {
  name: "disk",
  summary: "show who holds the disks: images, layers, logs, emptyDirs, others",
  usage: "holdfast disk [--fresh] [-o json]",
  details: [
    "For each file system: images in use and unused, writable layers of containers that run and of dead ones, logs, emptyDirs, the agent's own files, and what is",
    "none of these. ~ marks what is apportioned by listed sizes, since images share layers; ≥ what could not all be looked at in time.",
    "Figures are at most half a minute old, those of folders a minute; --fresh looks anew.",
  ],
  options: {
    fresh: { type: "boolean", help: "look anew: costs a system call for each file" },
    output: { type: "string", short: "o", value: "FORMAT", help: "json" },
  },
  async run(context) {
    if (context.args.length > 0) throw new CommandError("disk takes no arguments", { exitCode: 2 });
    const output = textOption(context, "output");
    if (output !== undefined && output !== "json")
      throw new CommandError(`unknown output "${output}"; use json`, { exitCode: 2 });
    const { terminal } = context;
    const query = context.options["fresh"] === true ? "?fresh=true" : "";
    const ledger = await context.client.get<DiskAnswer>(`/api/v1/disk${query}`);
    if (output === "json") terminal.out(`${JSON.stringify(ledger, undefined, 2)}\n`);
    else {
      const columns = DISK_LEDGER_COLUMNS.map((head) => ({ head, shrinks: head === "LARGEST" }));
      const tables = ledger.filesystems.map(
        (entry) =>
          `${diskLedgerHead(entry)}\n${formatTable(columns, diskLedgerRows(entry), terminal.columns)}\n`,
      );
      terminal.out(tables.join("\n"));
    }
    for (const problem of ledger.problems) terminal.err(`holdfast: ${problem}\n`);
    return 0;
  },
};
