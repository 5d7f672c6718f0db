// SPDX-License-Identifier: Apache-2.0
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { silentLogger } from "@holdfast/core/log";
import { ManualClock } from "@holdfast/core/manual-clock";
import type { Pod } from "@holdfast/core/pod-types";
import type { RuntimePodStatus } from "@holdfast/core/runtime-status";
import type { DiskLedgerView } from "@holdfast/gc";
import type { PodStats, SampleOptions, StatsProvider, StatsSample } from "@holdfast/stats";
import { afterEach, beforeEach, expect, test } from "vitest";
import { createRouter } from "../src/api/routes.ts";
import type { AgentView } from "../src/api/routes.ts";
import { ApiServer } from "../src/api/server.ts";
import type { ApiRouter } from "../src/api/server.ts";
import type { Terminal } from "../src/cli/command.ts";
import { runCli } from "../src/cli/main.ts";
import type { AgentConfig } from "../src/config/agent-config.ts";
import { statsPodOf } from "../src/run/stats-side.ts";

let dir: string;
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), "holdfast-stats-api-"));
});
afterEach(() => rmSync(dir, { recursive: true }));

const MIB = 2 ** 20;
const TIME = "2026-11-21T10:00:00.000Z";

function podStats(name: string, workingSetBytes: number, usageNanoCores: number): PodStats {
  return {
    podRef: { name, namespace: "default", uid: `uid-${name}` },
    startTime: TIME,
    containers: [
      {
        name: "main",
        startTime: TIME,
        cpu: { time: TIME, usageNanoCores },
        memory: { time: TIME, workingSetBytes },
        rootfs: { time: TIME, usedBytes: MIB },
        logs: { time: TIME, usedBytes: MIB },
      },
    ],
    cpu: { time: TIME, usageNanoCores },
    memory: { time: TIME, workingSetBytes },
    network: { time: TIME, name: "eth0", rxBytes: 2048, txBytes: 1024 },
    process_stats: { process_count: 3 },
    "ephemeral-storage": { time: TIME, usedBytes: 2 * MIB },
  };
}

/** Statistics that are known beforehand; the first sample has no rate of the node. */
class KnownStats implements Pick<StatsProvider, "sample"> {
  readonly asked: SampleOptions[] = [];
  problems: StatsSample["problems"] = [];

  async sample(options: SampleOptions = {}): Promise<StatsSample> {
    this.asked.push(options);
    const none = { avg10: 0, avg60: 0, avg300: 0, total: 0 };
    const psi = { full: none, some: { ...none, avg10: 12.4 } };
    return {
      at: this.asked.length,
      summary: {
        node: {
          nodeName: "here",
          startTime: TIME,
          cpu: { time: TIME, psi, ...(this.asked.length > 1 && { usageNanoCores: 250_400_000 }) },
          memory: { time: TIME, workingSetBytes: 100 * MIB, availableBytes: 900 * MIB, psi },
          rlimit: { time: TIME, maxpid: 32768, curproc: 313 },
          fs: { time: TIME, capacityBytes: 1000 * MIB, usedBytes: 250 * MIB },
          runtime: { imageFs: { time: TIME, usedBytes: 40 * MIB } },
        },
        pods: [podStats("small", MIB, 2_000_000), podStats("big", 50 * MIB, 1_000_000)],
      },
      layout: { dedicatedImageFs: false, splitContainerFs: false },
      problems: this.problems,
    };
  }
}

