// SPDX-License-Identifier: Apache-2.0

// What the journal costs: appending by batch, 200 events a second in real time (share of a core), bytes per event, and `why`, queries and trimming on a
// large journal. `--events N` (default 1000000). Run: node --conditions=@holdfast/source packages/journal/bench/journal.bench.ts
import { mkdtempSync, rmSync, statSync } from "node:fs";
import { cpus, tmpdir } from "node:os";
import { join } from "node:path";
import { Bus } from "@holdfast/bus";
import type { Subject } from "@holdfast/bus";
import { systemClock } from "@holdfast/core/node";
import { Journal, JOURNAL_MIGRATIONS } from "@holdfast/journal";
import { openStore } from "@holdfast/store";

const at = process.argv.indexOf("--events");
const TOTAL = at === -1 ? 1_000_000 : Number(process.argv[at + 1]);
const PODS = 100;
const STEADY_SECONDS = 5;
const STEADY_RATE = 200;
const ROUNDS = 20;

const folder = mkdtempSync(join(tmpdir(), "journal-bench-"));
const path = join(folder, "journal.db");
const store = openStore({
  path,
  durability: "disposable",
  migrations: JOURNAL_MIGRATIONS,
  maxBytes: 1024 * 2 ** 20,
});
const bus = new Bus({ clock: systemClock });
const journal = new Journal({
  database: store,
  bus,
  publish: bus,
  clock: systemClock,
  maxEvents: 2 * TOTAL,
  maxBytes: 900 * 2 ** 20,
});

/** Pods restart for ever: each life has its own container id, and one event in eight is an end or a start. */
let turn = 0;
function publishLife(): number {
  const pod = turn % PODS;
  const life = Math.floor(turn / PODS);
  turn += 1;
  const containerId = `${pod}-${life}-`.padEnd(64, "0123456789abcdef");
  const about: Subject = {
    podUid: `00000000-0000-4000-8000-${String(pod).padStart(12, "0")}`,
    pod: `default/web-${pod}-worker-node-1`,
    container: "web",
    containerId,
  };
  const { container: _container, containerId: _id, ...podOnly } = about;
  const text = (reason: string, message: string): object => ({
    eventType: "Normal",
    reason,
    message,
    fieldPath: "spec.containers{web}",
    containerId,
    restartCount: life,
  });
  const publish = (name: string, data: unknown, subject: Subject, causes: readonly number[] = []): number =>
    bus.publish({ name }, data, { subject, causes });
  const creating = publish("pod/ContainerCreating", { restartCount: life, image: "busybox:1.36" }, podOnly);
  const created = publish("pod/ContainerCreated", text("Created", "Container created"), about, [creating]);
  publish("pod/ContainerStarting", { containerId, restartCount: life }, about, [created]);
  const started = publish("pod/ContainerStarted", text("Started", "Container started"), about, [created]);
  const status = { uid: about.podUid, namespace: "default", name: `web-${pod}`, version: life, ready: true };
  publish("status/PodStatusChanged", { ...status, phase: "Running", restarts: life }, podOnly, [started]);
  const died = { containerId, kind: "container", name: "web", exitCode: 1, unconfirmed: true };
  const end = publish("pleg/ContainerDied", died, about);
  publish("pleg/PodSync", {}, podOnly, [end]);
  publish("status/PodStatusChanged", { ...status, phase: "Running", restarts: life + 1 }, podOnly, [end]);
  return 8;
}

const percentile = (values: readonly number[], share: number): number => {
  const sorted = values.toSorted((a, b) => a - b);
  return (
    Math.round((sorted[Math.min(Math.floor(sorted.length * share), sorted.length - 1)] ?? 0) * 100) / 100
  );
};
const spent = (): number => process.cpuUsage().user / 1000 + process.cpuUsage().system / 1000;

await journal.start();

// --- append ---
const sizes = [TOTAL / 100, TOTAL / 10, TOTAL].map(Math.floor);
const appended: { events: number; eventsPerSecond: number; worstBatchMs: number; bytesPerEvent: number }[] =
  [];
let written = 0;
for (const size of sizes) {
  let worst = 0;
  const begun = performance.now();
  const before = written;
  while (written < size) {
    let batch = 0;
    while (batch < 256) batch += publishLife();
    const from = performance.now();
    journal.flush();
    worst = Math.max(worst, performance.now() - from);
    written += batch;
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
const timed = (question: () => unknown): { p50Ms: number; worstMs: number } => {
  const times = Array.from({ length: ROUNDS }, () => {
    const from = performance.now();
    question();
    return performance.now() - from;
  });
  return { p50Ms: percentile(times, 0.5), worstMs: percentile(times, 1) };
};
let asked = 0;
const name = (): string => `default/web-${asked++ % PODS}-worker-node-1`;
const hourAgo = systemClock.now() - 3_600_000;
const questions = [
  { question: "why pod", ...timed(() => journal.whyPod(name())) },
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

// --- a node in a storm: 200 events a second as they come, without and with the journal ---
async function storm(): Promise<{ readonly cpuMs: number; readonly events: number }> {
  const before = spent();
  const begun = performance.now();
  let events = 0;
  while (performance.now() - begun < STEADY_SECONDS * 1000) {
    const due = ((performance.now() - begun) / 1000) * STEADY_RATE;
    while (events < due) events += publishLife();
    await systemClock.sleep(40);
  }
  return { cpuMs: spent() - before, events };
}
await journal.stop();
await storm();
const without = await storm();
const second = new Journal({
  database: store,
  bus,
  clock: systemClock,
  maxEvents: 2 * TOTAL,
  maxBytes: 900 * 2 ** 20,
});
await second.start();
await storm();
const beside = await storm();
const steady = {
  eventsPerSecond: Math.round(beside.events / STEADY_SECONDS),
  endsPerSecond: Math.round(beside.events / STEADY_SECONDS / 8),
  percentOfACore: Math.round((beside.cpuMs - without.cpuMs) / STEADY_SECONDS / 0.1) / 100,
};
console.table([steady]);
await second.stop();
store.close();
rmSync(folder, { recursive: true });
console.log(
  JSON.stringify({
    machine: cpus()[0]?.model ?? "",
    cores: cpus().length,
    node: process.version,
    appended,
    questions,
    steady,
  }),
);
