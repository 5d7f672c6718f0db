// SPDX-License-Identifier: Apache-2.0

import type { Pod } from "@holdfast/core/pod-types";
import { expect, it } from "vitest";
import type { PodAdmission, WaitingReason } from "../../src/ports.ts";
import { staticPod, TestNode } from "./node-harness.ts";

/** One thing that one pod can have. */
class OneOfAKind implements PodAdmission {
  holder: string | undefined;
  readonly log: string[] = [];
  onFree: () => void = () => {};

  admit({ metadata: { uid } }: Pod): Promise<WaitingReason | undefined> {
    this.log.push(`admit ${uid}`);
    if (this.holder !== undefined && this.holder !== uid)
      return Promise.resolve({ reason: "OutOfthings", message: `${this.holder} has it` });
    this.holder = uid;
    return Promise.resolve(undefined);
  }

  release(uid: string): void {
    this.log.push(`release ${uid}`);
    if (this.holder !== uid) return;
    this.holder = undefined;
    this.onFree();
  }
}

it("a pod that lacks something waits, says why, and runs when what it lacks is free; a restart asks again and waits for nobody", async () => {
  const admission = new OneOfAKind();
  const node = new TestNode({ manager: { admission } });
  await node.start();
  admission.onFree = () => node.agent.manager.readinessChanged();
  await node.want(staticPod("first"), staticPod("second"));
  expect(node.running()).toEqual(["first/app"]);
  expect(node.status.get("second")).toMatchObject({
    phase: "Pending",
    reason: "OutOfthings",
    message: "first has it",
  });
  expect(node.story("second")).not.toContain("SandboxCreating");
  await node.stop();
  // What runs goes on, also when it could not be let in anew.
  admission.holder = "somebody";
  await node.start();
  expect(node.running()).toEqual(["first/app"]);
  admission.holder = "first";
  await node.want(staticPod("second"));
  await node.advance(35_000);
  expect(node.running()).toEqual(["second/app"]);
  expect(admission.log).toContain("release first");
});
