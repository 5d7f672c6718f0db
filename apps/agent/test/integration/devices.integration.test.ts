// SPDX-License-Identifier: Apache-2.0

// Device plugins on a real runtime: what a container sees, who gets the last device, and what of it all a restart changes: nothing.
import { spawn } from "node:child_process";
import type { ChildProcess } from "node:child_process";
import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { Client, credentials } from "@grpc/grpc-js";
import { serveDevicePlugin } from "@holdfast/device/plugin";
import { expect, test } from "vitest";
import type { DeviceList } from "../../src/run/device-side.ts";
import { repo } from "./harness/agent-process.ts";
import { container, pod } from "./harness/manifests.ts";
import { startNode } from "./harness/test-node.ts";
import type { TestNode } from "./harness/test-node.ts";
import { getJson } from "./harness/unix-http.ts";

const RESOURCE = "holdfast.example/null";

/** The example plugin, as a process of its own. */
class ExamplePlugin implements AsyncDisposable {
  #child: ChildProcess | undefined;
  readonly folder: string;

  constructor(folder: string) {
    this.folder = folder;
    this.start();
  }

  start(): void {
    const program = join(repo, "packages/device/examples/null-devices.ts");
    this.#child = spawn(process.execPath, ["--conditions=@holdfast/source", program, this.folder], {
      stdio: "inherit",
    });
  }

  signal(name: NodeJS.Signals): void {
    this.#child?.kill(name);
  }

  async kill(): Promise<void> {
    const child = this.#child;
    this.#child = undefined;
    if (child === undefined || child.exitCode !== null || child.signalCode !== null) return;
    await new Promise((resolve) => {
      child.once("exit", resolve);
      child.kill("SIGKILL");
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.kill();
  }
}

/** A folder of its own, of a short path: a socket's path may have 107 bytes. */
function deviceFolder(): { readonly root: string; readonly plugins: string } & Disposable {
  const root = mkdtempSync(join(tmpdir(), "hfd-"));
  return {
    root,
    plugins: join(root, "device-plugins"),
    [Symbol.dispose]: () => rmSync(root, { recursive: true, force: true }),
  };
}

const wants = (name: string, count: number, command = "sleep 3600", spec: Record<string, unknown> = {}) =>
  pod(
    name,
    {
      containers: [
        container("main", {
          command: ["sh", "-c", command],
          resources: { limits: { [RESOURCE]: count } },
        }),
      ],
      ...spec,
    },
    // Nobody waits for a back-off here.
    { annotations: { "holdfast.agent/crash-loop-back-off": "initial=0s" } },
  );

async function inside(node: TestNode, name: string, command: string): Promise<string> {
  const { stdout } = await node.cli("exec", `${name}-${node.name}`, "--", "sh", "-c", command);
  return stdout.trim();
}

async function untilAllocatable(node: TestNode, allocatable: number): Promise<void> {
  await node.until(
    async () =>
      (await node.nodeObject()).resources?.some(
        (resource) => resource.name === RESOURCE && resource.allocatable === allocatable,
      ),
    `${allocatable} devices can be given`,
  );
}

/** How often plugins were asked for devices. */
async function allocations(node: TestNode): Promise<number> {
  const { stdout } = await node.cli("events", "--type", "device/DevicesAllocating", "--limit", "1000");
  return stdout.split("device/DevicesAllocating").length - 1;
}

async function heldBy(node: TestNode, name: string): Promise<readonly string[]> {
  const { items } = await getJson<DeviceList>(node.socket, "/api/v1/devices");
  return items.flatMap(({ devices, holders }) =>
    devices.filter(({ podUid = "" }) => holders[podUid]?.startsWith(`default/${name}-`)).map(({ id }) => id),
  );
}

/** What a monitoring agent sees. The messages are small: names of devices are read as text. */
function podResources(root: string): Promise<string> {
  const client = new Client(
    `unix://${join(root, "pod-resources/kubelet.sock")}`,
    credentials.createInsecure(),
  );
  return new Promise((resolve, reject) => {
    const asIs = (bytes: Buffer): Buffer => bytes;
    client.makeUnaryRequest("/v1.PodResourcesLister/List", asIs, asIs, Buffer.alloc(0), (error, answer) => {
      client.close();
      if (error === null) resolve(String(answer));
      else reject(error);
    });
  });
}

test("a container sees exactly its devices, variables and mounts; the loser of the last device runs when the winner ends", async () => {
  using folder = deviceFolder();
  await using plugin = new ExamplePlugin(folder.plugins);
  await using node = await startNode({ agent: { devicePluginsDir: folder.plugins } });
  await untilAllocatable(node, 8);
  // It fails when it is told to.
  const tells = "until [ -e /tmp/fail ]; do sleep 0.1; done; exit 3";
  node.write(wants("three", 3, tells));
  await node.runningContainer("three");
  expect(
    await inside(node, "three", "ls /dev | grep null-; echo $NULL_DEVICES; test -c /dev/null-0 && echo char"),
  ).toBe("null-0\nnull-2\nnull-4\nnull-0,null-2,null-4\nchar");
  expect(await inside(node, "three", "echo gone > /dev/null-2 && cat /dev/null-2 | wc -c")).toBe("0");
  expect(await inside(node, "three", "mount | grep /host-tmp | grep -c 'ro[,)]'")).toBe("1");
  const { id } = await node.runningContainer("three");
  const { status } = await node.containerStatus(id);
  expect(status.annotations[RESOURCE]).toBe("null-0,null-2,null-4");
  // What is left of both nodes, and the plugin's word counts: all of the fuller one, then of the other.
  node.write(wants("four", 4));
  await node.runningContainer("four");
  expect(await inside(node, "four", "echo $NULL_DEVICES")).toBe("null-1,null-3,null-5,null-7");

  node.write(wants("plain", 0, tells));
  await node.runningContainer("plain");
  expect(await inside(node, "plain", "ls /dev | grep -c null-; echo [$NULL_DEVICES]")).toBe("0\n[]");

  // One is left: the first to come gets it, and the other one waits and says why.
  node.write(wants("winner", 1, "sleep 3600", { terminationGracePeriodSeconds: 1 }));
  await node.runningContainer("winner");
  node.write(wants("loser", 1));
  await node.until(
    async () => (await node.pod("loser"))?.status.message?.includes("Requested: 1, Available: 0"),
    "the loser says what it lacks",
  );
  expect((await node.pod("loser"))?.status).toMatchObject({
    phase: "Pending",
    reason: "UnexpectedAdmissionError",
  });
  expect((await node.cli("describe", "pod", "loser")).stdout).toMatch(/Warning +UnexpectedAdmissionError/);
  expect((await node.cli("get", "node")).stdout).toContain("8 devices, 8 allocatable");
  const table = (await node.cli("get", "devices")).stdout;
  expect(table).toMatch(/holdfast\.example\/null +null-6 +Healthy +0 +default\/winner-\S+ +main/);
  expect(await podResources(folder.root)).toContain("null-6");
  node.remove("winner");
  await node.runningContainer("loser");
  expect(await inside(node, "loser", "echo $NULL_DEVICES")).toBe("null-6");

  // Health of a device in use shows, and the pod goes on.
  plugin.signal("SIGUSR1");
  await untilAllocatable(node, 7);
  expect((await node.cli("get", "devices")).stdout).toMatch(/null-0 +Unhealthy .*it is full/);
  const told =
    '{"resourceID":"null-0","health":"Unhealthy","message":"the plugin says Unhealthy: it is full"}';
  await node.until(
    async () => JSON.stringify((await node.pod("three"))?.status.containerStatuses).includes(told),
    "the pod's status says so",
  );
  expect((await node.runningContainer("three")).id).toBe(id);
  // Who fails then failed because of it; who has none failed by itself.
  for (const name of ["three", "plain"]) await inside(node, name, "touch /tmp/fail");
  const why = (name: string, words: string): Promise<unknown> =>
    node.until(async () => (await node.cli("why", name)).stdout.includes(words), `${name}: ${words}`);
  await why("three", "main ended after one of its devices was lost");
  expect((await node.cli("why", "three")).stdout).toContain(`device null-0 of ${RESOURCE} is unhealthy: `);
  await why("plain", "main failed by itself");
  for (const name of ["three", "four", "plain", "loser"]) node.remove(name);
  await node.assertNothingLeft();
});

test("plugin killed, agent killed, both, the node rebooted: nobody loses a device, a container that dies comes back with the same one", async () => {
  using folder = deviceFolder();
  await using plugin = new ExamplePlugin(folder.plugins);
  const bootIdFile = join(folder.root, "boot_id");
  writeFileSync(bootIdFile, "11111111-aaaa\n");
  await using node = await startNode({ agent: { devicePluginsDir: folder.plugins, bootIdFile } });
  await untilAllocatable(node, 8);
  node.write(wants("holder", 4));
  const first = await node.runningContainer("holder");
  const devices = await inside(node, "holder", "echo $NULL_DEVICES");

  await plugin.kill();
  await untilAllocatable(node, 0);
  expect((await node.runningContainer("holder")).id).toBe(first.id);
  // It restarts from what the plugin answered before.
  await node.killContainer(first.id);
  const second = await node.runningContainer("holder", "main", 1);
  expect(await inside(node, "holder", "echo $NULL_DEVICES")).toBe(devices);
  // Somebody new waits for the plugin.
  node.write(wants("late", 4));
  await node.until(
    async () => (await node.pod("late"))?.status.reason === "DevicePluginNotReady",
    "the late pod waits for the plugin",
  );

  await node.kill9();
  await node.start();
  await node.until(
    async () => (await node.pod("holder"))?.status.phase === "Running",
    "the agent knows the pod",
  );
  expect((await node.runningContainer("holder", "main", 1)).id).toBe(second.id);
  await node.killContainer(second.id);
  await node.runningContainer("holder", "main", 2);
  expect(await inside(node, "holder", "echo $NULL_DEVICES")).toBe(devices);
  plugin.start();
  await untilAllocatable(node, 8);
  await node.runningContainer("late");
  const others = await inside(node, "late", "echo $NULL_DEVICES");
  expect([...devices.split(","), ...others.split(",")].sort()).toEqual(
    Array.from({ length: 8 }, (_, n) => `null-${n}`),
  );

  // The agent again, without its checkpoint, while the plugin stays: it sees the new socket and registers; the containers say what they have.
  const third = await node.runningContainer("holder", "main", 2);
  await node.kill9();
  const checkpoint = join(folder.plugins, "kubelet_internal_checkpoint");
  rmSync(checkpoint);
  await node.start();
  await untilAllocatable(node, 8);
  expect((await node.runningContainer("holder", "main", 2)).id).toBe(third.id);
  const { items } = await getJson<DeviceList>(node.socket, "/api/v1/devices");
  const held = items[0]?.devices.filter(({ podUid }) => podUid !== undefined);
  expect(held).toHaveLength(8);

  // What a reboot leaves: another boot id, and nothing that runs.
  await node.until(() => Promise.resolve(existsSync(checkpoint)), "the checkpoint is written anew");
  await node.kill9();
  await plugin.kill();
  for (const { id } of await node.sandboxes()) await node.client.stopPodSandbox({ podSandboxId: id });
  writeFileSync(bootIdFile, "22222222-bbbb\n");
  await node.start();
  for (const name of ["holder", "late"])
    await node.until(
      async () => JSON.stringify((await node.pod(name))?.status.conditions).includes("DevicePluginNotReady"),
      `${name} waits for the plugin, and a condition says so`,
    );
  const asked = await allocations(node);
  plugin.start();
  // What it gave in another life of the machine is worth nothing: it is asked again, for the same devices.
  await node.until(async () => (await allocations(node)) === asked + 2, "the plugin is asked again");
  await node.runningContainer("late", "main", 1);
  expect(await inside(node, "late", "echo $NULL_DEVICES")).toBe(others);
  expect((await heldBy(node, "holder")).join()).toBe(devices);
  for (const name of ["holder", "late"]) node.remove(name);
  await node.assertNothingLeft();
});

test("a CDI device arrives, or is refused by name where the runtime resolves none", async () => {
  using folder = deviceFolder();
  const vendor = `v${folder.root.slice(folder.root.lastIndexOf("-") + 1).toLowerCase()}.example`;
  const spec = {
    cdiVersion: "0.5.0",
    kind: `${vendor}/thing`,
    devices: [
      {
        name: "one",
        containerEdits: {
          env: ["FROM_CDI=one"],
          deviceNodes: [{ path: "/dev/cdi-thing", hostPath: "/dev/null" }],
        },
      },
    ],
  };
  const file = `/etc/cdi/hft-${vendor}.json`;
  const made = mkdirSync("/etc/cdi", { recursive: true });
  writeFileSync(file, JSON.stringify(spec));
  try {
    await using node = await startNode({ agent: { devicePluginsDir: folder.plugins } });
    await using plugin = await serveDevicePlugin({
      resource: RESOURCE,
      folder: folder.plugins,
      devices: [{ id: "one" }],
      allocate: (ids) => ({ cdiDevices: ids.map((id) => `${vendor}/thing=${id}`) }),
    });
    await untilAllocatable(node, 1);
    await expect.poll(() => plugin.registrations).toBe(1);
    node.write(wants("cdi", 1));
    const status = await node.client.status({ verbose: true });
    // 1.7 has it off by default.
    if (status.info["config"]?.includes('"enableCDI":true') === true) {
      await node.runningContainer("cdi");
      expect(await inside(node, "cdi", "echo $FROM_CDI; test -c /dev/cdi-thing && echo char")).toBe(
        "one\nchar",
      );
    } else {
      await node.until(
        async () => JSON.stringify(await node.pod("cdi")).includes("resolves no CDI names"),
        "the pod says that the runtime resolves no CDI names",
      );
    }
    node.remove("cdi");
    await node.assertNothingLeft();
  } finally {
    rmSync(made ?? file, { recursive: true });
  }
});

test("under a topology policy devices come from one NUMA node", async () => {
  using folder = deviceFolder();
  await using plugin = new ExamplePlugin(folder.plugins);
  await using node = await startNode({
    agent: { devicePluginsDir: folder.plugins },
    kubelet: { topologyManagerPolicy: "restricted" },
  });
  await untilAllocatable(node, 8);
  // Even numbers are on node 0, which every machine has. (On one node alone, single-numa-node has no opinion, as in the kubelet.)
  node.write(wants("near", 2));
  await node.runningContainer("near");
  expect(await inside(node, "near", "echo $NULL_DEVICES")).toBe("null-0,null-2");
  node.write(wants("late", 1));
  await plugin.kill();
  node.remove("near");
  node.remove("late");
  await node.assertNothingLeft();
});

test("a plugin that hangs holds up only who asks for its devices", async () => {
  using folder = deviceFolder();
  await using node = await startNode({ agent: { devicePluginsDir: folder.plugins } });
  await using plugin = await serveDevicePlugin({
    resource: "holdfast.example/hung",
    folder: folder.plugins,
    devices: [{ id: "one" }],
    allocate: () => new Promise(() => {}),
  });
  await using healthy = new ExamplePlugin(folder.plugins);
  await untilAllocatable(node, 8);
  await expect.poll(() => plugin.registrations).toBe(1);
  const limits = { "holdfast.example/hung": 1 };
  node.write(pod("victim", { containers: [container("main", { resources: { limits } })] }));
  await node.until(
    async () => (await node.cli("events")).stdout.includes("device/DevicesAllocating"),
    "the plugin is asked",
  );
  node.write(pod("plain"));
  node.write(wants("lucky", 1));
  await node.runningContainer("plain");
  await node.runningContainer("lucky");
  healthy.signal("SIGTERM");
  expect((await node.pod("victim"))?.status.phase).toBe("Pending");
  for (const name of ["victim", "plain", "lucky"]) node.remove(name);
  await node.assertNothingLeft();
});

test("without devicePluginsDir nothing is served, and a pod that wants a device says what to set", async () => {
  await using node = await startNode({ pods: [wants("hopeful", 1)] });
  await node.until(
    async () => (await node.pod("hopeful"))?.status.message?.includes("set devicePluginsDir"),
    "the pod says what to set",
  );
  const answer = await node.cli("get", "devices");
  expect(answer.code).not.toBe(0);
  expect(answer.stderr).toContain("devicePluginsDir is not set");
});
