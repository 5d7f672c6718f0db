// SPDX-License-Identifier: Apache-2.0

import { expect, it } from "vitest";
import { containerFlag, parseContainerFlags } from "../../src/manifest/container-flags.ts";
import { podText, problemsOf } from "./build.ts";
import { makePod } from "../kuberuntime/fixtures.ts";

it.each([
  ["true", true, true],
  ["false; foo2: true", false, true],
  ["foo2: false", undefined, false],
  ["", undefined, undefined],
  // Bad input is never obeyed half.
  ["true; foo9: false", undefined, undefined],
])("%s", (text, first, second) => {
  const pod = makePod({ metadata: { annotations: { a: text } } });
  expect([containerFlag(pod, "a", "foo1"), containerFlag(pod, "a", "foo2")]).toEqual([first, second]);
  expect(containerFlag(pod, "b", "foo1")).toBeUndefined();
});

it.each([
  ["yes", '"yes" is neither true nor false'],
  ["x: true", 'there is no container "x"'],
  ["true; false", "two are for all"],
  ["c: true; c: true", "two are for container c"],
])("%s is refused: %s", (text, problem) => {
  expect(parseContainerFlags(text, ["c"])).toEqual({ byContainer: new Map(), problem });
});

it("a manifest with a wrong one is refused, naming the annotation", () => {
  const text = podText({ metadata: "annotations: {holdfast.agent/single-process-oom-kill: maybe}" });
  expect(problemsOf(text).join()).toMatch(
    /metadata\.annotations\[holdfast\.agent\/single-process-oom-kill\]: Invalid value: "maybe": "maybe" is neither true nor false/,
  );
});
