// SPDX-License-Identifier: Apache-2.0
import { formatStory, tellPod } from "@holdfast/journal";
import type { CauseClass, Termination } from "@holdfast/journal";
import type { ContainerRecord } from "@holdfast/core/runtime-status";
import { expect, test } from "vitest";
import { ABOUT, Bench, event, ID, POD, UID } from "./builders.ts";

const pod = { podUid: UID, pod: POD };
const text = { eventType: "Normal", reason: "Killing" };

function record(overrides: Partial<ContainerRecord>): ContainerRecord {
  return {
    id: ID,
    name: "web",
    sandboxId: "s",
    state: "exited",
    attempt: 0,
    createdAt: 1,
    startedAt: 1000,
    finishedAt: 61_000,
    exitCode: 137,
    reason: "Error",
    message: "",
    image: "i",
    imageRef: "r",
    hash: "h",
    restartCount: 0,
    ...overrides,
  };
}

const causes = (rows: readonly Termination[]): CauseClass[] => rows.map(({ cause }) => cause);

test("the ends of a container, newest first, with pods of other UIDs and the same name", async () => {
  await using bench = new Bench();
  const { journal } = bench;
  await journal.start();
  const about = (life: number, uid = UID): typeof ABOUT => ({
    ...ABOUT,
    podUid: uid,
    containerId: `id-${life}`,
  });
  bench.starts(0, about(0));
  bench.dies(1, about(0));
  bench.starts(1, about(1));
  journal.flush();
  const kill = {
    ...text,
    message: "Container web failed liveness probe, will be restarted",
    killReason: "LivenessProbe",
  };
  const failed = { probe: "liveness", result: "failure", message: "Liveness probe failed: refused" };
  const seq = bench.publish("probe/ResultChanged", failed, about(1));
  bench.publish("pod/ContainerKilling", { ...kill, gracePeriodSeconds: 30 }, about(1), [seq]);
  bench.dies(143, about(1));
  bench.starts(2, about(2));
  bench.publish("pod/PodRemoved", { source: "file" }, pod);
  bench.publish("pod/PodAdded", { source: "file" }, { ...pod, podUid: "uid-2" });
  bench.publish("pod/PodTerminating", { reason: "Removed", message: "" }, pod);
  bench.publish("pod/ContainerKilling", { ...text, killReason: "Removed", gracePeriodSeconds: 1 }, about(2));
  await bench.clock.advance(2000);
  bench.dies(137, about(2));
  bench.starts(0, about(3, "uid-2"));
  bench.dies(0, about(3, "uid-2"));
  const rows = journal.terminations({ pod: POD, container: "web" });
  expect(causes(rows)).toStrictEqual(["Finished", "SpecChanged", "LivenessProbe", "ApplicationError"]);
  expect(rows[2]).toMatchObject({
    exitCode: 143,
    signal: "SIGTERM",
    restartCount: 1,
    askedBy: "Holdfast: its liveness probe failed",
    evidence: [
      { kind: "probe", text: "Liveness probe failed: refused", seq },
      { kind: "kill" },
      { kind: "runtime" },
    ],
  });
  expect(rows[2]?.chain).toContain(seq);
  expect(journal.terminations({ pod: POD, container: "other" })).toStrictEqual([]);
  expect(journal.terminations({ limit: 1 })).toHaveLength(1);
});

test("evidence that comes after the end changes the row; a restart of the agent does not double it", async () => {
  const records = new Map([[ID, record({ reason: "", exitCode: 137 })]]);
  const status = (): { status: { containers: ContainerRecord[] } } => ({
    status: { containers: [...records.values()] },
  });
  await using bench = new Bench({ records: { get: status } });
  const { journal } = bench;
  await journal.start();
  bench.starts(0);
  bench.dies(137);
  expect(causes(journal.terminations())).toStrictEqual(["Outside"]);
  records.set(ID, record({ reason: "OOMKilled" }));
  bench.publish("pleg/PodSync", {}, pod);
  expect(causes(journal.terminations())).toStrictEqual(["MemoryLimit"]);
  bench.publish("oom/ContainerOOMKilled", {
    process: "httpd",
    pid: 7,
    mainProcess: true,
    memoryBytes: 64 << 20,
  });
  const [row] = journal.terminations();
  expect(row?.evidence[0]?.text).toBe("process httpd was killed, pid 7, it used 64Mi");
  expect(row).toMatchObject({ reason: "OOMKilled", ranMs: 60_000, at: 61_000 });
  // The PLEG of a new agent tells of every dead container once more.
  bench.dies(137);
  await bench.clock.advance(60_000);
  bench.dies(137);
  expect(journal.terminations()).toHaveLength(1);
});

