// SPDX-License-Identifier: Apache-2.0

import { Bus } from "@holdfast/bus";
import { ManualClock } from "@holdfast/core/manual-clock";
import { describe, expect, it } from "vitest";
import { FilePodSource } from "../../src/config/file-pod-source.ts";
import { ManifestProblemChanged } from "../../src/config/events.ts";
import { PodConfig } from "../../src/config/pod-config.ts";
import type { SourceSnapshot } from "../../src/config/pod-update.ts";
import { MemoryFolder, MemoryLastGood } from "./memory-folder.ts";

const pod = (name: string, image = "a:1"): string =>
  `apiVersion: v1\nkind: Pod\nmetadata: {name: ${name}}\nspec: {containers: [{name: c, image: "${image}"}]}\n`;
const BROKEN = "apiVersion: v1\nkind: Pod\nmetadata: {name: a}\nspec: {}\n";

class Env implements AsyncDisposable {
  readonly clock = new ManualClock();
  readonly folder: MemoryFolder = new MemoryFolder(this.clock);
  readonly lastGood: MemoryLastGood = new MemoryLastGood();
  readonly bus = new Bus({ clock: this.clock });
  snapshots: SourceSnapshot[] = [];
  source: FilePodSource = this.#make();

  #make(): FilePodSource {
    const { clock, folder, lastGood, bus } = this;
    return new FilePodSource({
      folder,
      clock,
      lastGood,
      nodeName: "n1",
      publish: bus,
      deliver: (snapshot) => void this.snapshots.push(snapshot),
    });
  }

  /** A new agent over the same folder and state. */
  async restart(): Promise<void> {
    await this.source.stop();
    this.snapshots = [];
    this.source = this.#make();
  }

  /** Names and images of what was delivered last. */
  get running(): readonly string[] {
    return (this.last?.pods ?? []).map(
      ({ metadata, spec }) => `${metadata.name} ${spec.containers[0]?.image}`,
    );
  }

  get last(): SourceSnapshot | undefined {
    return this.snapshots.at(-1);
  }

  get reasons(): readonly string[] {
    return this.source.problems().map(({ file, reason }) => `${file}: ${reason}`);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.source.stop();
    const left = { timers: this.clock.waiting, watchers: this.folder.watchers };
    if (left.timers + left.watchers > 0) throw new Error(`left behind: ${JSON.stringify(left)}`);
  }
}

/** A started source over these files, all written long ago. */
async function started(files: Readonly<Record<string, string>> = {}): Promise<Env> {
  const env = new Env();
  for (const [name, text] of Object.entries(files)) env.folder.moveIn(name, text);
  await env.clock.advance(10_000);
  await env.source.start();
  return env;
}

