// SPDX-License-Identifier: Apache-2.0
//
// What every runtime does, whichever it is: the same cases run against the fake and against a real containerd, so that the fake is neither
// smarter nor dumber.

import { ContainerState, isExecEvent, PodSandboxState } from "@holdfast/cri";
import type { ContainerdTaskEvent } from "@holdfast/cri";
import { afterEach, beforeEach, describe, expect, it } from "vitest";

import { figureCases } from "./contract-figures.ts";
import { insideCases } from "./contract-inside.ts";
import { streamingCases } from "./contract-streaming.ts";
import { IMAGE, Pod, WORKLOADS } from "./contract-pod.ts";
import type { ContractRuntime, Workload } from "./contract-pod.ts";

const { CONTAINER_CREATED, CONTAINER_RUNNING, CONTAINER_EXITED: EXITED } = ContainerState;
const { SANDBOX_READY, SANDBOX_NOTREADY } = PodSandboxState;

/** Declares the suite. */
export function runtimeContract(name: string, open: () => Promise<ContractRuntime>): void {
  describe(`the contract of a runtime, ${name}`, () => {
    let runtime: ContractRuntime;
    let pod: Pod;
    beforeEach(async () => {
      runtime = await open();
      pod = new Pod(runtime);
    });
    afterEach(async () => {
      await pod.clean();
      await runtime.close();
    });
    const current = (): Pod => pod;
    describe("sandboxes", () => void sandboxCases(current));
    describe("containers", () => void containerCases(current));
    describe("stopping", () => void stopCases(current));
    describe("execs", () => void execCases(current));
    describe("inside", () => void insideCases(current));
    describe("streams", () => void streamingCases(current));
    describe("lists and images", () => void listCases(current));
    describe("figures", () => void figureCases(current));
    describe("events", () => void eventCases(current));
  });
}

function sandboxCases(pod: () => Pod): void {
  it("are ready, stopped, removed; stopping and removing twice is fine", async () => {
    const { cri } = pod();
    const podSandboxId = await pod().sandbox();
    const { status } = await cri.podSandboxStatus({ podSandboxId });
    expect(status).toMatchObject({ id: podSandboxId, state: SANDBOX_READY, labels: pod().labels });
    expect(status?.metadata).toEqual({ name: "contract", namespace: "default", uid: pod().uid, attempt: 0 });
    await cri.stopPodSandbox({ podSandboxId });
    await cri.stopPodSandbox({ podSandboxId });
    expect((await cri.podSandboxStatus({ podSandboxId })).status).toMatchObject({ state: SANDBOX_NOTREADY });
    await cri.removePodSandbox({ podSandboxId });
    await cri.removePodSandbox({ podSandboxId });
    await expect(cri.podSandboxStatus({ podSandboxId })).rejects.toMatchObject({ code: "CRI_NOT_FOUND" });
  });

  it("hold their name by attempt", async () => {
    const podSandboxId = await pod().sandbox();
    await expect(pod().sandbox()).rejects.toMatchObject({
      code: "CRI_NAME_RESERVED",
      reservedFor: podSandboxId,
    });
    await pod().sandbox(1);
  });

  it("have an address on the pod network, until they are stopped", async () => {
    const { cri } = pod();
    const { podSandboxId } = await cri.runPodSandbox({ config: pod().config(0, 0) });
    const ip = async (): Promise<string | undefined> =>
      (await cri.podSandboxStatus({ podSandboxId })).status?.network?.ip;
    expect(await ip()).toMatch(/^\d+\.\d+\.\d+\.\d+$/);
    await cri.stopPodSandbox({ podSandboxId });
    expect(await ip()).toBe("");
  });

  it("need metadata and a known handler", async () => {
    const { cri } = pod();
    await expect(cri.runPodSandbox({ config: {} })).rejects.toMatchObject({
      code: "CRI_UNKNOWN",
      message: "RunPodSandbox: sandbox config must include metadata",
    });
    await expect(cri.runPodSandbox({ config: pod().config(), runtimeHandler: "nope" })).rejects.toMatchObject(
      { code: "CRI_UNKNOWN" },
    );
    await pod().sandbox();
  });

  it("take their containers with them", async () => {
    const { cri, runtime } = pod();
    const id = await pod().start(WORKLOADS.stubborn);
    const sandbox = (await cri.listContainers({ filter: { id } })).containers[0]?.podSandboxId ?? "";
    await runtime.pass(cri.stopPodSandbox({ podSandboxId: sandbox }));
    expect(await pod().status(id)).toMatchObject({ state: EXITED, exitCode: 137 });
    await runtime.pass(cri.removePodSandbox({ podSandboxId: sandbox }));
    await expect(pod().status(id)).rejects.toMatchObject({ code: "CRI_NOT_FOUND" });
  });
}

