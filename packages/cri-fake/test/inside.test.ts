// SPDX-License-Identifier: Apache-2.0

// What a program finds around itself, where the contract cannot look on a real runtime: users of an image.
import { ManualClock } from "@holdfast/core/manual-clock";
import { FakeRuntime } from "@holdfast/cri-fake";
import type { FakeImage, Inside } from "@holdfast/cri-fake";
import { expect, it } from "vitest";

import { runSandbox, sandboxConfig } from "./harness.ts";

const USERS = [
  { name: "app", uid: 1000, gid: 100, groups: [50_000, 7] },
  { name: "nobody", uid: 65_534 },
];

async function insideOf(security: object, image: Partial<FakeImage> = {}, sandbox: object = {}) {
  const seen: Inside[] = [];
  const fake = new FakeRuntime({
    clock: new ManualClock(),
    images: [{ reference: "some:1", users: USERS, ...image }],
    programs: ({ inside }) => {
      seen.push(inside);
      return {};
    },
  });
  const podSandboxId = await runSandbox(fake, "p", 0, sandbox);
  const { containerId } = await fake.createContainer({
    podSandboxId,
    sandboxConfig: sandboxConfig(),
    config: {
      metadata: { name: "app", attempt: 0 },
      image: { image: "some:1" },
      linux: { securityContext: security },
    },
  });
  await fake.startContainer({ containerId });
  return seen[0];
}

it.each<[string, object, Partial<FakeImage>, object]>([
  ["root, without a word", {}, {}, { uid: 0, gid: 0, groups: [0], userName: "root" }],
  [
    "the image's user",
    {},
    { user: "app" },
    { uid: 1000, gid: 100, groups: [100, 7, 50_000], userName: "app" },
  ],
  ["by number", { runAsUser: { value: 1000n } }, {}, { uid: 1000, gid: 100, groups: [100, 7, 50_000] }],
  ["a number that nobody knows", { runAsUser: { value: 5n } }, {}, { uid: 5, gid: 0, userName: "" }],
  ["by name", { runAsUsername: "nobody" }, { user: 9 }, { uid: 65_534, gid: 65_534, userName: "nobody" }],
  [
    "with more groups",
    { runAsUser: { value: 1000n }, supplementalGroups: [9n, 7n] },
    {},
    { groups: [100, 7, 9, 50_000] },
  ],
  [
    "with those alone",
    { runAsUser: { value: 1000n }, supplementalGroups: [9n], supplementalGroupsPolicy: 1 },
    {},
    { groups: [100, 9] },
  ],
  ["in a group of one's own", { runAsUser: { value: 1000n }, runAsGroup: { value: 3n } }, {}, { gid: 3 }],
  ["with a root that is read-only", { readonlyRootfs: true }, {}, { readOnlyRoot: true, resolvConf: "" }],
])("%s", async (_what, security, image, expected) => {
  expect(await insideOf(security, image)).toMatchObject(expected);
});

it("the host's network has the node's name, whatever the pod's is", async () => {
  const linux = { securityContext: { namespaceOptions: { network: 2 } } };
  expect((await insideOf({}, {}, { hostname: "pod", linux }))?.hostname).toBe("fake-node");
  expect((await insideOf({}, {}, { hostname: "pod" }))?.hostname).toBe("pod");
});