describe("a folder of manifests", () => {
  it("is delivered as a whole at start, and is ready", async () => {
    await using env = await started({
      "b.yaml": pod("b"),
      "a.json": pod("a"),
      "c.yaml": `${pod("c")}---\n${pod("d")}`,
    });
    expect(env.snapshots).toHaveLength(1);
    expect(env.running).toEqual(["a-n1 a:1", "b-n1 a:1", "c-n1 a:1", "d-n1 a:1"]);
    expect(env.last).toMatchObject({ source: "file", ready: true, unknown: [] });
  });

  // kubelet: TestExtractFromEmptyDir
  it("is ready when it is empty", async () => {
    await using env = await started();
    expect(env.snapshots).toEqual([{ source: "file", pods: [], ready: true, unknown: [] }]);
  });

  // kubelet: TestWatchFileAdded
  it("takes a file that is moved in at once", async () => {
    await using env = await started();
    env.folder.moveIn("a.yaml", pod("a"));
    await env.clock.advance(0);
    expect(env.running).toEqual(["a-n1 a:1"]);
  });

  // kubelet: TestWatchFileChanged
  it("takes a change, with a new UID", async () => {
    await using env = await started({ "a.yaml": pod("a") });
    const uid = env.last?.pods[0]?.metadata.uid;
    env.folder.moveIn("a.yaml", pod("a", "a:2"));
    await env.clock.advance(0);
    expect(env.running).toEqual(["a-n1 a:2"]);
    expect(env.last?.pods[0]?.metadata.uid).not.toBe(uid);
  });

  it("delivers the first of many changes at once, and the others every 20 ms", async () => {
    await using env = await started();
    env.snapshots = [];
    for (let file = 0; file < 30; file++) {
      env.folder.moveIn(`${file}.yaml`, pod(`p${file}`));
      await env.clock.advance(1);
    }
    expect(env.snapshots.map(({ pods }) => pods.length)).toEqual([1, 20]);
    await env.clock.advance(20);
    expect(env.snapshots.map(({ pods }) => pods.length)).toEqual([1, 20, 30]);
  });

  it("waits for a writer: 20 ms without a change", async () => {
    await using env = await started();
    const text = pod("a", "a:123");
    for (const end of [0, 20, 60, text.indexOf("a:123") + 3, text.length]) {
      env.folder.write("a.yaml", text.slice(0, end));
      await env.clock.advance(15);
    }
    expect(env.running).toEqual([]);
    await env.clock.advance(60);
    expect(env.running).toEqual(["a-n1 a:123"]);
    expect(env.reasons).toEqual([]);
  });

  it("gives a broken file 2 s before it says so", async () => {
    await using env = await started();
    env.folder.write("a.yaml", pod("a").slice(0, 30));
    await env.clock.advance(1500);
    expect(env.reasons).toEqual([]);
    expect(env.last?.unknown).toEqual([]);
    await env.clock.advance(1000);
    expect(env.reasons.join()).toMatch(/invalid YAML/);
  });

  it("a file that vanishes with its folder before it was understood is unknown until the folder is back", async () => {
    await using env = await started();
    env.folder.write("a.yaml", "apiVersion: v1");
    await env.clock.advance(100);
    env.folder.disappear();
    await env.clock.advance(3000);
    expect(env.last?.unknown).toEqual(["/m/a.yaml"]);
    env.folder.comeBack();
    env.folder.remove("a.yaml");
    await env.clock.advance(3000);
    expect(env.last?.unknown).toEqual([]);
    expect(env.reasons).toEqual([]);
  });

  it("finds what no hint told, every 20 s, and reads nothing that did not change", async () => {
    await using env = await started({ "a.yaml": pod("a"), "b.yaml": pod("b") });
    env.folder.hints = false;
    env.folder.moveIn("a.yaml", pod("a", "a:2"));
    env.folder.remove("b.yaml");
    const { reads } = env.folder;
    await env.clock.advance(19_000);
    expect(env.running).toEqual(["a-n1 a:1", "b-n1 a:1"]);
    await env.clock.advance(1200);
    expect(env.running).toEqual(["a-n1 a:2"]);
    expect(env.folder.reads).toBe(reads + 1);
  });

  it("removes the pods of a deleted file, but not while an editor replaces it", async () => {
    await using env = await started({ "a.yaml": pod("a") });
    env.folder.remove("a.yaml");
    await env.clock.advance(50);
    env.folder.moveIn("a.yaml", pod("a"));
    await env.clock.advance(500);
    expect(env.snapshots.every(({ pods }) => pods.length === 1)).toBe(true);
    env.folder.remove("a.yaml");
    await env.clock.advance(100);
    expect(env.running).toEqual([]);
    expect(env.lastGood.texts.size).toBe(0);
  });

  it("says that folders and sockets in it are not read", async () => {
    await using env = await started({ "a.yaml": pod("a") });
    env.folder.special("dir", "directory");
    env.folder.special("pipe", "other");
    await env.clock.advance(100);
    expect(env.source.problems().map(({ file, severity }) => `${file} ${severity}`)).toEqual([
      "/m/dir warning",
      "/m/pipe error",
    ]);
    expect(env.running).toEqual(["a-n1 a:1"]);
  });

  it("refuses a 10 MB file without reading it", async () => {
    await using env = await started();
    env.folder.moveIn("big.yaml", new Uint8Array(10 * 1024 * 1024));
    await env.clock.advance(3000);
    expect(env.reasons).toEqual([
      "/m/big.yaml: the file has 10485760 bytes; at most 262144 are read (maxManifestBytes)",
    ]);
    expect(env.folder.reads).toBe(0);
  });
});

