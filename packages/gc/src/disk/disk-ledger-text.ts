// SPDX-License-Identifier: Apache-2.0

/** Pure: what people read of the disk ledger. */
import { formatBytes } from "../format-bytes.ts";
import type { DiskHolder, DiskHolderKind, DiskLedgerEntry } from "./disk-facts.ts";

const WORDS: Readonly<Record<DiskHolderKind, string>> = {
  "images-in-use": "images in use",
  "images-unused": "unused images",
  "writable-layers": "writable layers",
  "dead-containers": "dead containers",
  logs: "logs",
  emptydirs: "emptyDirs",
  agent: "the agent itself",
  others: "others on this file system",
  reserved: "reserved for root",
};

/** Headings of {@link diskLedgerRows}. */
export const DISK_LEDGER_COLUMNS: readonly string[] = ["HELD BY", "SIZE", "SHARE", "COUNT", "LARGEST"];

/** One line for each holder of a file system. `~` marks what is apportioned, `≥` what could not all be looked at. */
export function diskLedgerRows({ capacityBytes, holders }: DiskLedgerEntry): readonly (readonly string[])[] {
  return holders.map((holder) => [
    WORDS[holder.kind],
    sizeText(holder),
    `${((holder.bytes / capacityBytes) * 100).toFixed(1)}%`,
    holder.count === 0 ? "-" : String(holder.count),
    holder.largest.map(({ name, bytes }) => `${name} ${formatBytes(bytes)}`).join(", ") || "-",
  ]);
}

/** A file system in one line. */
export function diskLedgerHead({ roles, capacityBytes, availableBytes, usedBytes }: DiskLedgerEntry): string {
  const percent = Math.round(((capacityBytes - availableBytes) / capacityBytes) * 100);
  return `${roles.join(", ")}: ${formatBytes(usedBytes)} of ${formatBytes(capacityBytes)} used, ${formatBytes(availableBytes)} available (${percent}% full)`;
}

/** Who holds a file system, in one line for a message: `unused images 1.2 GiB (3), logs 300.0 MiB (default/web 290.0 MiB)`. The smallest ones are left out. */
export function diskHeldBy(entry: DiskLedgerEntry): string {
  const worthTelling = entry.holders.filter(({ bytes }) => bytes >= entry.usedBytes / HUNDREDTH);
  return worthTelling
    .map((holder) => {
      const [largest] = holder.largest;
      // The one that holds most of it is worth a name.
      const isMost = largest !== undefined && holder.count > 1 && largest.bytes * 2 > holder.bytes;
      const detail = isMost
        ? `${holder.count}, ${largest.name} ${formatBytes(largest.bytes)}`
        : holder.count === 1 && largest !== undefined
          ? largest.name
          : String(holder.count);
      return `${WORDS[holder.kind]} ${sizeText(holder)}${holder.count === 0 ? "" : ` (${detail})`}`;
    })
    .join(", ");
}

const HUNDREDTH = 100;

function sizeText({ bytes, estimated, atLeast }: DiskHolder): string {
  return `${atLeast ? "≥" : estimated ? "~" : ""}${formatBytes(bytes)}`;
}
