// SPDX-License-Identifier: Apache-2.0
//
// The contract's cases about figures, limits, and what is not there.

import { expect, it } from "vitest";

import { WORKLOADS } from "./contract-pod.ts";
import type { Pod } from "./contract-pod.ts";

/** Declares them. */
export function figureCases(pod: () => Pod): void {
  const LIMIT = 33_554_432;

  it("of a container: only its layer until it runs, then all, then only its layer", async () => {
    const { cri, runtime } = pod();
    const podSandboxId = await pod().sandbox();
    const containerId = await pod().create(podSandboxId, WORKLOADS.forever, "app", LIMIT);
    const listed = async () => (await cri.listContainerStats({ filter: { podSandboxId } })).stats;
    const layer = {
      usedBytes: expect.anything() as object,
      fsId: { mountpoint: expect.stringMatching(/^\//) as string },
    };
    const still = {
      attributes: { id: containerId },
      cpu: undefined,
      memory: undefined,
      writableLayer: layer,
    };
    const nothing = {
      code: "CRI_UNKNOWN",
      message: expect.stringContaining("unexpected metrics response: []") as string,
    };
    expect(await listed()).toMatchObject([still]);
    await expect(cri.containerStats({ containerId })).rejects.toMatchObject(nothing);
    await cri.startContainer({ containerId });
    const { stats } = await cri.containerStats({ containerId });
    const { metadata, labels } = stats?.attributes ?? {};
    expect([metadata?.name, labels?.["name"]]).toEqual(["app", "app"]);
    const { workingSetBytes, availableBytes } = stats?.memory ?? {};
    expect((workingSetBytes?.value ?? 0n) + (availableBytes?.value ?? 0n)).toBe(BigInt(LIMIT));
    expect((stats?.cpu?.timestamp ?? 0n) > 0n && stats?.cpu?.usageCoreNanoSeconds !== undefined).toBe(true);
    await runtime.pass(cri.stopContainer({ containerId, timeout: 0 }));
    expect(await listed()).toMatchObject([still]);
    await expect(cri.containerStats({ containerId })).rejects.toMatchObject(nothing);
    // A real one looks at its snapshots every ten seconds.
    await runtime.waitUntil(async () => {
      const [fs] = (await cri.imageFsInfo({})).imageFilesystems;
      return (fs?.usedBytes?.value ?? 0n) > 0n && (fs?.timestamp ?? 0n) > 0n;
    });
    const [fs] = (await cri.imageFsInfo({})).imageFilesystems;
    expect(fs?.fsId?.mountpoint).toBe(stats?.writableLayer?.fsId?.mountpoint);
  });

  it("of a sandbox need a cgroup parent, and one that is there", async () => {
    const { cri } = pod();
    const podSandboxId = await pod().sandbox();
    await expect(cri.podSandboxStats({ podSandboxId })).rejects.toMatchObject({
      code: "CRI_UNKNOWN",
      message: expect.stringContaining("because cgroupPath is empty") as string,
    });
    await expect(cri.podSandboxStats({ podSandboxId: "no-such-sandbox" })).rejects.toMatchObject({
      code: "CRI_NOT_FOUND",
    });
    await cri.stopPodSandbox({ podSandboxId });
    expect((await cri.listPodSandboxStats({ filter: { id: podSandboxId } })).stats).toEqual([]);
  });

  it("a container that uses more memory than it may is OOMKilled, and not changed by then", async () => {
    const { cri } = pod();
    const containerId = await pod().create(await pod().sandbox(), WORKLOADS.hungry, "app", 16_777_216);
    await cri.startContainer({ containerId });
    expect(await pod().exited(containerId)).toMatchObject({ exitCode: 137, reason: "OOMKilled" });
    await cri.updateContainerResources({ containerId, linux: { cpuShares: 200 } });
  });

  it("what is not there: checkpoints, sandboxes' resources, metrics", async () => {
    const { cri } = pod();
    const { runtimeVersion } = await cri.version({});
    const code = runtimeVersion.startsWith("1.") ? "CRI_UNIMPLEMENTED" : "CRI_UNKNOWN";
    await expect(cri.checkpointContainer({ containerId: "no-such-container" })).rejects.toMatchObject({
      code,
    });
    for (const call of [
      () => cri.updatePodSandboxResources({ podSandboxId: "no-such-sandbox" }),
      () => cri.listMetricDescriptors({}),
      () => cri.listPodSandboxMetrics({}),
    ])
      await expect(call()).rejects.toMatchObject({ code: "CRI_UNIMPLEMENTED" });
    expect(await cri.updateRuntimeConfig({})).toEqual({});
  });

  it("images need a name", async () => {
    const { cri } = pod();
    for (const call of [
      () => cri.imageStatus({}),
      () => cri.removeImage({}),
      () => cri.pullImage({ image: { image: "" } }),
    ])
      await expect(call()).rejects.toMatchObject({ code: "CRI_UNKNOWN" });
  });
}