function containerCases(pod: () => Pod): void {
  it("are created, then run, with times", async () => {
    const id = await pod().create(await pod().sandbox());
    const created = await pod().status(id);
    expect(created).toMatchObject({ state: CONTAINER_CREATED, startedAt: 0n, finishedAt: 0n, reason: "" });
    await pod().cri.startContainer({ containerId: id });
    const running = await pod().status(id);
    expect(running).toMatchObject({ state: CONTAINER_RUNNING, finishedAt: 0n, exitCode: 0, reason: "" });
    expect(running.startedAt > running.createdAt && running.createdAt === created.createdAt).toBe(true);
    expect(running.image?.image).toBe(IMAGE);
  });

  it.each<[string, Workload, object]>([
    ["with 0 are Completed", WORKLOADS.done, { exitCode: 0, reason: "Completed" }],
    ["with another code are Error", WORKLOADS.failing, { exitCode: 3, reason: "Error" }],
  ])("that exit %s", async (_name, workload, expected) => {
    const status = await pod().exited(await pod().start(workload));
    expect(status).toMatchObject(expected);
    expect(status.finishedAt > status.startedAt).toBe(true);
  });

  it("start once", async () => {
    const containerId = await pod().start(WORKLOADS.done);
    await pod().exited(containerId);
    await expect(pod().cri.startContainer({ containerId })).rejects.toMatchObject({
      code: "CRI_UNKNOWN",
      message: expect.stringContaining("container is in CONTAINER_EXITED state") as string,
    });
  });

  it("with a command that does not exist are exited with 128", async () => {
    const containerId = await pod().create(await pod().sandbox(), WORKLOADS.missing);
    const text = expect.stringContaining('"no-such-command": executable file not found in $PATH') as string;
    await expect(pod().cri.startContainer({ containerId })).rejects.toMatchObject({
      code: "CRI_UNKNOWN",
      message: text,
    });
    expect(await pod().status(containerId)).toMatchObject({
      state: EXITED,
      exitCode: 128,
      reason: "StartError",
      message: text,
      startedAt: 0n,
    });
  });

  it("hold their name until they are removed, running or not", async () => {
    const { cri, runtime } = pod();
    const sandbox = await pod().sandbox();
    const containerId = await pod().create(sandbox, WORKLOADS.stubborn);
    await cri.startContainer({ containerId });
    await expect(pod().create(sandbox)).rejects.toMatchObject({
      code: "CRI_NAME_RESERVED",
      reservedFor: containerId,
    });
    await runtime.pass(cri.removeContainer({ containerId }));
    await cri.removeContainer({ containerId });
    await pod().create(sandbox);
  });

  it("need a sandbox that runs", async () => {
    const { cri } = pod();
    await expect(pod().create("no-such-sandbox")).rejects.toMatchObject({ code: "CRI_NOT_FOUND" });
    const podSandboxId = await pod().sandbox();
    const containerId = await pod().create(podSandboxId);
    await cri.stopPodSandbox({ podSandboxId });
    await expect(cri.startContainer({ containerId })).rejects.toMatchObject({ code: "CRI_UNKNOWN" });
    expect(await pod().status(containerId)).toMatchObject({ state: EXITED, reason: "StartError" });
    const { runtimeVersion } = await cri.version({});
    // After that call: an error that nobody waits for yet would end the run.
    const late = pod().create(podSandboxId, WORKLOADS.done, "late");
    if (runtimeVersion.startsWith("1.")) {
      await expect(late).rejects.toMatchObject({ code: "CRI_NOT_FOUND" });
      return;
    }
    await expect(cri.startContainer({ containerId: await late })).rejects.toMatchObject({
      code: "CRI_UNKNOWN",
    });
  });

  it("need an image that is there", async () => {
    const podSandboxId = await pod().sandbox();
    const config = { metadata: { name: "x" }, image: { image: "holdfast.local/nope:1" } };
    await expect(
      pod().cri.createContainer({ podSandboxId, sandboxConfig: pod().config(), config }),
    ).rejects.toMatchObject({ code: "CRI_NOT_FOUND" });
  });

  it("that are not there are stopped and removed without an error, but for stopping on 1.6", async () => {
    const { cri } = pod();
    const { runtimeVersion } = await cri.version({});
    const calls = [
      () => cri.stopContainer({ containerId: "no-such-container", timeout: 1 }),
      () => cri.stopPodSandbox({ podSandboxId: "no-such-sandbox" }),
    ];
    const fails = runtimeVersion.startsWith("1.6.");
    for (const call of calls)
      if (fails) await expect(call()).rejects.toMatchObject({ code: "CRI_NOT_FOUND" });
      else await expect(call()).resolves.toEqual({});
    await cri.removePodSandbox({ podSandboxId: "no-such-sandbox" });
  });

  it("cannot have a mount that is written to and read-only all the way down, where that is known", async () => {
    const { cri } = pod();
    const podSandboxId = await pod().sandbox();
    const { runtimeHandlers } = await cri.status({});
    const mounts = [{ hostPath: "/tmp", containerPath: "/x", recursiveReadOnly: true }];
    const config = { metadata: { name: "x" }, image: { image: IMAGE }, command: ["/bin/true"], mounts };
    const made = cri.createContainer({ podSandboxId, sandboxConfig: pod().config(), config });
    if (runtimeHandlers.some(({ features }) => features?.recursiveReadOnlyMounts))
      await expect(made).rejects.toMatchObject({
        code: "CRI_UNKNOWN",
        message: expect.stringContaining("recursive read-only mount conflicts with RW mount") as string,
      });
    else expect((await made).containerId).not.toBe("");
  });

  it("that are not there", async () => {
    const { cri } = pod();
    const containerId = "no-such-container";
    await cri.removeContainer({ containerId });
    const calls: (() => Promise<unknown>)[] = [
      () => cri.containerStatus({ containerId }),
      () => cri.startContainer({ containerId }),
      () => cri.execSync({ containerId, cmd: ["true"] }),
      () => cri.reopenContainerLog({ containerId }),
      () => cri.updateContainerResources({ containerId }),
      () => cri.containerStats({ containerId }),
    ];
    for (const call of calls) await expect(call()).rejects.toMatchObject({ code: "CRI_NOT_FOUND" });
  });

  it("and sandboxes of a group without a user are refused", async () => {
    const { cri } = pod();
    const podSandboxId = await pod().sandbox();
    const linux = { securityContext: { runAsGroup: { value: 1234 } } };
    const config = { metadata: { name: "x" }, image: { image: IMAGE }, command: ["/bin/true"], linux };
    const text = /user group "1234" is specified without user/;
    const sandboxConfig = pod().config();
    await expect(cri.createContainer({ podSandboxId, sandboxConfig, config })).rejects.toThrow(text);
    const network = { namespaceOptions: { network: 2 as const }, ...linux.securityContext };
    const lonely = { ...pod().config(1), linux: { securityContext: network } };
    await expect(cri.runPodSandbox({ config: lonely })).rejects.toThrow(text);
    const named = { ...linux.securityContext, runAsUsername: "root" };
    await cri.createContainer({
      podSandboxId,
      sandboxConfig,
      config: { ...config, linux: { securityContext: named } },
    });
  });

  it("have resources that can be changed", async () => {
    const id = await pod().create(await pod().sandbox());
    await pod().cri.updateContainerResources({ containerId: id, linux: { cpuShares: 100 } });
    expect((await pod().status(id)).resources?.linux?.cpuShares).toBe(100n);
  });
}

