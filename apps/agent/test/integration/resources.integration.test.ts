// SPDX-License-Identifier: Apache-2.0

// Requests and limits, read where the kernel keeps them; what a container may do; its environment.
import { availableParallelism } from "node:os";
import type { ContainerStatus } from "@holdfast/core/pod-types";
import { expect, test } from "vitest";
import { cgroupOf, readCgroupFile } from "./harness/cgroups.ts";
import { container, pod } from "./harness/manifests.ts";
import type { Manifest } from "./harness/manifests.ts";
import { startNode } from "./harness/test-node.ts";
import type { TestNode } from "./harness/test-node.ts";

async function exec(node: TestNode, name: string, command: string): Promise<string> {
  const { stdout, stderr } = await node.cli("exec", `${name}-${node.name}`, "--", "sh", "-c", command);
  return `${stdout}${stderr}`.trim();
}

async function mainPid(node: TestNode, name: string): Promise<number> {
  const { id } = await node.runningContainer(name);
  return (await node.containerStatus(id)).pid;
}

test("cgroups by QoS class, with requests and limits as the kubelet sets them", async () => {
  const limits = { cpu: "250m", memory: "64Mi" };
  await using node = await startNode({
    pods: [
      pod("guaranteed", { containers: [container("main", { resources: { limits } })] }),
      pod("burstable", {
        containers: [
          container("main", {
            resources: { requests: { cpu: "100m", memory: "8Mi" }, limits: { memory: "32Mi" } },
          }),
        ],
      }),
      pod("besteffort"),
    ],
  });
  const root = node.places.cgroupRoot;
  const uid = async (name: string): Promise<string> => (await node.sandboxes(name))[0]?.metadata?.uid ?? "";
  const [guaranteed, burstable, besteffort] = [
    await mainPid(node, "guaranteed"),
    await mainPid(node, "burstable"),
    await mainPid(node, "besteffort"),
  ];
  expect(cgroupOf(guaranteed, "memory")).toContain(`${root}/kubepods/pod${await uid("guaranteed")}/`);
  expect(cgroupOf(burstable, "memory")).toContain(`${root}/kubepods/burstable/pod${await uid("burstable")}/`);
  expect(cgroupOf(besteffort, "memory")).toContain(
    `${root}/kubepods/besteffort/pod${await uid("besteffort")}/`,
  );

  expect(readCgroupFile(guaranteed, "memory", "memory.limit_in_bytes", "memory.max")).toBe(
    String(64 * 2 ** 20),
  );
  expect(readCgroupFile(burstable, "memory", "memory.limit_in_bytes", "memory.max")).toBe(
    String(32 * 2 ** 20),
  );
  expect(Number(readCgroupFile(besteffort, "memory", "memory.limit_in_bytes", "memory.max")) > 2 ** 40).toBe(
    true,
  );
  // 250m of a period of 100 ms.
  expect(readCgroupFile(guaranteed, "cpu", "cpu.cfs_quota_us", "cpu.max")).toMatch(/^25000( 100000)?$/);
  expect(readCgroupFile(guaranteed, "cpu", "cpu.shares", "cpu.weight")).toMatch(/^(256|10)$/);
  expect(readCgroupFile(burstable, "cpu", "cpu.shares", "cpu.weight")).toMatch(/^(102|4)$/);
  expect(readCgroupFile(besteffort, "cpu", "cpu.shares", "cpu.weight")).toMatch(/^(2|1)$/);

  const shown = async (name: string): Promise<ContainerStatus | undefined> =>
    (await node.pod(name))?.status.containerStatuses?.[0];
  expect(await shown("guaranteed")).toMatchObject({ allocatedResources: limits, resources: { limits } });
  expect(await shown("besteffort")).not.toHaveProperty("resources");
  // Behind the agent's back: what is shown is what the runtime has, beside what was asked for.
  const { id } = await node.runningContainer("guaranteed");
  await using client = node.runtime.client();
  const linux = { cpuPeriod: 100_000n, cpuQuota: 15_000n, cpuShares: 102n, memoryLimitInBytes: 33_554_432n };
  await client.updateContainerResources({ containerId: id, linux });
  await node.kill9();
  await node.start();
  const resources = { limits: { cpu: "150m", memory: "32Mi" }, requests: { cpu: "100m", memory: "64Mi" } };
  await node.until(
    async () => String(JSON.stringify(await shown("guaranteed"))).includes('"150m"'),
    "the status has looked",
  );
  expect(await shown("guaranteed")).toMatchObject({
    containerID: `containerd://${id}`,
    allocatedResources: limits,
    resources,
  });

  for (const name of ["guaranteed", "burstable", "besteffort"]) {
    expect((await node.pod(name))?.status.qosClass?.toLowerCase()).toBe(name);
    node.remove(name);
  }
  await node.assertNothingLeft();
});

