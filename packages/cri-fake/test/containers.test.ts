// SPDX-License-Identifier: Apache-2.0

import { ContainerState } from "@holdfast/cri";
import type { CriClient } from "@holdfast/cri";
import { commandNotFound } from "@holdfast/cri-fake";
import { describe, expect, it } from "vitest";

import { create, errorOf, fakeWith, runSandbox, start, statusOf } from "./harness.ts";

const { CONTAINER_CREATED, CONTAINER_EXITED, CONTAINER_RUNNING } = ContainerState;

describe("a container", () => {
  it("satisfies the client's interface", () => {
    const { fake } = fakeWith();
    expect((fake satisfies CriClient).endpoint).toBe("unix:///run/holdfast-fake.sock");
  });

  it("is created, runs, and exits by itself", async () => {
    const { clock, fake } = fakeWith({ exitAfterMs: 1000, exitCode: 3 });
    const sandbox = await runSandbox(fake);
    const id = await create(fake, sandbox);
    expect(await statusOf(fake, id)).toMatchObject({
      state: CONTAINER_CREATED,
      startedAt: 0n,
      finishedAt: 0n,
    });
    await fake.startContainer({ containerId: id });
    expect(await statusOf(fake, id)).toMatchObject({ state: CONTAINER_RUNNING, finishedAt: 0n, reason: "" });
    await clock.advance(999);
    expect(await statusOf(fake, id)).toMatchObject({ state: CONTAINER_RUNNING });
    await clock.advance(1);
    const { startedAt, finishedAt, ...status } = await statusOf(fake, id);
    expect(status).toMatchObject({ state: CONTAINER_EXITED, exitCode: 3, reason: "Error" });
    expect(Number(finishedAt - startedAt) / 1e6).toBeCloseTo(1000, 3);
  });

  it("is Completed with exit code 0, OOMKilled when the kernel kills it", async () => {
    const done = fakeWith({ exitAfterMs: 5 });
    const ended = await start(done.fake);
    await done.clock.advance(5);
    expect(await statusOf(done.fake, ended.containerId)).toMatchObject({ reason: "Completed", exitCode: 0 });

    const greedy = fakeWith({ oomAfterMs: 5 });
    const killed = await start(greedy.fake);
    await greedy.clock.advance(5);
    expect(await statusOf(greedy.fake, killed.containerId)).toMatchObject({
      reason: "OOMKilled",
      exitCode: 137,
    });
  });

  it("starts once", async () => {
    const { fake } = fakeWith();
    const { containerId } = await start(fake);
    await expect(fake.startContainer({ containerId })).rejects.toMatchObject({ code: "CRI_UNKNOWN" });
  });

  it("whose command does not exist is exited with 128, StartError", async () => {
    const { fake } = fakeWith({ startError: commandNotFound("nope") });
    const id = await create(fake, await runSandbox(fake));
    await expect(fake.startContainer({ containerId: id })).rejects.toMatchObject({ code: "CRI_UNKNOWN" });
    expect(await statusOf(fake, id)).toMatchObject({
      state: CONTAINER_EXITED,
      exitCode: 128,
      reason: "StartError",
      message: commandNotFound("nope"),
      startedAt: 0n,
    });
  });

  it("holds its name until it is removed", async () => {
    const { fake } = fakeWith();
    const sandbox = await runSandbox(fake);
    const id = await create(fake, sandbox);
    expect(await errorOf(create(fake, sandbox))).toMatchObject({
      code: "CRI_NAME_RESERVED",
      reservedFor: id,
    });
    await fake.removeContainer({ containerId: id });
    await create(fake, sandbox);
  });

  it("needs an image and a ready sandbox", async () => {
    const { fake } = fakeWith({}, { containerd: "1.7" });
    const podSandboxId = await runSandbox(fake);
    const config = { metadata: { name: "x" }, image: { image: "nope" } };
    await expect(fake.createContainer({ podSandboxId, config })).rejects.toMatchObject({
      code: "CRI_NOT_FOUND",
    });
    await fake.stopPodSandbox({ podSandboxId });
    await expect(create(fake, podSandboxId)).rejects.toMatchObject({ code: "CRI_NOT_FOUND" });
  });
});