test("a reboot between start and end", async () => {
  const { Bus } = await import("@holdfast/bus");
  const { Journal, lastJournalSeq } = await import("@holdfast/journal");
  await using bench = new Bench({ bootId: "one" });
  await bench.journal.start();
  bench.starts(0);
  await bench.journal.stop();
  const bus = new Bus({ clock: bench.clock, firstSeq: lastJournalSeq(bench.store) + 1 });
  await using journal = new Journal({
    database: bench.store,
    bus,
    publish: bus,
    clock: bench.clock,
    bootId: "two",
  });
  await journal.start();
  bus.publish({ name: "pleg/ContainerDied" }, { kind: "container", exitCode: 255 }, { subject: ABOUT });
  const [row] = journal.terminations();
  expect(row).toMatchObject({ cause: "RuntimeOrReboot", askedBy: "a reboot of the machine" });
  expect(journal.whyNode().chapters.map(({ title }) => title)).toStrictEqual([
    "the machine was booted: boot id two",
    "the agent started",
    "the agent started",
  ]);
});

test("the ledger is bounded by container and outlives its events", async () => {
  await using bench = new Bench({ terminationsPerContainer: 5 });
  await bench.journal.start();
  for (let life = 0; life < 12; life++) {
    const about = { ...ABOUT, containerId: `id-${life}` };
    bench.starts(life, about);
    bench.dies(1, about);
    bench.journal.flush();
  }
  bench.store.run("DELETE FROM event");
  expect(bench.journal.terminations().map(({ restartCount }) => restartCount)).toStrictEqual([
    11, 10, 9, 8, 7,
  ]);
});

test("an end that is told again under the pod's UID alone is the same end", async () => {
  await using bench = new Bench();
  await bench.journal.start();
  bench.starts(0);
  bench.dies(1);
  bench.journal.flush();
  await bench.clock.advance(60_000);
  bench.dies(1, { ...ABOUT, pod: ABOUT.podUid ?? "" });
  expect(bench.journal.terminations()).toHaveLength(1);
});

test("a sandbox's end is no container's", async () => {
  await using bench = new Bench();
  await bench.journal.start();
  bench.publish(
    "pleg/ContainerDied",
    { containerId: "s", kind: "sandbox", name: "" },
    { ...pod, containerId: "s" },
  );
  expect(bench.journal.terminations()).toStrictEqual([]);
});

test("the place of the last lines is added to the row, and they are read from there", async () => {
  const log = { file: "/var/log/pods/x/0.log", offset: 10, length: 20 };
  await using bench = new Bench({
    logs: {
      locate: async (owner) => (owner.container === "web" ? log : undefined),
      read: async () => ["bye"],
    },
  });
  await bench.journal.start();
  bench.starts(0);
  bench.dies(1);
  bench.journal.flush();
  await expect.poll(() => bench.journal.terminations()[0]?.log).toStrictEqual(log);
  expect(await bench.journal.readLog(log)).toStrictEqual(["bye"]);
});

test("the story: what it waits for, then each end with its evidence", async () => {
  await using bench = new Bench();
  const { journal, clock } = bench;
  await journal.start();
  bench.starts(0);
  await clock.advance(5000);
  bench.dies(1);
  bench.publish("pod/BackOff", {
    eventType: "Warning",
    reason: "BackOff",
    message: "Back-off restarting failed container web in pod web_default(uid-1)",
    waiting: "CrashLoopBackOff",
    remainingMs: 10_000,
  });
  const story = journal.whyPod(POD);
  expect(formatStory(story ?? { about: "", headline: "", chapters: [] }, { now: clock.now() + 60_000 })).toBe(
    [
      "pod default/web: ended once; the last: web failed by itself; now: web waits: CrashLoopBackOff",
      "",
      "2026-01-01T00:00:05Z  (60s ago)  web waits: CrashLoopBackOff",
      "    Back-off restarting failed container web in pod web_default(uid-1)",
      "    the next attempt is due at 2026-01-01T00:00:15Z",
      "",
      "2026-01-01T00:00:05Z  (60s ago)  web (start 1) failed by itself (exit code 1) after 5s",
    ].join("\n"),
  );
  bench.starts(1, { ...ABOUT, containerId: "next" });
  expect(journal.whyPod(POD)?.chapters).toHaveLength(1);
  expect(journal.whyPod(POD)?.chapters[0]?.lines.at(-1)).toContain("it was started again at");
  bench.publish(
    "pod/BackOff",
    { message: "again", waiting: "CrashLoopBackOff" },
    { ...ABOUT, containerId: "next" },
  );
  expect(journal.whyPod(POD)?.headline).toContain("now: web waits");
  bench.publish("pod/PodTerminated", { removed: true }, pod);
  expect(journal.whyPod(POD)?.headline).toBe("ended once; the last: web failed by itself");
  expect(journal.whyPod("default/unknown")).toBeUndefined();
  expect(journal.podsNamed("web")).toStrictEqual([POD]);
  expect(journal.podsNamed("default/web")).toStrictEqual([POD]);
  expect(journal.podsNamed("eb")).toStrictEqual([]);
});

