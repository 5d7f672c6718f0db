// SPDX-License-Identifier: Apache-2.0
/*
 * `node --conditions=@holdfast/source scripts/dev/vm/check-cgroups.ts cgroupfs|systemd [cgroupRoot]`, run in the machine of scripts/dev/vm.sh: pods' cgroups
 * on the real kernel and systemd, with real sandboxes and containers in them. Prints what was seen; fails at the first thing that is not as the kubelet has it.
 */
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import type { Pod } from "../../../packages/core/src/pod-types.ts";
import { systemClock } from "../../../packages/core/src/node/index.ts";
import { createCriClient } from "../../../packages/cri/src/index.ts";
import { openCgroupTree, PodContainerManager, systemdSlices } from "../../../packages/resource/src/index.ts";

const ROOT = "/sys/fs/cgroup";
const MEBI = 2 ** 20;
const IMAGE = "holdfast.local/busybox:1";

const driver = process.argv[2] === "systemd" ? "systemd" : "cgroupfs";
const cgroupRoot = process.argv[3] ?? "/";
const tree = openCgroupTree();
const settings = {
  cpuCFSQuota: true,
  cpuCFSQuotaPeriodMs: 100,
  podPidsLimit: 200,
  memoryBytes: 3000 * MEBI,
};
const manager = (): PodContainerManager =>
  new PodContainerManager({ tree, clock: systemClock, driver, systemd: systemdSlices, cgroupRoot, settings });
const pods = manager();
await using cri = createCriClient({ endpoint: "unix:///run/containerd/containerd.sock" });

function makePod(uid: string, resources: object): Pod {
  return {
    apiVersion: "v1",
    kind: "Pod",
    metadata: { name: uid, namespace: "default", uid },
    spec: { containers: [{ name: "c", image: IMAGE, resources }] },
  };
}

/** One value of a cgroup, by its v2 file; on v1 by the file that corresponds. */
function value(path: string, file: string): string {
  if (tree.version === 2) return readFileSync(join(ROOT, path, file), "utf8").trim();
  const v1: Readonly<Record<string, string>> = {
    "cpu.weight": "cpu/cpu.shares",
    "memory.max": "memory/memory.limit_in_bytes",
    "pids.max": "pids/pids.max",
    "cpu.max": "cpu/cpu.cfs_quota_us",
  };
  const [controller = "", name = ""] = (v1[file] ?? "").split("/");
  return readFileSync(join(ROOT, controller, path, name), "utf8").trim();
}

const v1Unlimited = "9223372036854771712";
const none = tree.version === 2 ? "max" : v1Unlimited;
const weight = (v2: string, shares: string): string => (tree.version === 2 ? v2 : shares);
const quota = (us: string): string => (tree.version === 2 ? `${us} 100000` : us === "max" ? "-1" : us);

const below = (name: string): string =>
  driver === "systemd"
    ? execFileSync("systemctl", ["show", "-P", "ControlGroup", name], { encoding: "utf8" }).trim()
    : name;

const samples = [
  {
    pod: makePod("aaaa-1", { limits: { cpu: "123m", memory: "64Mi" } }),
    // systemd keeps whole percents, rounded up.
    expected: [weight("5", "125"), quota(driver === "systemd" ? "13000" : "12300"), String(64 * MEBI), "200"],
  },
  {
    pod: makePod("bbbb-2", { requests: { cpu: "100m", memory: "16Mi" }, limits: { memory: "64Mi" } }),
    expected: [weight("4", "102"), quota("max"), String(64 * MEBI), "200"],
  },
  { pod: makePod("cccc-3", {}), expected: [weight("1", "2"), quota("max"), none, "200"] },
];
const FILES = ["cpu.weight", "cpu.max", "memory.max", "pids.max"];

function processPath(pid: number): string {
  const lines = readFileSync(`/proc/${pid}/cgroup`, "utf8").trim().split("\n");
  const line = lines.find((text) => (tree.version === 2 ? text.startsWith("0::") : /:memory:/.test(text)));
  return line?.split(":").slice(2).join(":") ?? "";
}

async function started(pod: Pod, parent: string): Promise<{ sandbox: string; pids: number[] }> {
  const metadata = { name: pod.metadata.name, namespace: "default", uid: pod.metadata.uid, attempt: 0 };
  const sandboxConfig = {
    metadata,
    logDirectory: "/tmp/check",
    linux: { cgroupParent: parent, securityContext: { namespaceOptions: { network: 2 } } },
  };
  const { podSandboxId } = await cri.runPodSandbox({ config: sandboxConfig });
  // Forks without end, up to the pod's pids limit: what is hardest to kill one by one.
  const command = ["sh", "-c", "while true; do sleep 1 & sleep 0.05; done"];
  const [container] = pod.spec.containers;
  assert(container);
  const { containerId } = await cri.createContainer({
    podSandboxId,
    sandboxConfig,
    config: {
      metadata: { name: "c", attempt: 0 },
      image: { image: IMAGE },
      command,
      logPath: "c.log",
      linux: { resources: { ...resourcesOf(pod), hugepageLimits: [] } },
    },
  });
  await cri.startContainer({ containerId });
  const pidOf = (info: string | undefined): number =>
    Number((JSON.parse(info ?? "{}") as { pid?: number }).pid);
  const sandbox = await cri.podSandboxStatus({ podSandboxId, verbose: true });
  const status = await cri.containerStatus({ containerId, verbose: true });
  return { sandbox: podSandboxId, pids: [pidOf(sandbox.info["info"]), pidOf(status.info["info"])] };
}

