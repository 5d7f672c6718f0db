// SPDX-License-Identifier: Apache-2.0

// What the journal costs: appending by batch, bytes per event, questions to a large journal, opening it, and the share of a core at 200 events a second in
// real time (steady.ts; two minutes). `--events N` (default 1000000). Run: pnpm bench journal
import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync, statSync } from "node:fs";
import { cpus, loadavg, tmpdir } from "node:os";
import { join } from "node:path";
import { Bus } from "@holdfast/bus";
import { systemClock } from "@holdfast/core/node";
import { Journal, JOURNAL_MIGRATIONS } from "@holdfast/journal";
import { openStore } from "@holdfast/store";
import { LIFE_EVENTS, Lives, PODS } from "./lives.ts";

const at = process.argv.indexOf("--events");
const TOTAL = at === -1 ? 1_000_000 : Number(process.argv[at + 1]);
const ROUNDS = 20;
/** As apps/agent/bin/holdfast has them. */
const AGENT_FLAGS = [
  "--max-semi-space-size=1",
  "--v8-pool-size=1",
  "--no-maglev",
  "--no-sparkplug",
  "--no-memory-reducer",
];

const folder = mkdtempSync(join(tmpdir(), "journal-bench-"));
const path = join(folder, "journal.db");
const store = openStore({
  path,
  durability: "disposable",
  migrations: JOURNAL_MIGRATIONS,
  maxBytes: 2 ** 30,
});
const bus = new Bus({ clock: systemClock });
const lives = new Lives(bus, 0);
const journal = new Journal({
  database: store,
  bus,
  publish: bus,
  clock: systemClock,
  records: lives.records,
  maxEvents: 2 * TOTAL,
  maxBytes: 2 ** 30,
});
await journal.start();

// --- append ---
const sizes = [TOTAL / 100, TOTAL / 10, TOTAL].map(Math.floor);
const appended: { events: number; eventsPerSecond: number; worstBatchMs: number; bytesPerEvent: number }[] =
  [];
/** A pod that is heard of ten times in all. */
const rare = { podUid: "rare", pod: "default/rare" };
let written = 0;
for (const size of sizes) {
  let worst = 0;
  const begun = performance.now();
  const before = written;
  while (written < size) {
    if (written % Math.floor(TOTAL / 10) < 256) bus.publish({ name: "pod/BackOff" }, {}, { subject: rare });
    for (let batch = 0; batch < 256; batch += LIFE_EVENTS) lives.publish();
    const from = performance.now();
    journal.flush();
    worst = Math.max(worst, performance.now() - from);
    written += 256;
  }
  store.all("PRAGMA wal_checkpoint(PASSIVE)");
  appended.push({
    events: written,
    eventsPerSecond: Math.round(((written - before) * 1000) / (performance.now() - begun)),
    worstBatchMs: Math.round(worst * 10) / 10,
    bytesPerEvent: Math.round(statSync(path).size / written),
  });
}
console.table(appended);

// --- questions to the full journal ---
const percentile = (values: readonly number[], share: number): number => {
  const sorted = values.toSorted((a, b) => a - b);
  const value = sorted[Math.min(Math.floor(sorted.length * share), sorted.length - 1)] ?? 0;
  return Math.round(value * 100) / 100;
};
const timed = (question: () => unknown): { p50Ms: number; worstMs: number } => {
  const times = Array.from({ length: ROUNDS }, () => {
    const from = performance.now();
    question();
    return performance.now() - from;
  });
  return { p50Ms: percentile(times, 0.5), worstMs: percentile(times, 1) };
};
let asked = 0;
const name = (): string => Lives.podName(asked++ % PODS);
const hourAgo = systemClock.now() - 3_600_000;
const questions = [
  { question: "why pod", ...timed(() => journal.whyPod(name())) },
  { question: "why pod, heard of ten times", ...timed(() => journal.whyPod(rare.pod)) },
  { question: "why node", ...timed(() => journal.whyNode()) },
  { question: "kubeEvents of a pod", ...timed(() => journal.kubeEvents({ pod: name() })) },
  { question: "events of a pod, 100", ...timed(() => journal.events({ pod: name() })) },
  { question: "events of one type, 100", ...timed(() => journal.events({ types: ["pleg/*"] })) },
  { question: "events since an hour, 1000", ...timed(() => journal.events({ since: hourAgo, limit: 1000 })) },
  {
    question: "terminations of a container",
    ...timed(() => journal.terminations({ pod: name(), container: "web" })),
  },
];
console.table(questions);
await journal.stop();
store.close();

// --- a node in a storm: 200 events a second as they come, without and with the journal; in percent of a core ---
const program = join(import.meta.dirname, "steady.ts");
const child = spawnSync(process.execPath, [...AGENT_FLAGS, "--conditions=@holdfast/source", program, path], {
  encoding: "utf8",
  stdio: ["ignore", "pipe", "inherit"],
});
const steady: unknown = JSON.parse(child.stdout);
console.table([steady]);
rmSync(folder, { recursive: true });
console.log(
  JSON.stringify({
    machine: cpus()[0]?.model ?? "",
    cores: cpus().length,
    load: loadavg().map((value) => Math.round(value * 10) / 10),
    node: process.version,
    appended,
    questions,
    steady,
  }),
);
