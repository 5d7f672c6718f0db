// SPDX-License-Identifier: Apache-2.0

// Pods that are let in, or wait and say why: room on the node, CPUs and memory of their own, on a machine with two CPUs on two NUMA nodes.
import type { CreateContainerRequest, UpdateContainerResourcesRequest } from "@holdfast/cri";
import type { SystemTree } from "@holdfast/resource";
import { expect, it } from "vitest";
import type { AgentConfig } from "../../src/config/agent-config.ts";
import { parseConfig } from "../../src/config/parse-config.ts";
import { container, manifest } from "./pods.ts";
import { SimulatedNode } from "./simulated-node.ts";

const HEAD = "apiVersion: kubelet.config.k8s.io/v1beta1\nkind: KubeletConfiguration\n";
const GIB_IN_KIB = 2 ** 20;

/** One CPU and 4 GiB on each of two nodes. */
const files: Readonly<Record<string, string>> = {
  "/sys/devices/system/cpu/online": "0-1\n",
  "/sys/devices/system/node/online": "0-1\n",
  "/sys/devices/system/node/node0/cpulist": "0\n",
  "/sys/devices/system/node/node1/cpulist": "1\n",
  "/sys/devices/system/node/node0/meminfo": `Node 0 MemTotal: ${4 * GIB_IN_KIB} kB\n`,
  "/sys/devices/system/node/node1/meminfo": `Node 1 MemTotal: ${4 * GIB_IN_KIB} kB\n`,
};
const system: SystemTree = { read: (path) => files[path], list: () => [] };

/** A node, and the sets that its containers have: `cpus/mems` by pod. */
class Node extends SimulatedNode {
  readonly sets = new Map<string, string>();
  /** Updates of containers that run. */
  updates = 0;

  constructor(yaml: string) {
    const { resources }: AgentConfig = parseConfig(`${HEAD}${yaml}`, "test", "node-1").config;
    super({ config: { resources }, ports: { system } });
    const names = new Map<string, string>();
    const { createContainer, updateContainerResources } = this.runtime;
    Object.assign(this.runtime, {
      createContainer: async (request: CreateContainerRequest, options: object) => {
        const answer = await createContainer(request, options);
        const name = request.sandboxConfig?.metadata?.name.replace("-node-1", "") ?? "";
        const linux = request.config?.linux?.resources;
        names.set(answer.containerId, name);
        this.sets.set(name, `${linux?.cpusetCpus ?? ""}/${linux?.cpusetMems ?? ""}`);
        return answer;
      },
      updateContainerResources: (request: UpdateContainerResourcesRequest, options: object) => {
        const name = names.get(request.containerId) ?? "";
        this.updates++;
        this.sets.set(name, `${request.linux?.cpusetCpus ?? ""}/${this.sets.get(name)?.split("/")[1] ?? ""}`);
        return updateContainerResources(request, options);
      },
    });
  }

  add(name: string, limits?: Readonly<Record<string, string>>): void {
    const resources = limits === undefined ? {} : { resources: { limits } };
    this.manifests.write(`${name}.json`, manifest(name, { containers: [container("main", {}, resources)] }));
  }

  untilRuns(name: string): Promise<number> {
    return this.until(`${name} runs`, () =>
      this.running().some(({ podName }) => podName === `${name}-node-1`),
    );
  }

  async why(name: string): Promise<string> {
    const { phase, reason, message } = (await this.pod(name)).status;
    return `${phase} ${reason}: ${message}`;
  }
}

const OWN = { cpu: "1", memory: "1Gi" };

it("a pod for which there is no room waits, says why, and runs as soon as there is", async () => {
  const node = new Node("");
  await node.start();
  node.add("first", { cpu: "1500m", memory: "64Mi" });
  await node.untilRuns("first");
  node.add("second", { cpu: "1", memory: "64Mi" });
  await node.advance(5000);
  expect(await node.why("second")).toBe(
    "Pending OutOfcpu: Node didn't have enough resource: cpu, requested: 1000, used: 1500, capacity: 2000",
  );
  expect(node.sets.get("first")).toBe("/");
  // An agent that comes anew does not let it in either, and refuses nobody that runs.
  node.kill({ carriedOut: false });
  await node.start();
  await node.advance(20_000);
  expect(node.running().map(({ podName }) => podName)).toEqual(["first-node-1"]);
  node.manifests.remove("first.json");
  await node.untilRuns("second");
  expect(node.updates).toBe(0);
  expect(await node.stop()).toBe(0);
  expect(node.troubles).toEqual([]);
});

