// SPDX-License-Identifier: Apache-2.0
import { mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Bus } from "@holdfast/bus";
import { silentLogger } from "@holdfast/core/log";
import { systemClock } from "@holdfast/core/node";
import { FakeRuntime } from "@holdfast/cri-fake";
import {
  CONTAINER_NAME_LABEL,
  NODE_LABEL,
  POD_NAME_LABEL,
  POD_NAMESPACE_LABEL,
  POD_UID_LABEL,
} from "@holdfast/core/names";
import { ContainerGcManager, ContainerLogManager, ImageGcManager, nodeLogFiles } from "@holdfast/gc";
import type { FilesystemFigures } from "@holdfast/gc";
import { afterEach, beforeEach, expect, test } from "vitest";
import { createRouter } from "../src/api/routes.ts";
import type { AgentView } from "../src/api/routes.ts";
import type { GcView } from "../src/api/gc-routes.ts";
import { ApiServer } from "../src/api/server.ts";
import type { Terminal } from "../src/cli/command.ts";
import { runCli } from "../src/cli/main.ts";

let dir: string;
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), "holdfast-gc-api-"));
});
afterEach(() => rmSync(dir, { recursive: true }));

const MIB = 2 ** 20;

/** Image GC on a fake runtime with four images of 1 MiB, behind a real socket. */
class World implements AsyncDisposable {
  readonly bus = new Bus({ clock: systemClock, ringSize: 100 });
  readonly fake = new FakeRuntime({
    clock: systemClock,
    images: ["a", "b", "c", "postgres"].map((name) => ({
      reference: `docker.io/library/${name}:1`,
      id: `sha256:image-${name}`,
      size: MIB,
    })),
  });
  figures: FilesystemFigures = { capacityBytes: 10 * MIB, availableBytes: 6 * MIB };
  readonly imageGc = new ImageGcManager({
    runtime: this.fake,
    clock: systemClock,
    filesystem: () => Promise.resolve(this.figures),
    layers: "sizes",
    publish: this.bus,
    policy: {
      images: "all",
      minAgeMs: 0,
      highThresholdPercent: 85,
      lowThresholdPercent: 80,
      keep: [{ reference: "postgres:*" }],
    },
  });
  readonly podLogsDir = join(dir, "pods");
  readonly #files = nodeLogFiles([this.podLogsDir]);
  readonly containerGc = new ContainerGcManager({
    runtime: this.fake,
    clock: systemClock,
    labelSelector: { [NODE_LABEL]: "node" },
    pods: {
      allSourcesReady: () => true,
      shouldPodContentBeRemoved: () => false,
      shouldPodRuntimeBeRemoved: () => false,
      ownsPod: () => true,
    },
  });
  readonly logs = new ContainerLogManager({
    runtime: this.fake,
    clock: systemClock,
    files: this.#files,
    targets: () => Promise.resolve([]),
    ownsPod: () => true,
    retention: { keepAttempts: 1, maxBytesPerContainer: -1 },
    podLogsDir: this.podLogsDir,
  });
  gc: GcView | undefined = { imageGc: this.imageGc, containerGc: this.containerGc, logs: this.logs };
  readonly #server = new ApiServer({
    socketPath: join(dir, "s.sock"),
    router: createRouter({} as AgentView, undefined, () => this.gc),
    logger: silentLogger,
  });

  static async start(): Promise<World> {
    const world = new World();
    await world.#server.start();
    const sandbox = { metadata: { name: "web", namespace: "default", uid: "u", attempt: 0 } };
    const { podSandboxId } = await world.fake.runPodSandbox({ config: sandbox });
    await world.fake.createContainer({
      podSandboxId,
      sandboxConfig: sandbox,
      config: { metadata: { name: "app", attempt: 0 }, image: { image: "docker.io/library/b:1" } },
    });
    return world;
  }

  cli(...argv: string[]): Promise<{ code: number; stdout: string; stderr: string }> {
    return this.cliUntil(() => false, ...argv);
  }

  /** Ctrl-C comes when something printed says so. */
  async cliUntil(
    ends: (text: string) => boolean,
    ...argv: string[]
  ): Promise<{ code: number; stdout: string; stderr: string }> {
    const life = new AbortController();
    const printed = { stdout: "", stderr: "" };
    const terminal: Terminal = {
      isTty: false,
      columns: Number.POSITIVE_INFINITY,
      rows: 24,
      out: (text) => {
        printed.stdout += text.toString();
        if (ends(text.toString())) life.abort();
      },
      err: (text) => void (printed.stderr += text),
    };
    const code = await runCli(["gc", ...argv, "--socket", join(dir, "s.sock")], terminal, life.signal);
    return { code, ...printed };
  }

  /** Dead containers of ours, oldest first. */
  async dead(count: number): Promise<string[]> {
    const labels = {
      [NODE_LABEL]: "node",
      [POD_UID_LABEL]: "u1",
      [POD_NAME_LABEL]: "web",
      [POD_NAMESPACE_LABEL]: "default",
      [CONTAINER_NAME_LABEL]: "app",
    };
    const sandbox = { metadata: { name: "web", namespace: "default", uid: "u1", attempt: 0 }, labels };
    const { podSandboxId } = await this.fake.runPodSandbox({ config: sandbox });
    const ids: string[] = [];
    for (let attempt = 0; attempt < count; attempt++) {
      const config = {
        metadata: { name: "app", attempt },
        image: { image: "docker.io/library/b:1" },
        labels,
      };
      const { containerId } = await this.fake.createContainer({
        podSandboxId,
        sandboxConfig: sandbox,
        config,
      });
      await this.fake.startContainer({ containerId });
      await this.fake.stopContainer({ containerId, timeout: 0n });
      ids.push(containerId);
    }
    return ids;
  }

  async left(): Promise<string[]> {
    const { images } = await this.fake.listImages({});
    return images.map(({ id }) => id.slice("sha256:image-".length)).sort();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#server.stop();
    await this.imageGc.stop();
  }
}

