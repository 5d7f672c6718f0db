// SPDX-License-Identifier: Apache-2.0

// `steady.ts FILE`: what the journal costs at 200 events a second, in real time, on a file that is there. A program of its own: journal.bench.ts runs it
// with the V8 flags of the agent's launcher, under which code is interpreted for long. Prints one line of JSON.
import { Bus } from "@holdfast/bus";
import { systemClock } from "@holdfast/core/node";
import { Journal, JOURNAL_MIGRATIONS, lastJournalSeq } from "@holdfast/journal";
import { openStore } from "@holdfast/store";
import { LIFE_EVENTS, Lives } from "./lives.ts";

const RATE = 200;
const SECONDS = 20;
const path = process.argv[2] ?? "";

const from = performance.now();
const store = openStore({
  path,
  durability: "disposable",
  migrations: JOURNAL_MIGRATIONS,
  maxBytes: 2 ** 30,
});
const openMs = Math.round(performance.now() - from);
const bus = new Bus({ clock: systemClock, firstSeq: lastJournalSeq(store) + 1 });
const lives = new Lives(bus, lastJournalSeq(store));

/** The whole process: also V8's compiler and collector in their threads. */
const spentMs = (): number => {
  const { user, system } = process.cpuUsage();
  return (user + system) / 1000;
};

/** Percent of a core. */
async function storm(): Promise<number> {
  const before = spentMs();
  const begun = performance.now();
  for (let events = 0; ; await systemClock.sleep(40)) {
    const seconds = (performance.now() - begun) / 1000;
    if (seconds >= SECONDS) return (spentMs() - before) / seconds / 10;
    for (; events < seconds * RATE; events += LIFE_EVENTS) lives.publish();
  }
}

await storm();
const without = await storm();
const journal = new Journal({
  database: store,
  bus,
  clock: systemClock,
  records: lives.records,
  maxEvents: 10_000_000,
  maxBytes: 2 ** 30,
});
await journal.start();
const rounded = (percent: number): number => Math.round((percent - without) * 100) / 100;
const firstSeconds = rounded(await storm());
await storm();
const [one, two] = [rounded(await storm()), rounded(await storm())];
await journal.stop();
store.close();
console.log(
  JSON.stringify({
    openMs,
    withoutJournal: Math.round(without * 100) / 100,
    firstSeconds,
    later: [one, two],
  }),
);