describe("stopping", () => {
  it.each([
    ["ends on SIGTERM at once", {}, 0, 143],
    ["takes its time on SIGTERM", { exitOnSigtermAfterMs: 2000, sigtermExitCode: 0 }, 2000, 0],
    ["ignores SIGTERM", { ignoreSigterm: true }, 10_000, 137],
    ["takes too long", { exitOnSigtermAfterMs: 20_000 }, 10_000, 137],
  ])("one that %s", async (_name, program, afterMs, exitCode) => {
    const { clock, fake } = fakeWith(program);
    const { containerId } = await start(fake);
    const from = clock.monotonic();
    let took = -1;
    const stop = async (): Promise<void> => {
      await fake.stopContainer({ containerId, timeout: 10 });
      took = clock.monotonic() - from;
    };
    const stopped = stop();
    await clock.advance(30_000);
    await stopped;
    expect(took).toBe(afterMs);
    expect(await statusOf(fake, containerId)).toMatchObject({ state: CONTAINER_EXITED, exitCode });
    expect(clock.waiting).toBe(0);
  });

  it("without grace kills", async () => {
    const { fake } = fakeWith();
    const { containerId } = await start(fake);
    await fake.stopContainer({ containerId, timeout: 0 });
    expect(await statusOf(fake, containerId)).toMatchObject({ exitCode: 137 });
  });

  it("does nothing to one that does not run", async () => {
    const { fake } = fakeWith();
    const id = await create(fake, await runSandbox(fake));
    await fake.stopContainer({ containerId: id, timeout: 1 });
    expect(await statusOf(fake, id)).toMatchObject({ state: CONTAINER_CREATED });
  });

  it("is given up at its deadline when even SIGKILL does nothing", async () => {
    const { clock, fake } = fakeWith({ ignoreSigterm: true, ignoreSigkill: true });
    const { containerId } = await start(fake);
    const stopped = errorOf(fake.stopContainer({ containerId, timeout: 5 }));
    await clock.advance(124_999);
    expect(fake.inFlight()).toMatchObject([{ method: "StopContainer", ageMs: 124_999 }]);
    await clock.advance(1);
    expect(await stopped).toMatchObject({ code: "CRI_DEADLINE", mayHaveHappened: true });
    expect(fake.inFlight()).toEqual([]);
    expect(clock.waiting).toBe(0);
  });

  it("by removing kills a running one", async () => {
    const { fake } = fakeWith();
    const { containerId } = await start(fake);
    await fake.removeContainer({ containerId });
    await fake.removeContainer({ containerId });
    expect(fake.containers()).toEqual([]);
  });
});

describe("commands in a container", () => {
  const program = {
    exec: ([name]: readonly string[]) =>
      name === "sleep" ? { afterMs: 5000 } : { exitCode: 4, stdout: `ran ${name}`, stderr: "oh" },
  };

  it("are answered by its program", async () => {
    const { fake } = fakeWith(program);
    const { containerId } = await start(fake);
    const answer = await fake.execSync({ containerId, cmd: ["ls"], timeout: 1 });
    expect({ ...answer, stdout: String(answer.stdout), stderr: String(answer.stderr) }).toEqual({
      exitCode: 4,
      stdout: "ran ls",
      stderr: "oh",
    });
  });

  it("fail when they take longer than their timeout", async () => {
    const { clock, fake } = fakeWith(program);
    const { containerId } = await start(fake);
    const failed = errorOf(fake.execSync({ containerId, cmd: ["sleep"], timeout: 1 }));
    await clock.advance(1000);
    expect(await failed).toMatchObject({ code: "CRI_RUNTIME_DEADLINE" });
    expect(clock.waiting).toBe(0);
  });

  it("end with their container", async () => {
    const { clock, fake } = fakeWith(program);
    const { containerId } = await start(fake);
    const answer = fake.execSync({ containerId, cmd: ["sleep"] });
    await clock.advance(1000);
    fake.kill(containerId);
    expect(await answer).toMatchObject({ exitCode: 137 });
    expect(clock.waiting).toBe(0);
  });

  it("fail when it does not run", async () => {
    const { fake } = fakeWith();
    const containerId = await create(fake, await runSandbox(fake));
    await expect(fake.execSync({ containerId, cmd: ["true"] })).rejects.toMatchObject({
      code: "CRI_UNKNOWN",
    });
  });
});

it("a container's log has the CRI's format", async () => {
  const { clock, fake } = fakeWith({
    output: [{ text: "one" }, { afterMs: 1500, stream: "stderr", text: "two" }],
  });
  const { containerId } = await start(fake);
  await clock.advance(2000);
  expect(fake.logs(containerId)).toMatch(
    /^2026-01-01T00:00:00\.\d{9}Z stdout F one\n2026-01-01T00:00:01\.500\d{6}Z stderr F two\n$/,
  );
});

describe("an image", () => {
  it("is known by the digest that it was pulled by; all its names go with one of them", async () => {
    const { fake } = fakeWith(
      {},
      { registry: () => ({ reference: "x", id: "sha256:1", tags: ["a:1", "b:1"] }) },
    );
    const digest = `docker.io/library/a@sha256:${"0".repeat(64)}`;
    const image = (name: string) => ({ image: { image: name } });
    const { imageRef } = await fake.pullImage(image(digest));
    const { image: found } = await fake.imageStatus(image("b:1"));
    expect([imageRef, found?.repoDigests]).toEqual(["sha256:1", [digest]]);
    expect(found?.repoTags).toEqual(["docker.io/library/a:1", "docker.io/library/b:1"]);
    await fake.removeImage(image("a:1"));
    for (const name of [digest, "b:1", "sha256:1"])
      expect((await fake.imageStatus(image(name))).image).toBeUndefined();
  });
});
