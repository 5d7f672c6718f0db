// SPDX-License-Identifier: Apache-2.0

// A containerd of the test's own whose images lie on a small disk of their own, filled past the high threshold.
import { randomUUID } from "node:crypto";
import { join } from "node:path";
import type { ImageGcPlan } from "@holdfast/gc";
import { expect, test } from "vitest";
import { repo } from "./harness/agent-process.ts";
import { ImageRegistry, randomLayer } from "./harness/image-registry.ts";
import { pod } from "./harness/manifests.ts";
import { PrivateInstance } from "./harness/private-instance.ts";
import { SmallDisk } from "./harness/small-disk.ts";
import { startNode } from "./harness/test-node.ts";
import type { TestNode } from "./harness/test-node.ts";

const MIB = 2 ** 20;
const INSTANCE = "gcdisk";
const HIGH = 70;
const LOW = 60;
/** Pull and plan of the youngest image take less. */
const MIN_AGE = "15s";

test.each(["reported", "disk"] as const)(
  "on a full disk exactly the planned images go, down to the low threshold; what is used, pinned, young or kept stays: amounts %s",
  async (amounts) => {
    await using registry = await ImageRegistry.start();
    // See scripts/lib/paths.mjs.
    using disk = new SmallDisk(join(repo, ".holdfast/containerd", INSTANCE, "root"), 320 * MIB);
    await using instance = new PrivateInstance(INSTANCE);
    instance.up();
    await using node = await startNode({
      endpoint: instance.endpoint,
      kubelet: {
        imageGCHighThresholdPercent: HIGH,
        imageGCLowThresholdPercent: LOW,
        imageMinimumGCAge: MIN_AGE,
      },
      agent: {
        imageGCScope: "all",
        imageGCAmounts: amounts,
        imageGCKeep: [{ reference: "127.0.0.1:*/kept:1" }, { label: "test.holdfast/keep=yes" }],
      },
      pods: [pod("web")],
    });
    await node.runningContainer("web");
    const ids = new Map<string, string>();
    const pull = async (name: string, mib: number, more: readonly Buffer[] = []): Promise<void> => {
      const labels = name === "labelled" ? { "test.holdfast/keep": "yes" } : {};
      const reference = registry.add(name, [...more, randomLayer(mib * MIB)], labels);
      const { imageRef } = await node.client.pullImage({ image: { image: reference } });
      ids.set(name, imageRef);
      // Seen now: the order of first sight is the order of the pulls.
      await planOf(node);
    };
    for (const name of ["used", "kept", "labelled", "pinned"]) await pull(name, 8);
    await foreignContainer(node, ids.get("used") ?? "");
    const pins = await pin(node, instance, ids.get("pinned") ?? "");
    const base = randomLayer(6 * MIB);
    await pull("base-a", 2, [base]);
    await pull("base-b", 2, [base]);
    for (let number = 0; disk.usagePercent() < HIGH + 2; number++) await pull(`filler-${number}`, 9);
    await node.until(
      async () => (await planOf(node)).entries.every(({ rule }) => rule !== "too-young"),
      "the images are old enough",
    );
    await pull("young", 4);

    const nameOf = new Map(Array.from(ids, ([name, id]): [string, string] => [id, name]));
    const plan = await planOf(node);
    const rules = new Map(
      plan.entries.map(({ image, rule }) => [nameOf.get(image.id) ?? image.repoTags[0], rule]),
    );
    expect(Object.fromEntries(rules)).toMatchObject({
      used: "in-use",
      kept: "keep-rule",
      labelled: "keep-rule",
      young: "too-young",
      "holdfast.local/busybox:1": "in-use",
      "holdfast.local/pause:1": "sandbox-image",
      ...(pins && { pinned: "pinned" }),
    });
    const going = plan.entries.filter(({ verdict }) => verdict === "remove");
    // The oldest first, no more than are needed, and what both share is free with the second.
    const fillers = [...ids.keys()].filter((name) => name.startsWith("filler-"));
    const order = [...(pins ? [] : ["pinned"]), "base-a", "base-b", ...fillers];
    const names = going.map(({ image }) => nameOf.get(image.id));
    expect(names).toEqual(order.slice(0, names.length));
    expect(going.find(({ image }) => nameOf.get(image.id) === "base-a")?.freesBytes).toBeLessThan(2.1 * MIB);
    expect(going.find(({ image }) => nameOf.get(image.id) === "base-b")?.freesBytes).toBeCloseTo(8 * MIB, -5);
    const sum = (count: number): number =>
      going.slice(0, count).reduce((bytes, { freesBytes }) => bytes + freesBytes, 0);
    expect(sum(going.length) * plan.countsPerByte).toBeGreaterThanOrEqual(plan.wantedBytes);
    expect(sum(going.length - 1) * plan.countsPerByte).toBeLessThan(plan.wantedBytes);

    const before = await listed(node);
    const { code, stdout, stderr } = await node.cli("gc", "images", "-o", "json");
    expect([code, stderr]).toEqual([0, ""]);
    const result = JSON.parse(stdout) as {
      readonly plan: ImageGcPlan;
      readonly images: readonly { readonly kind: string; readonly imageId: string }[];
      readonly freedBytes: number;
    };
    // What was planned is what was done.
    const planned = going.map(({ image }) => image.id);
    expect(
      result.plan.entries.filter(({ verdict }) => verdict === "remove").map(({ image }) => image.id),
    ).toEqual(planned);
    expect(result.images).toEqual(
      planned.map((imageId) => expect.objectContaining({ kind: "removed", imageId }) as unknown),
    );
    expect(result.freedBytes).toBe(plan.wouldFreeBytes);
    expect([...(await listed(node))].sort()).toEqual(
      [...before].filter((id) => !planned.includes(id)).sort(),
    );
    expect(disk.usagePercent()).toBeLessThanOrEqual(LOW);
    // An image is 18 MiB of 320, packed and unpacked.
    if (amounts === "disk") expect(disk.usagePercent()).toBeGreaterThan(LOW - 8);
    // Nothing is left to do, and the pod has not noticed.
    expect((await planOf(node)).entries.filter(({ verdict }) => verdict === "remove")).toEqual([]);
    expect((await node.pod("web"))?.status.containerStatuses?.[0]?.restartCount).toBe(0);
    // It is written down who removed what, and why.
    const { stdout: events } = await node.cli("get", "--raw", "/debug/snapshot");
    expect(events).toContain("gc/ImageRemoved");
  },
);

