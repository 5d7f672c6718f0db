// SPDX-License-Identifier: Apache-2.0

// A node that runs out of disk, inodes, memory: the right pod goes, one at a time, and the conditions come and go.
import { existsSync } from "node:fs";
import { totalmem } from "node:os";
import { expect, test } from "vitest";
import { PodSandboxState } from "@holdfast/cri";
import type { JournalEvent } from "@holdfast/journal";
import type { PodObject } from "../../src/api/types.ts";
import { writeConfig } from "./harness/agent-process.ts";
import { container, forever, pod } from "./harness/manifests.ts";
import type { Manifest } from "./harness/manifests.ts";
import { SmallDisk } from "./harness/small-disk.ts";
import { startNode } from "./harness/test-node.ts";
import type { TestNode } from "./harness/test-node.ts";

const MIB = 2 ** 20;
const TRANSITION = "3s";
/** A round each 10 s, and some of them. */
const PATIENCE_MS = 90_000;

/** Does something to its own emptyDir, and then runs for ever. */
function writer(name: string, before: string, sizeLimit?: string): Manifest {
  const main = container("main", {
    command: forever(before),
    volumeMounts: [{ name: "data", mountPath: "/data" }],
  });
  const data = { name: "data", emptyDir: sizeLimit === undefined ? {} : { sizeLimit } };
  return pod(name, { containers: [main], volumes: [data] });
}

async function condition(node: TestNode, type: string): Promise<string | undefined> {
  return (await node.nodeObject()).conditions.find((one) => one.type === type)?.status;
}

async function events(node: TestNode, type: string): Promise<JournalEvent[]> {
  const { stdout } = await node.cli("events", "--type", type, "-o", "json");
  return stdout
    .split("\n")
    .filter((line) => line !== "")
    .map((line) => JSON.parse(line) as JournalEvent)
    .sort((a, b) => a.seq - b.seq);
}

function evicted(node: TestNode, name: string): Promise<PodObject> {
  return node.until(
    async () => {
      const found = await node.pod(name);
      return found?.status.reason === "Evicted" && found.status.phase === "Failed" ? found : undefined;
    },
    `${name} is evicted`,
    PATIENCE_MS,
  );
}

/** The pods run already: those that come would be refused. */
async function restartWith(node: TestNode, kubelet: Readonly<Record<string, unknown>>): Promise<void> {
  await node.stop();
  writeConfig(node.places, node.runtime.endpoint, {
    kubelet,
    agent: { evictStaticPods: true },
  });
  await node.start();
}

const BYTES = `dd if=/dev/zero of=/data/big bs=1M count=40 2>/dev/null`;
const FILES = `i=0; while [ $i -lt 9000 ]; do : > /data/$i; i=$((i+1)); done`;

