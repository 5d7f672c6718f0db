// SPDX-License-Identifier: Apache-2.0
import { expect, test } from "vitest";
import { spareCordoned } from "../src/run/spare-cordoned.ts";

test("failures of a cordoned pod's probes are no results; everything else is as it was", () => {
  const cordoned = new Set(["kept"]);
  const podOf = (id: string): string | undefined => ({ a: "kept", b: "other" })[id];
  const said = (verdict: "success" | "failure" | undefined) => {
    const read = spareCordoned({ liveness: () => verdict, startup: () => verdict, podOf }, (uid) =>
      cordoned.has(uid),
    );
    return ["a", "b", "unknown"].flatMap((id) => [read.liveness(id), read.startup(id)]);
  };
  expect(said("failure")).toEqual([undefined, undefined, "failure", "failure", "failure", "failure"]);
  expect(said("success")).toEqual(Array(6).fill("success"));
  expect(said(undefined)).toEqual(Array(6).fill(undefined));
  cordoned.clear();
  expect(said("failure")).toEqual(Array(6).fill("failure"));
});
