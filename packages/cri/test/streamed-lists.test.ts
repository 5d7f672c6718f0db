// SPDX-License-Identifier: Apache-2.0

import { status } from "@grpc/grpc-js";
import { silentLogger } from "@holdfast/core/log";
import type { Logger } from "@holdfast/core/log";
import { MetricsRegistry } from "@holdfast/core/metrics";
import {
  createCriClient,
  ListContainersResponse,
  StreamContainersResponse,
  StreamImagesResponse,
} from "@holdfast/cri";
import type { StreamContainersRequest } from "@holdfast/cri";
import { describe, expect, it } from "vitest";

import { answers, scriptedServer, streams } from "./scripted-server.ts";

/** Counts how often an RPC was called. */
function counted<T extends (...args: never[]) => void>(handler: T): { handler: T; calls: () => number } {
  let calls = 0;
  const wrapped = (...args: Parameters<T>): void => {
    calls += 1;
    handler(...args);
  };
  return { handler: wrapped as T, calls: () => calls };
}

const unary = (): ReturnType<typeof counted> =>
  counted(
    answers(() => ListContainersResponse.fromPartial({ containers: [{ id: "unary" }] })) as unknown as (
      ...args: never[]
    ) => void,
  );

describe("lists in parts", () => {
  it("are put together, however many parts there are, with the caller's filter", async () => {
    const filters: unknown[] = [];
    const inParts = streams<StreamContainersResponse>((call) => {
      filters.push((call.request as StreamContainersRequest).filter?.podSandboxId);
      for (let part = 0; part < 200; part++)
        call.write(
          StreamContainersResponse.fromPartial({
            containers: Array.from({ length: 50 }, (_, at) => ({ id: `c${part}-${at}` })),
          }),
        );
      call.end();
    });
    const whole = unary();
    await using server = await scriptedServer({
      streamContainers: inParts,
      listContainers: whole.handler as never,
    });
    await using client = createCriClient({ endpoint: server.endpoint });
    const { containers } = await client.listContainers({ filter: { podSandboxId: "s" } });
    expect(containers).toHaveLength(10_000);
    expect(new Set(containers.map(({ id }) => id)).size).toBe(10_000);
    expect([filters, whole.calls()]).toEqual([["s"], 0]);
  });

  it("are not asked for again where the runtime does not know them, until it was lost", async () => {
    const unknown = counted(
      streams((call) =>
        call.emit("error", { code: status.UNIMPLEMENTED, details: "unknown method" }),
      ) as never,
    );
    const whole = unary();
    await using server = await scriptedServer({
      streamContainers: unknown.handler,
      listContainers: whole.handler as never,
    });
    await using client = createCriClient({ endpoint: server.endpoint, maxReconnectMs: 100 });
    for (let round = 0; round < 3; round++)
      expect((await client.listContainers({})).containers.map(({ id }) => id)).toEqual(["unary"]);
    expect([unknown.calls(), whole.calls()]).toEqual([1, 3]);
    await server.stop();
    await expect(client.listContainers({})).rejects.toMatchObject({ code: "CRI_UNAVAILABLE" });
    await server.start();
    await expect
      .poll(() => client.listContainers({}).catch((error: { code: string }) => error.code))
      .toMatchObject({ containers: [{ id: "unary" }] });
    expect(unknown.calls()).toBe(2);
  });

  it("are asked for in parts again after a reconnect that no list noticed, each list for itself", async () => {
    let known = false;
    const parts = counted(
      streams<StreamContainersResponse>((call) => {
        if (!known) {
          call.emit("error", { code: status.UNIMPLEMENTED, details: "unknown method" });
          return;
        }
        call.write(StreamContainersResponse.fromPartial({ containers: [{ id: "part" }] }));
        call.end();
      }) as never,
    );
    const subscribed: (() => void)[] = [];
    await using server = await scriptedServer({
      streamContainers: parts.handler,
      listContainers: unary().handler as never,
      streamImages: streams<StreamImagesResponse>((call) => {
        call.write(StreamImagesResponse.fromPartial({ images: [{ id: "i" }] }));
        call.end();
      }),
      subscribe: streams(() => subscribed.shift()?.()),
    });
    await using client = createCriClient({ endpoint: server.endpoint });
    const ids = async (): Promise<string[]> =>
      (await client.listContainers({})).containers.map(({ id }) => id);
    expect([await ids(), await ids(), parts.calls()]).toEqual([["unary"], ["unary"], 1]);
    // One list that is unknown says nothing about another.
    expect((await client.listImages({})).images.map(({ id }) => id)).toEqual(["i"]);
    const there = new Promise<void>((resolve) => subscribed.push(resolve));
    const events = expect(client.containerdEvents().next()).rejects.toMatchObject({
      code: "CRI_UNAVAILABLE",
    });
    await there;
    known = true;
    await server.stop();
    await events;
    await server.start();
    await expect.poll(() => ids().catch((error: { code: string }) => error.code)).toEqual(["part"]);
  });

  it("that cannot be had in parts are warned about before they are too long", async () => {
    const told: unknown[] = [];
    const metrics = new MetricsRegistry();
    const logger: Logger = { ...silentLogger, warn: (_text, fields) => told.push(fields) };
    let long = 0;
    await using server = await scriptedServer({
      streamContainers: streams((call) =>
        call.emit("error", { code: status.UNIMPLEMENTED, details: "unknown method" }),
      ),
      listContainers: answers(() =>
        ListContainersResponse.fromPartial({ containers: [{ id: "x".repeat(long) }] }),
      ),
    });
    await using client = createCriClient({
      endpoint: server.endpoint,
      maxMessageBytes: 100_000,
      logger,
      metrics,
    });
    for (long of [70_000, 80_000, 90_000]) await client.listContainers({});
    expect(told).toEqual([{ method: "ListContainers", bytes: expect.any(Number), maxMessageBytes: 100_000 }]);
    const labels = { operation_type: "list_containers" };
    expect(metrics.value("holdfast_runtime_answers_near_limit_total", labels)).toBe(2);
    expect(metrics.value("holdfast_runtime_largest_answer_bytes", labels)).toBeGreaterThan(90_000);
    long = 110_000;
    await expect(client.listContainers({})).rejects.toMatchObject({
      code: "CRI_MESSAGE_TOO_LARGE",
      method: "ListContainers",
      message: expect.stringMatching(
        /^ListContainers: message of 1100\d\d bytes over the limit of 100000 bytes: remove dead .*or raise maxMessageBytes/,
      ) as string,
    });
  });

  it("that break off half-way, or are given up, are errors and no shorter lists", async () => {
    const cut = streams<StreamContainersResponse>((call) => {
      call.write(StreamContainersResponse.fromPartial({ containers: [{ id: "first" }] }));
      call.emit("error", { code: status.UNAVAILABLE, details: "gone" });
    });
    await using server = await scriptedServer({ streamContainers: cut });
    await using client = createCriClient({ endpoint: server.endpoint });
    await expect(client.listContainers({})).rejects.toMatchObject({ code: "CRI_UNAVAILABLE" });

    const begun = Promise.withResolvers<void>();
    const hanging = streams<StreamContainersResponse>((call) => {
      call.write(StreamContainersResponse.fromPartial({ containers: [{ id: "first" }] }));
      begun.resolve();
    });
    await using slow = await scriptedServer({ streamContainers: hanging });
    await using other = createCriClient({ endpoint: slow.endpoint });
    const given = new AbortController();
    const list = other.listContainers({}, { signal: given.signal });
    await begun.promise;
    given.abort(new Error("enough"));
    await expect(list).rejects.toThrow("enough");
  });
});
