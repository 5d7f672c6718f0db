// SPDX-License-Identifier: Apache-2.0

// `npm start` as a person runs it, on the tests' containerd and beside a `npm start` that may run in this clone.
import { spawn } from "node:child_process";
import { randomBytes } from "node:crypto";
import { existsSync, readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import process from "node:process";
import { INSTANCE_LABEL } from "@holdfast/core/names";
import { createCriClient } from "@holdfast/cri";
import { expect, test } from "vitest";
import { repo } from "./harness/agent-process.ts";
import { removeCgroups } from "./harness/cgroups.ts";
import { unmountBelow } from "./harness/mounts.ts";
import { testEndpoint } from "./harness/runtime.ts";
import { until } from "./harness/until.ts";

/** Set-up looks at everything that it made before, on a machine that may have much else to do. */
const SET_UP_MS = 80_000;

/** One `npm start` in a process group of its own, as a shell makes it. */
class NpmStart {
  output = "";
  exitCode: number | null | undefined;
  readonly #pid: number;

  constructor(name: string) {
    const child = spawn("npm", ["start"], {
      cwd: repo,
      detached: true,
      stdio: ["ignore", "pipe", "pipe"],
      env: {
        ...process.env,
        // As a person's shell has it: Debian's npm runs on Debian's Node.js only, not on the checkout's.
        PATH: (process.env["PATH"] ?? "")
          .split(":")
          .filter((dir) => !dir.startsWith(repo))
          .join(":"),
        HOLDFAST_START_NAME: name,
        HOLDFAST_RUNTIME: testEndpoint().replace("unix://", ""),
      },
    });
    this.#pid = child.pid ?? 0;
    for (const stream of [child.stdout, child.stderr])
      stream.on("data", (chunk: Buffer) => (this.output += chunk.toString()));
    child.on("close", (code) => (this.exitCode = code));
  }

  says(text: string): Promise<unknown> {
    const context = (): string => this.output.slice(-3000);
    return until(() => this.output.includes(text), `npm start says "${text}"`, SET_UP_MS, context);
  }

  /** Ctrl-C: the terminal signals npm, its shell, the script and whatever else is in the group. */
  async ctrlC(): Promise<void> {
    process.kill(-this.#pid, "SIGINT");
    await until(() => this.exitCode !== undefined, "npm start ends at Ctrl-C");
  }

  kill(): void {
    if (this.exitCode === undefined) process.kill(-this.#pid, "SIGKILL");
  }
}

test("npm start takes over from another one; Ctrl-C to its whole process group leaves the pods running and says so", async () => {
  const name = `t${randomBytes(3).toString("hex")}`;
  const home = join(repo, ".holdfast", `agent-${name}`);
  const starts: NpmStart[] = [];
  await using client = createCriClient({ endpoint: testEndpoint() });
  const instance = (): string => readFileSync(join(home, "state", "instance-id"), "utf8").trim();
  const running = async (): Promise<readonly string[]> => {
    const labelSelector = { [INSTANCE_LABEL]: instance() };
    const { containers } = await client.listContainers({ filter: { labelSelector, state: { state: 1 } } });
    // The examples' that do not end by themselves.
    const lasting = containers.filter((one) =>
      ["httpd", "writer", "server"].includes(one.metadata?.name ?? ""),
    );
    return lasting.map(({ id }) => id).sort();
  };
  try {
    const first = new NpmStart(name);
    starts.push(first);
    await first.says("get pods --socket");
    const before = await until(async () => {
      const ids = await running();
      return ids.length === 3 && ids;
    }, "the examples run");

    // A second one takes over, and the first says so.
    const second = new NpmStart(name);
    starts.push(second);
    await until(() => first.exitCode !== undefined, "the first npm start ends");
    expect([first.exitCode, first.output]).toEqual([0, expect.stringContaining("stopped from elsewhere")]);
    await second.says("get pods --socket");
    await second.ctrlC();
    expect(second.output).toContain("The agent is stopped. Its pods go on running.");
    expect(await running()).toEqual(before);
  } finally {
    for (const start of starts) start.kill();
    await removeAll(name, home, existsSync(home) ? instance() : "");
  }
});

/** What `npm run clean` would do for a start without a name. */
async function removeAll(name: string, home: string, instance: string): Promise<void> {
  const config = existsSync(join(home, "config.yaml")) ? readFileSync(join(home, "config.yaml"), "utf8") : "";
  const told = (key: string): string =>
    JSON.parse(new RegExp(`^${key}: (".*")$`, "m").exec(config)?.[1] ?? '""') as string;
  // Left behind only where a start had to be killed.
  const pid = join(told("runDir"), "start.pid");
  if (existsSync(pid)) process.kill(Number(readFileSync(pid, "utf8").split(" ")[0]), "SIGKILL");
  await using client = createCriClient({ endpoint: testEndpoint() });
  const { items } = await client.listPodSandbox({
    filter: { id: "", labelSelector: { [INSTANCE_LABEL]: instance } },
  });
  for (const { id, labels } of items) {
    if (instance === "" || labels[INSTANCE_LABEL] !== instance) continue;
    await client.stopPodSandbox({ podSandboxId: id });
    await client.removePodSandbox({ podSandboxId: id });
  }
  if (told("cgroupRoot") !== "") removeCgroups(told("cgroupRoot"));
  unmountBelow(home);
  for (const path of [home, told("runDir"), join(repo, ".holdfast", `runtime-choice-${name}.json`)])
    if (path !== "") rmSync(path, { recursive: true, force: true });
}
