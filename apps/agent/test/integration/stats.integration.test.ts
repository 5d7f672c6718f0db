// SPDX-License-Identifier: Apache-2.0

// What holdfast top tells of real pods: memory, processes, CPU, traffic, disk; and who holds the disk.
import type { DiskLedgerView } from "@holdfast/gc";
import type { Summary } from "@holdfast/stats";
import { join } from "node:path";
import { expect, test } from "vitest";
import type { StatsAnswer } from "../../src/api/stats-routes.ts";
import { repo, writeConfig } from "./harness/agent-process.ts";
import { ImageRegistry, randomLayer } from "./harness/image-registry.ts";
import { container, pod, script } from "./harness/manifests.ts";
import { PrivateInstance } from "./harness/private-instance.ts";
import { SmallDisk } from "./harness/small-disk.ts";
import { startNode } from "./harness/test-node.ts";
import type { TestNode } from "./harness/test-node.ts";

const MIB = 2 ** 20;

test("top tells what a pod's containers really use", async () => {
  // 16 MiB in a tmpfs are memory; 3 MiB in the container's own files and 2 MiB in the emptyDir are disk.
  const eat = script(
    "dd if=/dev/zero of=/ram/eaten bs=1M count=16; dd if=/dev/zero of=/eaten bs=1M count=3; dd if=/dev/zero of=/scratch/eaten bs=1M count=2; " +
      "sleep 9999 & sleep 9999 & while :; do :; done",
  );
  const volumes = [
    { name: "scratch", emptyDir: {} },
    { name: "ram", emptyDir: { medium: "Memory" as const } },
  ];
  const eater = container("main", {
    command: eat,
    volumeMounts: [
      { name: "scratch", mountPath: "/scratch" },
      { name: "ram", mountPath: "/ram" },
    ],
    resources: { limits: { memory: "64Mi", cpu: "300m" } },
  });
  await using node = await startNode({ pods: [pod("eater", { containers: [eater], volumes })] });
  await node.runningContainer("eater");
  const name = `eater-${node.name}`;
  let shown: Summary["pods"][number] | undefined;
  await node.until(async () => {
    const { stdout } = await node.cli("top", name, "-o", "json");
    shown = (JSON.parse(stdout || '{"pods":[]}') as Summary).pods[0];
    const { cpu, process_stats: processes } = shown ?? {};
    return (cpu?.usageNanoCores ?? 0) > 50_000_000 && (processes?.process_count ?? 0) >= 4;
  }, "the pod's CPU and processes are seen");
  expect(shown?.memory?.workingSetBytes).toBeGreaterThan(16 * MIB);
  expect(shown?.memory?.workingSetBytes).toBeLessThan(64 * MIB);
  expect(shown?.containers[0]?.memory?.availableBytes).toBeLessThan(48 * MIB);
  expect(shown?.network?.name).toBe("eth0");
  const volumeOf = (which: string): number | undefined =>
    shown?.volume?.find((volume) => volume.name === which)?.usedBytes;
  await node.until(async () => {
    shown = (JSON.parse((await node.cli("top", name, "--fresh", "-o", "json")).stdout) as Summary).pods[0];
    return (volumeOf("scratch") ?? 0) >= 2 * MIB && (shown?.containers[0]?.rootfs?.usedBytes ?? 0) >= 3 * MIB;
  }, "the disk is measured again");
  expect(volumeOf("ram")).toBeGreaterThanOrEqual(16 * MIB);
  // What lies in memory is no disk's.
  expect(shown?.["ephemeral-storage"]?.usedBytes).toBeGreaterThanOrEqual(5 * MIB);
  expect(shown?.["ephemeral-storage"]?.usedBytes).toBeLessThan(16 * MIB);
  const disk = await node.cli("disk", "--fresh", "-o", "json");
  expect(disk.stderr).toBe("");
  const { filesystems } = JSON.parse(disk.stdout) as DiskLedgerView;
  const holders = filesystems.flatMap((one) => one.holders);
  const largestOf = (kind: string): number =>
    holders.find((one) => one.kind === kind)?.largest.find((item) => item.name.includes(name))?.bytes ?? 0;
  expect(largestOf("emptydirs")).toBeGreaterThanOrEqual(2 * MIB);
  expect(largestOf("writable-layers")).toBeGreaterThanOrEqual(3 * MIB);
  expect(largestOf("logs")).toBeGreaterThan(0);
  expect(holders.find(({ kind }) => kind === "images-in-use")?.bytes).toBeGreaterThan(MIB);
  expect((await node.cli("disk")).stdout).toMatch(/node.*\nHELD BY +SIZE/);
  const table = await node.cli("top");
  expect(table.stderr).toBe("");
  expect(table.stdout).toMatch(/^NODE +CPU +MEMORY/);
  expect(table.stdout).toContain(name);
  node.remove("eater");
  await node.assertNothingLeft();
});

const DISK_INSTANCE = "statsdisk";
const DISK_BYTES = 192 * MIB;

