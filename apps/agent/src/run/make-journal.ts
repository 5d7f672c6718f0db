// SPDX-License-Identifier: Apache-2.0

/** Fills the ports of the journal. */
import type { Bus } from "@holdfast/bus";
import type { Clock } from "@holdfast/core/clock";
import type { Logger } from "@holdfast/core/log";
import type { Metrics } from "@holdfast/core/metrics";
import { Journal } from "@holdfast/journal";
import type { JournalDatabase, LogTails } from "@holdfast/journal";
import { NodeLogTails, readBootId } from "@holdfast/journal/node";
import type { AgentConfig } from "../config/agent-config.ts";
import { VERSION } from "../version.ts";
import type { PodSide } from "./pod-side.ts";

/** What a journal takes from the machine. */
export interface JournalHost {
  readonly bootId: string;
  readonly logs: LogTails;
}

/** What the journal is made from. */
export interface MakeJournalOptions {
  readonly config: Pick<AgentConfig, "nodeName" | "podLogsDir" | "probeOutput">;
  readonly clock: Clock;
  readonly bus: Bus;
  readonly metrics: Metrics;
  readonly logger: Logger;
  readonly database: JournalDatabase;
  readonly host: JournalHost;
  /** Undefined until the runtime has answered. */
  readonly side: () => PodSide | undefined;
}

/** The machine that this process runs on. */
export function nodeJournalHost(config: Pick<AgentConfig, "bootIdFile" | "podLogsDir">): JournalHost {
  return { bootId: readBootId(config.bootIdFile), logs: new NodeLogTails(config.podLogsDir) };
}

/** Makes it; it is to be started before the managers, so that their first events are in it. */
export function makeJournal(options: MakeJournalOptions): Journal {
  const { config, clock, bus, metrics, logger, database, host, side } = options;
  return new Journal({
    database,
    bus,
    publish: bus,
    clock,
    metrics,
    logger: logger.child({ component: "journal" }),
    nodeName: config.nodeName,
    version: VERSION,
    probeOutput: config.probeOutput,
    bootId: host.bootId,
    logs: host.logs,
    records: { get: (uid) => side()?.pleg.get(uid) ?? { status: { containers: [] } } },
    specs: {
      get: (uid) =>
        side()
          ?.pods.pods()
          .find(({ pod }) => pod.metadata.uid === uid)?.pod,
    },
  });
}
