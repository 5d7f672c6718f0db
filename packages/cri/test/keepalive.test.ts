// SPDX-License-Identifier: Apache-2.0

import { ManualClock } from "@holdfast/core/manual-clock";
import { MetricsRegistry } from "@holdfast/core/metrics";
import { createCriClient, VersionResponse } from "@holdfast/cri";
import { describe, expect, it } from "vitest";

import type { Answer } from "../src/channel.ts";
import { Keepalive } from "../src/keepalive.ts";
import { answers, hangs, scriptedServer, streams } from "./scripted-server.ts";

/** A channel that answers, if it does, after so long. */
class Pretended {
  closed = false;
  asked = 0;
  readonly #clock: ManualClock;
  readonly #answer: Answer;
  readonly #afterMs: number;

  constructor(clock: ManualClock, answer: Answer, afterMs = 0) {
    this.#clock = clock;
    this.#answer = answer;
    this.#afterMs = afterMs;
  }

  async ask(timeoutMs: number, signal: AbortSignal): Promise<Answer> {
    this.asked += 1;
    const silent = this.#answer === "silence" || this.#afterMs > timeoutMs;
    try {
      await this.#clock.sleep(silent ? timeoutMs : this.#afterMs, { signal });
    } catch {
      return "silence";
    }
    return silent ? "silence" : this.#answer;
  }

  close(): void {
    this.closed = true;
  }
}

/** An old connection, and what a new one would be. */
function make(old: [Answer, number?], fresh: [Answer, number?]) {
  const clock = new ManualClock();
  const current = new Pretended(clock, ...old);
  const made: Pretended[] = [];
  const replaced: Pretended[] = [];
  const keepalive = new Keepalive<Pretended>({
    clock,
    periodMs: 15_000,
    current: () => current,
    connect: () => {
      const one = new Pretended(clock, ...fresh);
      made.push(one);
      return one;
    },
    replace: (one) => void replaced.push(one),
  });
  return { clock, current, keepalive, made, replaced };
}

describe("the keepalive", () => {
  it.each<[string, [Answer, number?], [Answer, number?], number, number]>([
    ["an answer in time: nothing", ["answer", 10], ["answer"], 0, 0],
    ["an answer a little late: nothing, and no second connection", ["answer", 4900], ["answer"], 0, 0],
    ["gRPC knows that it is lost: nothing", ["refused"], ["answer"], 0, 0],
    ["silence here and an answer there: replaced", ["silence"], ["answer", 10], 1, 1],
    ["silence on both: frozen, kept", ["silence"], ["silence"], 1, 0],
    ["silence here and nobody there: kept", ["silence"], ["refused"], 1, 0],
    ["both waited for a busy runtime: kept", ["answer", 7000], ["answer", 2000], 1, 0],
    ["the old one answers in its last second: kept", ["answer", 5900], ["answer", 10], 1, 0],
  ])("%s", async (_name, old, fresh, connections, replacements) => {
    const { clock, keepalive, made, replaced } = make(old, fresh);
    keepalive.begin();
    await clock.advance(28_000);
    expect([made.length, replaced.length]).toEqual([connections, replacements]);
    for (const one of made) expect(one.closed).toBe(replacements === 0);
    keepalive.close();
    await clock.settle();
    expect(clock.waiting).toBe(0);
  });

  it("asks nothing while something is heard, and nothing while no call waits", async () => {
    const { clock, current, keepalive } = make(["answer"], ["answer"]);
    keepalive.begin();
    for (let at = 0; at < 10; at++) {
      await clock.advance(10_000);
      keepalive.heard();
    }
    expect(current.asked).toBe(0);
    keepalive.pause();
    await clock.advance(3_600_000);
    expect([current.asked, clock.waiting]).toEqual([0, 0]);
    keepalive.begin();
    await clock.advance(14_999);
    expect(current.asked).toBe(0);
    await clock.advance(1);
    expect(current.asked).toBe(1);
    keepalive.close();
  });

  it("adds up the silence of calls that give up one after the other", async () => {
    const { clock, keepalive, replaced } = make(["silence"], ["answer"]);
    for (let call = 0; call < 3; call++) {
      keepalive.begin();
      await clock.advance(10_000);
      keepalive.pause();
    }
    expect(replaced).toHaveLength(1);
    await clock.advance(60_000);
    expect(clock.waiting).toBe(0);
  });

  it("opens at most one connection in 20 s to a runtime that is frozen", async () => {
    const { clock, keepalive, made, replaced } = make(["silence"], ["silence"]);
    keepalive.begin();
    await clock.advance(600_000);
    expect(made.length).toBeGreaterThan(10);
    expect(made.length).toBeLessThanOrEqual(30);
    expect(replaced).toEqual([]);
    keepalive.close();
  });
});

