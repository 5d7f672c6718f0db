// SPDX-License-Identifier: Apache-2.0

// On a real containerd (HOLDFAST_TEST_CONTAINERD): what the manager asks for is what runs.
import { randomUUID } from "node:crypto";
import * as fs from "node:fs/promises";
import { dirname, join } from "node:path";
import { tmpdir } from "node:os";
import process from "node:process";
import { Bus } from "@holdfast/bus";
import { Limiter } from "@holdfast/core/limiter";
import { INSTANCE_LABEL, POD_UID_LABEL } from "@holdfast/core/names";
import { systemClock } from "@holdfast/core/node";
import type { Container, Pod } from "@holdfast/core/pod-types";
import type { ContainerRecord, RuntimePodStatus, SandboxRecord } from "@holdfast/core/runtime-status";
import { createCriClient } from "@holdfast/cri";
import type { CriClient } from "@holdfast/cri";
import { expect, test } from "vitest";
import { PodRuntimeManager } from "../../src/kuberuntime/pod-runtime-manager.ts";
import type { PodSyncResult } from "../../src/kuberuntime/sync-result.ts";
import type { PodFiles } from "../../src/ports.ts";
import { makePod, sidecar } from "./fixtures.ts";
import { MemoryCheckpoint } from "./memory-ports.ts";

const endpoint = process.env["HOLDFAST_TEST_CONTAINERD"] ?? "";
const IMAGE = "holdfast.local/busybox:1";
const STATES = ["created", "running", "exited", "unknown"] as const;

const realFiles: PodFiles = {
  mkdir: async (path, mode) => void (await fs.mkdir(path, { recursive: true, mode })),
  removeTree: (path) => fs.rm(path, { recursive: true, force: true }),
  writeFile: async (path, content, mode) => {
    await fs.mkdir(dirname(path), { recursive: true });
    await fs.writeFile(path, content);
    await fs.chmod(path, mode);
  },
  readFile: (path) => fs.readFile(path, "utf8").catch(() => undefined),
  list: (path) => fs.readdir(path).catch(() => []),
  symlink: async (target, path) => {
    await fs.mkdir(dirname(path), { recursive: true });
    await fs.rm(path, { force: true });
    await fs.symlink(target, path);
  },
  readLink: (path) => fs.readlink(path).catch(() => undefined),
  removeFile: (path) => fs.rm(path, { force: true }),
};

class RealPods implements AsyncDisposable {
  readonly instance = `kuberuntime-${randomUUID()}`;
  readonly cri: CriClient = createCriClient({ endpoint });
  readonly bus = new Bus({ clock: systemClock, ringSize: 1000 });
  readonly root: string;
  readonly manager: PodRuntimeManager;
  readonly #signal = new AbortController().signal;

  constructor(root: string) {
    this.root = root;
    this.manager = new PodRuntimeManager({
      runtime: this.cri,
      clock: systemClock,
      publish: this.bus,
      resources: {
        containerResources: () => ({
          cpuPeriod: 100_000,
          cpuQuota: 0,
          cpuShares: 2,
          memoryLimitInBytes: 0,
          oomScoreAdj: 1000,
          cpusetCpus: "",
          cpusetMems: "",
          unified: {},
        }),
      },
      files: realFiles,
      probes: { liveness: () => undefined, startup: () => undefined },
      checkpoint: new MemoryCheckpoint(),
      limiter: new Limiter({ clock: systemClock, limit: 4, releaseAfterMs: 10_000 }),
      options: {
        nodeName: "test-node",
        instanceId: this.instance,
        podsDir: `${root}/pods`,
        podLogsDir: `${root}/logs`,
        containerLogsDir: `${root}/container-logs`,
        resolvConf: async () => "nameserver 9.9.9.9\nsearch corp.example\n",
        hostsFile: async () => "127.0.0.1\tlocalhost\n",
        nodeIps: () => ["127.0.0.1"],
      },
    });
  }

