// SPDX-License-Identifier: Apache-2.0

// Why containers ended, on a real runtime: each end has its own cause, and `holdfast why` tells it.
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { silentLogger } from "@holdfast/core/log";
import { systemClock } from "@holdfast/core/node";
import type { Termination } from "@holdfast/journal";
import { expect, test } from "vitest";
import type { TerminationList, WhyAnswer } from "../../src/api/types.ts";
import { loadConfig } from "../../src/config/load-config.ts";
import { Agent } from "../../src/run/agent.ts";
import { container, NONROOT, pod, script } from "./harness/manifests.ts";
import { startNode } from "./harness/test-node.ts";
import type { TestNode } from "./harness/test-node.ts";
import { getJson } from "./harness/unix-http.ts";

/** As PID 1 a shell without a handler does not hear SIGTERM. */
const deaf = script("sleep 1000000");

function ends(node: TestNode, name: string): Promise<readonly Termination[]> {
  const query = `pod=${encodeURIComponent(`default/${name}-${node.name}`)}`;
  return getJson<TerminationList>(node.socket, `/api/v1/journal/terminations?${query}`).then(
    ({ items }) => items,
  );
}

/** The newest end of the pod's container, when it has the runtime's word on it. */
function end(node: TestNode, name: string, atLeast = 1): Promise<Termination> {
  return node.until(async () => {
    const [newest, ...older] = await ends(node, name);
    return older.length + 1 >= atLeast && newest?.reason !== undefined && newest;
  }, `an end of ${name} is in the ledger`);
}

test("every end has its own cause", async () => {
  const limit = { resources: { limits: { memory: "16Mi" } } };
  const sick = {
    exec: { command: ["sh", "-c", "echo no good; false"] },
    periodSeconds: 1,
    failureThreshold: 1,
  };
  const unlucky = { postStart: { exec: { command: script("exit 7") } } };
  const hungry = script("echo eats; x=a; while :; do x=$x$x; done");
  await using node = await startNode({
    pods: [
      pod("finishes", { containers: [container("main", { command: script("echo well; exit 0") })] }),
      pod("fails", { containers: [container("main", { command: script("echo bad; exit 3") })] }),
      pod("eats", { containers: [container("main", { command: hungry, ...limit })] }),
      pod("victim"),
      pod("sick", { containers: [container("main", { livenessProbe: sick })] }),
      pod("late", { containers: [container("main", { startupProbe: sick })] }),
      pod("hooked", { containers: [container("main", { lifecycle: unlucky })] }),
      pod("old", { activeDeadlineSeconds: 3 }),
      pod("broken", { containers: [container("main", { command: ["/no/such"] })] }),
      pod("deaf", { containers: [container("main", { command: deaf })] }),
      pod("polite"),
      pod("changes"),
    ],
  });
  for (const name of ["victim", "deaf", "polite", "changes"]) await node.runningContainer(name);
  await node.killContainer((await node.runningContainer("victim")).id);
  node.remove("deaf");
  node.remove("polite");
  node.write(pod("changes", { containers: [container("main", { image: NONROOT })] }));
  // The kernel's word comes a moment after the runtime's, which on containerd 1.6 is now and then nothing but "Error".
  await node.until(
    async () => (await end(node, "eats")).cause === "MemoryLimit",
    "the kernel's log was read",
  );
  const causes: Record<string, string> = {};
  const names = "finishes fails eats victim sick late hooked old broken deaf polite changes";
  for (const name of names.split(" ")) causes[name] = (await end(node, name)).cause;
  expect(causes).toEqual({
    finishes: "Finished",
    fails: "ApplicationError",
    eats: "MemoryLimit",
    victim: "Outside",
    sick: "LivenessProbe",
    late: "StartupProbe",
    hooked: "PostStartHook",
    old: "DeadlineExceeded",
    broken: "ApplicationError",
    deaf: "GracePeriodExceeded",
    polite: "Removed",
    changes: "SpecChanged",
  });
  expect((await end(node, "changes")).evidence[0]?.text).toContain("spec.containers[main].image");
  // Not the class alone: what speaks for it.
  const firstWords: Record<string, RegExp> = {
    finishes: /^exit code 0/,
    eats: /^process sh was killed, pid \d+, it used 1\dMi, the limit( of its pod)? is 16Mi$/,
    victim: /^exit code 137, SIGKILL/,
    sick: /^liveness probe failed.*no good/i,
    late: /^startup probe failed.*no good/i,
    hooked: /^PostStartHook failed$/,
    old: /^pod ends: DeadlineExceeded: /,
    broken: /^exit code 128, .*StartError: .*\/no\/such/,
    deaf: /^pod ends: Removed: /,
    polite: /^pod ends: Removed: /,
  };
  for (const [name, words] of Object.entries(firstWords))
    expect((await end(node, name)).evidence[0]?.text, name).toMatch(words);
  const forced = (await end(node, "deaf")).evidence.map(({ text }) => text).join("; ");
  expect(forced).toMatch(/it did not end within its grace period of \d s and got SIGKILL/);
  // The kernel's log, the cgroup's counter and containerd told of the same kills.
  expect((await node.cli("events", "--type", "oomwatch/*", "-o", "json")).stdout).toBe("");
  expect((await end(node, "fails")).exitCode).toBe(3);
  const why = await node.cli("why", "fails");
  expect(why.stdout).toContain("main (start 1) failed by itself (exit code 3)");
  expect(why.stdout).toContain("| bad");
  expect((await node.cli("why", "broken")).stdout).toMatch(/main \(start \d+\) could not be started/);
  const gone = await node.cli("why", `default/deaf-${node.name}`, "-o", "json");
  expect((JSON.parse(gone.stdout) as WhyAnswer).story.chapters.some((one) => one.termination?.forced)).toBe(
    true,
  );
  expect((await node.cli("describe", "pod", "fails")).stdout).toMatch(
    /Warning +BackOff .*restarting failed container/,
  );
});

