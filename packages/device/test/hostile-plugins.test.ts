// SPDX-License-Identifier: Apache-2.0
import { mkdir, rm, symlink, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { ManualClock } from "@holdfast/core/manual-clock";
import type { DeviceManager } from "@holdfast/device";
import { nodePluginDialer } from "@holdfast/device/node";
import { expect, test, vi } from "vitest";
import { bad, FakePlugin, good, idsOf, makePod, NO_ANSWER, RESOURCE, TestNode } from "./fake-plugin.ts";
import { registerRaw, serveRaw } from "./raw-plugin.ts";
import { startAgent } from "./device-agent.ts";
import { hold, newFolder } from "./sockets.ts";

const until = (check: () => void | Promise<void>): Promise<void> =>
  vi.waitFor(check, { timeout: 15_000, interval: 20 });

test("registrations that are refused are told why", async () => {
  const node = new TestNode();
  await using manager = await node.agent({ maxResources: 1 });
  const register = (version: string, resourceName: string) =>
    manager.register({ version, resourceName, endpoint: "p.sock" });
  await expect(register("v1alpha", RESOURCE)).rejects.toThrow(
    'requested API version "v1alpha" is not supported by kubelet. Supported version is ["v1beta1"]',
  );
  for (const name of ["cpu", "foo", "kubernetes.io/foo", "a.kubernetes.io/x", "requests.x/y", "x/", "X Y/z"])
    await expect(register("v1beta1", name)).rejects.toThrow(`the ResourceName "${name}" is invalid`);
  await expect(register("v1beta1", RESOURCE)).rejects.toThrow("connection refused: p.sock");
  await node.plug(manager, new FakePlugin([good("a")]));
  await expect(register("v1beta1", "example.com/second")).rejects.toThrow("plugins for 1 resources");
  expect(node.events("device/PluginRefused")).toHaveLength(10);
  expect(node.metrics.exposition()).toContain(
    'kubelet_device_plugin_registration_total{resource_name="invalid"} 7',
  );
  // Who looks for his devices sees it, but no longer when the plugin was taken after all, and not without end.
  expect(manager.refusals()).toHaveLength(8);
  expect(manager.refusals().at(-1)).toMatchObject({ resource: "example.com/second", socket: "p.sock" });
  expect(manager.refusals().some(({ resource }) => resource === RESOURCE)).toBe(false);
  for (let index = 0; index < 40; index++) await register("v1beta1", `x${index}`).catch(() => undefined);
  expect(manager.refusals()).toHaveLength(16);
  expect(() => manager.validatePlugin(RESOURCE, ["v1"])).toThrow(
    "manager version, v1beta1, is not among plugin supported versions [v1]",
  );
});

test("sockets: only names in the folder, and no links out of it", async () => {
  const folder = await newFolder();
  const elsewhere = await newFolder();
  await using agent = await startAgent(folder);
  hold(await serveRaw(join(elsewhere, "evil.sock"), {}));
  await symlink(join(elsewhere, "evil.sock"), join(folder, "link.sock"));
  await writeFile(join(folder, "file.sock"), "");
  const told = (endpoint: string) => registerRaw(folder, { resourceName: RESOURCE, endpoint });
  expect(await told("link.sock")).toContain("which is outside of");
  expect(await told("../evil.sock")).toContain("must be the name of a socket");
  expect(await told(join(elsewhere, "evil.sock"))).toContain("which is outside of");
  expect(await told("file.sock")).toContain("is no socket");
  expect(await told("none.sock")).toContain("ENOENT");
  expect(await told("")).toContain("is no socket's name");
  expect(agent.manager.resources()).toEqual([]);
});

test("a socket is told from another one that is made in its place", async () => {
  const folder = await newFolder();
  const path = join(folder, "p.sock");
  const dialer = nodePluginDialer(folder);
  const identity = async (): Promise<string | undefined> => {
    const connection = await dialer.dial("p.sock", new AbortController().signal);
    connection.close();
    return connection.identity;
  };
  const first = await serveRaw(path, {});
  const before = await identity();
  expect(await identity()).toBe(before);
  await first[Symbol.asyncDispose]();
  await rm(path, { force: true });
  hold(await serveRaw(path, {}));
  expect(await identity()).not.toBe(before);
});

test("a list of 1,000,000 devices is refused, also when it comes over the wire; the other plugins go on", async () => {
  const node = new TestNode();
  await using manager = await node.agent();
  const million = Array.from({ length: 1_000_000 }, (_, index) => good(`d${index}`));
  await node.plug(manager, new FakePlugin(million));
  const view = manager.snapshot()[0];
  expect(view).toMatchObject({ phase: "stopped", capacity: 0 });
  expect(view?.problem).toContain("it lists 1000000 devices, and 65536 is the most");

  const folder = await newFolder();
  await using agent = await startAgent(folder);
  const devices = million.map(({ id: ID }) => ({ ID, health: "Healthy", topology: undefined }));
  hold(
    await serveRaw(join(folder, "huge.sock"), {
      listAndWatch: (call) => void call.write({ devices }),
    }),
  );
  hold(await serveRaw(join(folder, "small.sock"), {}));
  expect(await registerRaw(folder, { resourceName: "example.com/huge", endpoint: "huge.sock" })).toBe("");
  expect(await registerRaw(folder, { resourceName: "example.com/small", endpoint: "small.sock" })).toBe("");
  const phase = (manager2: DeviceManager, name: string) => manager2.pool(`example.com/${name}`);
  await until(() => expect(phase(agent.manager, "huge")?.problem).toContain("larger than max"));
  await until(() => expect(phase(agent.manager, "small")?.phase).toBe("listing"));
});

test("a plugin that never stops listing is held back", async () => {
  const folder = await newFolder();
  const clock = new ManualClock();
  await using agent = await startAgent(folder, { clock });
  let sent = 0;
  const devices = [{ ID: "a".repeat(1000), health: "Healthy", topology: undefined }];
  hold(
    await serveRaw(join(folder, "loud.sock"), {
      listAndWatch: (call) => {
        const more = (): void => {
          while (!call.destroyed && call.write({ devices })) sent++;
        };
        call.on("drain", more);
        call.on("error", () => undefined);
        more();
      },
    }),
  );
  await registerRaw(folder, { resourceName: RESOURCE, endpoint: "loud.sock" });
  await until(() => expect(clock.waiting).toBe(1));
  const before = sent;
  await until(() => expect(agent.manager.pool(RESOURCE)?.phase).toBe("listing"));
  await clock.settle();
  // What lies in buffers between the two, and no more.
  expect(sent - before).toBeLessThan(2000);
  await clock.advance(10_000);
  await until(() => expect(clock.waiting).toBe(1));
});

test("doubles count once, and bad wins; nonsense places are ignored", async () => {
  const node = new TestNode();
  await using manager = await node.agent();
  await node.plug(
    manager,
    new FakePlugin([good("a"), bad("a"), bad("b"), good("b"), good("c", -1, 1e9, 1, 1)]),
  );
  const [view] = manager.snapshot();
  expect(view).toMatchObject({ capacity: 3, allocatable: 1 });
  expect(view?.problem).toContain("2 devices twice, a first");
  expect(view?.devices.find(({ id }) => id === "c")?.numaNodes).toEqual([1]);
});

test("ids that are empty or endless end the plugin", async () => {
  const node = new TestNode();
  await using manager = await node.agent();
  for (const [id, text] of [
    ["", "without an id"],
    ["x".repeat(5000), "an id of 5000 characters"],
  ] as const) {
    await node.plug(manager, new FakePlugin([good(id)]));
    expect(manager.pool(RESOURCE)?.problem).toContain(text);
  }
});

test("an Allocate that hangs ends at its deadline, is named, and harms only who asked", async () => {
  const node = new TestNode();
  await using manager = await node.agent();
  const hung = new FakePlugin([good("a"), good("b")]);
  hung.onAllocate = () => new Promise(() => {});
  await node.plug(manager, hung);
  const other = "example.com/other";
  await node.plug(manager, new FakePlugin([good("x")]), { resource: other, socket: "other.sock" });
  const victim = node.pod("victim", [{ count: 1 }]);
  const admission = manager.admit(victim);
  expect(await manager.admit(node.pod("happy", [{ count: 1, resource: other }]))).toEqual({
    kind: "admitted",
  });
  await node.clock.advance(60_000);
  const text = `device plugin of ${RESOURCE} (socket plugin.sock): Allocate gave no answer within 60 s`;
  expect(await admission).toMatchObject({ kind: "refused", message: expect.stringContaining(text) });
  expect(manager.health().failures).toEqual([text]);
  expect(manager.records.owners(RESOURCE).size).toBe(0);
  hung.onAllocate = () => Promise.resolve([NO_ANSWER]);
  // For a while nobody waits for it again.
  expect(await manager.admit(victim)).toMatchObject({
    message: expect.stringContaining(`${text}; it is asked again in a while`),
  });
  expect(hung.allocated).toHaveLength(1);
  await node.clock.advance(30_000);
  expect(await manager.admit(victim)).toEqual({ kind: "admitted" });
  expect(manager.health().failures).toEqual([]);
});

test("GetDevicePluginOptions that hangs ends the registration, and the connection is let go", async () => {
  const node = new TestNode();
  await using manager = await node.agent();
  const plugin = new FakePlugin([good("a")]);
  plugin.onOptions = () => new Promise(() => {});
  node.plugins.set("plugin.sock", plugin);
  const registering = manager.register({
    version: "v1beta1",
    endpoint: "plugin.sock",
    resourceName: RESOURCE,
  });
  const told = expect(registering).rejects.toThrow("GetDevicePluginOptions gave no answer within 10 s");
  await node.clock.advance(10_000);
  await told;
  expect(plugin.open).toBe(0);
  expect(manager.resources()).toEqual([]);
});

test("a hanging preference is given up, a lying one is ignored", async () => {
  const node = new TestNode();
  await using manager = await node.agent();
  const plugin = new FakePlugin([good("a"), good("b"), good("c")]);
  plugin.options = { preStartRequired: false, getPreferredAllocationAvailable: true };
  plugin.onPreferred = () => new Promise(() => {});
  await node.plug(manager, plugin);
  const pod = node.pod("pod", [{ count: 1 }]);
  const admission = manager.admit(pod);
  await node.clock.advance(10_000);
  expect(await admission).toMatchObject({
    kind: "refused",
    message: expect.stringContaining("device plugin GetPreferredAllocation rpc failed with err"),
  });
  plugin.onPreferred = () => Promise.resolve(["nobody", "b", "b", "c"]);
  await node.clock.advance(30_000);
  expect(await manager.admit(pod)).toEqual({ kind: "admitted" });
  expect(idsOf(manager, pod)).toEqual(["b"]);
});

const answers: readonly (readonly [string, Partial<typeof NO_ANSWER>, string])[] = [
  ["a mount over /", { mounts: [{ hostPath: "/tmp", containerPath: "/", readOnly: false }] }, "over / of"],
  [
    "a mount over / in disguise",
    { mounts: [{ hostPath: "/tmp", containerPath: "//./", readOnly: true }] },
    "over / of",
  ],
  ["a mount with ..", { mounts: [{ hostPath: "/tmp", containerPath: "/a/..", readOnly: true }] }, ".."],
  ["a mount over /proc", { mounts: [{ hostPath: "/x", containerPath: "/proc/", readOnly: true }] }, "/proc"],
  [
    "a relative mount",
    { mounts: [{ hostPath: "tmp", containerPath: "/a", readOnly: true }] },
    "absolute path",
  ],
  [
    "a device over /dev",
    { devices: [{ hostPath: "/dev/x", containerPath: "/dev", permissions: "rw" }] },
    "/dev",
  ],
  [
    "odd permissions",
    { devices: [{ hostPath: "/dev/x", containerPath: "/dev/x", permissions: "rwx" }] },
    "r, w and m",
  ],
  ["a variable with =", { envs: { "A=B": "c" } }, "no environment variable"],
  ["a CDI name that is none", { cdiDevices: ["../../etc"] }, "no CDI name"],
  [
    "too many mounts",
    { mounts: Array.from({ length: 5000 }, () => ({ hostPath: "/x", containerPath: "/y", readOnly: true })) },
    "5000 mounts",
  ],
];

for (const [name, answer, text] of answers) {
  test(`an answer with ${name} is refused`, async () => {
    const node = new TestNode();
    await using manager = await node.agent();
    const plugin = await node.plug(manager, new FakePlugin([good("a")]));
    plugin.onAllocate = () => Promise.resolve([{ ...NO_ANSWER, ...answer }]);
    const refused = await manager.admit(node.pod("pod", [{ count: 1 }]));
    expect(refused).toMatchObject({ kind: "refused", message: expect.stringContaining(text) });
    expect(manager.records.all()).toEqual([]);
  });
}

test("answers for other containers, or none, are refused", async () => {
  const node = new TestNode();
  await using manager = await node.agent();
  const plugin = await node.plug(manager, new FakePlugin([good("a")]));
  const pod = node.pod("pod", [{ count: 1 }]);
  plugin.onAllocate = () => Promise.resolve([NO_ANSWER, NO_ANSWER]);
  expect(await manager.admit(pod)).toMatchObject({ message: expect.stringContaining("answered for 2") });
  plugin.onAllocate = () => Promise.resolve([]);
  expect(await manager.admit(pod)).toMatchObject({
    message: expect.stringContaining("no containers return"),
  });
  plugin.onAllocate = () => Promise.reject(new Error("unknown device: a"));
  expect(await manager.admit(pod)).toMatchObject({ message: expect.stringContaining("unknown device: a") });
});

test("a plugin's text of many megabytes does not get into statuses", async () => {
  const folder = await newFolder();
  await mkdir(folder, { recursive: true });
  await using agent = await startAgent(folder);
  hold(
    await serveRaw(join(folder, "loud.sock"), {
      allocate: (_call, reply) => reply({ code: 2, details: "x".repeat(10_000) }),
    }),
  );
  await registerRaw(folder, { resourceName: RESOURCE, endpoint: "loud.sock" });
  await until(() => expect(agent.manager.pool(RESOURCE)?.phase).toBe("listing"));
  const answer = await agent.manager.admit(makePod("pod", [{ count: 1 }]));
  expect(answer.kind === "refused" && answer.message.length).toBeLessThan(3000);
});
