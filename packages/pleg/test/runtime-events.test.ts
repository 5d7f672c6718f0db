// SPDX-License-Identifier: Apache-2.0

// Which event service is used: what the runtime answers decides, anew with each subscription.
import { HoldfastError } from "@holdfast/core/errors";
import { ContainerEventResponse, ContainerEventType, VersionResponse } from "@holdfast/cri";
import type { ContainerdTaskEvent } from "@holdfast/cri";
import { fromContainerEvent, runtimeEvents } from "@holdfast/pleg";
import type { EventfulRuntime, EventService } from "@holdfast/pleg";
import { expect, test } from "vitest";
import { Environment } from "./environment.ts";

const unimplemented = (): Error => new HoldfastError("CRI_UNIMPLEMENTED", "unimplemented", "unknown service");

/** A stream that the test writes to; it fails at once with `failure`. */
class Stream<Event> {
  opened = 0;
  ended = 0;
  failure: Error | undefined;
  #queue: Event[] = [];
  #wake = (): void => {};

  open(signal: AbortSignal | undefined): AsyncIterableIterator<Event> {
    this.opened += 1;
    signal?.addEventListener("abort", () => this.#wake(), { once: true });
    const events = this.#read(signal);
    return events;
  }

  emit(event: Event): void {
    this.#queue.push(event);
    this.#wake();
  }

  lose(error: Error): void {
    this.failure = error;
    this.#wake();
  }

  async *#read(signal: AbortSignal | undefined): AsyncGenerator<Event> {
    try {
      for (;;) {
        if (signal?.aborted === true) return;
        if (this.failure !== undefined) throw this.failure;
        const event = this.#queue.shift();
        if (event !== undefined) yield event;
        else await new Promise<void>((resolve) => (this.#wake = resolve));
      }
    } finally {
      this.ended += 1;
    }
  }
}

class Runtime {
  readonly tasks = new Stream<ContainerdTaskEvent>();
  readonly cri = new Stream<ContainerEventResponse>();
  name = "cri-o";
  versions = 0;
  readonly port: EventfulRuntime = {
    containerdEvents: ({ signal }) => this.tasks.open(signal),
    getContainerEvents: (_request, { signal }) => this.cri.open(signal),
    version: () => {
      this.versions += 1;
      return Promise.resolve(VersionResponse.create({ runtimeName: this.name }));
    },
  };
}

/** A PLEG on it, with one running pod; the relist that the subscription asks for is over. */
async function started(runtime: Runtime): Promise<Environment> {
  const env = new Environment({ events: runtimeEvents(runtime.port) });
  env.runtime.sandbox("p1");
  env.runtime.container("p1", "app-1");
  await env.pleg.start();
  await env.clock.advance(2500);
  env.published();
  env.runtime.forgetCalls();
  return env;
}

const criEvent = (
  type: keyof typeof ContainerEventType,
  containerId: string,
  uid = "p1",
): ContainerEventResponse =>
  ContainerEventResponse.fromPartial({
    containerId,
    containerEventType: ContainerEventType[type],
    podSandboxStatus: { id: "p1-sb", metadata: { uid } },
  });

test("containerd's own service is taken where it is, and GetContainerEvents is not asked for", async () => {
  const runtime = new Runtime();
  runtime.name = "containerd";
  await using env = await started(runtime);
  expect(env.pleg.snapshot().events).toMatchObject({ state: "listening", service: "containerd" });
  expect([runtime.tasks.opened, runtime.cri.opened, runtime.versions]).toEqual([1, 0, 0]);
});

test("another runtime's GetContainerEvents is taken; a start and a stop are waited for, the period is that with events", async () => {
  const runtime = new Runtime();
  runtime.tasks.failure = unimplemented();
  await using env = await started(runtime);
  expect(env.pleg.snapshot().events).toMatchObject({ state: "listening", service: "cri" });

  runtime.cri.emit(criEvent("CONTAINER_STOPPED_EVENT", "app-1"));
  await env.clock.advance(10);
  // A hint: the runtime does not say so yet, and nothing is entered.
  expect([env.published(), env.stateOf("p1", "app-1")]).toEqual([[], "running"]);
  env.runtime.container("p1", "app-1", "exited", { exitCode: 7 });
  await env.clock.advance(30);
  expect(env.published()).toEqual(["ContainerDied app-1"]);
  expect(env.pleg.get("p1").status.containers[0]).toMatchObject({ exitCode: 7 });

  env.runtime.container("p1", "app-2", "running", { attempt: 1 });
  runtime.cri.emit(criEvent("CONTAINER_STARTED_EVENT", "app-2"));
  await env.clock.advance(30);
  expect(env.published()).toEqual(["ContainerStarted app-2"]);
  env.runtime.containers.delete("app-1");
  runtime.cri.emit(criEvent("CONTAINER_DELETED_EVENT", "app-1"));
  await env.clock.advance(30);
  expect(env.published()).toEqual(["ContainerRemoved app-1"]);
  // Whose an id is says the event: nothing was asked to find out.
  expect(env.runtime.calls.filter(({ method, id }) => method.startsWith("list") && id !== "")).toEqual([]);

  await env.clock.advance(2000);
  env.runtime.forgetCalls();
  await env.clock.advance(5000);
  expect(env.runtime.count("listContainers")).toBeLessThanOrEqual(1);
});

test("on a containerd that hides its own service GetContainerEvents is still not asked for", async () => {
  const runtime = new Runtime();
  runtime.name = "containerd";
  runtime.tasks.failure = unimplemented();
  await using env = await started(runtime);
  expect(env.pleg.snapshot().events).toMatchObject({ state: "unsupported" });
  expect(runtime.cri.opened).toBe(0);
  // Relist alone.
  await env.clock.advance(5000);
  expect(env.runtime.count("listContainers")).toBeGreaterThanOrEqual(4);
});

test("a runtime with neither: relist alone", async () => {
  const runtime = new Runtime();
  runtime.tasks.failure = unimplemented();
  runtime.cri.failure = unimplemented();
  await using env = await started(runtime);
  expect(env.pleg.snapshot().events.state).toBe("unsupported");
  env.runtime.container("p1", "app-1", "exited");
  await env.clock.advance(1100);
  expect(env.published()).toEqual(["ContainerDied app-1"]);
});

test("after a reconnect it is chosen anew, in both directions, with a relist each time", async () => {
  const runtime = new Runtime();
  runtime.tasks.failure = unimplemented();
  await using env = await started(runtime);
  runtime.tasks.failure = undefined;
  runtime.name = "containerd";
  env.runtime.forgetCalls();
  runtime.cri.lose(new Error("connection lost"));
  await env.clock.advance(400);
  expect(env.pleg.snapshot().events).toMatchObject({ state: "listening", service: "containerd" });
  expect([runtime.tasks.opened, runtime.cri.opened]).toEqual([2, 1]);
  expect(env.runtime.count("listContainers")).toBeGreaterThanOrEqual(1);

  runtime.cri.failure = undefined;
  runtime.name = "cri-o";
  env.runtime.forgetCalls();
  runtime.tasks.lose(new Error("connection lost"));
  await env.clock.advance(50);
  runtime.tasks.failure = unimplemented();
  await env.clock.advance(1000);
  expect(env.pleg.snapshot().events).toMatchObject({ state: "listening", service: "cri" });
  expect(env.runtime.count("listContainers")).toBeGreaterThanOrEqual(1);
});

test("a runtime that cannot say what it is is asked again; a stop leaves no stream", async () => {
  const runtime = new Runtime();
  runtime.tasks.failure = unimplemented();
  const { version } = runtime.port;
  let fails = true;
  Object.assign(runtime.port, {
    version: (...args: Parameters<typeof version>) =>
      fails ? Promise.reject(new Error("busy")) : version(...args),
  });
  {
    await using env = await started(runtime);
    expect(env.pleg.snapshot().events).toMatchObject({ state: "down", problem: "busy" });
    fails = false;
    await env.clock.advance(4000);
    expect(env.pleg.snapshot().events).toMatchObject({ state: "listening", service: "cri" });
  }
  expect([runtime.tasks.ended, runtime.cri.ended]).toEqual([runtime.tasks.opened, runtime.cri.opened]);
});

test("`chosen` is told of each service that is subscribed to", async () => {
  const runtime = new Runtime();
  runtime.tasks.failure = unimplemented();
  const told: EventService[] = [];
  const over = new AbortController();
  const events = runtimeEvents(runtime.port)({
    signal: over.signal,
    chosen: (service) => told.push(service),
  });
  expect(told).toEqual(["containerd"]);
  runtime.cri.emit(criEvent("CONTAINER_CREATED_EVENT", "c"));
  for await (const event of events) {
    expect(event).toEqual({ topic: "cri/created", containerId: "c", id: "c", podUid: "p1" });
    break;
  }
  expect(told).toEqual(["containerd", "cri"]);
  over.abort();
});

test.each([
  ["CONTAINER_CREATED_EVENT", "cri/created"],
  ["CONTAINER_STARTED_EVENT", "cri/started"],
  ["CONTAINER_STOPPED_EVENT", "cri/stopped"],
  ["CONTAINER_DELETED_EVENT", "cri/deleted"],
] as const)("%s means %s", (type, topic) => {
  expect(fromContainerEvent(criEvent(type, "c")).topic).toBe(topic);
});

test("an event without a sandbox has no pod, and one of an unknown kind means: look", () => {
  expect(
    fromContainerEvent(
      ContainerEventResponse.fromPartial({ containerId: "c", containerEventType: 9 as never }),
    ),
  ).toEqual({ topic: "cri/other", containerId: "c", id: "c", podUid: undefined });
});
