// SPDX-License-Identifier: Apache-2.0

import type { Publisher, Subscriber } from "@holdfast/bus";
import type { Clock } from "@holdfast/core/clock";
import type { Logger } from "@holdfast/core/log";
import type { Metrics } from "@holdfast/core/metrics";
import { EventTable } from "./event-table.ts";
import { JournalReader } from "./journal-reader.ts";
import { JournalWriter } from "./journal-writer.ts";
import { LedgerTable } from "./ledger-table.ts";
import type { JournalDatabase, LogTails, PodSpecs, RuntimeRecords } from "./ports.ts";
import type { FactReader } from "./read-facts.ts";
import { DEFAULT_RULES } from "./redact.ts";
import type { RedactionRule, RedactionSettings } from "./redact.ts";
import { RestartLedger } from "./restart-ledger.ts";

/** How a `Journal` is made. */
export interface JournalOptions {
  /** journal.db, with `JOURNAL_MIGRATIONS`. */
  readonly database: JournalDatabase;
  readonly bus: Subscriber;
  readonly clock: Clock;
  /** Where `journal/Started` and `journal/NodeRebooted` go. Default: nowhere. */
  readonly publish?: Publisher;
  /** `/proc/sys/kernel/random/boot_id`. Default "": boots are not noticed. */
  readonly bootId?: string;
  /** The agent's version, for the story of the node. Default "". */
  readonly version?: string;
  /** The node's name, in Kubernetes events. Default "". */
  readonly nodeName?: string;
  /** The runtime's records: exit codes that events do not have, reasons, times. Default: events alone. */
  readonly records?: RuntimeRecords;
  /** The newest specs: for the names of changed fields. Default: unknown. */
  readonly specs?: PodSpecs;
  /** Default: no logs. */
  readonly logs?: LogTails;
  /** Readers of facts for types that this package does not know, or reads wrongly. */
  readonly readers?: ReadonlyMap<string, FactReader>;
  /** Whether the first line of probe output is kept. Default true. */
  readonly probeOutput?: boolean;
  /** Further rules of redaction by type. */
  readonly rules?: ReadonlyMap<string, RedactionRule>;
  /** Default 1 000 000. */
  readonly maxEvents?: number;
  /** Bytes of the file in use; the store's own limit must be larger. Default 192 MiB. */
  readonly maxBytes?: number;
  /** Default 30 days. */
  readonly maxAgeMs?: number;
  /** Rows of the ledger for one container name. Default 32. */
  readonly terminationsPerContainer?: number;
  /** Rows of the ledger in all. Default 20 000. */
  readonly maxTerminations?: number;
  /** How long an event waits for others, in milliseconds: what kill -9 can lose. In a storm without intents four times that. Default 250. */
  readonly lingerMs?: number;
  /** Events that may wait for the disk. Default 8192. */
  readonly queueCapacity?: number;
  readonly logger?: Logger;
  readonly metrics?: Metrics;
}

/** Options with every default filled in, and what is made of them. */
export interface ResolvedOptions {
  readonly bootId: string;
  readonly version: string;
  readonly lingerMs: number;
  readonly queueCapacity: number;
  readonly redaction: RedactionSettings;
  readonly reader: JournalReader;
  readonly writer: JournalWriter;
}

const DAY_MS = 86_400_000;

/** Fills in the defaults. Touches nothing: statements are prepared when they are first used. */
export function resolveOptions(options: JournalOptions): ResolvedOptions {
  const { database, clock, bootId = "" } = options;
  const readers = options.readers ?? new Map<string, FactReader>();
  const events = new EventTable(database);
  const terminations = new LedgerTable(database);
  const ledger = new RestartLedger({
    clock,
    events,
    table: terminations,
    records: options.records,
    readers,
    perContainer: options.terminationsPerContainer ?? 32,
    inAll: options.maxTerminations ?? 20_000,
  });
  const limits = {
    maxEvents: options.maxEvents ?? 1_000_000,
    maxBytes: options.maxBytes ?? 192 * 2 ** 20,
    maxAgeMs: options.maxAgeMs ?? 30 * DAY_MS,
  };
  return {
    bootId,
    version: options.version ?? "",
    lingerMs: options.lingerMs ?? 250,
    queueCapacity: options.queueCapacity ?? 8192,
    redaction: {
      outputFirstLine: options.probeOutput ?? true,
      rules: new Map([...DEFAULT_RULES, ...(options.rules ?? [])]),
    },
    reader: new JournalReader({ database, events, terminations, readers, nodeName: options.nodeName ?? "" }),
    writer: new JournalWriter({ database, clock, events, terminations, ledger, limits, bootId }),
  };
}
