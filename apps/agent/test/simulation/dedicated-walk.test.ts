// SPDX-License-Identifier: Apache-2.0

// Walks of pods with CPUs of their own on a machine with 8: whatever comes, goes, dies or is killed, no CPU has two owners.
import type { CreateContainerRequest, UpdateContainerResourcesRequest } from "@holdfast/cri";
import { CpuSet } from "@holdfast/resource";
import type { SystemTree } from "@holdfast/resource";
import fc from "fast-check";
import { expect, it } from "vitest";
import { parseConfig } from "../../src/config/parse-config.ts";
import { container, manifest } from "./pods.ts";
import { SimulatedNode } from "./simulated-node.ts";

const KEYS =
  "apiVersion: kubelet.config.k8s.io/v1beta1\nkind: KubeletConfiguration\ncpuManagerPolicy: static\nreservedSystemCPUs: '0'\n";
const files: Readonly<Record<string, string>> = {
  "/sys/devices/system/cpu/online": "0-7\n",
  "/sys/devices/system/node/online": "0-1\n",
  "/sys/devices/system/node/node0/cpulist": "0-3\n",
  "/sys/devices/system/node/node1/cpulist": "4-7\n",
  "/sys/devices/system/node/node0/meminfo": "Node 0 MemTotal: 4194304 kB\n",
  "/sys/devices/system/node/node1/meminfo": "Node 1 MemTotal: 4194304 kB\n",
};
const system: SystemTree = { read: (path) => files[path], list: () => [] };

/** CPUs of each container, as the runtime was told last, by its id. */
function watchSets(node: SimulatedNode): ReadonlyMap<string, CpuSet> {
  const sets = new Map<string, CpuSet>();
  const { createContainer, updateContainerResources } = node.runtime;
  Object.assign(node.runtime, {
    createContainer: async (request: CreateContainerRequest, options: object) => {
      const answer = await createContainer(request, options);
      sets.set(answer.containerId, CpuSet.parse(request.config?.linux?.resources?.cpusetCpus ?? ""));
      return answer;
    },
    updateContainerResources: async (request: UpdateContainerResourcesRequest, options: object) => {
      const answer = await updateContainerResources(request, options);
      sets.set(request.containerId, CpuSet.parse(request.linux?.cpusetCpus ?? ""));
      return answer;
    },
  });
  return sets;
}

const step = fc.oneof(
  fc.record({ do: fc.constant("add" as const), pod: fc.nat(5), cpus: fc.constantFrom(0, 1, 2, 3, 5) }),
  fc.record({ do: fc.constant("remove" as const), pod: fc.nat(5) }),
  fc.record({ do: fc.constant("die" as const), nth: fc.nat(9) }),
  fc.record({ do: fc.constant("kill" as const), carriedOut: fc.boolean() }),
  fc.record({ do: fc.constant("restart" as const) }),
  fc.record({ do: fc.constant("wait" as const), ms: fc.constantFrom(20, 500, 15_000) }),
);

it("no CPU has two owners, the shared ones keep off, and everybody who fits runs in the end", async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(step, { minLength: 5, maxLength: 25 }), fc.nat(1000), async (steps, seed) => {
      const { resources } = parseConfig(KEYS, "test", "node-1").config;
      const node = new SimulatedNode({ seed, config: { resources }, ports: { system } });
      const sets = watchSets(node);
      const wanted = new Map<string, number>();
      /** Disjoint at any moment; `settled`: shared ones are off them too. */
      const check = (settled: boolean): void => {
        const owners: CpuSet[] = [];
        const shared: CpuSet[] = [];
        for (const { id, podName } of node.running()) {
          const cpus = wanted.get(podName.replace("-node-1", "")) ?? -1;
          if (cpus > 0) owners.push(sets.get(id) ?? CpuSet.empty);
          else if (cpus === 0) shared.push(sets.get(id) ?? CpuSet.empty);
          if (cpus > 0 && settled) expect(sets.get(id)?.size).toBe(cpus);
        }
        const all = owners.flatMap(({ ids }) => ids);
        expect(new Set(all).size).toBe(all.length);
        expect(all).not.toContain(0);
        if (settled) for (const cpus of shared) expect(cpus.intersection(new CpuSet(all)).size).toBe(0);
      };
      await node.start();
      for (const one of steps) {
        if (one.do === "add" && !wanted.has(`p${one.pod}`)) {
          const limits = { cpu: String(one.cpus), memory: "16Mi" };
          const over = one.cpus === 0 ? {} : { resources: { limits } };
          wanted.set(`p${one.pod}`, one.cpus);
          node.manifests.write(
            `p${one.pod}.json`,
            manifest(`p${one.pod}`, { containers: [container("main", {}, over)] }),
          );
        } else if (one.do === "remove" && wanted.has(`p${one.pod}`)) {
          node.manifests.remove(`p${one.pod}.json`);
          // The same name with other CPUs would not be told apart.
          await node.until(
            "it is gone",
            () => !node.running().some(({ podName }) => podName === `p${one.pod}-node-1`),
          );
          wanted.delete(`p${one.pod}`);
        } else if (one.do === "die") {
          const victim = node.running()[one.nth];
          if (victim !== undefined) node.runtime.kill(victim.id);
        } else if (one.do === "kill") {
          node.kill({ carriedOut: one.carriedOut });
          await node.start();
        } else if (one.do === "restart") {
          await node.stop();
          await node.start();
        } else if (one.do === "wait") await node.advance(one.ms);
        check(false);
      }
      await node.advance(400_000);
      check(true);
      const running = new Set(node.running().map(({ podName }) => podName.replace("-node-1", "")));
      const taken = [...running].reduce((sum, name) => sum + (wanted.get(name) ?? 0), 0);
      for (const [name, cpus] of wanted) expect(running.has(name) || taken + cpus > 7, name).toBe(true);
      await node.stop();
      expect(node.troubles).toEqual([]);
    }),
    { numRuns: 12 },
  );
}, 60_000);