async function planOf(node: TestNode): Promise<ImageGcPlan> {
  const { code, stdout, stderr } = await node.cli("gc", "images", "--dry-run", "-o", "json");
  expect([code, stderr]).toEqual([0, ""]);
  return JSON.parse(stdout) as ImageGcPlan;
}

async function listed(node: TestNode): Promise<ReadonlySet<string>> {
  return new Set((await node.client.listImages({})).images.map(({ id }) => id));
}

/** Nobody's of ours, and never started. */
async function foreignContainer(node: TestNode, image: string): Promise<void> {
  const sandboxConfig = {
    metadata: { name: "foreign", namespace: "default", uid: randomUUID(), attempt: 0 },
    linux: { securityContext: { namespaceOptions: { network: 2 as const } } },
  };
  const { podSandboxId } = await node.client.runPodSandbox({ config: sandboxConfig });
  const config = { metadata: { name: "app", attempt: 0 }, image: { image }, command: ["/data"] };
  await node.client.createContainer({ podSandboxId, sandboxConfig, config });
}

/** Pins as containerd's users do. False: this containerd knows no pins (before 1.7). */
async function pin(node: TestNode, instance: PrivateInstance, id: string): Promise<boolean> {
  const { image } = await node.client.imageStatus({ image: { image: id } });
  for (const name of [id, ...(image?.repoTags ?? []), ...(image?.repoDigests ?? [])])
    instance.ctr("images", "label", name, "io.cri-containerd.pinned=pinned");
  // containerd's own list of images follows its events.
  const sees = async (): Promise<boolean> =>
    (await node.client.listImages({})).images.some((one) => one.id === id && one.pinned);
  const { runtimeVersion } = await node.client.version({});
  if (/^v?1\.[0-6]\./.test(runtimeVersion)) return false;
  return await node.until(sees, "containerd lists the image as pinned");
}
