// SPDX-License-Identifier: Apache-2.0
import type { EventQuery, JournalEvent } from "@holdfast/journal";
import fc from "fast-check";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { Bench } from "./builders.ts";

const EVENTS = 6000;
const PODS = ["default/busy", "default/calm", "default/rare", "default/once"] as const;
const TYPES = ["pod/A", "pod/B", "pleg/C", "gc/ImageRemoved"] as const;

/** Busy in most events, rare in a few, and one that is heard of twice. */
function podOf(index: number): string | undefined {
  if (index === 17 || index === 4017) return PODS[3];
  if (index % 900 === 5) return PODS[2];
  return [PODS[0], PODS[1], PODS[0], undefined][(index * 7) % 4];
}

describe("a name is found in every segment", () => {
  const bench = new Bench();
  let all: readonly JournalEvent[] = [];

  beforeAll(async () => {
    await bench.journal.start();
    for (let index = 0; index < EVENTS; index++) {
      const pod = podOf(index);
      const subject = {
        ...(pod === undefined ? {} : { pod, podUid: `u-${pod}-${index % 2}`, container: `c${index % 3}` }),
        ...(index % 50 === 0 ? { image: `i${index % 4}` } : {}),
      };
      bench.publish(TYPES[(index * 5) % 4] ?? "", { index }, subject);
      // Batches of every size; also several segments in one.
      if (index % 613 === 0 || index % 40 === 0) bench.journal.flush();
    }
    all = bench.journal.events({ limit: 10_000 });
  });
  afterAll(() => bench[Symbol.asyncDispose]());

  /** The same question to all events, one by one. */
  function plainly(query: EventQuery): number[] {
    return all
      .filter(
        ({ seq, type, subject }) =>
          (query.pod === undefined || subject.pod === query.pod) &&
          (query.podUid === undefined || subject.podUid === query.podUid) &&
          (query.container === undefined || subject.container === query.container) &&
          (query.types === undefined || query.types.includes(type)) &&
          (query.after === undefined || seq > query.after) &&
          (query.before === undefined || seq < query.before),
      )
      .slice(0, query.limit ?? 100)
      .map(({ seq }) => seq);
  }

  it("is as large as the events were many", () => {
    expect(all).toHaveLength(EVENTS + 1);
    expect(bench.store.all("SELECT count(*) AS n FROM segment")).toMatchObject([{ n: expect.any(Number) }]);
    expect(
      bench.store.all<{ n: number }>("SELECT count(DISTINCT segment) AS n FROM posting")[0]?.n,
    ).toBeGreaterThan(4);
  });

  it("answers any question as a look at each event would", () => {
    const seq = fc.integer({ min: 0, max: EVENTS + 2 });
    const question = fc.record(
      {
        pod: fc.constantFrom(...PODS),
        podUid: fc.constantFrom("u-default/busy-1", "u-default/rare-0", "nobody"),
        container: fc.constantFrom("c0", "c1", "c2"),
        types: fc.uniqueArray(fc.constantFrom(...TYPES), { minLength: 1 }),
        after: seq,
        before: seq,
        limit: fc.constantFrom(1, 3, 100, 1000, 10_000),
      },
      { requiredKeys: ["limit"] },
    );
    fc.assert(
      fc.property(question, (query) => {
        expect(bench.journal.events(query).map((event) => event.seq)).toStrictEqual(plainly(query));
      }),
      { numRuns: 300 },
    );
  });

  it("finds what is about the node, and about an image", () => {
    expect(bench.journal.whyNode().chapters.length).toBeGreaterThan(0);
    const told = bench.journal.whyImage("i2").chapters.map((chapter) => chapter.seq);
    const plain = all.filter(({ subject }) => subject.image === "i2").map((event) => event.seq);
    expect(told).toStrictEqual(plain.slice(0, told.length));
    expect(told.length).toBeGreaterThan(20);
  });
});

it("an event that comes behind those after it is found in its place", async () => {
  await using bench = new Bench();
  await bench.journal.start();
  await bench.clock.advance(1000);
  // One is taken by the journal's own loop; a reader's flush writes those behind it, and begins a segment with them.
  const subject = { pod: "default/web", podUid: "u" };
  for (let index = 0; index < 1000; index++) bench.publish("pod/Fill", { index }, subject);
  bench.journal.flush();
  const seqs = [bench.publish("pod/Late", {}, subject)];
  await Promise.resolve();
  for (let index = 0; index < 300; index++) seqs.push(bench.publish("pod/Behind", { index }, subject));
  bench.journal.flush();
  await bench.clock.advance(2000);
  const found = bench.journal.events({ pod: "default/web", types: ["pod/Late", "pod/Behind"], limit: 1000 });
  expect(found.map(({ seq }) => seq)).toStrictEqual(seqs.toReversed());
});
