// SPDX-License-Identifier: Apache-2.0

import { createCriClient, ImageServiceService, RuntimeServiceService } from "@holdfast/cri";
import type { CriClient } from "@holdfast/cri";
import { describe, expect, expectTypeOf, it } from "vitest";

import { createCallMetrics } from "../src/call-metrics.ts";

/** The operation types that the kubelet has a name for, by RPC. kubelet: instrumented_services.go */
const KUBELET_OPERATIONS: Readonly<Record<string, string>> = {
  version: "version",
  status: "status",
  runPodSandbox: "run_podsandbox",
  stopPodSandbox: "stop_podsandbox",
  removePodSandbox: "remove_podsandbox",
  podSandboxStatus: "podsandbox_status",
  listPodSandbox: "list_podsandbox",
  createContainer: "create_container",
  updateContainerResources: "update_container",
  execSync: "exec_sync",
  removeImage: "remove_image",
  imageFsInfo: "image_fs_info",
};

describe("the services", () => {
  it("have a method for every RPC, and each has its own path", async () => {
    await using client = createCriClient({ endpoint: "/nowhere.sock" });
    const methods = client as unknown as Record<string, unknown>;
    for (const name of [...Object.keys(RuntimeServiceService), ...Object.keys(ImageServiceService)])
      expect(typeof methods[name], name).toBe("function");
  });

  it("count under the kubelet's operation types", async () => {
    const counted: string[] = [];
    const metrics = {
      counter: (name: string) => ({
        inc: (labels?: Readonly<Record<string, string>>) => {
          if (name === "kubelet_runtime_operations_total") counted.push(labels?.["operation_type"] ?? "");
        },
      }),
      gauge: () => ({ set() {}, remove() {} }),
      histogram: () => ({ observe() {} }),
    };
    await using client = createCriClient({ endpoint: "/nowhere.sock", metrics });
    const methods = client as unknown as Record<string, (request: object) => Promise<unknown>>;
    for (const name of Object.keys(KUBELET_OPERATIONS)) await methods[name]?.({}).catch(() => undefined);
    expect(counted).toEqual(Object.values(KUBELET_OPERATIONS));
  });

  it("have the kubelet's buckets", () => {
    let buckets: readonly number[] = [];
    createCallMetrics({
      counter: () => ({ inc() {} }),
      gauge: () => ({ set() {}, remove() {} }),
      histogram: (_name, _help, bounds = []) => {
        buckets = bounds;
        return { observe() {} };
      },
    });
    expect(buckets).toHaveLength(14);
    expect(buckets[0]).toBe(0.005);
    expect(buckets[2]).toBeCloseTo(0.03125);
  });

  it("are typed strictly, with requests in part", () => {
    type Create = Parameters<CriClient["createContainer"]>[0];
    expectTypeOf<{ podSandboxId: string }>().toExtend<Create>();
    expectTypeOf<{ podSandboxId: number }>().not.toExtend<Create>();
    expectTypeOf<CriClient>().toExtend<{
      listContainers(request: object): Promise<{ containers: { id: string; createdAt: bigint }[] }>;
    }>();
  });
});
