// SPDX-License-Identifier: Apache-2.0
import { computeEvents } from "@holdfast/pleg";
import type { ListedItem, PlegState } from "@holdfast/pleg";
import fc from "fast-check";
import { expect, test } from "vitest";

const item = (id: string, state: PlegState, kind: ListedItem["kind"] = "container"): ListedItem => ({
  id,
  kind,
  podUid: "p",
  name: "",
  sandboxId: "s",
  state,
  attempt: 0,
  createdAt: 0,
});
const asMap = (items: readonly ListedItem[]): Map<string, ListedItem> =>
  new Map(items.map((each) => [each.id, each]));
const types = (old: PlegState | undefined, current: PlegState | undefined): string[] =>
  computeEvents(
    asMap(old === undefined ? [] : [item("c", old)]),
    current === undefined ? [] : [item("c", current)],
  ).map(({ type }) => type);

const [started, died, removed, changed] = [
  "ContainerStarted",
  "ContainerDied",
  "ContainerRemoved",
  "ContainerChanged",
] as const;

test.each([
  [undefined, "running", [started]],
  [undefined, "exited", [died]],
  [undefined, "unknown", [changed]],
  [undefined, undefined, []],
  ["running", "running", []],
  ["running", "exited", [died]],
  ["running", "unknown", [changed]],
  ["running", undefined, [died, removed]],
  ["exited", "running", [started]],
  ["exited", "exited", []],
  ["exited", "unknown", [changed]],
  ["exited", undefined, [removed]],
  ["unknown", "running", [started]],
  ["unknown", "exited", [died]],
  ["unknown", "unknown", []],
  ["unknown", undefined, [died, removed]],
] as const)("%s -> %s", (old, current, expected) => expect(types(old, current)).toEqual(expected));

test("containers come first, then sandboxes, each id once", () => {
  const events = computeEvents(new Map(), [
    item("s", "running", "sandbox"),
    item("c", "running"),
    item("c", "running"),
  ]);
  expect(events.map(({ item: { id } }) => id)).toEqual(["c", "s"]);
});

const states = fc.constantFrom<PlegState>("running", "exited", "unknown");
const lists = fc
  .uniqueArray(fc.record({ id: fc.constantFrom("a", "b", "c", "d", "e", "f"), state: states }), {
    selector: ({ id }) => id,
  })
  .map((entries) => entries.map(({ id, state }) => item(id, state, id < "d" ? "container" : "sandbox")));

test("property: the same list says nothing, in any order", () => {
  fc.assert(
    fc.property(lists, (list) => {
      expect(computeEvents(asMap(list), list.toReversed())).toEqual([]);
    }),
  );
});

test("property: an id has events exactly when its state differs, and the last one tells what it is now", () => {
  fc.assert(
    fc.property(lists, lists, (old, current) => {
      const before = asMap(old);
      const now = asMap(current);
      const last = new Map(computeEvents(before, current).map((event) => [event.item.id, event.type]));
      const tells = { running: started, exited: died, unknown: changed };
      for (const id of new Set([...before.keys(), ...now.keys()])) {
        const state = now.get(id)?.state;
        const expected = state === undefined ? removed : tells[state];
        expect(last.get(id)).toBe(before.get(id)?.state === state ? undefined : expected);
      }
    }),
  );
});

test("property: nothing is removed or started twice on a walk through lists", () => {
  fc.assert(
    fc.property(fc.array(lists, { maxLength: 8 }), (walk) => {
      const alive = new Set<string>();
      let old: readonly ListedItem[] = [];
      for (const current of walk) {
        for (const { item: it, type } of computeEvents(asMap(old), current)) {
          if (type === started) {
            expect(alive.has(it.id)).toBe(false);
            alive.add(it.id);
          } else if (type === died) alive.delete(it.id);
          else if (type === removed) expect(alive.has(it.id)).toBe(false);
          else alive.delete(it.id);
        }
        old = current;
      }
    }),
  );
});
