// SPDX-License-Identifier: Apache-2.0

// The fake as a whole: sandboxes, addresses, images, crashes, faults, events.
import { ContainerEventType, PodSandboxState } from "@holdfast/cri";
import type { ContainerdTaskEvent } from "@holdfast/cri";
import type { Fault, FakeRuntime, FakeRuntimeOptions } from "@holdfast/cri-fake";
import { describe, expect, it } from "vitest";

import { create, errorOf, fakeWith, runSandbox, sandboxConfig, start, statusOf } from "./harness.ts";

/** What a subscriber gets while `act` happens. */
async function during<Event>(
  open: (signal: AbortSignal) => AsyncIterable<Event>,
  act: () => Promise<unknown>,
): Promise<Event[]> {
  const over = new AbortController();
  const events: Event[] = [];
  const read = async (): Promise<void> => {
    for await (const event of open(over.signal)) events.push(event);
  };
  const reading = read();
  await act();
  await new Promise((resolve) => setImmediate(resolve));
  over.abort();
  await reading;
  return events;
}
const tasksOf = (fake: FakeRuntime) => (signal: AbortSignal) => fake.containerdEvents({ signal });
const brief = (events: ContainerdTaskEvent[]): string[] => events.map(({ topic }) => topic.slice(7));

describe("a sandbox", () => {
  it("leases an address from its start to its stop", async () => {
    const { fake } = fakeWith();
    const podSandboxId = await runSandbox(fake);
    const { status } = await fake.podSandboxStatus({ podSandboxId });
    expect(status).toMatchObject({ state: PodSandboxState.SANDBOX_READY, network: { ip: "10.88.0.2" } });
    expect([...fake.leases()]).toEqual([["10.88.0.2", podSandboxId]]);
    await fake.stopPodSandbox({ podSandboxId });
    await fake.stopPodSandbox({ podSandboxId });
    expect(fake.leases().size).toBe(0);
    const stopped = (await fake.podSandboxStatus({ podSandboxId })).status;
    expect(stopped).toMatchObject({ state: PodSandboxState.SANDBOX_NOTREADY, network: { ip: "" } });
  });

  it("stops with its containers and takes them with it", async () => {
    const { fake } = fakeWith({ ignoreSigterm: true });
    const { sandboxId, containerId } = await start(fake);
    await fake.stopPodSandbox({ podSandboxId: sandboxId });
    expect(await statusOf(fake, containerId)).toMatchObject({ exitCode: 137 });
    await fake.removePodSandbox({ podSandboxId: sandboxId });
    await fake.removePodSandbox({ podSandboxId: sandboxId });
    expect([fake.sandboxes(), fake.containers()]).toEqual([[], []]);
  });

  it("holds its name, also while it is being made", async () => {
    const { clock, fake } = fakeWith({}, { latencyMs: { RunPodSandbox: 100 } });
    const first = runSandbox(fake);
    const second = await errorOf(runSandbox(fake));
    await clock.advance(100);
    expect(second).toMatchObject({ code: "CRI_NAME_RESERVED", reservedFor: await first });
    await clock.advance(0);
    const next = runSandbox(fake, "web", 1);
    await clock.advance(100);
    await next;
  });

  it("whose caller gave up is not made, and its name is free again", async () => {
    const { clock, fake } = fakeWith({}, { latencyMs: { RunPodSandbox: 100 } });
    const controller = new AbortController();
    const failed = errorOf(fake.runPodSandbox({ config: sandboxConfig() }, { signal: controller.signal }));
    controller.abort(new Error("enough"));
    expect(await failed).toMatchObject({ message: "enough" });
    await clock.advance(100);
    expect([fake.sandboxes(), fake.leases().size, clock.waiting]).toEqual([[], 0, 0]);
    const again = runSandbox(fake);
    await clock.advance(100);
    await again;
  });

  it("fails without a network, unless it has the host's", async () => {
    const { fake } = fakeWith();
    fake.setCondition("NetworkReady", false, "NetworkPluginNotReady");
    await expect(runSandbox(fake)).rejects.toMatchObject({ code: "CRI_UNKNOWN" });
    const host = { securityContext: { namespaceOptions: { network: 2 as const } } };
    await fake.runPodSandbox({ config: { ...sandboxConfig(), linux: host } });
    expect((await fake.status({})).status?.conditions[1]).toMatchObject({
      type: "NetworkReady",
      status: false,
    });
  });

  it("fails when no address is left", async () => {
    const { fake } = fakeWith({}, { addresses: 2 });
    await runSandbox(fake, "a");
    const b = await runSandbox(fake, "b");
    await expect(runSandbox(fake, "c")).rejects.toThrow("no IP addresses available");
    await fake.removePodSandbox({ podSandboxId: b });
    await runSandbox(fake, "c");
  });
});

