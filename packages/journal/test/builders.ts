// SPDX-License-Identifier: Apache-2.0
import { Bus } from "@holdfast/bus";
import type { Subject } from "@holdfast/bus";
import { ManualClock } from "@holdfast/core/manual-clock";
import { Journal, JOURNAL_MIGRATIONS, lastJournalSeq } from "@holdfast/journal";
import type { FactAt, Fact, JournalEvent, JournalOptions, TerminationFacts } from "@holdfast/journal";
import { openStore } from "@holdfast/store";
import type { Store } from "@holdfast/store";

export const POD = "default/web";
export const UID = "uid-1";
export const ID = "c".repeat(64);
export const ABOUT: Subject = { podUid: UID, pod: POD, container: "web", containerId: ID };

/** A fact; `seq` is its second, so that order and time agree. */
export function fact(
  kind: Fact,
  seq: number,
  subject: Subject = ABOUT,
  causes: readonly number[] = [],
): FactAt {
  return { ...kind, seq, at: seq * 1000, monotonic: seq * 1000, subject, causes };
}

/** An end of container `web` at second 100, which started at second 10. */
export function ended(
  exitCode: number | undefined,
  others: readonly FactAt[] = [],
  record?: Partial<NonNullable<TerminationFacts["record"]>>,
): TerminationFacts {
  const died = fact({ kind: "died", exitCode }, 100) as TerminationFacts["died"];
  const started = fact({ kind: "started", restartCount: 0 }, 10);
  return {
    podUid: UID,
    pod: POD,
    container: "web",
    containerId: ID,
    died,
    record:
      record === undefined
        ? undefined
        : {
            exitCode: exitCode ?? 0,
            reason: exitCode === 0 ? "Completed" : "Error",
            message: "",
            startedAt: 10_000,
            finishedAt: 100_000,
            restartCount: 0,
            ...record,
          },
    facts: [started, ...others, died].toSorted((a, b) => a.seq - b.seq),
  };
}

/** An event as the journal has it. */
export function event(type: string, seq: number, subject: Subject = ABOUT, data: unknown = {}): JournalEvent {
  return { seq, at: seq * 1000, monotonic: seq * 1000, type, subject, causes: [], data };
}

/** A journal on a bus, in virtual time, on a file or in memory. */
export class Bench implements AsyncDisposable {
  readonly clock: ManualClock = new ManualClock();
  readonly store: Store;
  readonly bus: Bus;
  readonly journal: Journal;

  constructor(
    options: Partial<JournalOptions> & {
      readonly path?: string;
      readonly maxFileBytes?: number;
      readonly checkBytes?: number;
    } = {},
  ) {
    const { path = ":memory:", maxFileBytes, checkBytes, ...rest } = options;
    this.store = openStore({
      path,
      durability: "disposable",
      migrations: JOURNAL_MIGRATIONS,
      ...(maxFileBytes === undefined ? {} : { maxBytes: maxFileBytes }),
      ...(checkBytes === undefined ? {} : { checkBytes }),
    });
    this.bus = new Bus({ clock: this.clock, firstSeq: lastJournalSeq(this.store) + 1 });
    this.journal = new Journal({
      database: this.store,
      bus: this.bus,
      publish: this.bus,
      clock: this.clock,
      ...rest,
    });
  }

  /** Publishes by name: tokens are only names. */
  publish(
    type: string,
    data: unknown = {},
    subject: Subject = ABOUT,
    causes: readonly number[] = [],
  ): number {
    return this.bus.publish({ name: type }, data, { subject, causes });
  }

  /** The life of a container: returns the `seq` of its start. */
  starts(restartCount: number, subject: Subject = ABOUT): number {
    const { containerId } = subject;
    this.publish("pod/ContainerStarting", { containerId, restartCount }, subject);
    const text = { eventType: "Normal", reason: "Started", message: "Container started" };
    return this.publish("pod/ContainerStarted", { ...text, containerId, restartCount }, subject);
  }

  dies(exitCode: number | undefined, subject: Subject = ABOUT): number {
    const { containerId, container } = subject;
    return this.publish(
      "pleg/ContainerDied",
      { containerId, kind: "container", name: container, exitCode, unconfirmed: false },
      subject,
    );
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.journal.stop();
    this.store.close();
  }
}