// kubelet: LocalStorageEviction, InodeEviction (node e2e)
test.each([
  ["bytes", { "nodefs.available": "45%" }, BYTES, "ephemeral-storage"],
  ["inodes", { "nodefs.inodesFree": "60%" }, FILES, "inodes"],
] as const)(
  "disk pressure, %s: who takes most goes and stays Failed, nobody new comes meanwhile, and the condition goes after its time",
  async (_name, evictionHard, greed, resource) => {
    await using node = await startNode({
      start: false,
      kubelet: { evictionHard, evictionPressureTransitionPeriod: TRANSITION },
      agent: { evictStaticPods: true },
    });
    // Pods' folders on a small disk of their own.
    using disk = new SmallDisk(node.places.state, 64 * MIB);
    expect(disk.usagePercent()).toBeLessThan(40);
    node.write(writer("modest", "dd if=/dev/zero of=/data/small bs=1M count=2 2>/dev/null"));
    node.write(writer("limited", "dd if=/dev/zero of=/data/small bs=1M count=3 2>/dev/null", "2Mi"));
    await node.start();
    await node.runningContainer("modest");
    node.write(writer("greedy", greed));
    const greedy = await evicted(node, "greedy");
    expect(greedy.status.message).toMatch(
      new RegExp(
        `^The node was low on resource: ${resource}\\. Threshold quantity: \\S+, available: \\S+\\. `,
      ),
    );
    expect(greedy.status.conditions).toContainEqual(
      expect.objectContaining({
        type: "DisruptionTarget",
        status: "True",
        reason: "TerminationByKubelet",
        message: greedy.status.message,
      }),
    );
    expect(await condition(node, "DiskPressure")).toBe("True");
    expect((await node.cli("get", "node")).stdout).toContain("DiskPressure:");
    node.write(pod("newcomer"));
    await node.until(
      async () => (await node.pod("newcomer"))?.status.message === "The node had condition: [DiskPressure]. ",
      "the newcomer waits, and says why",
    );
    expect((await node.pod("newcomer"))?.status).toMatchObject({ phase: "Pending", reason: "Evicted" });
    // Its volume is gone with it, and its logs: the node has enough again.
    const logFolder = `${node.places.podLogs}/default_greedy-${node.name}_${greedy.metadata.uid}`;
    await node.until(
      async () =>
        (await node.sandboxes("greedy")).length === 0 &&
        (await node.containers("greedy")).length === 0 &&
        !existsSync(logFolder),
      "nothing of it is left on the runtime and among the logs",
    );
    await node.until(
      async () => (await condition(node, "DiskPressure")) === "False",
      "the condition is over",
      PATIENCE_MS,
    );
    await node.runningContainer("newcomer");
    const limited = await evicted(node, "limited");
    expect(limited.status.message).toBe('Usage of EmptyDir volume "data" exceeds the limit "2Mi". ');
    expect(limited.status.conditions?.some(({ type }) => type === "DisruptionTarget")).toBe(false);
    await node.restart();
    const after = await evicted(node, "greedy");
    expect(after.status.message).toBe(greedy.status.message);
    expect(after.status.containerStatuses?.[0]?.state?.terminated?.exitCode).toEqual(expect.any(Number));
    expect(await node.running("greedy")).toEqual([]);
    expect(await node.running("modest")).toHaveLength(1);
    expect((await node.pod("modest"))?.status.containerStatuses?.[0]?.restartCount).toBe(0);
    const conditions = await events(node, "eviction/PressureChanged");
    expect(conditions.map(({ data }) => (data as { reason: string }).reason)).toEqual([
      "NodeHasDiskPressure",
      "NodeHasNoDiskPressure",
    ]);
    const [met] = await events(node, "eviction/ThresholdMet");
    expect(met?.data).toMatchObject({
      reason: "EvictionThresholdMet",
      message: `Attempting to reclaim ${resource}`,
    });
    expect((await node.cli("describe", "pod", `greedy-${node.name}`)).stdout).toMatch(/Warning +Evicted/);
    for (const name of ["modest", "limited", "greedy", "newcomer"]) node.remove(name);
    await node.assertNothingLeft();
    await node.stop();
  },
);

/** What is left of the machine's memory for all pods together, so that a few small ones can use it up. */
const PODS_LIMIT = 400 * MIB;