describe("lists", () => {
  it("are filtered by id, state, sandbox and labels", async () => {
    const { fake } = fakeWith();
    const one = await start(fake, { pod: "one", name: "a" });
    const two = await start(fake, { pod: "two", name: "b" });
    await fake.stopContainer({ containerId: two.containerId, timeout: 0 });
    const ids = async (filter: object): Promise<string[]> =>
      (await fake.listContainers({ filter })).containers.map(({ id }) => id);
    expect(await ids({})).toEqual([one.containerId, two.containerId]);
    expect(await ids({ id: one.containerId.slice(0, 12) })).toEqual([one.containerId]);
    expect(await ids({ id: "nope" })).toEqual([]);
    expect(await ids({ state: { state: 2 } })).toEqual([two.containerId]);
    expect(await ids({ podSandboxId: one.sandboxId })).toEqual([one.containerId]);
    expect(await ids({ labelSelector: { name: "b" } })).toEqual([two.containerId]);
    const { items } = await fake.listPodSandbox({ filter: { labelSelector: { pod: "two" } } });
    expect(items.map(({ id }) => id)).toEqual([two.sandboxId]);
  });
});

describe("images", () => {
  it("are found by every name, pulled and removed", async () => {
    const { fake } = fakeWith({}, { registry: (reference) => ({ reference, user: 1000 }) });
    const { imageRef } = await fake.pullImage({ image: { image: "nginx" } });
    for (const image of ["nginx", "nginx:latest", "docker.io/library/nginx:latest", imageRef])
      expect((await fake.imageStatus({ image: { image } })).image).toMatchObject({
        id: imageRef,
        repoTags: ["docker.io/library/nginx:latest"],
        uid: { value: 1000n },
      });
    await fake.removeImage({ image: { image: imageRef } });
    expect((await fake.imageStatus({ image: { image: "nginx" } })).image).toBeUndefined();
  });

  it("that no registry has cannot be pulled", async () => {
    const { fake } = fakeWith();
    await expect(fake.pullImage({ image: { image: "nope:1" } })).rejects.toMatchObject({
      code: "CRI_NOT_FOUND",
    });
  });
});

describe("events", () => {
  it("of containerd tell a container's life, and an exec apart", async () => {
    const { fake } = fakeWith();
    const sandbox = await runSandbox(fake);
    const events = await during(tasksOf(fake), async () => {
      const containerId = await create(fake, sandbox);
      await fake.startContainer({ containerId });
      await fake.execSync({ containerId, cmd: ["true"] });
      fake.kill(containerId, { oomKilled: true });
    });
    expect(brief(events)).toEqual(["start", "exit", "oom", "exit", "delete"]);
    expect(events.map(({ id, containerId }) => id === containerId)).toEqual([true, false, true, true, true]);
  });

  it("of the CRI carry statuses", async () => {
    const { fake } = fakeWith();
    const { sandboxId } = await start(fake);
    const events = await during(
      (signal) => fake.getContainerEvents({}, { signal }),
      () => fake.removePodSandbox({ podSandboxId: sandboxId }),
    );
    expect(
      events.map(({ containerEventType, containerId }) => [containerEventType, containerId === sandboxId]),
    ).toEqual([
      [ContainerEventType.CONTAINER_STOPPED_EVENT, false],
      [ContainerEventType.CONTAINER_STOPPED_EVENT, true],
      [ContainerEventType.CONTAINER_DELETED_EVENT, false],
      [ContainerEventType.CONTAINER_DELETED_EVENT, true],
    ]);
    expect(events[0]?.containersStatuses[0]).toMatchObject({ reason: "Error", exitCode: 137 });
  });

  it("of the CRI are taken from one another on containerd 1.7, and are not there on 1.6", async () => {
    const seven = fakeWith({}, { containerd: "1.7" }).fake;
    const counts: number[] = [];
    const other = during(
      (signal) => seven.getContainerEvents({}, { signal }),
      async () => {
        const mine = await during(
          (signal) => seven.getContainerEvents({}, { signal }),
          () => start(seven),
        );
        counts.push(mine.length);
      },
    );
    counts.push((await other).length);
    expect(counts).toEqual([2, 2]);
    const six = fakeWith({}, { containerd: "1.6" }).fake;
    await expect(six.getContainerEvents({}).next()).rejects.toMatchObject({ code: "CRI_UNIMPLEMENTED" });
    await expect(six.runtimeConfig({})).rejects.toMatchObject({ code: "CRI_UNIMPLEMENTED" });
  });

  it("of containerd are missing on a runtime of another name", async () => {
    const nameOf = async (options: Partial<FakeRuntimeOptions>): Promise<string> =>
      (await fakeWith({}, options).fake.version({})).runtimeName;
    expect(await nameOf({})).toBe("containerd");
    expect(await nameOf({ missing: ["containerdEvents"] })).toBe("holdfast-cri-fake");
    expect(await nameOf({ missing: ["containerdEvents"], runtimeName: "cri-o" })).toBe("cri-o");
  });

  it("come before the CRI shows an exit, as on a real one", async () => {
    const { clock, fake } = fakeWith({}, { criLagMs: 20 });
    const { containerId } = await start(fake);
    const events = await during(tasksOf(fake), async () => void fake.kill(containerId));
    expect(brief(events)).toEqual(["exit"]);
    expect(await statusOf(fake, containerId)).toMatchObject({ state: 1 });
    await clock.advance(20);
    expect(await statusOf(fake, containerId)).toMatchObject({ state: 2, exitCode: 137 });
  });

  it.each<[string, Fault, string[], string[]]>([
    ["lost", { lose: true }, ["start", "delete"], []],
    ["doubled", { duplicate: true }, ["start", "exit", "exit", "delete"], []],
    ["late", { delayMs: 50 }, ["start", "delete"], ["exit"]],
  ])("can be %s", async (_name, effects, atOnce, later) => {
    const match = { method: "containerdEvents", topic: "/tasks/exit", podName: "web" };
    const { clock, fake } = fakeWith({}, { faults: [{ match, ...effects }] });
    const sandbox = await runSandbox(fake);
    const seen: string[] = [];
    await during(
      async function* (signal) {
        for await (const { topic } of fake.containerdEvents({ signal })) yield seen.push(topic.slice(7));
      },
      async () => {
        const containerId = await create(fake, sandbox);
        await fake.startContainer({ containerId });
        fake.kill(containerId);
        await clock.settle();
        expect(seen).toEqual(atOnce);
        await clock.advance(50);
      },
    );
    expect(seen).toEqual([...atOnce, ...later]);
  });
});