test("a dry run prints each image with why it goes or stays, and removes nothing", async () => {
  await using world = await World.start();
  const { code, stdout } = await world.cli("images", "--dry-run", "--target-percent", "30");
  expect(code).toBe(0);
  const rows = stdout.trim().split("\n");
  expect(rows[0]).toMatch(/^IMAGE +SIZE +LAST USED +USED BY +VERDICT +RULE +FREES +WHY$/);
  expect(rows[1]).toMatch(
    /^docker.io\/library\/a:1 .* remove +space +1\.0 MiB +never used .* and 1\.0 MiB must go$/,
  );
  expect(stdout).toMatch(/c:1 .* keep +enough-freed/);
  expect(stdout).toMatch(/b:1 .* app \(.*\) +keep +in-use +- +used by app/);
  expect(stdout).toMatch(/postgres:1 .* keep +keep-rule +- +kept by rule: name postgres:\*/);
  expect(rows.at(-1)).toMatch(
    /^40% of 10\.0 MiB used; 1 of 4 images would go and free 1\.0 MiB \(about .* on the disk\)$/,
  );
  expect(await world.left()).toEqual(["a", "b", "c", "postgres"]);
  const json = await world.cli("images", "--dry-run", "-o", "json");
  const plan = JSON.parse(json.stdout) as { goal: string; entries: { rule: string }[] };
  expect([plan.goal, plan.entries.map(({ rule }) => rule)]).toEqual([
    "thresholds",
    ["enough-space", "enough-space", "in-use", "keep-rule"],
  ]);
});

test("what the plan printed before is what happens", async () => {
  await using world = await World.start();
  const { code, stdout, stderr } = await world.cli("images", "--target-percent", "20");
  expect([code, stderr]).toEqual([0, ""]);
  expect(stdout).toContain("2 of 4 images would go and free 2.0 MiB");
  expect(stdout.slice(stdout.indexOf("\n\n"))).toBe(
    "\n\nremoved docker.io/library/a:1: 1.0 MiB\nremoved docker.io/library/c:1: 1.0 MiB\n2 images removed, 2.0 MiB freed\n",
  );
  expect(await world.left()).toEqual(["b", "postgres"]);
  const started = world.bus.recent().find(({ type }) => type === "gc/ImageGcStarted");
  expect(started?.data).toMatchObject({ by: expect.stringMatching(/./) as string });
});

test("what cannot be freed is an error that says who holds the space", async () => {
  await using world = await World.start();
  const { code, stdout, stderr } = await world.cli("images", "--target-percent", "0", "-o", "json");
  expect([code, stderr]).toEqual([1, ""]);
  expect(JSON.parse(stdout)).toMatchObject({
    removed: 2,
    freedBytes: 2 * MIB,
    error: expect.stringContaining("Insufficient free disk space") as string,
    heldBy: expect.stringContaining(
      "1.0 MiB in 1 image used by containers, 1.0 MiB in 1 image kept by rules",
    ) as string,
    images: [{ kind: "removed" }, { kind: "removed" }],
  });
  const again = await world.cli("images", "--target-percent", "0");
  expect(again.stderr).toMatch(
    /^holdfast: Insufficient.*\n {2}held by: 1\.0 MiB in 1 image used by containers/,
  );
});

