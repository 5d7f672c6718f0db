// SPDX-License-Identifier: Apache-2.0
import type { ContainerRecord } from "@holdfast/core/runtime-status";
import { findCondition, StatusSync } from "@holdfast/status";
import type { ApiPod } from "@holdfast/status";
import { expect, test } from "vitest";
import { exited, options, record, runtime } from "../builders.ts";
import { apiRig } from "./api-rig.ts";

const MINUTE = 60_000;
const TRY_EVERY_MS = 10_000;

test("an hour without an API server: nothing is lost, each pod is written once, and what others did meanwhile holds", async () => {
  await using rig = await apiRig();
  const { server, clock, manager, ofApi, sink } = rig;
  await using sync = new StatusSync({ clock, source: manager, sink });
  await sync.start();
  const named = (name: string, metadata: Partial<ApiPod["metadata"]> = {}): ApiPod => ({
    ...ofApi,
    metadata: { ...ofApi.metadata, uid: `uid-${name}`, name, ...metadata },
  });
  const set = (of: ApiPod, ...containers: ContainerRecord[]): void =>
    void manager.update(of, { ...runtime(containers), uid: of.metadata.uid }, options());
  /** Virtual time stands while an answer, or that there is none, is on its way. */
  const pass = async (ms: number): Promise<void> => {
    await clock.advance(ms);
    while (sync.snapshot().writing > 0) await new Promise((resolve) => setImmediate(resolve));
  };
  const shown = (name: string) => server.pods.get(`default/${name}`);

  const plain = Array.from({ length: 40 }, (_, index) => `pod-${index}`);
  const odd = ["replaced", "removed", "deleted", "shared"];
  for (const name of [...plain, ...odd]) {
    server.put({ ...named(name), status: { phase: "Pending" } });
    set(named(name), record("a"));
  }
  while (!sync.isSettled()) await pass(50);
  server.isDown = true;
  server.seen.length = 0;

  // What others do while the node does not reach the server.
  server.put({ ...named("replaced", { uid: "successor" }), status: { phase: "Pending" } });
  server.pods.delete("default/removed");
  const asked = named("deleted", { deletionTimestamp: "2026-01-01T00:00:00Z" });
  server.put({ ...asked, ...(shown("deleted")?.status && { status: shown("deleted")?.status }) } as ApiPod);
  const gate = { type: "example.com/Gate", status: "True" as const };
  const { status: before } = shown("shared") ?? {};
  if (before === undefined) throw new Error("it was not written before");
  server.put({ ...named("shared"), status: { ...before, conditions: [...(before.conditions ?? []), gate] } });

  for (let at = 0; at < 60 * MINUTE; at += TRY_EVERY_MS) {
    const attempt = Math.floor(at / (10 * MINUTE)) + 1;
    if (at % (10 * MINUTE) === 0)
      for (const name of [...plain, ...odd])
        set(named(name), exited("a", 1, { attempt, restartCount: attempt }));
    await pass(TRY_EVERY_MS);
  }
  manager.terminatePod(asked);
  expect(sync.health().failures.join()).toMatch(
    /have not reached api-server for 3[56]\d\d s: no answer from the API server/,
  );
  expect([sync.snapshot().pending, server.seen.length]).toEqual([44, 0]);

  server.isDown = false;
  for (let turn = 0; turn < 100 && !sync.isSettled(); turn++) await pass(1000);
  expect([sync.isSettled(), sync.health().failures]).toEqual([true, []]);
  for (const name of [...plain, "shared"])
    expect(shown(name)?.status).toMatchObject({ phase: "Failed", containerStatuses: [{ restartCount: 6 }] });
  expect(findCondition(shown("shared")?.status?.conditions, gate.type)).toEqual(gate);
  expect(findCondition(shown("shared")?.status?.conditions, "Ready")?.reason).toBe("PodFailed");
  expect(shown("replaced")).toMatchObject({ metadata: { uid: "successor" }, status: { phase: "Pending" } });
  expect([shown("removed"), shown("deleted")]).toEqual([undefined, undefined]);
  // Each pod once, one look at the name that another pod has, one pod deleted.
  const counts = { PATCH: 0, GET: 0, DELETE: 0 };
  for (const method of server.methods() as (keyof typeof counts)[]) counts[method] += 1;
  expect(counts).toEqual({ PATCH: 44, GET: 1, DELETE: 1 });
});
