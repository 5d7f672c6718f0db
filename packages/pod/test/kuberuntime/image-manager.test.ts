// SPDX-License-Identifier: Apache-2.0

import type { PullPolicy } from "@holdfast/core/pod-types";
import { describe, expect, it } from "vitest";
import { container, makePod } from "./fixtures.ts";
import { Harness } from "./harness.ts";
import { criError } from "./scripted-runtime.ts";

const podWith = (image: string, imagePullPolicy: PullPolicy, uid = "uid-1"): ReturnType<typeof makePod> =>
  makePod({
    metadata: { uid, name: uid },
    spec: { containers: [container("foo1", { image, imagePullPolicy })] },
  });

describe("images of containers", () => {
  it.each<[string, string, PullPolicy, string[], string | undefined]>([
    ["image present, don't pull", "busybox:1", "IfNotPresent", ["imageStatus"], undefined],
    ["image missing, pull", "new:1", "IfNotPresent", ["imageStatus", "pullImage", "imageStatus"], undefined],
    [
      "image present, pull always",
      "busybox:1",
      "Always",
      ["imageStatus", "pullImage", "imageStatus"],
      undefined,
    ],
    ["image missing, never pull", "new:1", "Never", ["imageStatus"], "ErrImageNeverPull"],
    ["image present, never pull", "busybox:1", "Never", ["imageStatus"], undefined],
    ["invalid image name with http, no pull", "http://foo", "IfNotPresent", [], "InvalidImageName"],
  ])("%s", async (_title, image, policy, calls, reason) => {
    const harness = new Harness();
    const pod = podWith(image, policy);
    const result = await harness.sync(pod);
    expect(harness.calls().filter((call) => call.includes("mage"))).toEqual(calls);
    expect(result.waiting.get("foo1")?.reason).toBe(reason);
  });

  it("a failed pull backs off from 10 s to 300 s, with the last error in the message", async () => {
    const harness = new Harness();
    const pod = podWith("new:1", "IfNotPresent");
    harness.runtime.before.pullImage = () => {
      throw criError("CRI_UNKNOWN", "PullImage", "no such host");
    };
    for (const seconds of [10, 20, 40, 80, 160, 300, 300]) {
      const failed = await harness.sync(pod);
      expect(failed.waiting.get("foo1")?.reason).toBe("ErrImagePull");
      expect(failed.comeBackAt).toBe(harness.clock.monotonic() + seconds * 1000);
      await harness.clock.advance(seconds * 1000 - 1);
      harness.calls();
      const waiting = await harness.sync(pod);
      expect(waiting.waiting.get("foo1")?.reason).toBe("ImagePullBackOff");
      expect(waiting.waiting.get("foo1")?.message).toMatch(
        /^Back-off pulling image "new:1": ErrImagePull: .*no such host/,
      );
      expect(waiting.error).toBeUndefined();
      expect(harness.calls()).not.toContain("pullImage");
      await harness.clock.advance(1);
    }
    delete harness.runtime.before.pullImage;
    expect((await harness.sync(pod)).started).toHaveLength(1);
    expect(harness.dataOf("Pulled")["message"]).toMatch(
      /^Successfully pulled image "new:1" in .* including waiting\)\. Image size: 7 bytes\.$/,
    );
  });

  // kubelet: TestSerializedPuller, TestMaxParallelImagePullsLimit
  it.each([
    [undefined, 1],
    [3, 3],
  ])(
    "with maxParallelImagePulls %s, %i are under way; a hung one makes room after a minute",
    async (limit, most) => {
      const harness = new Harness(limit === undefined ? {} : { maxParallelImagePulls: limit });
      let pulling = 0;
      harness.runtime.before.pullImage = () => {
        pulling += 1;
        return new Promise(() => {});
      };
      for (let index = 0; index < 5; index++)
        void harness.sync(podWith(`new:${index}`, "Always", `uid-${index}`), {
          status: {
            ...harness.status(podWith("x", "Always", `uid-${index}`)),
            sandboxes: [],
            containers: [],
          },
        });
      await harness.clock.settle();
      expect(pulling).toBe(most);
      await harness.clock.advance(60_000);
      expect(pulling).toBe(Math.min(2 * most, 5));
    },
  );

  it("a pull has a deadline of half an hour", async () => {
    const harness = new Harness();
    let deadlineMs: number | undefined;
    harness.runtime.before.pullImage = (_request, options) => void (deadlineMs = options?.deadlineMs);
    await harness.sync(podWith("new:1", "Always"));
    expect(deadlineMs).toBe(30 * 60_000);
  });

  it("a restart whose image is gone asks once more and pulls", async () => {
    const harness = new Harness();
    const pod = podWith("busybox:1", "IfNotPresent");
    await harness.sync(pod);
    harness.runtime.exit("foo1", 1, harness.clock.now());
    harness.runtime.images.clear();
    harness.runtime.before.createContainer = () => {
      if (harness.runtime.images.size === 0)
        throw criError("CRI_NOT_FOUND", "CreateContainer", "failed to resolve image");
    };
    harness.calls();
    const result = await harness.sync(pod);
    expect(result.error).toBeUndefined();
    expect(harness.calls().slice(0, 6)).toEqual([
      "createContainer",
      "imageStatus",
      "pullImage",
      "imageStatus",
      "createContainer",
      "startContainer",
    ]);
  });

  it("first starts of one image within two seconds ask once, and each says that it is present; under Always each pulls", async () => {
    const harness = new Harness();
    const sync = async (index: number, policy: PullPolicy = "IfNotPresent"): Promise<string[]> => {
      const pod = podWith("busybox:1", policy, `uid-${index}`);
      const status = { ...harness.status(pod), sandboxes: [], containers: [] };
      harness.calls();
      expect((await harness.sync(pod, { status })).started).toHaveLength(1);
      return harness.calls().filter((call) => call.includes("mage"));
    };
    expect(await sync(1)).toEqual(["imageStatus"]);
    await harness.clock.advance(1999);
    expect(await sync(2)).toEqual([]);
    expect(harness.dataOf("Pulled")["message"]).toContain("already present on machine");
    expect(await sync(3, "Always")).toContain("pullImage");
    await harness.clock.advance(2001);
    expect(await sync(4)).toEqual(["imageStatus"]);
  });

  it("a first start on a fresh answer whose image is gone asks once more and pulls", async () => {
    const harness = new Harness();
    await harness.sync(podWith("busybox:1", "IfNotPresent"));
    harness.runtime.images.clear();
    harness.runtime.before.createContainer = () => {
      if (harness.runtime.images.size === 0)
        throw criError("CRI_NOT_FOUND", "CreateContainer", "failed to resolve image");
    };
    const pod = podWith("busybox:1", "IfNotPresent", "uid-2");
    harness.calls();
    const result = await harness.sync(pod, {
      status: { ...harness.status(pod), sandboxes: [], containers: [] },
    });
    expect([result.error, result.started.length]).toEqual([undefined, 1]);
    expect(harness.calls().filter((call) => call.includes("mage"))).toEqual([
      "imageStatus",
      "pullImage",
      "imageStatus",
    ]);
  });

  it("a restart takes up an image that was replaced, at the latest at the one after the next", async () => {
    const harness = new Harness();
    const pod = podWith("busybox:1", "IfNotPresent");
    await harness.sync(pod);
    harness.runtime.images.set("busybox:1", { id: "sha256:newer" });
    for (let round = 0; round < 2; round++) {
      await harness.clock.advance(700_000);
      harness.runtime.exit("foo1", 1, harness.clock.now());
      await harness.sync(pod);
    }
    expect(harness.status(pod).containers[0]?.imageRef).toBe("sha256:newer");
  });
});
