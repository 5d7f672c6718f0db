// SPDX-License-Identifier: Apache-2.0

import { ManualClock } from "@holdfast/core/manual-clock";
import fc from "fast-check";
import { expect, it } from "vitest";
import { FilePodSource } from "../../src/config/file-pod-source.ts";
import { PodConfig } from "../../src/config/pod-config.ts";
import { MemoryFolder, MemoryLastGood } from "./memory-folder.ts";

const text = (name: string, version: number): string =>
  `apiVersion: v1\nkind: Pod\nmetadata: {name: ${name}}\nspec: {containers: [{name: c, image: "i:${version}"}]}\n`;

const name = fc.constantFrom("a", "b", "c");
const step = fc.oneof(
  fc.record({ do: fc.constant("move" as const), name, version: fc.nat(2) }),
  fc.record({ do: fc.constant("write" as const), name, version: fc.nat(2) }),
  fc.record({ do: fc.constant("break" as const), name }),
  fc.record({ do: fc.constant("remove" as const), name }),
  fc.record({ do: fc.constant("hints" as const), on: fc.boolean() }),
  fc.record({ do: fc.constant("folder" as const), there: fc.boolean() }),
  fc.record({ do: fc.constant("restart" as const) }),
  fc.record({ do: fc.constant("wait" as const), ms: fc.constantFrom(0, 5, 30, 200, 3000, 25_000) }),
);

it("comes to what the folder says, or last said when it made sense", async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(step, { maxLength: 30 }), async (steps) => {
      const clock = new ManualClock();
      const folder = new MemoryFolder(clock);
      const lastGood = new MemoryLastGood();
      const config = new PodConfig({ sources: ["file"], clock });
      const make = (): FilePodSource =>
        new FilePodSource({
          folder,
          clock,
          lastGood,
          nodeName: "n",
          deliver: (snapshot) => config.update(snapshot),
        });
      let source = make();
      await source.start();
      /** What each file says now; "broken" is no version. */
      const says = new Map<string, number | "broken">();
      for (const action of steps) {
        if (action.do === "move") folder.moveIn(action.name, text(action.name, action.version));
        else if (action.do === "write") folder.write(action.name, text(action.name, action.version));
        else if (action.do === "break") folder.moveIn(action.name, "apiVersion: [");
        else if (action.do === "remove") folder.remove(action.name);
        else if (action.do === "hints") folder.hints = action.on;
        else if (action.do === "folder" && action.there) folder.comeBack();
        else if (action.do === "folder") folder.disappear();
        else if (action.do === "wait") await clock.advance(action.ms);
        else {
          await source.stop();
          source = make();
          await source.start();
        }
        if (action.do === "move" || action.do === "write") says.set(action.name, action.version);
        if (action.do === "break") says.set(action.name, "broken");
        if (action.do === "remove") says.delete(action.name);
      }
      folder.comeBack();
      await clock.advance(30_000);
      const running = new Map(
        config
          .pods()
          .map(({ metadata, spec }) => [metadata.name.replace(/-n$/, ""), spec.containers[0]?.image]),
      );
      for (const file of ["a", "b", "c"]) {
        const version = says.get(file);
        // A broken file runs whatever was good last, if anything was.
        if (version !== "broken")
          expect(running.get(file)).toBe(version === undefined ? undefined : `i:${version}`);
      }
      expect(
        source
          .problems()
          .map((problem) => problem.file.slice(3))
          .toSorted(),
      ).toEqual(
        [...says]
          .filter(([, version]) => version === "broken")
          .map(([file]) => file)
          .toSorted(),
      );
      expect(config.seenAllSources()).toBe(true);
      expect(config.unknownInputs()).toEqual([]);
      await source.stop();
      expect(clock.waiting).toBe(0);
      expect(folder.watchers).toBe(0);
    }),
    { numRuns: 150 },
  );
});