describe("a crash", () => {
  it("loses calls in flight and streams, not containers", async () => {
    const { clock, fake } = fakeWith({ exitAfterMs: 1000 }, { latencyMs: { Version: 10 } });
    const { containerId } = await start(fake);
    const stream = errorOf(fake.containerdEvents().next());
    const call = errorOf(fake.version({}));
    fake.crash();
    expect(await call).toMatchObject({ code: "CRI_UNAVAILABLE", mayHaveHappened: true });
    expect(await stream).toMatchObject({ code: "CRI_UNAVAILABLE" });
    expect(await errorOf(fake.version({}))).toMatchObject({
      code: "CRI_UNAVAILABLE",
      mayHaveHappened: false,
    });
    await clock.advance(1000);
    fake.restart();
    expect(await statusOf(fake, containerId)).toMatchObject({ reason: "Completed" });
  });

  it("of the machine leaves nothing running", async () => {
    const { clock, fake } = fakeWith();
    const { containerId } = await start(fake);
    fake.reboot();
    expect(await statusOf(fake, containerId)).toMatchObject({ state: 2, exitCode: 255, reason: "Unknown" });
    expect([fake.sandboxes()[0]?.ready, fake.leases().size, clock.waiting]).toEqual([false, 0, 0]);
  });
});