function stopCases(pod: () => Pod): void {
  it.each<[string, Workload, number, number]>([
    ["by SIGTERM", WORKLOADS.forever, 30, 143],
    ["by SIGTERM, with a code of its own", WORKLOADS.polite, 30, 7],
    ["by SIGKILL after the grace", WORKLOADS.stubborn, 1, 137],
    ["by SIGKILL at once", WORKLOADS.polite, 0, 137],
  ])("%s", async (_name, workload, timeout, exitCode) => {
    const { cri, runtime } = pod();
    const containerId = await pod().start(workload);
    // The trap must be set first.
    await runtime.pass(cri.execSync({ containerId, cmd: ["/bin/sh", "-c", "true"], timeout: 5 }));
    await runtime.pass(cri.stopContainer({ containerId, timeout }));
    expect(await pod().status(containerId)).toMatchObject({ state: EXITED, exitCode, reason: "Error" });
    await cri.stopContainer({ containerId, timeout });
  });

  it("leaves a created one as it is", async () => {
    const id = await pod().create(await pod().sandbox());
    await pod().cri.stopContainer({ containerId: id, timeout: 1 });
    expect(await pod().status(id)).toMatchObject({ state: CONTAINER_CREATED });
  });
}

function execCases(pod: () => Pod): void {
  const say = "echo to stdout; echo to stderr >&2; exit 4";

  it("answer code and both outputs", async () => {
    const containerId = await pod().start(WORKLOADS.forever);
    const answer = await pod().cri.execSync({ containerId, cmd: ["/bin/sh", "-c", say], timeout: 10 });
    expect(answer.exitCode).toBe(4);
    expect([String(answer.stdout), String(answer.stderr)]).toEqual(["to stdout\n", "to stderr\n"]);
  });

  it("that take too long", async () => {
    const { cri, runtime } = pod();
    const containerId = await pod().start(WORKLOADS.forever);
    await expect(
      runtime.pass(cri.execSync({ containerId, cmd: ["/bin/sh", "-c", "sleep 60"], timeout: 1 })),
    ).rejects.toMatchObject({
      code: "CRI_RUNTIME_DEADLINE",
      message: expect.stringContaining("timeout 1s exceeded: context deadline exceeded") as string,
    });
  });

  it("need a container that runs", async () => {
    const created = await pod().create(await pod().sandbox());
    await expect(pod().cri.execSync({ containerId: created, cmd: ["true"] })).rejects.toMatchObject({
      code: "CRI_UNKNOWN",
      message: expect.stringContaining("container is in CONTAINER_CREATED state") as string,
    });
  });
}