interface Printed {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

async function withAgent(
  stats: KnownStats | undefined,
  use: (cli: (...argv: string[]) => Promise<Printed>) => Promise<void>,
): Promise<void> {
  const clock = new ManualClock();
  // A second's sleep is over at once.
  const quick = { ...clock, sleep: async () => {} } as unknown as ManualClock;
  const view = stats === undefined ? undefined : { provider: stats, clock: quick };
  await withRouter(
    createRouter({} as AgentView, undefined, undefined, () => view),
    use,
  );
}

async function withRouter(
  router: ApiRouter,
  use: (cli: (...argv: string[]) => Promise<Printed>) => Promise<void>,
): Promise<void> {
  const server = new ApiServer({ socketPath: join(dir, "s.sock"), router, logger: silentLogger });
  await server.start();
  try {
    await use(async (...argv) => {
      const printed = { stdout: "", stderr: "" };
      const terminal: Terminal = {
        isTty: false,
        columns: Number.POSITIVE_INFINITY,
        rows: 24,
        out: (text) => void (printed.stdout += text.toString()),
        err: (text) => void (printed.stderr += text),
      };
      const line = [...argv, "--socket", join(dir, "s.sock")];
      return { code: await runCli(line, terminal, new AbortController().signal), ...printed };
    });
  } finally {
    await server.stop();
  }
}

test("top shows the node, then pods by their CPU", async () => {
  const stats = new KnownStats();
  await withAgent(stats, async (cli) => {
    const { code, stdout, stderr } = await cli("top");
    expect([code, stderr]).toEqual([0, ""]);
    expect(stdout).toBe(
      [
        "NODE   CPU    MEMORY      AVAILABLE   PIDS        DISK                            IMAGES     PRESSURE",
        "here   251m   100.0 MiB   900.0 MiB   313/32768   250.0 MiB of 1000.0 MiB (25%)   40.0 MiB   12% 12% -",
        "",
        "NAMESPACE   NAME    CPU   MEMORY     PIDS   NET IN    NET OUT   DISK",
        "default     small   2m    1.0 MiB    3      2.0 KiB   1.0 KiB   2.0 MiB",
        "default     big     1m    50.0 MiB   3      2.0 KiB   1.0 KiB   2.0 MiB",
        "",
      ].join("\n"),
    );
  });
  // Nobody had asked lately: a second sample for rates, and that one new.
  expect(stats.asked.map(({ maxAgeMs }) => maxAgeMs)).toEqual([undefined, 0]);
});

test("--fresh measures disks anew", async () => {
  const stats = new KnownStats();
  await withAgent(stats, async (cli) => {
    expect(await cli("top", "--fresh")).toMatchObject({ code: 0, stderr: "" });
  });
  expect(stats.asked[0]).toMatchObject({ maxAgeMs: 0, diskMaxAgeMs: 0 });
  expect(stats.asked[1]?.diskMaxAgeMs).toBeUndefined();
});

test("top by memory, of one pod, with its containers", async () => {
  await withAgent(new KnownStats(), async (cli) => {
    const all = await cli("top", "--sort", "memory");
    expect(all.stdout.indexOf("big")).toBeLessThan(all.stdout.indexOf("small"));
    const { stdout } = await cli("top", "big", "--containers");
    expect(stdout.split("\n").slice(1, 3)).toEqual([
      "default     big      1m    50.0 MiB   3      2.0 KiB   1.0 KiB   2.0 MiB",
      "              main   1m    50.0 MiB                              2.0 MiB",
    ]);
    expect(await cli("top", "gone")).toMatchObject({
      code: 1,
      stderr: expect.stringContaining("nothing of a pod"),
    });
    expect((await cli("top", "--sort", "size")).code).toBe(2);
    expect((await cli("top", "-o", "yaml")).code).toBe(2);
    expect((await cli("top", "a", "b")).code).toBe(2);
  });
});

test("what could not be had is said beside the table; -o json is the Summary", async () => {
  const stats = new KnownStats();
  stats.problems = [{ part: "node.fs", message: "statfs of /var hangs" }];
  await withAgent(stats, async (cli) => {
    const { code, stdout, stderr } = await cli("top", "-o", "json", "-n", "default");
    expect([code, stderr]).toEqual([0, "holdfast: node.fs: statfs of /var hangs\n"]);
    expect(Object.keys(JSON.parse(stdout) as object)).toEqual(["node", "pods"]);
    const raw = await cli("get", "--raw", "/stats/summary?only_cpu_and_memory=true");
    expect(JSON.parse(raw.stdout)).toMatchObject({ node: { nodeName: "here" } });
    expect(stats.asked.at(-1)).toMatchObject({ onlyCpuAndMemory: true });
  });
});

test("before the runtime has answered there are no figures, and that is said", async () => {
  await withAgent(undefined, async (cli) => {
    expect(await cli("top")).toMatchObject({
      code: 1,
      stderr: "holdfast: the container runtime has not answered yet\n",
    });
  });
});

const LEDGER: DiskLedgerView = {
  filesystems: [
    {
      device: 1,
      roles: ["node", "images"],
      capacityBytes: 100 * MIB,
      availableBytes: 40 * MIB,
      usedBytes: 60 * MIB,
      holders: [
        {
          kind: "images-unused",
          bytes: 20 * MIB,
          count: 2,
          estimated: true,
          atLeast: false,
          largest: [{ name: "old", bytes: 12 * MIB }],
        },
        { kind: "others", bytes: 40 * MIB, count: 0, estimated: false, atLeast: false, largest: [] },
      ],
    },
  ],
  problems: ["/var/log/pods has not answered for 2 s"],
};

test("disk shows who holds each file system, and what could not be looked at", async () => {
  const asked: unknown[] = [];
  const ledger = {
    read: async (options: unknown): Promise<DiskLedgerView> => {
      asked.push(options);
      return LEDGER;
    },
  };
  await withRouter(
    createRouter({} as AgentView, undefined, undefined, undefined, () => ledger),
    async (cli) => {
      const { code, stdout, stderr } = await cli("disk");
      expect([code, stderr]).toEqual([0, "holdfast: /var/log/pods has not answered for 2 s\n"]);
      expect(stdout).toBe(
        [
          "node, images: 60.0 MiB of 100.0 MiB used, 40.0 MiB available (60% full)",
          "HELD BY                      SIZE        SHARE   COUNT   LARGEST",
          "unused images                ~20.0 MiB   20.0%   2       old 12.0 MiB",
          "others on this file system   40.0 MiB    40.0%   -       -",
          "",
        ].join("\n"),
      );
      expect(JSON.parse((await cli("disk", "--fresh", "-o", "json")).stdout)).toEqual(LEDGER);
      expect((await cli("disk", "here")).code).toBe(2);
    },
  );
  expect(asked).toEqual([{}, { maxAgeMs: 0 }]);
});

const POD: Pod = {
  apiVersion: "v1",
  kind: "Pod",
  metadata: { name: "web", namespace: "default", uid: "u1" },
  spec: {
    containers: [{ name: "web", image: "i", resources: { requests: { cpu: "1" } } }],
    volumes: [
      { name: "scratch", emptyDir: {} },
      { name: "ram", emptyDir: { medium: "Memory" } },
      { name: "host", hostPath: { path: "/etc" } },
    ],
  },
};

function container(
  id: string,
  state: "running" | "exited",
  createdAt: number,
): RuntimePodStatus["containers"][number] {
  return {
    id,
    name: "web",
    sandboxId: "s2",
    state,
    attempt: 0,
    createdAt,
    startedAt: createdAt,
    finishedAt: 0,
    exitCode: 0,
    reason: "",
    message: "",
    image: "i",
    imageRef: "i",
    hash: "",
    restartCount: 1,
  };
}

test("a pod of ours: its ready sandbox, what runs in it, where its cgroup, logs and emptyDirs are", () => {
  const sandbox = { attempt: 0, createdAt: 5, ip: undefined, hostNetwork: false };
  const status: RuntimePodStatus = {
    uid: "u1",
    name: "web",
    namespace: "default",
    ips: [],
    sandboxes: [
      { ...sandbox, id: "s3", state: "notready" },
      { ...sandbox, id: "s2", state: "ready" },
    ],
    containers: [container("c2", "running", 20), container("c1", "exited", 10)],
  };
  const config = { cgroupsPerQOS: true, cgroupRoot: "/", podLogsDir: "/var/log/pods" } as AgentConfig;
  expect(statsPodOf(POD, status, { config, driver: "cgroupfs", podsDir: "/pods" })).toEqual({
    uid: "u1",
    name: "web",
    namespace: "default",
    sandboxId: "s2",
    createdAt: 5,
    cgroupPath: "/kubepods/burstable/podu1",
    containers: [{ id: "c2", name: "web", createdAt: 20, logFolder: "/var/log/pods/default_web_u1/web" }],
    volumes: [
      { name: "scratch", path: "/pods/u1/volumes/kubernetes.io~empty-dir/scratch", ephemeral: true },
      { name: "ram", path: "/pods/u1/volumes/kubernetes.io~empty-dir/ram", ephemeral: false },
    ],
  });
  const ended = { ...status, containers: [container("c1", "exited", 10)] };
  expect(statsPodOf(POD, ended, { config, driver: "systemd", podsDir: "/pods" })).toBeUndefined();
});
