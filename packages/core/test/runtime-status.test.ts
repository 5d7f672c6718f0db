// SPDX-License-Identifier: Apache-2.0

import { expect, it } from "vitest";
import { emptyRuntimePodStatus, newestByName } from "../src/runtime-status.ts";
import type { ContainerRecord, ContainerState } from "../src/runtime-status.ts";

function record(attempt: number, state: ContainerState): ContainerRecord {
  return {
    id: `c${attempt}`,
    name: "main",
    sandboxId: "s",
    state,
    attempt,
    createdAt: 0,
    startedAt: 0,
    finishedAt: 0,
    exitCode: 0,
    reason: "",
    message: "",
    image: "",
    imageRef: "",
    hash: "",
    restartCount: attempt,
  };
}

it.each<readonly [string, readonly ContainerState[], string]>([
  ["the newest of the dead", ["exited", "exited"], "c1"],
  ["the newest, which runs", ["running", "exited"], "c1"],
  ["what runs before a newer one that was only created", ["created", "running", "exited"], "c1"],
  ["what runs before a newer one that has ended", ["exited", "running"], "c0"],
  ["the newest of two that run", ["running", "running"], "c1"],
  ["the newest when nothing runs", ["created", "unknown", "exited"], "c2"],
])("of one name counts %s", (_what, states, id) => {
  const containers = states.map((state, index) => record(states.length - 1 - index, state));
  expect(newestByName({ ...emptyRuntimePodStatus("u"), containers }).get("main")?.id).toBe(id);
});
