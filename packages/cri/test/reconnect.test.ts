// SPDX-License-Identifier: Apache-2.0

import { createServer } from "node:http2";

import { ManualClock } from "@holdfast/core/manual-clock";
import { seededRandom } from "@holdfast/core/random";
import { createCriClient, CriError, VersionResponse } from "@holdfast/cri";
import fc from "fast-check";
import { describe, expect, it } from "vitest";

import { ReconnectGate } from "../src/reconnect-gate.ts";
import { answers, fails, scriptedServer, temporarySocket } from "./scripted-server.ts";

describe("pauses after lost connections", () => {
  it("double from 100 ms, have jitter, and start anew after an answer", async () => {
    const clock = new ManualClock();
    const gate = new ReconnectGate(clock, 2500, () => 0.5);
    const pauses: number[] = [];
    for (let loss = 0; loss < 7; loss++) {
      gate.lost();
      gate.lost(); // another call on the same connection
      pauses.push(Math.round(gate.closedForMs));
      await clock.advance(gate.closedForMs);
      expect(gate.closedForMs).toBe(0);
    }
    expect(pauses).toEqual([110, 220, 440, 880, 1760, 2750, 2750]);
    gate.answered();
    gate.lost();
    expect(gate.closedForMs).toBeCloseTo(110);
  });

  it("property: never longer than 3 s, however many losses", () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 200 }), fc.integer(), (losses, seed) => {
        const clock = { now: 0, monotonic: () => clock.now };
        const gate = new ReconnectGate(clock, 2500, seededRandom(seed));
        for (let loss = 0; loss < losses; loss++) {
          clock.now += gate.closedForMs;
          gate.lost();
        }
        expect(gate.closedForMs).toBeGreaterThan(0);
        expect(gate.closedForMs).toBeLessThanOrEqual(3000);
      }),
    );
  });

  it("a runtime that accepts and drops is not stormed, however fast the calls come", async () => {
    using socket = temporarySocket();
    let connections = 0;
    const server = createServer();
    server.on("session", (session) => {
      connections += 1;
      session.on("error", () => {});
      session.on("stream", () => session.destroy());
    });
    await new Promise<void>((resolve) => server.listen(socket.path, resolve));
    const clock = new ManualClock();
    await using client = createCriClient({ endpoint: socket.path, clock, random: () => 0 });
    const codes = new Set<string>();
    const ask = async (): Promise<void> => {
      const error: unknown = await client.version({}).catch((reason: unknown) => reason);
      codes.add(error instanceof CriError ? error.code : String(error));
    };
    for (let call = 0; call < 300; call++) await ask();
    expect([connections, [...codes]]).toEqual([1, ["CRI_UNAVAILABLE"]]);
    const error: unknown = await client.version({}).catch((reason: unknown) => reason);
    expect(error).toMatchObject({ mayHaveHappened: false, kind: "retryable" });
    await clock.advance(100);
    for (let call = 0; call < 300; call++) await ask();
    expect(connections).toBe(2);
    server.close();
  });

  it("an answer of UNAVAILABLE about one container holds nobody else up", async () => {
    await using server = await scriptedServer({
      version: answers(() => VersionResponse.create({ runtimeName: "scripted" })),
      containerStatus: fails(14, "ttrpc: closed"),
    });
    await using client = createCriClient({ endpoint: server.endpoint, clock: new ManualClock() });
    for (let call = 0; call < 5; call++) {
      await expect(client.containerStatus({ containerId: "c" })).rejects.toMatchObject({
        code: "CRI_UNAVAILABLE",
      });
      expect((await client.version({})).runtimeName).toBe("scripted");
    }
  });
});