describe("bad manifests never take a pod away", () => {
  it("an invalid edit leaves the last good version running; mended, it is taken up", async () => {
    await using env = await started({ "a.yaml": pod("a"), "b.yaml": pod("b") });
    await using events = env.bus.subscribe([ManifestProblemChanged], {
      name: "test",
      capacity: 10,
      overflow: "drop-oldest",
    });
    env.folder.moveIn("a.yaml", BROKEN);
    await env.clock.advance(3000);
    expect(env.running).toEqual(["a-n1 a:1", "b-n1 a:1"]);
    const [a] = env.last?.pods ?? [];
    expect(a && env.source.problemsOf(a)).toMatchObject([
      { line: 4, fieldPath: "spec.containers", severity: "error" },
    ]);
    env.folder.moveIn("a.yaml", pod("a", "a:2"));
    await env.clock.advance(0);
    expect(env.running).toEqual(["a-n1 a:2", "b-n1 a:1"]);
    expect(env.reasons).toEqual([]);
    const told = [];
    for await (const event of events) {
      if (event.type === "gap") throw new Error("gap");
      told.push(event.data);
      if (told.length === 2) break;
    }
    expect(told).toMatchObject([
      { path: "/m/a.yaml", errors: 1, warnings: 0, first: "spec.containers: Required value" },
      { path: "/m/a.yaml", errors: 0, warnings: 0, first: undefined },
    ]);
  });

  it("a file that breaks while the agent is down runs its last good version", async () => {
    await using env = await started({ "a.yaml": pod("a") });
    const uid = env.last?.pods[0]?.metadata.uid;
    await env.restart();
    env.folder.moveIn("a.yaml", BROKEN);
    await env.clock.advance(10_000);
    await env.source.start();
    expect(env.running).toEqual(["a-n1 a:1"]);
    expect(env.last?.pods[0]?.metadata.uid).toBe(uid);
    expect(env.reasons.join()).toMatch(/Required value/);
  });

  it("a file that was deleted while the agent was down is gone", async () => {
    await using env = await started({ "a.yaml": pod("a"), "b.yaml": pod("b") });
    await env.restart();
    env.folder.remove("a.yaml");
    await env.source.start();
    await env.clock.advance(100);
    expect(env.running).toEqual(["b-n1 a:1"]);
    expect([...env.lastGood.texts.keys()]).toEqual(["/m/b.yaml"]);
  });

  it("a file that cannot be read keeps its pods, and is unknown when it never could be", async () => {
    await using env = await started({ "a.yaml": pod("a") });
    env.folder.fail("a.yaml", "permanent", "permission denied");
    env.folder.fail("loop.yaml", "permanent", "its symbolic links form a loop");
    await env.clock.advance(100);
    expect(env.running).toEqual(["a-n1 a:1"]);
    expect(env.last).toMatchObject({ ready: true, unknown: ["/m/loop.yaml"] });
    expect(env.reasons).toEqual([
      "/m/a.yaml: cannot be read: permission denied",
      "/m/loop.yaml: cannot be read: its symbolic links form a loop",
    ]);
  });

  it("a folder that disappears keeps its pods until it is back, within a second", async () => {
    await using env = await started({ "a.yaml": pod("a"), "b.yaml": pod("b") });
    env.folder.disappear();
    await env.clock.advance(60_000);
    expect(env.running).toEqual(["a-n1 a:1", "b-n1 a:1"]);
    expect(env.source.health().failures.join()).toMatch(/cannot be read, so its pods stay/);
    env.folder.comeBack();
    env.folder.remove("b.yaml");
    env.folder.moveIn("c.yaml", pod("c"));
    await env.clock.advance(1500);
    expect(env.running).toEqual(["a-n1 a:1", "c-n1 a:1"]);
    expect(env.source.health().failures).toEqual([]);
    env.folder.moveIn("d.yaml", pod("d"));
    await env.clock.advance(0);
    expect(env.running).toContain("d-n1 a:1");
  });

  // kubelet: TestExtractFromNonExistentFile, deliberately different: the source is not ready.
  it("a file that changed or went while the agent was down is settled before its old version could be started", async () => {
    await using env = await started({ "a.yaml": pod("a"), "b.yaml": pod("b"), "c.yaml": pod("c") });
    await env.source.stop();
    await env.restart();
    // Just written: perhaps only half of it is there.
    env.folder.moveIn("a.yaml", pod("a", "a:2"));
    env.folder.remove("b.yaml");
    await env.source.start();
    expect(env.running).toEqual(["c-n1 a:1"]);
    expect(env.last).toMatchObject({ ready: true, unknown: ["/m/a.yaml", "/m/b.yaml"] });
    await env.clock.advance(200);
    expect(env.running).toEqual(["a-n1 a:2", "c-n1 a:1"]);
    expect(env.last).toMatchObject({ ready: true, unknown: [] });
  });

  it("a folder that is missing at start runs the last good versions and is not ready", async () => {
    await using env = await started({ "a.yaml": pod("a") });
    await env.restart();
    env.folder.disappear();
    await env.source.start();
    expect(env.running).toEqual(["a-n1 a:1"]);
    expect(env.last?.ready).toBe(false);
    env.snapshots = [];
    env.folder.comeBack();
    env.folder.moveIn("a.yaml", pod("a", "a:2"));
    await env.clock.advance(1020);
    expect(env.last?.ready).toBe(true);
    expect(env.running).toEqual(["a-n1 a:2"]);
    // At no time was it said to be gone.
    expect(env.snapshots.every(({ pods }) => pods.length === 1)).toBe(true);
  });

  it("of two files with one pod the running one stays, else the first by name", async () => {
    await using env = await started({ "b.yaml": pod("a", "b:1"), "c.yaml": pod("a", "c:1") });
    expect(env.running).toEqual(["a-n1 b:1"]);
    expect(env.reasons).toEqual([
      '/m/c.yaml: Duplicate value: "default/a-n1": /m/b.yaml:1 defines this pod already, and that one runs',
    ]);
    env.folder.moveIn("a.yaml", pod("a", "a:1"));
    await env.clock.advance(0);
    expect(env.running).toEqual(["a-n1 b:1"]);
    env.folder.remove("b.yaml");
    await env.clock.advance(100);
    expect(env.running).toEqual(["a-n1 a:1"]);
  });

  it("two pods of one UID do not both run", async () => {
    const withUid = (name: string): string => pod(name).replace("{name:", "{uid: u1, name:");
    await using env = await started({ "a.yaml": withUid("a"), "b.yaml": withUid("b") });
    expect(env.running).toEqual(["a-n1 a:1"]);
    expect(env.reasons.join()).toMatch(/Duplicate value: "u1"/);
  });

  it.each([3_600_000, -3_600_000])("a wall clock stepped by %d ms changes nothing", async (step) => {
    await using env = await started({ "a.yaml": pod("a") });
    env.clock.stepWall(step);
    env.folder.moveIn("b.yaml", pod("b"));
    await env.clock.advance(100);
    env.folder.moveIn("a.yaml", BROKEN);
    await env.clock.advance(2500);
    expect(env.running).toEqual(["a-n1 a:1", "b-n1 a:1"]);
    expect(env.reasons).toHaveLength(1);
  });
});