test("the story of an image", async () => {
  await using bench = new Bench();
  await bench.journal.start();
  const about = { ...pod, image: "busybox:1" };
  bench.publish(
    "pod/Pulling",
    { eventType: "Normal", reason: "Pulling", message: 'Pulling image "busybox:1"' },
    about,
  );
  bench.publish(
    "pod/PullFailed",
    { eventType: "Warning", reason: "Failed", message: "no such image" },
    about,
  );
  expect(bench.journal.whyImage("busybox:1")).toMatchObject({
    headline: "the last: Failed: no such image",
    chapters: [{ title: "Failed: no such image" }, { title: 'Pulling: Pulling image "busybox:1"' }],
  });
  expect(bench.journal.whyImage("other").chapters).toStrictEqual([]);
});

test("a process that the kernel killed inside a container that goes on is told, though nothing ended", () => {
  const about = { podUid: UID, pod: POD, container: "web", containerId: ID };
  const killed = {
    mainProcess: false,
    process: "worker",
    pid: 7,
    memoryBytes: 26 << 20,
    limitBytes: 24 << 20,
  };
  const story = tellPod({
    pod: POD,
    terminations: [],
    events: [
      event("oom/ContainerOOM", 4, about, { ...killed, mainProcess: true }),
      event("oom/ContainerOOM", 3, about, killed),
      event("oom/SystemOOM", 2, {}, killed),
      event("oom/ContainerOOM", 1, { ...about, containerId: "other" }, { process: "unknown" }),
    ],
  });
  expect(story?.chapters.map(({ title, lines }) => [title, ...lines])).toEqual([
    [
      "a process of web was killed by the kernel at a memory limit; the container goes on",
      "worker (pid 7) held 26.0 MiB; the limit is 24.0 MiB",
    ],
    [
      "a process of web was killed by the kernel at a memory limit; the container goes on",
      "unknown (pid unknown)",
    ],
  ]);
});

test("a group that dies with its main process is one end, and no child's kill besides", async () => {
  await using bench = new Bench();
  await bench.journal.start();
  bench.starts(0);
  const kill = { witness: "kmsg", process: "tail", memoryBytes: 25 << 20, limitBytes: 24 << 20 };
  bench.publish("oom/ContainerOOM", { ...kill, pid: 8, mainProcess: false });
  const along = { ...kill, process: "sh", memoryBytes: 1 << 20, groupMember: true };
  bench.publish("oom/ContainerOOM", { ...along, pid: 7, mainProcess: true });
  for (const pid of [9, 10, 11]) bench.publish("oom/ContainerOOM", { ...along, pid, mainProcess: false });
  bench.dies(137);
  const chapters = bench.journal.whyPod(POD)?.chapters ?? [];
  expect(chapters.map(({ title }) => title.slice(0, 50))).toStrictEqual([
    "web (start 1) was killed by the kernel at a memory",
  ]);
  // The one that was too large is told first, and some of those that went with it.
  const went = "it used 1Mi, the limit is 24Mi, along with the others of its cgroup (memory.oom.group)";
  expect(chapters[0]?.lines).toEqual([
    "process tail was killed, pid 8, it used 25Mi, the limit is 24Mi (a child process)",
    `process sh was killed, pid 11, ${went} (a child process)`,
    `process sh was killed, pid 10, ${went} (a child process)`,
  ]);
});