test("Ctrl-C ends the pass after the removal that it is at", async () => {
  await using world = await World.start();
  world.fake.addFault({ match: { method: "RemoveImage" }, latencyMs: 30 });
  const { code } = await world.cliUntil((text) => text.startsWith("removed"), "images", "--unused");
  expect(code).not.toBe(0);
  // The agent hears of it when the connection closes: what comes next waits for its turn.
  await world.imageGc.collect();
  const left = await world.left();
  expect(left).toEqual(expect.arrayContaining(["b", "postgres"]));
  expect(left).not.toContain("a");
  expect(world.imageGc.locks.snapshot()).toEqual({ held: [], removing: [] });
});

test("all that nobody uses", async () => {
  await using world = await World.start();
  expect((await world.cli("images", "--unused")).code).toBe(0);
  expect(await world.left()).toEqual(["b", "postgres"]);
});

test.each([
  [["images", "--target-percent", "101"], 2, "--target-percent takes 0 to 100"],
  [["images", "--target-percent", "x"], 2, "takes a whole number"],
  [["images", "--unused", "--target-percent", "5"], 2, "takes no --target-percent"],
  [["images", "-o", "xml"], 2, 'unknown output "xml"'],
  [[], 2, "what to collect? images"],
  [["pods"], 2, 'cannot collect "pods"'],
])("wrong usage is told: %j", async (argv, code, message) => {
  await using world = await World.start();
  const answer = await world.cli(...argv);
  expect(answer.code).toBe(code);
  expect(answer.stderr).toContain(message);
});

test("an agent that removes no images, and one whose runtime has not answered, say so", async () => {
  await using world = await World.start();
  world.gc = { imageGc: undefined, containerGc: world.containerGc, logs: world.logs };
  expect((await world.cli("images", "--dry-run")).stderr).toContain("imageGCScope is none");
  world.gc = undefined;
  expect((await world.cli("images")).stderr).toContain("the container runtime has not answered yet");
});

test("dead containers: the plan first, then what became of it", async () => {
  await using world = await World.start();
  const [first] = await world.dead(2);
  const dry = await world.cli("containers", "--dry-run");
  expect(dry.code).toBe(0);
  expect(dry.stdout).toMatch(
    /^KIND +NAME +AGE +VERDICT +RULE +WHY\ncontainer +default\/web\/app #0 .* remove +per-container-limit/,
  );
  expect(dry.stdout).toMatch(/sandbox +default\/web #0 .* keep +ready +it is ready/);
  expect(dry.stdout.trim().split("\n").at(-1)).toBe(
    "1 of 2 containers, 0 of 1 sandboxes and 0 of 0 log folders would go",
  );
  expect(world.fake.containers()).toHaveLength(3);
  const json = await world.cli("containers", "-o", "json");
  expect(JSON.parse(json.stdout)).toMatchObject({
    containers: [first],
    plan: { listBytes: expect.any(Number) as number },
  });
  expect((await world.cli("containers")).stdout).toContain(
    "\n0 containers, 0 sandboxes and 0 log folders removed\n",
  );
});

test("logs of restarts whose container is gone", async () => {
  await using world = await World.start();
  const folder = join(world.podLogsDir, "default_web_u1", "app");
  mkdirSync(folder, { recursive: true });
  for (const name of ["0.log", "1.log", "1.log.20260101-000000.gz", "2.log"])
    writeFileSync(join(folder, name), "12345");
  const dry = await world.cli("logs", "--dry-run");
  expect(dry.stdout).toMatch(/default_web_u1\/app +2 +1 +5 B +keep +newest/);
  expect(dry.stdout).toMatch(/default_web_u1\/app +1 +2 +10 B +remove +attempts/);
  expect(dry.stdout).toContain("logs of 2 of 3 attempts would go and free 15 B");
  expect(JSON.parse((await world.cli("logs", "--dry-run", "-o", "json")).stdout)).toHaveLength(1);
  expect((await world.cli("logs")).stdout).toContain("\n15 B freed\n");
  expect(readdirSync(folder)).toEqual(["2.log"]);
  expect(JSON.parse((await world.cli("logs", "-o", "json")).stdout)).toEqual({ freedBytes: 0 });
  expect((await world.cli("logs", "--unused")).stderr).toContain("are for images");
});

test("a disk that reports nonsense: no deletion, a clear error", async () => {
  await using world = await World.start();
  world.figures = { capacityBytes: 0, availableBytes: 0 };
  for (const argv of [["images", "--dry-run"], ["images"]]) {
    const { code, stderr } = await world.cli(...argv);
    expect(code).toBe(1);
    expect(stderr).toContain("invalid capacity 0 on image filesystem");
  }
  expect(await world.left()).toHaveLength(4);
});