describe("faults", () => {
  it("hang until the deadline, and let go when lifted", async () => {
    const { clock, fake } = fakeWith();
    const { containerId } = await start(fake);
    const fault = fake.addFault({ match: { method: "ContainerStatus", podName: "web" }, hang: true });
    const late = errorOf(fake.containerStatus({ containerId }, { deadlineMs: 1000 }));
    const patient = statusOf(fake, containerId);
    await clock.advance(1000);
    expect(await late).toMatchObject({ code: "CRI_DEADLINE" });
    fault.lift();
    expect(await patient).toMatchObject({ state: 1 });
  });

  it("fail a call before it is done", async () => {
    const { fake } = fakeWith({}, { faults: [{ match: { nth: 1 }, error: { code: "CRI_INTERNAL" } }] });
    await expect(runSandbox(fake)).rejects.toMatchObject({ code: "CRI_INTERNAL" });
    expect(fake.sandboxes()).toEqual([]);
    await runSandbox(fake);
  });

  it("lose the answer of a call that was done", async () => {
    const after = { error: { code: "CRI_UNAVAILABLE" } } as const;
    const { fake } = fakeWith({}, { faults: [{ match: { method: "CreateContainer", nth: 1 }, after }] });
    const sandbox = await runSandbox(fake);
    expect(await errorOf(create(fake, sandbox))).toMatchObject({ mayHaveHappened: true });
    expect(fake.containers()).toHaveLength(1);
    expect(await errorOf(create(fake, sandbox))).toMatchObject({ code: "CRI_NAME_RESERVED" });
  });

  it("make a runtime finish what its caller gave up", async () => {
    const fault = { match: { method: "RunPodSandbox", nth: 1 }, latencyMs: 300_000, ignoreCancel: true };
    const { clock, fake } = fakeWith({}, { faults: [fault] });
    const failed = errorOf(runSandbox(fake));
    await clock.advance(240_000);
    expect(await failed).toMatchObject({ code: "CRI_DEADLINE" });
    expect(await errorOf(runSandbox(fake))).toMatchObject({ code: "CRI_NAME_RESERVED" });
    await clock.advance(60_000);
    expect(fake.sandboxes()).toMatchObject([{ ready: true, podName: "web" }]);
  });

  it("show lists as they were, cut, or wrong", async () => {
    const { fake } = fakeWith();
    const count = async (): Promise<number> => (await fake.listPodSandbox({})).items.length;
    await runSandbox(fake, "a");
    const never = fake.addFault({ stale: true });
    expect(await count()).toBe(0);
    never.lift();
    expect(await count()).toBe(1);
    await runSandbox(fake, "b");
    const stale = fake.addFault({ stale: true });
    expect(await count()).toBe(1);
    stale.lift();
    expect(await count()).toBe(2);
    const cut = fake.addFault({ match: { method: "ListPodSandbox" }, truncateTo: 1 });
    expect(await count()).toBe(1);
    cut.lift();
    fake.addFault({ match: { method: "ListPodSandbox" }, wrongState: PodSandboxState.SANDBOX_NOTREADY });
    expect((await fake.listPodSandbox({})).items.map(({ state }) => state)).toEqual([1, 1]);
  });
});

describe("what an agent must never do", () => {
  it("is noted", async () => {
    const { fake } = fakeWith();
    const first = await runSandbox(fake, "web", 0);
    const second = await runSandbox(fake, "web", 1);
    for (const [sandbox, attempt] of [
      [first, 0],
      [second, 1],
    ] as const) {
      const containerId = await create(fake, sandbox, { attempt });
      await fake.startContainer({ containerId });
    }
    expect(fake.violations).toMatchObject([
      { kind: "pod-has-two-sandboxes", podUid: "uid-web" },
      { kind: "container-runs-twice", podUid: "uid-web" },
    ]);
  });

  it("is not noted of a restart", async () => {
    const { fake } = fakeWith();
    const { sandboxId, containerId } = await start(fake);
    fake.kill(containerId);
    const next = await create(fake, sandboxId, { attempt: 1 });
    await fake.startContainer({ containerId: next });
    expect(fake.violations).toEqual([]);
    expect(fake.calls).toEqual({ RunPodSandbox: 1, CreateContainer: 2, StartContainer: 2 });
  });
});

it("the same seed and calls give the same ids", async () => {
  const run = async (): Promise<string> => (await start(fakeWith().fake)).containerId;
  expect(await run()).toBe(await run());
  expect(await run()).toMatch(/^[0-9a-f]{64}$/);
});

it("a closed fake refuses calls and ends streams", async () => {
  const { clock, fake } = fakeWith({}, { latencyMs: { default: 10 } });
  const [call, stream] = [errorOf(fake.version({})), errorOf(fake.containerdEvents().next())];
  await fake.close();
  expect(await call).toMatchObject({ code: "CRI_CLOSED" });
  expect(await stream).toMatchObject({ code: "CRI_CLOSED" });
  expect(await errorOf(fake.version({}))).toMatchObject({ code: "CRI_CLOSED" });
  expect(clock.waiting).toBe(0);
});

describe("half-open connections", () => {
  it("answer nothing more, to calls and streams that there are; later ones work", async () => {
    const { clock, fake } = fakeWith(
      {},
      { faults: [{ match: { method: "Version", nth: 2 }, halfOpen: true }] },
    );
    const over = new AbortController();
    const events: string[] = [];
    const read = async (): Promise<void> => {
      for await (const { topic } of fake.containerdEvents({ signal: over.signal })) events.push(topic);
    };
    const reading = read();
    await fake.version({});
    await start(fake);
    await clock.settle();
    const heard = events.length;
    expect(heard).toBeGreaterThan(0);
    const unanswered = errorOf(fake.version({}, { deadlineMs: 1000 }));
    await start(fake, { pod: "later" });
    expect(fake.inFlight()).toMatchObject([{ method: "Version" }]);
    await clock.advance(1000);
    expect(await unanswered).toMatchObject({ code: "CRI_DEADLINE", mayHaveHappened: true });
    expect(events).toHaveLength(heard);
    expect((await fake.version({})).runtimeName).toBe("containerd");
    over.abort();
    await reading;
  });
});