test("the ledger goes on over kill -9 of the agent: nothing twice, nothing lost", async () => {
  const annotations = { "holdfast.agent/crash-loop-back-off": "initial=0s" };
  await using node = await startNode({ pods: [pod("victim", {}, { annotations })] });
  await node.killContainer((await node.runningContainer("victim")).id);
  await end(node, "victim");
  const { id } = await node.runningContainer("victim", "main", 1);
  await node.kill9();
  await node.killContainer(id);
  await node.start();
  const newest = await end(node, "victim", 2);
  expect(newest).toMatchObject({ cause: "Outside", restartCount: 1, containerId: id });
  await node.runningContainer("victim", "main", 2);
  const all = await ends(node, "victim");
  expect(all.map(({ restartCount }) => restartCount)).toEqual([1, 0]);
  expect((await node.cli("why", "node")).stdout.match(/the agent started/g)).toHaveLength(2);
});

test("a child that the kernel kills while the container goes on is told, with its name and the limit", async () => {
  const careful = script(
    "trap 'exit 0' TERM; sleep 1; sh -c 'x=a; while :; do x=$x$x; done'; sleep 1000000 & wait",
  );
  const limit = { resources: { limits: { memory: "24Mi" } } };
  await using node = await startNode({
    pods: [pod("parent", { containers: [container("main", { command: careful, ...limit })] })],
  });
  await node.until(
    async () =>
      /a process of main was killed by the kernel at a memory limit; the container goes on\n +sh \(pid \d+\) held [\d.]+ MiB; the limit( of its pod)? is 24\.0 MiB/.test(
        (await node.cli("why", `parent-${node.name}`)).stdout,
      ),
    "why tells of the child",
  );
  expect((await node.pod("parent"))?.status.containerStatuses?.[0]).toMatchObject({
    restartCount: 0,
    state: { running: expect.anything() },
  });
});

test("a reboot is told by the boot id, and is no kill from outside", async () => {
  const folder = mkdtempSync(join(tmpdir(), "holdfast-boot-"));
  const bootIdFile = join(folder, "boot_id");
  writeFileSync(bootIdFile, "11111111-aaaa\n");
  await using node = await startNode({ agent: { bootIdFile }, pods: [pod("survivor")] });
  const { id } = await node.runningContainer("survivor");
  await node.kill9();
  // What a reboot leaves: nothing runs, and another boot id.
  await node.killContainer(id);
  writeFileSync(bootIdFile, "22222222-bbbb\n");
  await node.start();
  const ended = await end(node, "survivor");
  expect(ended).toMatchObject({
    cause: "RuntimeOrReboot",
    askedBy: "a reboot of the machine",
    containerId: id,
  });
  expect(ended.evidence[0]?.text).toBe("the machine was booted: boot id 22222222-bbbb");
  expect((await node.cli("why", "node")).stdout).toContain("the machine was booted: boot id 22222222-bbbb");
  // The same kill without another boot is somebody's.
  const successor = await node.runningContainer("survivor", "main", 1);
  await node.kill9();
  await node.killContainer(successor.id);
  await node.start();
  expect(await end(node, "survivor", 2)).toMatchObject({ cause: "Outside", containerId: successor.id });
  rmSync(folder, { recursive: true });
});