test("capabilities, privileged, read-only root, and users", async () => {
  const secured = (name: string, securityContext: Record<string, unknown>) =>
    pod(name, { containers: [container("main", { securityContext })] });
  await using node = await startNode({
    pods: [
      secured("dropped", { capabilities: { drop: ["ALL"], add: ["NET_BIND_SERVICE"] } }),
      secured("privileged", { privileged: true }),
      secured("readonly", { readOnlyRootFilesystem: true }),
      secured("user", { runAsUser: 4711, runAsGroup: 4712 }),
    ],
  });
  for (const name of ["dropped", "privileged", "readonly", "user"]) await node.runningContainer(name);
  const effective = async (name: string): Promise<bigint> =>
    BigInt(`0x${await exec(node, name, "grep CapEff /proc/1/status | cut -f2")}`);
  // CAP_NET_BIND_SERVICE is bit 10.
  expect(await effective("dropped")).toBe(1n << 10n);
  expect(await effective("privileged")).toBeGreaterThan(await effective("readonly"));
  expect(await exec(node, "readonly", "touch /x || true")).toContain("Read-only file system");
  expect(await exec(node, "user", "id -u; id -g")).toBe("4711\n4712");
});

test("command, args, workingDir and env with references", async () => {
  const main = container("main", {
    command: ["sh", "-c"],
    args: ['trap "exit 0" TERM; echo "$GREETING in $(pwd)"; sleep 1000000 & wait'],
    workingDir: "/tmp",
    env: [
      { name: "NAME", value: "world" },
      { name: "GREETING", value: "hello $(NAME) $$(NAME) $(MISSING)" },
      { name: "POD", valueFrom: { fieldRef: { fieldPath: "metadata.name" } } },
    ],
  });
  await using node = await startNode({ pods: [pod("environment", { containers: [main] })] });
  await node.runningContainer("environment");
  await node.until(
    async () =>
      (await node.cli("logs", `environment-${node.name}`)).stdout ===
      "hello world $(NAME) $(MISSING) in /tmp\n",
    "the log shows what was expanded",
  );
  expect(await exec(node, "environment", "echo $POD")).toBe(`environment-${node.name}`);
});

// kubelet: CriticalPodsTest (node e2e)
test("on a full node a critical pod ends who matters less, who says so; a pod that matters less waits, and comes when there is room", async () => {
  const asks = (name: string, cpu: string, spec: Record<string, unknown>): Manifest =>
    pod(name, {
      containers: [container("main", { resources: { requests: { cpu } } })],
      terminationGracePeriodSeconds: 1,
      ...spec,
    });
  await using node = await startNode({
    kubelet: { systemReserved: { cpu: `${(availableParallelism() - 1) * 1000}m` } },
    pods: [asks("small", "100m", { priority: 5 }), asks("large", "800m", { priority: 5 })],
  });
  const small = await node.runningContainer("small");
  await node.runningContainer("large");
  node.write(asks("late", "500m", { priority: 5 }));
  await node.until(async () => (await node.pod("late"))?.status.reason === "OutOfcpu", "the late pod waits");

  node.write(asks("critical", "500m", { priorityClassName: "system-node-critical" }));
  const critical = await node.runningContainer("critical");
  expect((await node.pod("large"))?.status).toMatchObject({
    phase: "Failed",
    reason: "Preempting",
    message: "Preempted in order to admit critical pod",
  });
  const told = JSON.stringify((await node.pod("large"))?.status.conditions);
  expect(told).toContain('"type":"DisruptionTarget","status":"True","reason":"TerminationByKubelet"');
  expect((await node.cli("describe", "pod", "large")).stdout).toMatch(/Warning +Preempting/);
  expect((await node.runningContainer("small")).id).toBe(small.id);
  expect((await node.cli("why", "large")).stdout).toContain("Preempted in order to admit critical pod");
  expect((await node.pod("late"))?.status.reason).toBe("OutOfcpu");

  await node.restart();
  await node.until(async () => (await node.pod("late"))?.status.reason === "OutOfcpu", "it waits again");
  expect((await node.runningContainer("critical")).id).toBe(critical.id);
  node.remove("critical");
  await node.runningContainer("late");
  expect((await node.pod("large"))?.status.reason).toBe("Preempting");
  for (const name of ["small", "large", "late"]) node.remove(name);
  await node.assertNothingLeft();
});
