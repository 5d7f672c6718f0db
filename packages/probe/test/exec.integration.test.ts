// SPDX-License-Identifier: Apache-2.0

// On a real containerd (HOLDFAST_TEST_CONTAINERD): what commands come to, and what they leave behind.
import process from "node:process";
import { randomUUID } from "node:crypto";
import { systemClock } from "@holdfast/core/node";
import { createCriClient } from "@holdfast/cri";
import { ExecProber } from "@holdfast/probe";
import type { ProbeOutcome } from "@holdfast/probe";
import { nodeProbeProcesses } from "@holdfast/probe/node";
import { afterAll, beforeAll, describe, expect, test } from "vitest";

const cri = createCriClient({ endpoint: process.env["HOLDFAST_TEST_CONTAINERD"] ?? "" });
const left: { readonly processes: number; readonly ended: number }[] = [];
let noteLeft: () => void = () => {};
const prober = new ExecProber({
  runtime: cri,
  clock: systemClock,
  processes: nodeProbeProcesses,
  answerGraceMs: 2000,
  onLeftBehind: (_id, processes, ended) => {
    left.push({ processes, ended });
    noteLeft();
  },
});
let sandboxId = "";
let containerId = "";

beforeAll(async () => {
  const sandboxConfig = {
    metadata: { name: "probe-test", namespace: "default", uid: randomUUID(), attempt: 0 },
    linux: { securityContext: { namespaceOptions: { network: 2 as const } } },
  };
  sandboxId = (await cri.runPodSandbox({ config: sandboxConfig })).podSandboxId;
  const answer = await cri.createContainer({
    podSandboxId: sandboxId,
    sandboxConfig,
    config: {
      metadata: { name: "app", attempt: 0 },
      image: { image: "holdfast.local/busybox:1" },
      command: ["/bin/sh", "-c", "trap 'exit 0' TERM; while :; do sleep 0.2; done"],
    },
  });
  ({ containerId } = answer);
  await cri.startContainer({ containerId });
});

afterAll(async () => {
  await cri.stopPodSandbox({ podSandboxId: sandboxId });
  await cri.removePodSandbox({ podSandboxId: sandboxId });
  await cri.close();
});

/** What a command forks is only told from others' while it runs, in its last second: so long may this process stand still. */
const FORKS_MS = 3000;

const runFor = (timeoutMs: number, ...command: string[]): Promise<ProbeOutcome> =>
  new Promise((resolve) => prober.start({ handler: "exec", containerId, command, timeoutMs }, resolve));

const run = (...command: string[]): Promise<ProbeOutcome> => runFor(1000, ...command);

/** The same, how many processes it left and how many of these were ended; and how many of this name live on. */
async function runAndCount(name: string, ...command: string[]): Promise<object> {
  const noted = new Promise<void>((resolve) => (noteLeft = resolve));
  const outcome = await runFor(FORKS_MS, ...command);
  await noted;
  const { output } = await run("sh", "-c", `ps -o args | grep -c '^${name}$'`);
  return { outcome, left: left.at(-1), living: Number(output) };
}

const timedOut = (command: string, after = "1s"): ProbeOutcome => ({
  result: "failure",
  output: `command timed out: "${command}" timed out after ${after}`,
});

describe("a command", () => {
  test("succeeds", async () =>
    expect(await run("echo", "hi")).toMatchObject({ result: "success", output: "hi\n" }));

  test("fails", async () => {
    expect(await run("sh", "-c", "echo no; echo why >&2; exit 3")).toMatchObject({
      result: "failure",
      output: "no\nwhy\n",
    });
  });

  test("does not exist: nothing is known of the target", async () => {
    const outcome = await run("/no/such");
    expect(outcome).toMatchObject({ result: "unknown", error: { why: "runtime" } });
    expect(outcome.error?.text).toMatch(
      /^failed to exec in container: .*\/no\/such.*no such file or directory/,
    );
  });

  test("takes too long, and is ended whole", async () => {
    left.length = 0;
    expect(await run("sleep", "301")).toEqual(timedOut("sleep 301"));
    expect((await run("true")).result).toBe("success");
    expect(left).toEqual([]);
  });

  test("forks: the runtime ends the command alone, we what it has left", async () => {
    const script = "(trap '' TERM; exec sleep 302 >/dev/null 2>&1) & sleep 302";
    expect(await runAndCount("sleep 302", "sh", "-c", script)).toMatchObject({
      outcome: timedOut(`sh -c ${script}`, "3s"),
      left: { processes: 1, ended: 1 },
      living: 0,
    });
  });

  test("forks and ignores SIGTERM while it holds the pipes: the runtime answers when that is ended", async () => {
    const script = "trap '' TERM; sleep 303; sleep 303";
    expect(await runAndCount("sleep 303", "sh", "-c", script)).toMatchObject({
      outcome: timedOut(`sh -c ${script}`, "3s"),
      left: { processes: 1, ended: 1 },
      living: 0,
    });
    // The container is as well as before.
    expect((await run("true")).result).toBe("success");
  });
});