function listCases(pod: () => Pod): void {
  it("filter by id, its beginning, state, sandbox and labels", async () => {
    const { cri, labels } = pod();
    const sandbox = await pod().sandbox();
    const [a, b] = [await pod().create(sandbox), await pod().create(sandbox, WORKLOADS.done, "b")];
    await cri.startContainer({ containerId: a });
    const ids = async (filter: object): Promise<string[]> =>
      (await cri.listContainers({ filter })).containers.map(({ id }) => id).sort();
    expect(await ids({ labelSelector: labels })).toEqual([a, b].sort());
    expect(await ids({ podSandboxId: sandbox })).toEqual([a, b].sort());
    expect(await ids({ id: a })).toEqual([a]);
    expect(await ids({ id: a.slice(0, 20) })).toEqual([a]);
    expect(await ids({ id: "no-such-container" })).toEqual([]);
    expect(await ids({ labelSelector: { ...labels, name: "b" } })).toEqual([b]);
    expect(await ids({ labelSelector: labels, state: { state: CONTAINER_RUNNING } })).toEqual([a]);
    const { items } = await cri.listPodSandbox({ filter: { labelSelector: labels } });
    expect(items).toMatchObject([{ id: sandbox, state: SANDBOX_READY }]);
  });

  it("images by reference and id; one that is not there is no error", async () => {
    const { cri } = pod();
    const { image } = await cri.imageStatus({ image: { image: IMAGE } });
    expect(image?.repoTags).toContain(IMAGE);
    expect((await cri.imageStatus({ image: { image: image?.id ?? "" } })).image?.id).toBe(image?.id);
    expect((await cri.imageStatus({ image: { image: "holdfast.local/nope:1" } })).image).toBeUndefined();
    await cri.removeImage({ image: { image: "holdfast.local/nope:1" } });
    expect((await cri.imageFsInfo({})).imageFilesystems).toHaveLength(1);
  });

  it("a container's image by id in a list, by tag and digest in its status", async () => {
    const { cri, labels } = pod();
    const { image } = await cri.imageStatus({ image: { image: IMAGE } });
    const { id = "", repoDigests = [] } = image ?? {};
    const podSandboxId = await pod().sandbox();
    const create = async (name: string, reference: string): Promise<string> => {
      const config = { metadata: { name, attempt: 0 }, image: { image: reference }, labels };
      return (await cri.createContainer({ podSandboxId, sandboxConfig: pod().config(), config })).containerId;
    };
    const byTag = await create("tag", IMAGE);
    const byId = await create("id", id);
    const { containers } = await cri.listContainers({ filter: { labelSelector: labels } });
    const listed = (of: string) => containers.find((container) => container.id === of);
    expect(listed(byTag)).toMatchObject({ imageRef: id, imageId: "", image: { image: IMAGE } });
    expect(listed(byId)).toMatchObject({ imageRef: id, imageId: "", image: { image: id } });
    const shown = { imageRef: repoDigests[0] ?? id, imageId: "", image: { image: IMAGE } };
    expect(await pod().status(byTag)).toMatchObject(shown);
    expect(await pod().status(byId)).toMatchObject(shown);
  });

  it("the runtime is ready and says what it is", async () => {
    const { status } = await pod().cri.status({});
    const ready = Object.fromEntries((status?.conditions ?? []).map((one) => [one.type, one.status]));
    expect(ready).toMatchObject({ RuntimeReady: true, NetworkReady: true });
    expect(await pod().cri.version({})).toMatchObject({ runtimeName: "containerd", runtimeApiVersion: "v1" });
  });
}

