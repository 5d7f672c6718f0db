// SPDX-License-Identifier: Apache-2.0

// CPUs of their own, read where the kernel keeps them: this machine has two, one is reserved, one can be given away.
import { readFileSync } from "node:fs";
import { availableParallelism } from "node:os";
import { expect, test } from "vitest";
import { readCgroupFile } from "./harness/cgroups.ts";
import { container, pod } from "./harness/manifests.ts";
import type { Manifest } from "./harness/manifests.ts";
import { startNode } from "./harness/test-node.ts";
import type { TestNode } from "./harness/test-node.ts";

const last = availableParallelism() - 1;
/** All CPUs but the last are reserved: exactly one can be given away. */
const reserved = last === 1 ? "0" : `0-${last - 1}`;
const kubelet = {
  cpuManagerPolicy: "static",
  reservedSystemCPUs: reserved,
  cpuManagerReconcilePeriod: "600s",
};

const own = (name: string): Manifest =>
  pod(name, { containers: [container("main", { resources: { limits: { cpu: "1", memory: "32Mi" } } })] });

async function pidOf(node: TestNode, name: string): Promise<number> {
  const { id } = await node.runningContainer(name);
  return (await node.containerStatus(id)).pid;
}

async function cpusOf(node: TestNode, name: string): Promise<string> {
  const status = readFileSync(`/proc/${await pidOf(node, name)}/status`, "utf8");
  return /Cpus_allowed_list:\s+(\S+)/.exec(status)?.[1] ?? "";
}

test.skipIf(last === 0)(
  "exclusive CPUs are really set; the shared pool shrinks and grows; who lacks one waits for it",
  async () => {
    await using node = await startNode({ kubelet, pods: [pod("shared")] });
    expect(await cpusOf(node, "shared")).toBe(`0-${last}`);

    node.write(own("first"));
    expect(await cpusOf(node, "first")).toBe(String(last));
    // What runs is moved at once, not at the next period.
    await node.until(async () => (await cpusOf(node, "shared")) === reserved, "the shared pool shrinks");
    // Nobody else may use it: nothing is to be throttled.
    const quota = readCgroupFile(await pidOf(node, "first"), "cpu", "cpu.cfs_quota_us", "cpu.max");
    expect(quota).toMatch(/^(-1|max 100000)$/);
    node.write(pod("late"));
    expect(await cpusOf(node, "late")).toBe(reserved);

    node.write(own("second"));
    await node.until(async () => {
      const status = (await node.pod("second"))?.status;
      return status?.phase === "Pending" && status.message?.includes("requested=1, available=0") === true;
    }, "the second pod says what it lacks");
    expect((await node.pod("second"))?.status.reason).toBe("UnexpectedAdmissionError");

    const before = await node.runningContainer("first");
    await node.restart();
    expect((await node.runningContainer("first")).id).toBe(before.id);
    expect([await cpusOf(node, "first"), await cpusOf(node, "shared")]).toEqual([String(last), reserved]);

    node.remove("first");
    expect(await cpusOf(node, "second")).toBe(String(last));
    node.remove("second");
    await node.until(async () => (await cpusOf(node, "shared")) === `0-${last}`, "the shared pool grows");
    expect(await cpusOf(node, "late")).toBe(`0-${last}`);
    for (const name of ["shared", "late"]) node.remove(name);
    await node.assertNothingLeft();
  },
);

test.skipIf(last === 0)(
  "memory and CPUs of one NUMA node: both are set, and what no node has is refused by name",
  async () => {
    const aligned = {
      ...kubelet,
      systemReserved: { memory: "100Mi" },
      evictionHard: { "memory.available": "100Mi" },
      memoryManagerPolicy: "Static",
      reservedMemory: [{ numaNode: 0, limits: { memory: "200Mi" } }],
      topologyManagerPolicy: "single-numa-node",
    };
    await using node = await startNode({ kubelet: aligned, pods: [own("fits"), pod("shared")] });
    const pid = await pidOf(node, "fits");
    const mems = readCgroupFile(pid, "cpuset", "cpuset.mems", "cpuset.mems.effective");
    expect(mems).toMatch(/^\d+$/);
    expect([await cpusOf(node, "fits"), await cpusOf(node, "shared")]).toEqual([String(last), reserved]);
    const limits = { cpu: "1", memory: "900Gi" };
    node.write(pod("large", { containers: [container("main", { resources: { limits } })] }));
    await node.until(
      async () => (await node.pod("large"))?.status.reason === "TopologyAffinityError",
      "the large pod says why it waits",
    );
    for (const name of ["fits", "shared", "large"]) node.remove(name);
    await node.assertNothingLeft();
  },
);
