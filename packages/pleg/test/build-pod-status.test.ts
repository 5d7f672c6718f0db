// SPDX-License-Identifier: Apache-2.0
import { ContainerStatus } from "@holdfast/cri";
import { expect, test } from "vitest";
import { buildContainer } from "../src/build-pod-status.ts";
import type { ListedItem } from "../src/pod-records.ts";

const item = { id: "c", name: "main", sandboxId: "s", attempt: 0 } as ListedItem;

test.each([
  ["a runtime that does not tell", undefined, undefined],
  ["no user of this kind", { linux: undefined }, undefined],
  ["root", { linux: { uid: 0n, gid: 0n, supplementalGroups: [] } }, { uid: 0, gid: 0 }],
  [
    "groups",
    { linux: { uid: 1000n, gid: 7n, supplementalGroups: [7n, 4_294_967_294n] } },
    { uid: 1000, gid: 7, supplementalGroups: [7, 4_294_967_294] },
  ],
])("who a container's first process is: %s", (_name, user, wanted) => {
  expect(buildContainer(ContainerStatus.create({ id: "c", user }), item).user).toEqual(wanted);
});
