// SPDX-License-Identifier: Apache-2.0

/** A container that was created, and of whose start nobody knows, never comes to life beside its successor. */
import { beforeEach, describe, expect, it } from "vitest";
import { container, makePod } from "./fixtures.ts";
import { Harness } from "./harness.ts";
import { criError } from "./scripted-runtime.ts";

const pod = makePod({ spec: { containers: [container("foo1")], restartPolicy: "Never" } });
const STARTING = "container is in starting state, can't be removed";

let harness: Harness;
/** A start whose answer is lost leaves the container created, as the runtime shows it. */
beforeEach(async () => {
  harness = new Harness();
  harness.runtime.before.startContainer = () => {
    throw criError("CRI_DEADLINE", "StartContainer");
  };
  const result = await harness.sync(pod);
  expect(result.waiting.get("foo1")?.reason).toBe("RunContainerError");
  expect(harness.runtime.containers.map(({ state }) => state)).toEqual([0]);
  delete harness.runtime.before.startContainer;
  harness.runtime.containers.forEach((one) => (one.createdAt = harness.clock.now()));
  harness.files.contents.set("/var/log/pods/default_web_uid-1/foo1/0.log", "late words");
  harness.calls();
  harness.events();
});

describe("a created container", () => {
  it("is removed before its successor is created", async () => {
    const result = await harness.sync(pod);
    expect(result).toMatchObject({ acted: true, error: undefined, started: [{ restartCount: 1 }] });
    expect(harness.calls().filter((call) => call !== "imageStatus")).toEqual([
      "containerStatus",
      "removeContainer",
      "createContainer",
      "startContainer",
    ]);
    expect(harness.events().slice(0, 3)).toEqual(["ContainerRemoving", "Pulled", "ContainerCreating"]);
    expect(harness.runtime.containers).toHaveLength(1);
    expect([...harness.files.contents.keys()].filter((path) => path.endsWith("/0.log"))).toEqual([]);
  });

  it("that the runtime is still starting has no successor, and is tried again soon", async () => {
    harness.runtime.before.removeContainer = () => {
      throw criError("CRI_UNKNOWN", "RemoveContainer", STARTING);
    };
    const result = await harness.sync(pod);
    expect(result).toMatchObject({
      acted: true,
      started: [],
      error: { code: "POD_REMOVE_CONTAINER_ERROR", kind: "retryable" },
      comeBackAt: harness.clock.monotonic() + 600,
    });
    // It keeps the reason that it waits for, and its log.
    expect(result.waiting.size).toBe(0);
    expect(harness.files.contents.has("/var/log/pods/default_web_uid-1/foo1/0.log")).toBe(true);
    expect(harness.calls()).toEqual(["containerStatus", "removeContainer"]);
    delete harness.runtime.before.removeContainer;
    expect(await harness.sync(pod)).toMatchObject({ error: undefined, started: [{ restartCount: 1 }] });
  });

  it("that cannot be removed for long is left to the usual back-off", async () => {
    harness.runtime.before.removeContainer = () => {
      throw criError("CRI_UNKNOWN", "RemoveContainer", "device or resource busy");
    };
    await harness.clock.advance(240_000);
    const result = await harness.sync(pod);
    expect(result).toMatchObject({ started: [], comeBackAt: undefined, error: { kind: "retryable" } });
  });

  it.each([
    ["runs", 1],
    ["has exited", 2],
  ] as const)("that %s by now is looked at anew, and not replaced", async (_, state) => {
    const stale = harness.status(pod);
    harness.runtime.containers.forEach((one) => (one.state = state));
    const result = await harness.sync(pod, { status: stale });
    expect(result).toMatchObject({ acted: true, error: undefined, started: [] });
    expect(result.comeBackAt).toBe(harness.clock.monotonic() + 100);
    expect(harness.calls()).toEqual(["containerStatus"]);
    expect(
      [...harness.files.contents.keys()].filter((path) => path.startsWith("/var/log/containers/")),
    ).toHaveLength(1);
    // restartPolicy Never: once is enough.
    await harness.sync(pod);
    expect(harness.runtime.containers).toHaveLength(1);
  });

  it("that is gone by now is replaced", async () => {
    const stale = harness.status(pod);
    harness.runtime.containers.length = 0;
    expect(await harness.sync(pod, { status: stale })).toMatchObject({ started: [{ restartCount: 1 }] });
    expect(harness.calls().slice(0, 2)).toEqual(["containerStatus", "imageStatus"]);
  });

  it("of an earlier sandbox is waited for as well", async () => {
    harness.runtime.sandboxes.forEach((one) => (one.ready = false));
    harness.runtime.before.removeContainer = () => {
      throw criError("CRI_UNKNOWN", "RemoveContainer", STARTING);
    };
    const always = makePod({ spec: { containers: [container("foo1")] } });
    expect(await harness.sync(always)).toMatchObject({ started: [], error: { kind: "retryable" } });
    delete harness.runtime.before.removeContainer;
    expect(await harness.sync(always)).toMatchObject({ started: [{ name: "foo1" }] });
    expect(harness.runtime.containers).toHaveLength(1);
  });
});