function resourcesOf(pod: Pod): object {
  const [container] = pod.spec.containers;
  assert(container);
  const { cpuPeriod, cpuQuota, cpuShares, memoryLimitInBytes, unified } = pods.containerResources(
    pod,
    container,
  );
  return {
    cpuPeriod: BigInt(cpuPeriod),
    cpuQuota: BigInt(cpuQuota),
    cpuShares: BigInt(cpuShares),
    memoryLimitInBytes: BigInt(memoryLimitInBytes),
    unified,
  };
}

console.log(`cgroup v${tree.version}, ${driver} driver, root ${cgroupRoot}`);
const sandboxes: string[] = [];
for (const { pod, expected } of samples) {
  const before = performance.now();
  const parent = await pods.ensureExists(pod);
  const took = Math.round(performance.now() - before);
  if (driver === "systemd") assert.equal(below(parent.slice(parent.lastIndexOf("/") + 1)), parent);
  const seen = FILES.map((file) => value(parent, file));
  console.log(`${parent} (${took} ms): ${FILES.map((file, index) => `${file}=${seen[index]}`).join(" ")}`);
  assert.deepEqual(seen, expected);
  const { sandbox, pids } = await started(pod, parent);
  sandboxes.push(sandbox);
  for (const pid of pids) {
    assert(pid > 1);
    console.log(`  pid ${pid} in ${processPath(pid)}`);
    assert.equal(processPath(pid).startsWith(`${parent}/`), true);
  }
}
const ours = async (): Promise<string[]> =>
  (await pods.listPodUids()).filter((uid) => /^(?:aaaa|bbbb|cccc)-\d$/.test(uid)).toSorted();
assert.deepEqual(await ours(), ["aaaa-1", "bbbb-2", "cccc-3"]);

// systemd reads its units again: nothing of ours may be lost, on either driver.
execFileSync("systemctl", ["daemon-reload"]);
for (const { pod, expected } of samples) {
  const parent = await pods.ensureExists(pod);
  assert.deepEqual(
    FILES.map((file) => value(parent, file)),
    expected,
    `${parent} after daemon-reload`,
  );
}
console.log("values hold over systemctl daemon-reload");

// An agent process of its own, as after a restart: writes everything once more.
const again = manager();
for (const { pod, expected } of samples) {
  const parent = await again.ensureExists(pod);
  assert.deepEqual(
    FILES.map((file) => value(parent, file)),
    expected,
  );
}
console.log("a second agent process finds and keeps them");

// The first pod is removed in order; the second with its container's processes still alive; the third right after its sandbox was stopped.
const [first = "", second = "", third = ""] = sandboxes;
await cri.stopPodSandbox({ podSandboxId: first });
await cri.removePodSandbox({ podSandboxId: first });
await pods.destroy("aaaa-1");
await pods.destroy("bbbb-2");
const stopping = cri.stopPodSandbox({ podSandboxId: third });
await pods.destroy("cccc-3");
await stopping;
for (const id of [second, third]) {
  await cri.stopPodSandbox({ podSandboxId: id });
  await cri.removePodSandbox({ podSandboxId: id });
}
assert.deepEqual(await ours(), []);

function podFolders(dir: string): string[] {
  return readdirSync(dir, { withFileTypes: true })
    .filter((entry) => entry.isDirectory())
    .flatMap(({ name }) => [
      ...(/aaaa|bbbb|cccc/.test(name) ? [join(dir, name)] : []),
      ...podFolders(join(dir, name)),
    ]);
}
assert.deepEqual(podFolders(ROOT), []);
const units = execFileSync(
  "systemctl",
  ["list-units", "--all", "--plain", "--no-legend", "*kubepods*", "cri-containerd-*"],
  { encoding: "utf8" },
);
console.log(`units left:\n${units.trim() || "  none"}`);
assert.doesNotMatch(units, /aaaa|bbbb|cccc|cri-containerd/);
const transient = "/run/systemd/transient";
assert.deepEqual(
  existsSync(transient)
    ? readdirSync(transient).filter((name) => /aaaa|bbbb|cccc|cri-containerd/.test(name))
    : [],
  [],
);
console.log("destroyed: no cgroup, no unit, no drop-in of a pod is left");
