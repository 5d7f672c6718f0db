// SPDX-License-Identifier: Apache-2.0

import { getEventListeners } from "node:events";
import { Readable } from "node:stream";

import { status } from "@grpc/grpc-js";
import type { ServerWritableStream } from "@grpc/grpc-js";
import { isDeadline, isUnimplemented } from "@holdfast/core/errors";
import { ManualClock } from "@holdfast/core/manual-clock";
import { ContainerEventResponse, createCriClient, StreamContainersResponse } from "@holdfast/cri";
import { describe, expect, it } from "vitest";

import { MessageStream } from "../src/message-stream.ts";
import { scriptedServer, streams } from "./scripted-server.ts";

const event = (containerId: string): ContainerEventResponse => ContainerEventResponse.create({ containerId });

/** A stream that the test holds in its hands. */
function held<Response>(): {
  handler: ReturnType<typeof streams>;
  call: Promise<ServerWritableStream<never, Response>>;
  cancelled: Promise<void>;
} {
  const call = Promise.withResolvers<ServerWritableStream<never, Response>>();
  const cancelled = Promise.withResolvers<void>();
  const handler = streams<Response>((stream) => {
    stream.on("cancelled", () => cancelled.resolve());
    call.resolve(stream);
  });
  return { handler, call: call.promise, cancelled: cancelled.promise };
}

describe("a stream", () => {
  it("hands out messages in order and ends when the runtime ends it", async () => {
    await using server = await scriptedServer({
      streamContainers: streams<StreamContainersResponse>((stream) => {
        for (let index = 0; index < 500; index++)
          stream.write(StreamContainersResponse.create({ containers: [{ id: `c${index}` }] }));
        stream.end();
      }),
    });
    const clock = new ManualClock();
    await using client = createCriClient({ endpoint: server.endpoint, clock });
    const ids: string[] = [];
    for await (const { containers } of client.streamContainers({}))
      ids.push(...containers.map(({ id }) => id));
    expect(ids).toEqual(Array.from({ length: 500 }, (_, index) => `c${index}`));
    expect(clock.waiting).toBe(0);
    expect(client.inFlight()).toEqual([]);
  });

  it("ends silently on its signal, leaves no listener, and cancels the call", async () => {
    const source = held<ContainerEventResponse>();
    await using server = await scriptedServer({ getContainerEvents: source.handler });
    await using client = createCriClient({ endpoint: server.endpoint });
    const controller = new AbortController();
    const events = client.getContainerEvents({}, { signal: controller.signal });
    (await source.call).write(event("a"));
    expect((await events.next()).value?.containerId).toBe("a");
    const waiting = events.next();
    controller.abort();
    expect(await waiting).toEqual({ done: true, value: undefined });
    expect(await events.next()).toEqual({ done: true, value: undefined });
    await source.cancelled;
    expect(getEventListeners(controller.signal, "abort")).toHaveLength(0);
  });

  it("is cancelled when its reader leaves the loop", async () => {
    const source = held<ContainerEventResponse>();
    await using server = await scriptedServer({ getContainerEvents: source.handler });
    await using client = createCriClient({ endpoint: server.endpoint });
    const events = client.getContainerEvents({});
    (await source.call).write(event("a"));
    for await (const { containerId } of events) {
      expect(containerId).toBe("a");
      break;
    }
    await source.cancelled;
    expect(client.inFlight()).toEqual([]);
  });

  it("hands out what came before a failure, then the failure, once", async () => {
    await using server = await scriptedServer({
      getContainerEvents: streams<ContainerEventResponse>((stream) => {
        for (const id of ["a", "b", "c"]) stream.write(event(id));
        stream.emit("error", { code: status.INTERNAL, details: "overrun" });
      }),
    });
    await using client = createCriClient({ endpoint: server.endpoint });
    const events = client.getContainerEvents({});
    const seen: string[] = [];
    await expect(
      (async () => {
        for await (const { containerId } of events) seen.push(containerId);
      })(),
    ).rejects.toMatchObject({ code: "CRI_INTERNAL", method: "GetContainerEvents" });
    expect(seen).toEqual(["a", "b", "c"]);
    expect(await events.next()).toEqual({ done: true, value: undefined });
  });

  it("fails as unimplemented where the runtime does not know it", async () => {
    await using server = await scriptedServer({});
    await using client = createCriClient({ endpoint: server.endpoint });
    const error: unknown = await client
      .getContainerEvents({})
      .next()
      .catch((reason: unknown) => reason);
    expect(isUnimplemented(error)).toBe(true);
  });

  it("fails when the connection is lost", async () => {
    const source = held<ContainerEventResponse>();
    await using server = await scriptedServer({ getContainerEvents: source.handler });
    await using client = createCriClient({ endpoint: server.endpoint });
    const waiting = client.getContainerEvents({}).next();
    const outcome = expect(waiting).rejects.toMatchObject({ code: "CRI_UNAVAILABLE", kind: "retryable" });
    await source.call;
    await server.stop();
    await outcome;
  });

  it("that lists has a deadline, one of events has none", async () => {
    const list = held<StreamContainersResponse>();
    const endless = held<ContainerEventResponse>();
    await using server = await scriptedServer({
      streamContainers: list.handler,
      getContainerEvents: endless.handler,
    });
    const clock = new ManualClock();
    await using client = createCriClient({ endpoint: server.endpoint, clock, keepaliveMs: 0 });
    const events = client.getContainerEvents({});
    await endless.call;
    expect(clock.waiting).toBe(0);
    const waiting = client
      .streamContainers({})
      .next()
      .catch((reason: unknown) => reason);
    await list.call;
    await clock.advance(120_000);
    expect(isDeadline(await waiting)).toBe(true);
    await list.cancelled;
    await events.return?.();
  });

  it("holds the runtime back instead of keeping what nobody reads", async () => {
    const total = 1000;
    let sent = 0;
    const source = new Readable({
      objectMode: true,
      read() {
        this.push(sent < total ? Buffer.from(String(sent++)) : null);
      },
    });
    const stream = new MessageStream<string>({
      source: Object.assign(source, { cancel: () => source.destroy() }) as never,
      decode: String,
    });
    await new ManualClock().settle(50);
    // The queue, and what a Readable buffers for itself.
    expect(sent).toBeLessThanOrEqual(64 + 2 * source.readableHighWaterMark);
    const seen: string[] = [];
    for await (const message of stream) seen.push(message);
    expect(seen).toEqual(Array.from({ length: total }, (_, index) => String(index)));
  });
});