// kubelet: PriorityMemoryEvictionOrdering (node e2e)
test("memory pressure for real: all pods together near their limit; one after the other goes, who uses most first, until enough is free", async () => {
  // Memory behind a file in /dev/shm is the pod's.
  const hog = (name: string, mib: number, over: Manifest = {}): Manifest =>
    pod(name, {
      containers: [
        container("main", {
          command: forever(`dd if=/dev/zero of=/dev/shm/x bs=1M count=${mib} 2>/dev/null; echo full`),
        }),
      ],
      ...over,
    });
  const pods = [
    hog("small", 5),
    hog("large", 50),
    hog("important", 60, { priority: 1000 }),
    hog("critical", 60, { priority: 2_000_000_000 }),
  ];
  const systemReserved = { memory: String(totalmem() - PODS_LIMIT) };
  await using node = await startNode({ kubelet: { evictionHard: {}, systemReserved }, pods });
  for (const name of ["small", "large", "important", "critical"]) {
    await node.runningContainer(name);
    const logs = ["logs", `${name}-${node.name}`];
    await node.until(async () => (await node.cli(...logs)).stdout.includes("full"), `${name} has its memory`);
  }
  // About 185 MiB are in use. The largest that may go would do, but for the minimum reclaim.
  await restartWith(node, {
    evictionHard: { "memory.available": "250Mi" },
    evictionMinimumReclaim: { "memory.available": "60Mi" },
    evictionPressureTransitionPeriod: TRANSITION,
    kernelMemcgNotification: true,
    systemReserved,
  });
  for (const name of ["large", "small", "important"]) await evicted(node, name);
  const story = [
    ...(await events(node, "eviction/PodEvicting")),
    ...(await events(node, "pod/PodTerminated")),
  ]
    .sort((a, b) => a.seq - b.seq)
    .map(({ type, subject }) => `${type} ${subject.pod?.slice("default/".length).split("-")[0]}`);
  const inTurn = story.filter((line) => line.startsWith("eviction/"));
  expect(new Set(inTurn).size).toBe(3);
  // One at a time: nobody is told to go before the one before has gone.
  expect(story).toEqual(
    inTurn.flatMap((line) => [line, line.replace("eviction/PodEvicting", "pod/PodTerminated")]),
  );
  expect(inTurn.at(-1)).toBe("eviction/PodEvicting important");
  expect(await node.running("critical")).toHaveLength(1);
  expect(await node.isReady()).toBe(true);
  await node.until(
    async () => (await condition(node, "MemoryPressure")) === "False",
    "the condition is over",
    PATIENCE_MS,
  );
  expect(
    (await events(node, "eviction/PressureChanged")).map(({ data }) => (data as { reason: string }).reason),
  ).toEqual(["NodeHasInsufficientMemory", "NodeHasSufficientMemory"]);
  const [first] = await events(node, "eviction/PodEvicting");
  expect(first?.data).toMatchObject({ signal: "allocatableMemory.available" });
  const { message } = (await node.pod("large"))?.status ?? {};
  expect(message).toMatch(
    /^The node was low on resource: memory\. Threshold quantity: \S+, available: \S+\. Container main was using \S+, request is 0, has larger consumption of memory\. $/,
  );
  expect((await node.cli("why", `large-${node.name}`)).stdout).toContain("evicted");
});

test("the node gives up its own first: dead containers go before a pod does", async () => {
  const ended = pod("ended", {
    restartPolicy: "Never",
    containers: [container("main", { command: ["true"] })],
  });
  await using node = await startNode({ kubelet: { evictionHard: {} }, pods: [ended, pod("lasting")] });
  await node.runningContainer("lasting");
  await node.until(
    async () => (await node.sandboxes("ended"))[0]?.state === PodSandboxState.SANDBOX_NOTREADY,
    "the other pod has ended",
  );
  await restartWith(node, { evictionHard: { "imagefs.available": "99.9%" } });
  await evicted(node, "lasting");
  const [removed] = await events(node, "gc/DeadContainerRemoved");
  const [met] = await events(node, "eviction/ThresholdMet");
  const [going] = await events(node, "eviction/PodEvicting");
  expect(removed?.subject.pod).toBe(`default/ended-${node.name}`);
  expect(removed?.seq).toBeGreaterThan(met?.seq ?? Number.POSITIVE_INFINITY);
  expect(going?.seq).toBeGreaterThan(removed?.seq ?? Number.POSITIVE_INFINITY);
  expect(going?.causes).toEqual([met?.seq]);
});

test("limits on ephemeral storage: of the writable layer, and of logs; who keeps within them stays", async () => {
  const limited = (name: string, limit: string, before: string): Manifest =>
    pod(name, {
      containers: [
        container("main", {
          command: forever(before),
          resources: { limits: { "ephemeral-storage": limit } },
        }),
      ],
    });
  await using node = await startNode({
    kubelet: { evictionHard: {} },
    agent: { evictStaticPods: true },
    pods: [
      limited("layer", "4Mi", "dd if=/dev/zero of=/big bs=1M count=8 2>/dev/null"),
      limited("logs", "1Mi", "i=0; while [ $i -lt 30000 ]; do i=$((i+1)); echo $(printf %0100d $i); done"),
      limited("within", "4Mi", "dd if=/dev/zero of=/small bs=1M count=1 2>/dev/null"),
    ],
  });
  for (const [name, limit] of [
    ["layer", "4Mi"],
    ["logs", "1Mi"],
  ] as const)
    expect((await evicted(node, name)).status.message).toBe(
      `Pod ephemeral local storage usage exceeds the total limit of containers ${limit}. `,
    );
  expect(await node.running("within")).toHaveLength(1);
  expect(
    (await node.nodeObject()).conditions.every(
      ({ type, status }) => (type === "Ready") === (status === "True"),
    ),
  ).toBe(true);
});