test.each([
  ["container", "the limit is 24Mi"],
  ["pod", "the limit of its pod is 24Mi"],
  ["above", "the limit of all pods together is 24Mi"],
])("a kill at a limit of %s says whose limit it was", async (limitOf, words) => {
  await using bench = new Bench();
  await bench.journal.start();
  bench.starts(0);
  const kill = { process: "tail", pid: 7, memoryBytes: 25 << 20, limitBytes: 24 << 20, limitOf };
  bench.publish("oom/ContainerOOM", { ...kill, mainProcess: true });
  bench.dies(137);
  expect(bench.journal.whyPod(POD)?.chapters[0]?.lines).toContain(
    `process tail was killed, pid 7, it used 25Mi, ${words}`,
  );
});

test("ends of one kind: three are told, and how many more there were; programs get all", async () => {
  await using bench = new Bench();
  const { journal, clock } = bench;
  await journal.start();
  for (let life = 0; life < 9; life++) {
    const about = { ...ABOUT, containerId: `id-${life}` };
    bench.starts(life, about);
    await clock.advance(60_000);
    bench.dies(life === 8 ? 0 : 3, about);
  }
  const story = journal.whyPod(POD);
  expect(story?.chapters).toHaveLength(9);
  const told = formatStory(story ?? { about: "", headline: "", chapters: [] }, { now: clock.now() });
  expect(told.split("\n").filter((line) => /^\d/.test(line))).toEqual([
    "2026-01-01T00:09:00Z  (0s ago)  web (start 9) finished (exit code 0) after 60s",
    "2026-01-01T00:08:00Z  (60s ago)  web (start 8) failed by itself (exit code 3) after 60s",
    "2026-01-01T00:07:00Z  (2m ago)  web (start 7) failed by itself (exit code 3) after 60s",
    "2026-01-01T00:06:00Z  (3m ago)  web (start 6) failed by itself (exit code 3) after 60s",
    "2026-01-01T00:05:00Z  and 5 times more like this, since 2026-01-01T00:01:00Z (8m ago)",
  ]);
});

test("a wait for an image says why the last pull failed; a sync's failure before it is not told again", () => {
  const onPod = { podUid: UID, pod: POD };
  const story = tellPod({
    pod: POD,
    terminations: [],
    events: [
      event("pod/BackOff", 4, ABOUT, {
        waiting: "ImagePullBackOff",
        message: "Back-off pulling image",
        remainingMs: 5000,
      }),
      event("pod/SyncFailed", 3, onPod, { message: "PullImage of x: no such host", retryInMs: 10_000 }),
      event("pod/PullFailed", 2, ABOUT, { message: "Failed to pull image x: no such host" }),
    ],
  });
  expect(story?.chapters.map(({ title, lines }) => [title, ...lines])).toEqual([
    [
      "web waits: ImagePullBackOff",
      "Failed to pull image x: no such host",
      "the next attempt is due at 1970-01-01T00:00:09Z",
    ],
  ]);
});

test("a process that could not be started is told so, with the runtime's words", async () => {
  const start = record({ exitCode: 128, reason: "StartError", message: "exec: /no/such: no such file" });
  await using bench = new Bench({ records: { get: () => ({ status: { containers: [start] } }) } });
  await bench.journal.start();
  bench.dies(128);
  const story = bench.journal.whyPod(POD);
  expect(story?.headline).toBe("ended once; the last: web could not be started");
  expect(story?.chapters[0]?.lines).toEqual([
    "exit code 128, the runtime says StartError: exec: /no/such: no such file",
  ]);
});

test("a pull that fails is one obstacle, with the time of the next attempt", () => {
  const onPod = { podUid: UID, pod: POD };
  const story = tellPod({
    pod: POD,
    terminations: [],
    events: [
      event("pod/SyncFailed", 3, onPod, { step: "sync", message: "no such image", retryInMs: 10_000 }),
      event("pod/ContainerFailed", 2, ABOUT, { waiting: "ErrImagePull", message: "Error: no such image" }),
    ],
  });
  expect(story?.chapters.map(({ title, lines }) => [title, ...lines])).toEqual([
    ["web waits: ErrImagePull", "Error: no such image", "the next attempt is due at 1970-01-01T00:00:13Z"],
  ]);
  const other = event("pod/SyncFailed", 3, onPod, { message: "no cgroup", retryInMs: 10_000 });
  const both = [other, event("pod/ContainerFailed", 2, ABOUT, { message: "Error: no such image" })];
  expect(tellPod({ pod: POD, terminations: [], events: both })?.chapters).toHaveLength(2);
});
