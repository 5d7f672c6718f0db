// SPDX-License-Identifier: Apache-2.0

// On a real containerd (HOLDFAST_TEST_CONTAINERD) with real memory limits and the real /dev/kmsg: real kills.
import { randomUUID } from "node:crypto";
import { readdirSync, rmdirSync } from "node:fs";
import { join } from "node:path";
import process from "node:process";
import { Bus } from "@holdfast/bus";
import type { AnyEnvelope } from "@holdfast/bus";
import { POD_UID_LABEL } from "@holdfast/core/names";
import { systemClock } from "@holdfast/core/node";
import { createCriClient } from "@holdfast/cri";
import type { CriClient } from "@holdfast/cri";
import { expect, test } from "vitest";
import { NodeKmsgDevice, NodeOomCounters } from "../src/node/index.ts";
import { OomWatcher } from "../src/oom-watcher.ts";
import type { KmsgDevice, OomContainer } from "../src/ports.ts";

const endpoint = process.env["HOLDFAST_TEST_CONTAINERD"] ?? "";
const LIMIT = 16 * 2 ** 20;
const CGROUPS = "/sys/fs/cgroup";

/** One pod whose containers may use 16 MiB, and a watcher. */
class LimitedPod implements AsyncDisposable {
  readonly uid = randomUUID();
  readonly cri: CriClient = createCriClient({ endpoint });
  readonly bus = new Bus({ clock: systemClock, ringSize: 1000 });
  readonly watcher: OomWatcher;
  readonly #known = new Map<string, OomContainer>();
  readonly #root = `oom-test-${this.uid}`;
  readonly #stream = new AbortController();
  readonly #sandbox = {
    metadata: { name: "oom-test", namespace: "default", uid: this.uid, attempt: 0 },
    labels: { [POD_UID_LABEL]: this.uid },
    linux: {
      cgroupParent: `/${this.#root}/kubepods/pod${this.uid}`,
      securityContext: { namespaceOptions: { network: 2 as const } },
    },
  };
  #sandboxId = "";

  constructor(device: KmsgDevice = new NodeKmsgDevice()) {
    // No looks of its own: what is told comes from containerd's events.
    this.watcher = new OomWatcher({
      device,
      counters: new NodeOomCounters(),
      clock: systemClock,
      publish: this.bus,
      lookup: { find: async (id) => this.#known.get(id) },
      periodMs: 600_000,
      settleMs: 300,
    });
  }
  #following: Promise<void> | undefined;

  async start(): Promise<void> {
    await this.watcher.start();
    this.#following = this.#follow();
    this.#sandboxId = (await this.cri.runPodSandbox({ config: this.#sandbox })).podSandboxId;
  }

  async #follow(): Promise<void> {
    for await (const event of this.cri.containerdEvents({ signal: this.#stream.signal }))
      this.watcher.observe(event);
  }

  async run(name: string, script: string): Promise<string> {
    const { containerId } = await this.cri.createContainer({
      podSandboxId: this.#sandboxId,
      sandboxConfig: this.#sandbox,
      config: {
        metadata: { name, attempt: 0 },
        image: { image: "holdfast.local/busybox:1" },
        command: ["/bin/sh", "-c", script],
        linux: { resources: { memoryLimitInBytes: BigInt(LIMIT), memorySwapLimitInBytes: BigInt(LIMIT) } },
      },
    });
    this.#known.set(containerId, {
      containerId,
      podUid: this.uid,
      pod: "default/oom-test",
      container: name,
      cgroupPath: `${this.#sandbox.linux.cgroupParent}/${containerId}`,
    });
    await this.cri.startContainer({ containerId });
    return containerId;
  }

  /** The first kill in a container, when it is told. */
  async killIn(containerId: string): Promise<AnyEnvelope> {
    for (;;) {
      const isIt = ({ type, subject }: AnyEnvelope): boolean =>
        type === "oom/ContainerOOM" && subject.containerId === containerId;
      const found = this.bus.recent().find(isIt);
      if (found !== undefined) return found;
      await systemClock.sleep(20);
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stream.abort();
    await this.#following;
    await this.watcher.stop();
    await this.cri.stopPodSandbox({ podSandboxId: this.#sandboxId });
    await this.cri.removePodSandbox({ podSandboxId: this.#sandboxId });
    await this.cri.close();
    for (const controller of ["", ...readdirSync(CGROUPS)])
      removeCgroups(join(CGROUPS, controller, this.#root));
  }
}

/** A cgroup goes when it is empty: from the leaves up. */
function removeCgroups(path: string): void {
  let below: readonly string[];
  try {
    below = readdirSync(path, { withFileTypes: true }).flatMap((one) =>
      one.isDirectory() ? [one.name] : [],
    );
  } catch {
    return; // not under this controller
  }
  for (const name of below) removeCgroups(join(path, name));
  rmdirSync(path);
}

test("a main process that is killed and a child that is killed are told apart", async () => {
  await using pod = new LimitedPod();
  await pod.start();
  expect(pod.watcher.health().failures).toEqual([]);

  const main = await pod.run("main", "sleep 0.3; exec tail /dev/zero");
  const child = await pod.run("child", "sleep 0.3; tail /dev/zero; while :; do sleep 0.2; done");
  const [mainKill, childKill] = [await pod.killIn(main), await pod.killIn(child)];

  expect(mainKill).toMatchObject({
    subject: { podUid: pod.uid, pod: "default/oom-test", container: "main", containerId: main },
    data: { witness: "kmsg", process: "tail", limitBytes: LIMIT, limitOf: "container" },
  });
  expect(childKill).toMatchObject({
    subject: { podUid: pod.uid, container: "child", containerId: child },
    data: { witness: "kmsg", process: "tail", limitBytes: LIMIT },
  });
  // In a pid namespace the log's pids say nothing, and nothing is claimed.
  const isKnown = !new NodeKmsgDevice().foreignPids;
  const told = [mainKill, childKill].map(
    ({ data }) => (data as { readonly mainProcess?: boolean }).mainProcess,
  );
  expect(told).toEqual(isKnown ? [true, false] : [undefined, undefined]);
  const { status } = await pod.cri.containerStatus({ containerId: child });
  expect(status?.state).toBe(1); // it runs
  const { memoryBytes } = childKill.data as { readonly memoryBytes: number };
  expect(memoryBytes).toBeGreaterThan(LIMIT / 2);
  expect(memoryBytes).toBeLessThan(LIMIT * 2);
});

test("the witnesses agree: each kill is told once", async () => {
  await using pod = new LimitedPod();
  await pod.start();
  const id = await pod.run("main", "sleep 0.3; exec tail /dev/zero");
  await pod.killIn(id);
  // Both others have spoken when the comparison of a later container is through: settling is in order.
  const later = await pod.run("later", "sleep 0.3; exec tail /dev/zero");
  await pod.killIn(later);
  while (pod.watcher.snapshot()["settling"] !== 0) await systemClock.sleep(20);
  await pod.watcher.drain();
  // The machine's other pods may be killed meanwhile: the log is everybody's.
  const own = pod.bus.recent().filter(({ subject }) => subject.podUid === pod.uid);
  expect(own.map(({ type, subject }) => [type, subject.containerId])).toEqual([
    ["oom/ContainerOOM", id],
    ["oom/ContainerOOM", later],
  ]);
});

test("without the kernel's log the cgroups' counters tell both kinds of kills", async () => {
  const uptimeMs = (): number => 0;
  const open = (): never => {
    throw new Error("EPERM: operation not permitted");
  };
  await using pod = new LimitedPod({ open, uptimeMs });
  await pod.start();
  expect(pod.watcher.health().failures).toHaveLength(1);
  const main = await pod.run("main", "sleep 0.3; exec tail /dev/zero");
  const child = await pod.run("child", "sleep 0.3; tail /dev/zero; while :; do sleep 0.2; done");
  expect((await pod.killIn(child)).data).toEqual({ witness: "cgroup" });
  // The main process's cgroup goes with it: containerd's word is enough when it was faster than the look.
  expect(["cgroup", "containerd"]).toContain(
    ((await pod.killIn(main)).data as { readonly witness: string }).witness,
  );
});
