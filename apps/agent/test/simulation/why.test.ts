// SPDX-License-Identifier: Apache-2.0

/** The journal and the ledger of a whole agent while the wall clock is stepped and the agent dies. */
import { JOURNAL_MIGRATIONS } from "@holdfast/journal";
import type { Termination } from "@holdfast/journal";
import { openStore } from "@holdfast/store";
import type { Store } from "@holdfast/store";
import { describe, expect, it } from "vitest";
import { container, manifest } from "./pods.ts";
import { SimulatedNode } from "./simulated-node.ts";

const HOUR_MS = 3_600_000;

/** A node whose state folder has a journal. */
function nodeWithJournal(): { readonly node: SimulatedNode; readonly store: Store } {
  const store = openStore({ path: ":memory:", durability: "disposable", migrations: JOURNAL_MIGRATIONS });
  const node = new SimulatedNode();
  const open = node.state.open.bind(node.state);
  node.state.open = (life) => ({ ...open(life), journal: store });
  return { node, store };
}

function ends(store: Store): readonly Termination[] {
  const rows = store.all("SELECT entry FROM termination ORDER BY seq") as readonly {
    readonly entry: string;
  }[];
  return rows.map(({ entry }) => JSON.parse(entry) as Termination);
}

/** A pod whose container ends with that code after a second, and waits a second before it is started again. */
function crashing(name: string, exitCode: number): string {
  const written = JSON.parse(
    manifest(name, { containers: [container("main", { exitAfterMs: 1000, exitCode })] }),
  ) as {
    metadata: { annotations?: Record<string, string> };
  };
  written.metadata.annotations = { "holdfast.agent/crash-loop-back-off": "initial=1s, factor=1" };
  return JSON.stringify(written);
}

describe("the clock is stepped", () => {
  it.each([-HOUR_MS, HOUR_MS])(
    "by %i ms: order is by number, every end is in the ledger once, waits do not change",
    async (step) => {
      const { node, store } = nodeWithJournal();
      node.manifests.write("crash.json", crashing("crash", 3));
      await node.start();
      await node.advance(20_000);
      node.clock.stepWall(step);
      await node.advance(20_000);
      node.kill({ carriedOut: true });
      node.clock.stepWall(step);
      await node.start();
      await node.advance(20_000);
      await node.stop();
      const events = store.all("SELECT seq, at FROM event ORDER BY seq") as readonly {
        readonly seq: number;
        readonly at: number;
      }[];
      // The order is what happened, whatever the clock said.
      const steps = events
        .flatMap(({ at }, index) => at - (events[index - 1]?.at ?? at))
        .filter((gap) => Math.abs(gap) > HOUR_MS / 2);
      expect(steps.map(Math.sign)).toEqual([Math.sign(step), Math.sign(step)]);
      const rows = ends(store);
      expect(new Set(rows.map(({ containerId }) => containerId)).size).toBe(rows.length);
      expect(new Set(rows.map(({ cause }) => cause))).toEqual(new Set(["ApplicationError"]));
      // A second of life and one of waiting, for a minute; the first restart is at once, and the agent was away for a moment.
      expect(rows.length).toBeGreaterThanOrEqual(26);
      expect(rows.length).toBeLessThanOrEqual(32);
      expect(rows.map(({ restartCount }) => restartCount)).toEqual(rows.map((_row, index) => index));
      expect(store.all("SELECT text FROM journal_name WHERE text = 'journal/Gap'")).toEqual([]);
      expect(node.troubles).toEqual([]);
      store.close();
    },
  );
});
