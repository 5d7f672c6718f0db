// SPDX-License-Identifier: Apache-2.0

// An agent that sees a dead mount where the runtime has its images: whoever asks it hangs in the kernel. The runtime itself sees its own disk.
import { closeSync, existsSync, openSync } from "node:fs";
import { expect, test } from "vitest";
import type { StatsAnswer } from "../../src/api/stats-routes.ts";
import { AgentProcess } from "./harness/agent-process.ts";
import { pod } from "./harness/manifests.ts";
import { startNode } from "./harness/test-node.ts";

test.skipIf(!existsSync("/dev/fuse"))(
  "a dead mount under the images: nothing is removed, nobody evicted, all that hangs on it says so, and pods come, go and the agent ends as ever",
  async () => {
    await using node = await startNode({
      start: false,
      kubelet: {
        imageGCHighThresholdPercent: 1,
        imageGCLowThresholdPercent: 0,
        imageMinimumGCAge: "1s",
        // Met by every disk that is known.
        evictionHard: { "imagefs.available": "99.99%" },
      },
      agent: { imageGCScope: "all", evictStaticPods: true },
      pods: [pod("before")],
    });
    const { imageFilesystems } = await node.client.imageFsInfo({});
    const images = imageFilesystems[0]?.fsId?.mountpoint ?? "";
    const before = (await node.client.listImages({})).images.map(({ id }) => id).sort();
    const fd = openSync("/dev/fuse", "r+");
    using stack = new DisposableStack();
    stack.defer(() => closeSync(fd));
    const mount = `mount -i -t fuse -o fd=3,rootmode=40000,user_id=0,group_id=0 holdfast-dead '${images}'`;
    node.agent = new AgentProcess(node.places, {
      wrapper: ["unshare", "--mount", "sh", "-c", `${mount} && exec "$@"`, "sh"],
      fd,
    });
    await node.until(() => node.isReady(), "the node is Ready");
    await node.runningContainer("before");
    const hangs = /statfs of \S+ has not answered for \d+ s/;
    const problem = await node.until(
      async () => hangs.exec((await node.cli("get", "pods")).stdout)?.[0],
      "the node's trouble is told",
    );
    expect(problem).toContain(images);
    const plan = await node.cli("gc", "images", "--dry-run");
    expect([plan.code, plan.stdout]).toEqual([1, ""]);
    expect(plan.stderr).toMatch(hangs);
    expect((await node.cli("gc", "images")).code).toBe(1);
    const disk = await node.cli("disk");
    expect(disk.stdout).toMatch(/^node/m);
    expect(disk.stderr).toMatch(/the file system of images: statfs of/);
    const { summary, layout } = JSON.parse(
      (await node.cli("get", "--raw", "/api/v1/stats")).stdout,
    ) as StatsAnswer;
    expect(layout).toBeNull();
    expect(summary.node.fs?.capacityBytes).toBeGreaterThan(0);
    node.write(pod("during"));
    await node.runningContainer("during");
    node.remove("before");
    await node.until(async () => (await node.sandboxes("before")).length === 0, "the first pod is gone");
    expect((await node.client.listImages({})).images.map(({ id }) => id).sort()).toEqual(before);
    expect(await node.running("during")).toHaveLength(1);
    expect((await node.nodeObject()).conditions.find(({ type }) => type === "DiskPressure")?.status).toBe(
      "False",
    );
    // A thread hangs in the kernel; 143 is SIGTERM, a clean end.
    expect(await node.stop()).toBe(143);
  },
);
