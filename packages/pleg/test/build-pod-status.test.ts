// SPDX-License-Identifier: Apache-2.0
import { ContainerStatus } from "@holdfast/cri";
import fc from "fast-check";
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

const applied = (linux: object | undefined) =>
  buildContainer(ContainerStatus.create({ id: "c", resources: { linux } }), item).resources;

test.each<[string, object | undefined, object | undefined]>([
  ["a runtime that does not tell", undefined, undefined],
  ["nothing set", {}, undefined],
  ["no limits", { cpuShares: 2n, cpuPeriod: 100_000n }, { cpuRequestMilli: 2 }],
  ["no quota, as dedicated CPUs have it", { cpuPeriod: 100_000n, cpuQuota: -1n }, undefined],
  ["a quota without a period", { cpuQuota: 5000n }, undefined],
  [
    "all of it",
    { cpuShares: 512n, cpuPeriod: 50_000n, cpuQuota: 75_000n, memoryLimitInBytes: 67_108_864n },
    { cpuRequestMilli: 500, cpuLimitMilli: 1500, memoryLimitBytes: 67_108_864 },
  ],
])("what is set for a container: %s", (_name, linux, wanted) => {
  expect(applied(linux)).toEqual(wanted);
});

test("a request comes back from its shares as it was", () => {
  fc.assert(
    fc.property(fc.integer({ min: 2, max: 256_000 }), (milli) => {
      const cpuShares = BigInt(Math.floor((milli * 1024) / 1000));
      expect(applied({ cpuShares })?.cpuRequestMilli).toBe(milli);
    }),
  );
});