test("an evicted pod says so, and why", async () => {
  await using node = await startNode({ start: false });
  node.write(pod("heavy"));
  node.write(pod("light"));
  // The agent in this process: nothing else has the worker's kill interface yet.
  const { config } = loadConfig(node.places.config);
  const agent = new Agent({ config, configWarnings: [], clock: systemClock, logger: silentLogger });
  await agent.start();
  try {
    for (const name of ["heavy", "light"]) await node.runningContainer(name);
    const message = "The node was low on resource: memory. Container main was using 16Mi";
    const uid = (await node.pod("heavy"))?.metadata.uid ?? "";
    await agent.pods?.killPodNow(uid, {
      reason: "Evicted",
      message,
      deleted: false,
      graceSeconds: 1,
      failed: { reason: "Evicted", message },
    });
    node.remove("light");
    const ended = await end(node, "heavy");
    expect(ended).toMatchObject({ cause: "Evicted", askedBy: "Holdfast: the pod was evicted" });
    expect(ended.evidence[0]?.text).toContain(message);
    expect((await end(node, "light")).cause).toBe("Removed");
    expect((await node.cli("why", "heavy")).stdout).toContain("was stopped because its pod was evicted");
    expect((await node.pod("heavy"))?.status).toMatchObject({ phase: "Failed", reason: "Evicted" });
  } finally {
    await agent.stop();
  }
});

test("kills of a time without an agent are told when that was asked for, once", async () => {
  const careful = script(
    "trap 'exit 0' TERM; while :; do sh -c 'until [ -e /go ]; do sleep 0.1; done; x=a; while :; do x=$x$x; done'; rm /go; done",
  );
  const limit = { resources: { limits: { memory: "24Mi" } } };
  await using node = await startNode({
    agent: { oomReplay: true },
    pods: [pod("parent", { containers: [container("main", { command: careful, ...limit })] })],
  });
  const { id } = await node.runningContainer("parent");
  const kills = async (): Promise<number> => {
    const { stdout } = await node.cli(
      "events",
      "--type",
      "oom/ContainerOOM",
      "--pod",
      `default/parent-${node.name}`,
      "-o",
      "json",
    );
    return stdout.split("\n").filter((line) => line.includes('"witness":"kmsg"')).length;
  };
  const provoke = (): Promise<unknown> =>
    node.client.execSync({ containerId: id, cmd: ["touch", "/go"], timeout: 10n });
  const eaten = async (): Promise<boolean> => {
    const { exitCode } = await node.client.execSync({
      containerId: id,
      cmd: ["test", "-e", "/go"],
      timeout: 10n,
    });
    return exitCode !== 0;
  };
  await node.kill9();
  await provoke();
  await node.until(eaten, "the child was killed");
  await node.start();
  await node.until(async () => (await kills()) === 1, "the kill of the time without an agent is told");
  await node.restart();
  await provoke();
  await node.until(async () => (await kills()) >= 2, "the next one is told, too");
  expect(await kills()).toBe(2);
});

test("retry starts a waiting container now; what it waits for is shown until then", async () => {
  const crash = script("exit 1");
  const annotations = { "holdfast.agent/crash-loop-back-off": "initial=10m, max=1h" };
  await using node = await startNode({
    pods: [pod("crashes", { containers: [container("main", { command: crash })] }, { annotations })],
  });
  const ended = await end(node, "crashes", 2);
  await node.until(
    async () =>
      /main: CrashLoopBackOff, next attempt in (10m|9m\d+s|5\d\ds)/.test(
        (await node.cli("get", "pods")).stdout,
      ),
    "get pods tells the wait",
  );
  expect((await node.cli("why", "crashes")).stdout).toMatch(
    /main waits: CrashLoopBackOff\n[\s\S]*next attempt is due at/,
  );
  // It is kept over a restart of the agent.
  await node.restart();
  await node.until(
    async () => (await node.pod("crashes"))?.holdfast.waits?.[0]?.reason === "CrashLoopBackOff",
    "the wait goes on",
  );
  expect((await ends(node, "crashes"))[0]?.seq).toBe(ended.seq);
  expect((await node.cli("retry", "crashes")).stdout).toBe("pod/crashes: trying main now\n");
  await end(node, "crashes", 3);
  expect((await node.cli("events", "--type", "pod/PodRetried")).stdout).toContain(
    "asked for main to be tried now",
  );
});