function eventCases(pod: () => Pod): void {
  it("of containerd tell start, exec, exit and delete of a container", async () => {
    const { cri, runtime } = pod();
    const over = new AbortController();
    const events: ContainerdTaskEvent[] = [];
    const stream = cri.containerdEvents({ signal: over.signal });
    const read = async (): Promise<void> => {
      for await (const event of stream) events.push(event);
    };
    const reading = read();
    // The subscription is there when something comes of it.
    await pod().sandbox(1);
    await runtime.waitUntil(async () => events.length > 0);
    const containerId = await pod().start(WORKLOADS.forever);
    await cri.execSync({ containerId, cmd: ["/bin/sh", "-c", say], timeout: 10 });
    await runtime.pass(cri.stopContainer({ containerId, timeout: 0 }));
    const mine = (): ContainerdTaskEvent[] => events.filter((event) => event.containerId === containerId);
    await runtime.waitUntil(async () => mine().some(({ topic }) => topic === "/tasks/delete"));
    over.abort();
    await reading;
    const exits = mine().filter((event) => event.topic === "/tasks/exit");
    expect(mine()[0]?.topic).toBe("/tasks/start");
    expect(exits.filter(isExecEvent)).toMatchObject([{ exitStatus: 4 }]);
    expect(exits.filter((event) => !isExecEvent(event))).toMatchObject([{ exitStatus: 137 }]);
  });
  const say = "echo to stdout; echo to stderr >&2; exit 4";
}