it("what is reserved is not given to pods", async () => {
  const node = new Node("systemReserved: { cpu: 500m, memory: 1Gi }\nkubeReserved: { cpu: 250m }");
  await node.start();
  node.add("large", { cpu: "1500m", memory: "64Mi" });
  await node.advance(5000);
  expect(await node.why("large")).toContain("requested: 1500, used: 0, capacity: 1250");
  await node.stop();
});

it("CPUs of their own: given at create, the pool moved at once, kept over kills of agent and container", async () => {
  const node = new Node("cpuManagerPolicy: static\nreservedSystemCPUs: '0'");
  await node.start();
  node.add("shared");
  await node.untilRuns("shared");
  expect(node.sets.get("shared")).toBe("0-1/");
  node.add("own", OWN);
  await node.untilRuns("own");
  await node.until("the pool shrinks", () => node.sets.get("shared") === "0/", 2000);
  expect(node.sets.get("own")).toBe("1/");
  node.add("late", OWN);
  await node.advance(5000);
  expect(await node.why("late")).toContain(
    "UnexpectedAdmissionError: Allocate failed due to not enough cpus available",
  );

  const updates = node.updates;
  node.kill({ carriedOut: false });
  await node.advance(5000);
  await node.start();
  await node.advance(60_000);
  expect(node.updates).toBe(updates);
  const victim = node.running().find(({ podName }) => podName === "own-node-1");
  node.sets.delete("own");
  node.runtime.kill(victim?.id ?? "");
  await node.until("its successor runs", () => node.running().some(({ attempt }) => attempt === 1));
  expect(node.sets.get("own")).toBe("1/");

  node.manifests.remove("own.json");
  await node.untilRuns("late");
  expect(node.sets.get("late")).toBe("1/");
  node.manifests.remove("late.json");
  await node.until("the pool grows", () => node.sets.get("shared") === "0-1/", 10_000);
  expect(await node.stop()).toBe(0);
  expect(node.troubles).toEqual([]);
});

it("with policy static from now on, what runs already gets its CPUs without being touched otherwise", async () => {
  const before = new Node("");
  await before.start();
  before.add("own", OWN);
  before.add("shared");
  await before.untilRuns("own");
  await before.untilRuns("shared");
  const ids = before.running().map(({ id }) => id);
  before.kill({ carriedOut: false });
  const after = new Node("cpuManagerPolicy: static\nreservedSystemCPUs: '0'");
  // The same machine with another configuration.
  const updates: string[] = [];
  const { updateContainerResources } = before.runtime;
  Object.assign(after, {
    runtime: before.runtime,
    manifests: before.manifests,
    state: before.state,
    disk: before.disk,
  });
  Object.assign(before.runtime, {
    updateContainerResources: (request: UpdateContainerResourcesRequest, options: object) => {
      updates.push(request.linux?.cpusetCpus ?? "");
      return updateContainerResources(request, options);
    },
  });
  Object.assign(after, { clock: before.clock, cgroups: before.cgroups, lastGood: before.lastGood });
  await after.start();
  await after.advance(5000);
  expect(updates.sort()).toEqual(["0", "1"]);
  expect(after.running().map(({ id }) => id)).toEqual(ids);
  await after.stop();
});

it("CPUs and memory of one NUMA node: what does not fit one is refused by name", async () => {
  const node = new Node(
    [
      "cpuManagerPolicy: static",
      "systemReserved: { cpu: 1, memory: 412Mi }",
      "memoryManagerPolicy: Static",
      "reservedMemory: [{ numaNode: 0, limits: { memory: 512Mi } }]",
      "topologyManagerPolicy: single-numa-node",
    ].join("\n"),
  );
  await node.start();
  node.add("large", { cpu: "1", memory: "5Gi" });
  await node.advance(5000);
  expect(await node.why("large")).toBe(
    "Pending TopologyAffinityError: Resources cannot be allocated with Topology locality",
  );
  node.manifests.remove("large.json");
  node.add("fits", OWN);
  await node.untilRuns("fits");
  expect(node.sets.get("fits")).toBe("1/1");
  node.add("late", OWN);
  await node.advance(5000);
  expect(await node.why("late")).toContain("TopologyAffinityError");
  node.manifests.remove("fits.json");
  await node.untilRuns("late");
  expect(await node.stop()).toBe(0);
  expect(node.troubles).toEqual([]);
});
