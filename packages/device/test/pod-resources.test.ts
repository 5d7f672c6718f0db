// SPDX-License-Identifier: Apache-2.0
import { join } from "node:path";
import { Client, credentials } from "@grpc/grpc-js";
import { computePodResources } from "@holdfast/device";
import { PodResourcesServer } from "@holdfast/device/node";
import { expect, test } from "vitest";
import { PodResourcesListerService } from "../src/gen/podresources/v1/podresources.ts";
import { bad, FakePlugin, good, makePod, RESOURCE, TestNode } from "./fake-plugin.ts";
import { newFolder } from "./sockets.ts";

interface Rpc<Q, A> {
  readonly path: string;
  readonly requestSerialize: (value: Q) => Buffer;
  readonly responseDeserialize: (value: Buffer) => A;
}

function ask<Q, A>(client: Client, rpc: Rpc<Q, A>, request: Q): Promise<A | string> {
  return new Promise((resolve) => {
    client.makeUnaryRequest(
      rpc.path,
      rpc.requestSerialize,
      rpc.responseDeserialize,
      request,
      (error, answer) =>
        resolve(error === null && answer !== undefined ? answer : `${error?.code}: ${error?.details}`),
    );
  });
}

const onNode = (ID: number) => ({ nodes: [{ ID }] });
const withoutTopology = (id: string) => ({ resourceName: RESOURCE, deviceIds: [id], topology: undefined });

test("List, Get, GetAllocatableResources and their rate", async () => {
  const node = new TestNode();
  await using manager = await node.agent();
  await node.plug(manager, new FakePlugin([good("a", 0, 1), good("b"), bad("c")]));
  // kubelet: TestListPodResourcesWithInitContainersV1
  const pod = node.pod("pod", [
    { name: "init", kind: "init", count: 1 },
    { name: "side", kind: "sidecar" },
    { name: "app", count: 2 },
  ]);
  const ended = makePod("ended", [{ name: "app" }]);
  expect(await manager.admit(pod)).toEqual({ kind: "admitted" });
  const path = join(await newFolder(), "pod-resources", "kubelet.sock");
  await using server = new PodResourcesServer({
    path,
    manager,
    clock: node.clock,
    metrics: node.metrics,
    activePods: () => [pod],
    allPods: () => [pod, ended],
    dedicated: {
      exclusiveCpus: (_uid, container) => (container === "app" ? [2, 3] : []),
      memory: () => [],
      allocatableCpus: () => [1, 2, 3],
      allocatableMemory: () => [{ type: "memory", bytes: 1024, numaNodes: [0] }],
    },
  });
  await server.start();
  expect(server.health().failures).toEqual([]);
  const client = new Client(`unix://${path}`, credentials.createInsecure());
  const app = {
    name: "app",
    devices: [
      { resourceName: RESOURCE, deviceIds: ["a"], topology: onNode(0) },
      { resourceName: RESOURCE, deviceIds: ["a"], topology: onNode(1) },
      { resourceName: RESOURCE, deviceIds: ["b"], topology: undefined },
    ],
    cpuIds: [2, 3],
    memory: [],
    dynamicResources: [],
  };
  const side = { name: "side", devices: [], cpuIds: [], memory: [], dynamicResources: [] };
  const whole = { name: "pod", namespace: "default", containers: [side, app] };
  const { list, get, getAllocatableResources } = PodResourcesListerService;
  // kubelet: TestListPodResourcesV1, TestListPodResourcesUsesOnlyActivePodsV1
  expect(await ask(client, list, {})).toEqual({ podResources: [whole] });
  // kubelet: TestGetPodResourcesV1, TestGetPodResourcesWithInitContainersV1
  expect(await ask(client, get, { podName: "pod", podNamespace: "default" })).toEqual({
    podResources: whole,
  });
  expect(await ask(client, get, { podName: "ended", podNamespace: "default" })).toMatchObject({
    podResources: { name: "ended" },
  });
  expect(await ask(client, get, { podName: "none", podNamespace: "x" })).toBe(
    "2: pod none in namespace x not found",
  );
  // kubelet: TestAllocatableResources
  expect(await ask(client, getAllocatableResources, {})).toEqual({
    devices: app.devices,
    cpuIds: [1, 2, 3],
    memory: [{ memoryType: "memory", size: 1024, topology: onNode(0) }],
  });
  for (let spent = 5; spent < 10; spent++) expect(await ask(client, list, {})).toBeTypeOf("object");
  expect(await ask(client, list, {})).toContain("8: /v1.PodResourcesLister/List is rejected by rate limit");
  await node.clock.advance(10);
  expect(await ask(client, list, {})).toBeTypeOf("object");
  // kubelet: TestListPodResourcesV1alpha1
  const bare = { ...app, cpuIds: [], devices: ["a", "a", "b"].map(withoutTopology) };
  await node.clock.advance(10);
  expect(await ask(client, { ...list, path: "/v1alpha1.PodResourcesLister/List" }, {})).toEqual({
    podResources: [{ ...whole, containers: [bare] }],
  });
  client.close();
  const text = node.metrics.exposition();
  expect(text).toContain('kubelet_pod_resources_endpoint_requests_total{server_api_version="v1alpha1"} 1');
  expect(text).toContain('kubelet_pod_resources_endpoint_requests_list{server_api_version="v1"} 7');
  expect(text).toContain('kubelet_pod_resources_endpoint_errors_get{server_api_version="v1"} 1');
});

test("a pod without anything special is listed with nothing", async () => {
  const node = new TestNode();
  await using manager = await node.agent();
  expect(computePodResources(makePod("plain", [{ name: "app" }]), manager.records)).toEqual({
    name: "plain",
    namespace: "default",
    containers: [{ name: "app", devices: [], cpuIds: [], memory: [], dynamicResources: [] }],
  });
});