test("a file system of the images' own: its figures, who holds it, who is told of when image GC cannot help, and who has to go when it is full", async () => {
  // See scripts/lib/paths.mjs.
  using disk = new SmallDisk(join(repo, ".holdfast/containerd", DISK_INSTANCE, "root"), DISK_BYTES);
  await using registry = await ImageRegistry.start();
  await using instance = new PrivateInstance(DISK_INSTANCE);
  instance.up();
  const fat = container("main", {
    command: script("dd if=/dev/urandom of=/fat bs=1M count=90; echo full; sleep 9999"),
  });
  await using node = await startNode({
    endpoint: instance.endpoint,
    agent: { imageGCScope: "all" },
    pods: [pod("fat", { containers: [fat] })],
  });
  await node.runningContainer("fat");
  const name = `fat-${node.name}`;
  await node.until(async () => (await node.cli("logs", name)).stdout.includes("full"), "the layer is full");
  expect(disk.usagePercent()).toBeGreaterThan(40);
  let ledger: DiskLedgerView = { filesystems: [], problems: [] };
  const imagesDisk = (): DiskLedgerView["filesystems"][number] | undefined =>
    ledger.filesystems.find(({ roles }) => roles.includes("images"));
  // containerd measures its snapshots every ten seconds, and may have done so while this one grew.
  await node.until(async () => {
    ledger = JSON.parse((await node.cli("disk", "--fresh", "-o", "json")).stdout) as DiskLedgerView;
    const [first] = imagesDisk()?.holders ?? [];
    return first?.kind === "writable-layers" && (first.largest[0]?.bytes ?? 0) >= 90 * MIB;
  }, "the writable layer holds most of the disk");
  expect(ledger.problems).toEqual([]);
  expect(ledger.filesystems).toHaveLength(2);
  expect(imagesDisk()?.roles).toEqual(["images", "writable layers"]);
  expect(imagesDisk()?.capacityBytes).toBeLessThanOrEqual(DISK_BYTES);
  expect(imagesDisk()?.holders[0]?.largest[0]?.name).toBe(`default/${name}/main`);

  const { summary, layout } = JSON.parse(
    (await node.cli("get", "--raw", "/api/v1/stats")).stdout,
  ) as StatsAnswer;
  expect(layout).toEqual({ dedicatedImageFs: true, splitContainerFs: false });
  expect(summary.node.runtime?.imageFs?.capacityBytes).toBe(imagesDisk()?.capacityBytes);
  expect(summary.node.fs?.capacityBytes).toBeGreaterThan(DISK_BYTES);

  const gc = await node.cli("gc", "images", "--target-percent", "1");
  expect(gc.code).toBe(1);
  expect(gc.stderr).toMatch(/held by: .*; on the disk: writable layers \d+\.\d MiB \(default\/fat-/);
  await evictsByLayers(node, registry, disk);
  for (const one of ["fat", "wide"]) node.remove(one);
  await node.assertNothingLeft();
});

/** Images' disk is short: what is unused goes from it, and then who fills it, not who takes more of the node's own disk. */
async function evictsByLayers(node: TestNode, registry: ImageRegistry, disk: SmallDisk): Promise<void> {
  const reference = registry.add("unused", [randomLayer(10 * MIB)]);
  const { imageRef: unused } = await node.client.pullImage({ image: { image: reference } });
  const wide = container("main", {
    command: script("dd if=/dev/zero of=/data/wide bs=1M count=120; echo full; sleep 9999"),
    volumeMounts: [{ name: "data", mountPath: "/data" }],
  });
  node.write(pod("wide", { containers: [wide], volumes: [{ name: "data", emptyDir: {} }] }));
  await node.runningContainer("wide");
  const logs = ["logs", `wide-${node.name}`];
  await node.until(async () => (await node.cli(...logs)).stdout.includes("full"), "the volume is full");
  await node.stop();
  writeConfig(node.places, node.runtime.endpoint, {
    kubelet: {
      evictionHard: { "imagefs.available": "70%" },
      imageMinimumGCAge: "1s",
    },
    agent: { imageGCScope: "all", evictStaticPods: true },
  });
  await node.start();
  await node.until(
    async () => (await node.pod("fat"))?.status.reason === "Evicted",
    "who fills the images' disk is evicted",
    60_000,
  );
  expect((await node.pod("fat"))?.status.message).toMatch(
    /^The node was low on resource: ephemeral-storage\. Threshold quantity: \d+, available: \d+Ki\. Container main was using \d+Ki, request is 0, has larger consumption of ephemeral-storage\. $/,
  );
  // Its layer goes with its dead container, in the next round, before anybody else has to.
  await node.until(() => disk.usagePercent() <= 30, "there is room again", 60_000);
  expect((await node.client.listImages({})).images.map(({ id }) => id)).not.toContain(unused);
  expect((await node.pod("wide"))?.status.containerStatuses?.[0]?.restartCount).toBe(0);
  expect(await node.running("wide")).toHaveLength(1);
}
