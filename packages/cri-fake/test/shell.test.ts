// SPDX-License-Identifier: Apache-2.0

// The real client, over a real socket.
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { systemClock } from "@holdfast/core/node";
import { createCriClient } from "@holdfast/cri";
import { FakeRuntime, fileLogSink, serveFakeRuntime } from "@holdfast/cri-fake";
import type { FakeRuntimeOptions } from "@holdfast/cri-fake";
import { describe, expect, it, onTestFinished } from "vitest";

import { errorOf, runSandbox, sandboxConfig, start } from "./harness.ts";

/** A fake on a socket of its own, and a client of it. */
async function served(options: Partial<FakeRuntimeOptions> = {}) {
  const folder = mkdtempSync(join(tmpdir(), "holdfast-fake-"));
  const fake = new FakeRuntime({ clock: systemClock, ...options });
  const server = await serveFakeRuntime(fake, { listen: `unix://${folder}/cri.sock` });
  const cri = createCriClient({ endpoint: server.endpoint });
  onTestFinished(async () => {
    await cri.close();
    await server.stop();
    rmSync(folder, { recursive: true });
  });
  return { fake, cri, server, folder };
}

describe("over a socket", () => {
  it("the client sees what it sees in the process", async () => {
    const { fake, cri } = await served();
    const { sandboxId, containerId } = await start(cri);
    for (const ask of [
      (on: typeof cri) => on.version({}),
      (on: typeof cri) => on.status({}),
      (on: typeof cri) => on.runtimeConfig({}),
      (on: typeof cri) => on.listPodSandbox({}),
      (on: typeof cri) => on.listContainers({ filter: { labelSelector: { name: "app" } } }),
      (on: typeof cri) => on.containerStatus({ containerId, verbose: true }),
      (on: typeof cri) => on.listImages({}),
    ])
      expect(await ask(cri)).toEqual(await ask(fake));
    const { status } = await cri.podSandboxStatus({ podSandboxId: sandboxId });
    expect(status).toEqual((await fake.podSandboxStatus({ podSandboxId: sandboxId })).status);
  });

  it.each<[string, (on: FakeRuntime) => Promise<unknown>]>([
    ["not found", (on) => on.containerStatus({ containerId: "nope" })],
    ["a name that is held", (on) => runSandbox(on)],
    ["a refusal", (on) => on.runPodSandbox({ config: {} })],
    ["no such RPC", (on) => on.checkpointContainer({ containerId: "x" })],
  ])("errors are the same: %s", async (_name, call) => {
    const { fake, cri } = await served();
    await runSandbox(fake);
    const [there, here] = [await errorOf(call(cri as FakeRuntime)), await errorOf(call(fake))];
    const { code, message, reservedFor, mayHaveHappened } = here as Record<string, unknown>;
    expect(there).toMatchObject({ code, message, reservedFor, mayHaveHappened });
  });

  it("events come through, of both kinds", async () => {
    const { fake, cri } = await served();
    const signal = AbortSignal.timeout(10_000);
    const tasks = cri.containerdEvents({ signal });
    const events = cri.getContainerEvents({}, { signal });
    await expect.poll(() => fake.subscribers).toBe(2);
    const podSandboxId = await runSandbox(cri);
    await cri.stopPodSandbox({ podSandboxId });
    const take = async <One>(stream: AsyncIterator<One>, count: number): Promise<One[]> => {
      const taken: One[] = [];
      while (taken.length < count) taken.push((await stream.next()).value as One);
      return taken;
    };
    expect((await take(tasks, 3)).map(({ topic, id }) => [topic, id])).toEqual([
      ["/tasks/start", podSandboxId],
      ["/tasks/exit", podSandboxId],
      ["/tasks/delete", podSandboxId],
    ]);
    expect((await take(events, 3)).map(({ containerEventType }) => containerEventType)).toEqual([0, 1, 2]);
  });

  it("a client that gives up ends the call", async () => {
    const { fake, cri } = await served({ faults: [{ match: { method: "Version" }, hang: true }] });
    await expect(cri.version({}, { deadlineMs: 50 })).rejects.toMatchObject({ code: "CRI_DEADLINE" });
    await expect.poll(() => fake.inFlight()).toEqual([]);
  });

  it("a crash breaks streams and refuses calls until it is back", async () => {
    const { fake, cri } = await served();
    const events = cri.containerdEvents({ signal: AbortSignal.timeout(10_000) });
    await expect.poll(() => fake.subscribers).toBe(1);
    const next = errorOf(events.next());
    fake.crash();
    expect(await next).toMatchObject({ code: "CRI_UNAVAILABLE" });
    await expect(cri.version({})).rejects.toMatchObject({ code: "CRI_UNAVAILABLE" });
    fake.restart();
    expect((await cri.version({})).runtimeName).toBe("containerd");
  });

  it("logs are files where the request says", async () => {
    const { fake, cri, folder } = await served({
      programs: () => ({ output: [{ text: "hello" }] }),
      logSink: fileLogSink(),
    });
    const sandbox = { ...sandboxConfig(), logDirectory: join(folder, "logs") };
    const { podSandboxId } = await cri.runPodSandbox({ config: sandbox });
    const { containerId } = await cri.createContainer({
      podSandboxId,
      sandboxConfig: sandbox,
      config: { metadata: { name: "a" }, image: { image: "holdfast.local/busybox:1" }, logPath: "a/0.log" },
    });
    await cri.startContainer({ containerId });
    expect(readFileSync(join(folder, "logs/a/0.log"), "utf8")).toBe(fake.logs(containerId));
    expect(fake.logs(containerId)).toMatch(/ stdout F hello\n$/);
  });

  it("refuses an address that is no socket", async () => {
    const fake = new FakeRuntime({ clock: systemClock });
    await expect(serveFakeRuntime(fake, { listen: "tcp://x" })).rejects.toMatchObject({
      code: "CRI_FAKE_LISTEN",
    });
  });
});