  async status({ metadata }: Pod): Promise<RuntimePodStatus> {
    const labelSelector = { [POD_UID_LABEL]: metadata.uid, [INSTANCE_LABEL]: this.instance };
    const toMs = (ns: bigint): number => Number(ns / 1_000_000n);
    const listed = (await this.cri.listPodSandbox({ filter: { labelSelector } })).items;
    const sandboxes = listed.map<SandboxRecord>((one) => ({
      id: one.id,
      attempt: one.metadata?.attempt ?? 0,
      state: one.state === 0 ? "ready" : "notready",
      createdAt: toMs(one.createdAt),
      ip: undefined,
      hostNetwork: false,
    }));
    const { containers } = await this.cri.listContainers({ filter: { labelSelector } });
    const records = await Promise.all(
      containers.map(async ({ id, podSandboxId }): Promise<ContainerRecord> => {
        const { status } = await this.cri.containerStatus({ containerId: id });
        if (status === undefined) throw new Error(`container ${id} has no status`);
        return {
          id,
          name: status.metadata?.name ?? "",
          sandboxId: podSandboxId,
          state: STATES[status.state] ?? "unknown",
          attempt: status.metadata?.attempt ?? 0,
          createdAt: toMs(status.createdAt),
          startedAt: toMs(status.startedAt),
          finishedAt: toMs(status.finishedAt),
          exitCode: status.exitCode,
          reason: status.reason,
          message: status.message,
          image: status.image?.image ?? "",
          imageRef: status.imageRef,
          hash: status.annotations["io.kubernetes.container.hash"] ?? "",
          restartCount: Number(status.annotations["io.kubernetes.container.restartCount"]),
        };
      }),
    );
    const { uid, name, namespace } = metadata;
    const byAge = (a: { createdAt: number }, b: { createdAt: number }): number => b.createdAt - a.createdAt;
    return {
      uid,
      name,
      namespace,
      ips: ["10.0.0.9"],
      sandboxes: sandboxes.sort(byAge),
      containers: records.sort(byAge),
    };
  }

  async sync(pod: Pod): Promise<PodSyncResult> {
    const status = await this.status(pod);
    return this.manager.syncPod(pod, status, {
      volumes: new Map(),
      cgroupParent: "",
      signal: this.#signal,
      causes: [],
    });
  }

  async until(pod: Pod, what: (status: RuntimePodStatus) => boolean): Promise<RuntimePodStatus> {
    for (;;) {
      const status = await this.status(pod);
      if (what(status)) return status;
      await systemClock.sleep(20);
    }
  }

  /** What a command in a container prints. */
  async output(containerId: string, ...cmd: string[]): Promise<string> {
    const { stdout, stderr } = await this.cri.execSync({ containerId, cmd, timeout: 10n });
    return `${stdout.toString()}${stderr.toString()}`;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const labelSelector = { [INSTANCE_LABEL]: this.instance };
    for (const { id } of (await this.cri.listPodSandbox({ filter: { labelSelector } })).items) {
      await this.cri.stopPodSandbox({ podSandboxId: id });
      await this.cri.removePodSandbox({ podSandboxId: id });
    }
    await this.cri.close();
    await fs.rm(this.root, { recursive: true, force: true });
  }
}

async function realPods(): Promise<RealPods> {
  return new RealPods(await fs.mkdtemp(join(tmpdir(), "holdfast-kuberuntime-")));
}

const script = (text: string, more: Partial<Container> = {}): Container => ({
  name: "main",
  image: IMAGE,
  imagePullPolicy: "IfNotPresent",
  command: ["sh", "-c", text],
  ...more,
});