describe("a watch that is lost before it is open", () => {
  it("is opened anew, and tells of changes then", async () => {
    await using env = new Env();
    const { folder } = env;
    const watch = folder.watch.bind(folder);
    folder.watch = (_onHint, onLost) => {
      folder.watch = watch;
      onLost("an error at once");
      return Promise.resolve({ close: async () => {} });
    };
    await env.source.start();
    expect(folder.watchers).toBe(0);
    await env.clock.advance(1000);
    expect(folder.watchers).toBe(1);
    folder.moveIn("a.yaml", pod("a"));
    await env.clock.advance(20);
    expect(env.running).toEqual(["a-n1 a:1"]);
  });
});

describe("start and stop", () => {
  it("stop twice, stop before start, stop while a file is waited for", async () => {
    const env = new Env();
    await env.source.stop();
    await env.source.start();
    env.folder.write("a.yaml", "apiVersion");
    await env.clock.advance(10);
    await env.source.stop();
    await env.source.stop();
    expect(env.clock.waiting).toBe(0);
  });

  it("a start that is given up leaves nothing behind", async () => {
    const env = new Env();
    const reason = new Error("no");
    await expect(env.source.start(AbortSignal.abort(reason))).rejects.toBe(reason);
    await env.source.stop();
    expect(env.folder.watchers).toBe(0);
    expect(env.clock.waiting).toBe(0);
  });

  it("feeds a PodConfig: an edit is REMOVE and ADD", async () => {
    const env = new Env();
    const config = new PodConfig({ sources: ["file"], clock: env.clock });
    const ops: string[] = [];
    config.subscribe((updates) => void ops.push(...updates.map(({ op, pods }) => `${op} ${pods.length}`)));
    const { clock, folder } = env;
    await using source = new FilePodSource({
      folder,
      clock,
      nodeName: "n1",
      deliver: (snapshot) => config.update(snapshot),
    });
    expect(config.seenAllSources()).toBe(false);
    await source.start();
    expect(config.seenAllSources()).toBe(true);
    folder.moveIn("a.yaml", pod("a"));
    await clock.advance(0);
    folder.moveIn("a.yaml", pod("a", "a:2"));
    await clock.advance(20);
    expect(ops).toEqual(["ADD 1", "REMOVE 1", "ADD 1"]);
    expect(config.pods()[0]?.metadata.annotations).toMatchObject({ "kubernetes.io/config.source": "file" });
  });
});