/** Lets virtual time go on in small steps, so that what is real keeps up, until `isSo`. */
async function advanceUntil(clock: ManualClock, isSo: () => boolean): Promise<void> {
  while (!isSo()) {
    await clock.advance(50);
    await clock.settle(40);
  }
}

const version = VersionResponse.create({ runtimeName: "scripted" });

describe("a half-open connection", () => {
  it("is found and replaced; its calls and streams are lost as such, later ones reach the runtime", async () => {
    const hung = hangs();
    const subscribed = Promise.withResolvers<void>();
    await using server = await scriptedServer({
      version: answers(() => version),
      stopContainer: hung.handler,
      subscribe: streams(() => subscribed.resolve()),
    });
    const clock = new ManualClock();
    const metrics = new MetricsRegistry();
    await using client = createCriClient({ endpoint: server.endpoint, clock, metrics });
    const events = client.containerdEvents().next();
    const stream = expect(events).rejects.toMatchObject({
      code: "CRI_UNAVAILABLE",
      kind: "retryable",
      message: expect.stringContaining("half-open") as string,
    });
    const call = client.stopContainer({ containerId: "c1" });
    const stopped = expect(call).rejects.toMatchObject({
      code: "CRI_UNAVAILABLE",
      target: "c1",
      mayHaveHappened: true,
    });
    await Promise.all([subscribed.promise, hung.called]);
    server.freeze("old");
    let lost = false;
    void stopped.then(() => (lost = true));
    await advanceUntil(clock, () => lost);
    await stream;
    expect(clock.monotonic()).toBeLessThan(30_000);
    expect((await client.version({})).runtimeName).toBe("scripted");
    expect(server.accepted).toBe(2);
    expect(metrics.value("holdfast_runtime_connections_replaced_total")).toBe(1);
    expect(client.inFlight()).toEqual([]);
  });

  it("is told from a runtime that hangs in one call: a long call goes on", async () => {
    const hung = hangs();
    await using server = await scriptedServer({ version: answers(() => version), pullImage: hung.handler });
    const clock = new ManualClock();
    await using client = createCriClient({ endpoint: server.endpoint, clock });
    const over = new AbortController();
    const pull = expect(
      client.pullImage({ image: { image: "busybox" } }, { signal: over.signal }),
    ).rejects.toThrow("enough");
    await hung.called;
    const end = clock.monotonic() + 120_000;
    await advanceUntil(clock, () => clock.monotonic() >= end);
    expect(client.inFlight()).toMatchObject([{ method: "PullImage" }]);
    expect(server.accepted).toBe(1);
    over.abort(new Error("enough"));
    await pull;
  });

  it("is told from a runtime that is frozen: the calls meet their own deadlines on the old connection", async () => {
    const hung = hangs();
    await using server = await scriptedServer({ version: answers(() => version), status: hung.handler });
    const clock = new ManualClock();
    await using client = createCriClient({ endpoint: server.endpoint, clock });
    const asked = client.status({}).catch((error: unknown) => error);
    await hung.called;
    server.freeze("all");
    let answer: unknown;
    void asked.then((error) => (answer = error));
    await advanceUntil(clock, () => answer !== undefined);
    expect(answer).toMatchObject({ code: "CRI_DEADLINE" });
    expect(server.accepted).toBeLessThanOrEqual(7);
  });
});