test("a pod is started as its spec says, restarted, stopped and removed", async () => {
  await using pods = await realPods();
  const pod = makePod({
    metadata: { uid: randomUUID(), name: "life", labels: { app: "life" } },
    spec: {
      hostname: "own-name",
      hostAliases: [{ ip: "1.2.3.4", hostnames: ["alias.example"] }],
      terminationGracePeriodSeconds: 5,
      initContainers: [
        script("echo init", { name: "init" }),
        sidecar("side", {
          image: IMAGE,
          command: ["sh", "-c", "trap 'exit 0' TERM; while :; do sleep 0.1; done"],
        }),
      ],
      containers: [
        script(
          "echo hello; echo bye > /dev/termination-log; trap 'exit 0' TERM; while :; do sleep 0.1; done",
          {
            env: [
              { name: "POD_IP", valueFrom: { fieldRef: { fieldPath: "status.podIP" } } },
              { name: "GREETING", value: "hi $(POD_IP)" },
            ],
            lifecycle: {
              postStart: { exec: { command: ["touch", "/started"] } },
              preStop: { exec: { command: ["touch", "/stopping"] } },
            },
            securityContext: { runAsUser: 0, capabilities: { drop: ["NET_RAW"] } },
          },
        ),
      ],
    },
  });
  const first = await pods.sync(pod);
  expect(first.error).toBeUndefined();
  expect(first.started.map(({ name }) => name)).toEqual(["init"]);
  await pods.until(pod, ({ containers }) => containers[0]?.state === "exited");
  const rest: string[] = [];
  for (let round = 0; round < 2; round++)
    rest.push(...(await pods.sync(pod)).started.map(({ name }) => name));
  expect(rest).toEqual(["side", "main"]);

  const up = await pods.status(pod);
  const main = up.containers.find(({ name }) => name === "main");
  const id = main?.id ?? "";
  expect(await pods.output(id, "hostname")).toBe("own-name\n");
  expect(await pods.output(id, "cat", "/etc/hosts")).toContain("1.2.3.4\talias.example");
  expect(await pods.output(id, "cat", "/etc/resolv.conf")).toContain("search corp.example");
  expect(await pods.output(id, "sh", "-c", "echo $GREETING; ls /started")).toMatch(
    /^hi \d+\.\d+.*\n\/started\n$/,
  );
  const logs = `${pods.root}/logs/default_life_${pod.metadata.uid}/main/0.log`;
  expect(await fs.readFile(logs, "utf8")).toContain("stdout F hello");
  expect(await fs.readlink(`${pods.root}/container-logs/life_default_main-${id}.log`)).toBe(logs);
  expect(await fs.readFile(`${pods.root}/pods/${pod.metadata.uid}/containers/main/00000000`, "utf8")).toBe(
    "bye\n",
  );
  expect((await pods.sync(pod)).acted).toBe(false);

  // Killed from outside: restarted in the same sandbox.
  await pods.cri.stopContainer({ containerId: id, timeout: 0n });
  const again = await pods.sync(pod);
  expect(again.error).toBeUndefined();
  expect(again.started).toMatchObject([{ name: "main", restartCount: 1 }]);

  const before = await pods.status(pod);
  const killed = await pods.manager.killPod(pod, before, { reason: "PodKilled", causes: [] });
  expect(killed.error).toBeUndefined();
  expect(killed.killed).toHaveLength(2);
  const down = await pods.status(pod);
  expect(down.sandboxes.map(({ state }) => state)).toEqual(["notready"]);
  expect(down.containers.filter(({ state }) => state === "running")).toEqual([]);
  const ended = (name: string): number => down.containers.find((one) => one.name === name)?.finishedAt ?? 0;
  expect(ended("side")).toBeGreaterThanOrEqual(ended("main"));
  await pods.manager.removePod(down, { causes: [] });
  expect(await pods.status(pod)).toMatchObject({ sandboxes: [], containers: [] });
  expect(await fs.readdir(`${pods.root}/container-logs`)).toEqual([]);
});

test("failures have the kubelet's reasons", async () => {
  await using pods = await realPods();
  const reasonOf = async (name: string, main: Container): Promise<string | undefined> => {
    const pod = makePod({ metadata: { uid: randomUUID(), name }, spec: { containers: [main] } });
    const { waiting, error } = await pods.sync(pod);
    expect(error).toBeDefined();
    return waiting.get("main")?.reason;
  };
  expect(await reasonOf("no-command", script("", { command: ["/does/not/exist"] }))).toBe(
    "RunContainerError",
  );
  expect(
    await reasonOf("no-image", script("", { image: "holdfast.local/absent:1", imagePullPolicy: "Never" })),
  ).toBe("ErrImageNeverPull");
  expect(await reasonOf("bad-image", script("", { image: "http://x" }))).toBe("InvalidImageName");
  expect(await reasonOf("root", script("true", { securityContext: { runAsNonRoot: true } }))).toBe(
    "CreateContainerConfigError",
  );
});

test("what is there under the same name is adopted or makes room", async () => {
  await using pods = await realPods();
  const pod = makePod({
    metadata: { uid: randomUUID(), name: "adopt" },
    spec: { containers: [script("sleep 1000")], terminationGracePeriodSeconds: 1 },
  });
  const empty = { ...(await pods.status(pod)), containers: [], sandboxes: [] };
  const sync = (status: RuntimePodStatus): Promise<PodSyncResult> =>
    pods.manager.syncPod(pod, status, {
      volumes: new Map(),
      cgroupParent: "",
      signal: new AbortController().signal,
      causes: [],
    });
  const first = await sync(empty);
  expect(first.error).toBeUndefined();
  // A cache that has lost everything: containerd refuses the name, and no double is made beside what runs.
  const second = await sync(empty);
  expect(second.error).toMatchObject({ reason: "CreatePodSandboxError", kind: "retryable" });
  // One that has lost the containers only, and their logs are gone too.
  await fs.rm(`${pods.root}/logs`, { recursive: true });
  const third = await sync({ ...(await pods.status(pod)), containers: [] });
  expect(third.error).toBeUndefined();
  const now = await pods.status(pod);
  expect(now.sandboxes).toHaveLength(1);
  expect(now.containers.map(({ state }) => state)).toEqual(["running"]);
  expect(third.started).toMatchObject(first.started.map(({ containerId }) => ({ containerId })));
});
