// SPDX-License-Identifier: Apache-2.0

/** A list that lacks what has ended: what has done its work is not run again for it. Lists that lack what is up: walks.test.ts. */
import { expect, it } from "vitest";
import { container, manifest } from "./pods.ts";
import { SimulatedNode } from "./simulated-node.ts";

const CONTAINERS = [container("main"), container("job", { exitAfterMs: 1000 })];

it.each([
  ["OnFailure", ["ListContainers"]],
  ["Never", ["ListContainers"]],
  ["OnFailure", ["ListContainers", "ListPodSandbox"]],
])("%s: a cut list at an agent's start and for as long as it takes (%s)", async (restartPolicy, method) => {
  const node = new SimulatedNode({});
  node.manifests.write("a.json", manifest("a", { restartPolicy, containers: CONTAINERS }));
  await node.start();
  await node.advance(6000);
  const shown = (): string[] =>
    node.runtime.containers().map(({ name, id, phase }) => `${name} ${id} ${phase}`);
  const before = shown();
  expect(before.map((text) => text.replace(/ .* /, " "))).toEqual(["main running", "job exited"]);
  node.kill({ carriedOut: false });
  const lie = node.runtime.addFault({ match: { method }, truncateTo: 1 });
  await node.start();
  await node.advance(200_000);
  expect(shown()).toEqual(before);
  lie.lift();
  await node.advance(120_000);
  expect(shown()).toEqual(before);
  expect(await node.pods()).toMatchObject([{ status: { phase: "Running" } }]);
  await node.stop();
});
