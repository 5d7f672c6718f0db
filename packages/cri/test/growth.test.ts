// SPDX-License-Identifier: Apache-2.0

// After 100,000 calls, however they ended, as much is kept as after none: counted, on a channel that answers in this process.
import { EventEmitter, getEventListeners } from "node:events";

import { status } from "@grpc/grpc-js";
import { silentLogger } from "@holdfast/core/log";
import { ManualClock } from "@holdfast/core/manual-clock";
import { MetricsRegistry } from "@holdfast/core/metrics";
import { VersionResponse } from "@holdfast/cri";
import { expect, it } from "vitest";

import { createCallMetrics } from "../src/call-metrics.ts";
import { Ceiling } from "../src/ceiling.ts";
import type { Channel } from "../src/channel.ts";
import { Connection } from "../src/connection.ts";
import { DEFAULT_DEADLINES } from "../src/deadlines.ts";
import { createRuntimeService } from "../src/runtime-service.ts";
import { StringTable } from "../src/interning-reader.ts";

const CALLS = 100_000;
const STRINGS = 256;
const version = Buffer.from(
  VersionResponse.encode(VersionResponse.create({ runtimeName: "scripted" })).finish(),
);

type Done = (error: unknown, answer?: Buffer) => void;

/** Answers, fails, or does nothing, in turn. */
class ScriptedChannel {
  calls = 0;
  cancelled = 0;
  readonly streams = new Set<EventEmitter>();
  readonly client = {
    makeUnaryRequest: (...args: unknown[]): { cancel(): void } => {
      const done = args.at(-1) as Done;
      const turn = this.calls++ % 4;
      if (turn === 0) queueMicrotask(() => done(null, version));
      if (turn === 1)
        queueMicrotask(() =>
          done(Object.assign(new Error("no"), { code: status.UNKNOWN, details: `no ${this.calls}` })),
        );
      return { cancel: () => void (this.cancelled += 1) };
    },
    makeServerStreamRequest: (): EventEmitter => {
      const stream = Object.assign(new EventEmitter(), {
        cancel: () => void this.streams.delete(stream),
        isPaused: () => false,
        resume: () => {},
        pause: () => {},
        readableLength: 0,
      });
      this.streams.add(stream);
      return stream;
    },
  };

  ask(): Promise<"silence"> {
    return Promise.resolve("silence");
  }

  close(): void {}
}

it(`${CALLS} calls leave no listener, timer, call, stream or series behind`, async () => {
  const channel = new ScriptedChannel();
  const clock = new ManualClock();
  const metrics = new MetricsRegistry();
  const strings = new StringTable(STRINGS);
  const connection = new Connection({
    endpoint: "unix:///nowhere",
    clock,
    metrics: createCallMetrics(metrics),
    deadlines: DEFAULT_DEADLINES,
    maxMessageBytes: 1 << 24,
    maxReconnectMs: 2500,
    keepaliveMs: 15_000,
    logger: silentLogger,
    random: () => 0,
    ceiling: new Ceiling({ clock, metrics, logger: silentLogger, maxMessageBytes: 1 << 24 }),
    connect: () => channel as unknown as Channel,
  });
  const service = createRuntimeService(connection, strings);
  const life = new AbortController();
  const quiet = (): void => {};
  let lines = 0;
  for (let round = 0; round < CALLS / 1000; round++) {
    const given = new AbortController();
    const calls: Promise<unknown>[] = [];
    for (let call = 0; call < 1000; call++) {
      // Half of them hang: these are given up by their caller, or by the deadline.
      const signal = call % 4 === 2 ? given.signal : life.signal;
      calls.push(service.version({ version: `v${round}-${call}` }, { signal }).catch(quiet));
    }
    const events = service.getContainerEvents({}, { signal: given.signal }).next();
    await Promise.resolve();
    given.abort(new Error("enough"));
    await clock.advance(120_000);
    await Promise.all([...calls, events]);
    if (round === 0) lines = metrics.exposition().split("\n").length;
  }
  expect(channel.calls).toBe(CALLS);
  expect(channel.cancelled).toBe(CALLS / 2);
  expect(connection.inFlight()).toEqual([]);
  expect(channel.streams.size).toBe(0);
  expect(getEventListeners(life.signal, "abort")).toHaveLength(0);
  // A question about the silence may still be out; it is the only thing, and it ends.
  await clock.advance(20_000);
  expect(clock.waiting).toBe(0);
  expect(metrics.exposition().split("\n")).toHaveLength(lines);
  expect(metrics.value("holdfast_runtime_operations_in_flight", { operation_type: "version" })).toBe(0);
  connection.close();
});
