// SPDX-License-Identifier: Apache-2.0
/*
 * `node scripts/dev/vm/check-numa.mjs`, run in the machine of `NUMA=2 scripts/dev/vm.sh up`: 8 CPUs on two NUMA nodes, two threads a core. Devices, CPUs and memory of one
 * node, whole cores, read where the kernel keeps them; what no node has; an agent that is killed. Prints what was seen, goes on after something that is wrong, and ends with 1 then.
 */
import { spawn } from "node:child_process";
import { readFileSync } from "node:fs";
import { check, finish, LASTING, NodeUnderCheck, sh, until } from "./node-under-check.mjs";

const PLUGINS = "/var/lib/holdfast-check/device-plugins";
const RESOURCE = "holdfast.example/null";
const node = new NodeUnderCheck("/run/check-numa");

/** A Guaranteed pod, with devices where it asks for them. */
const asking = (cpu, devices = 0) => ({
  command: `echo "$NULL_DEVICES"; ${LASTING}`,
  container: {
    resources: { limits: { cpu, memory: "64Mi", ...(devices === 0 ? {} : { [RESOURCE]: devices }) } },
  },
});

/** What the kernel lets the pod's main process use, and what it was given. */
function placeOf(name) {
  const id = node.container(name)?.containerID?.split("//")[1] ?? "";
  const pid = sh(`ctr -n k8s.io task ls`).match(RegExp(`^${id}\\s+(\\d+)`, "m"))?.[1] ?? "";
  const status = pid === "" ? "" : readFileSync(`/proc/${pid}/status`, "utf8");
  const allowed = (what) => RegExp(`${what}_allowed_list:\\s+(\\S+)`).exec(status)?.[1];
  const devices = node.holdfast(`logs ${name}`).trim();
  return { cpus: allowed("Cpus"), mems: allowed("Mems"), devices };
}

const reasonOf = (name) => node.pod(name)?.status?.reason;

async function runs(name, want) {
  await node.running(name);
  const seen = await until(
    `${name} is where it should be`,
    () => {
      const place = placeOf(name);
      return Object.entries(want).every(([key, value]) => place[key] === value) ? place : undefined;
    },
    120_000,
  );
  check(name, seen !== undefined, JSON.stringify(placeOf(name)));
}

async function waits(name, reason) {
  await until(`${name} waits: ${reason}`, () => reasonOf(name) === reason, 300_000);
  check(`${name} waits`, reasonOf(name) === reason, node.pod(name)?.status?.message);
}

console.log(sh("lscpu | grep -E 'NUMA|Socket|Core|Thread'"));
const plugin = spawn(
  process.execPath,
  ["--conditions=@holdfast/source", "packages/device/examples/null-devices.ts", PLUGINS],
  { stdio: "inherit" },
);
node.write("shared");
await node.start(
  {
    cpuManagerPolicy: "static",
    cpuManagerPolicyOptions: { "full-pcpus-only": "true" },
    reservedSystemCPUs: "0,1",
    systemReserved: { memory: "200Mi" },
    evictionHard: { "memory.available": "100Mi" },
    memoryManagerPolicy: "Static",
    reservedMemory: [{ numaNode: 0, limits: { memory: "300Mi" } }],
    topologyManagerPolicy: "single-numa-node",
  },
  { devicePluginsDir: PLUGINS },
);
await runs("shared", { cpus: "0-7" });
await until("8 devices", () => node.holdfast("get node").includes("8 allocatable"));

// Four CPUs are free on node 1 only: its devices, its memory.
node.write("whole", asking(4, 4));
await runs("whole", { cpus: "4-7", mems: "1", devices: "null-1,null-3,null-5,null-7" });
// Half a core, of the one that is left; then all of it: it is on node 0.
node.write("thread", asking(1));
await waits("thread", "SMTAlignmentError");
node.write("core", asking(2, 2));
await runs("core", { cpus: "2-3", mems: "0", devices: "null-0,null-2" });
await runs("shared", { cpus: "0-1" });
// More than a node has; what was there and is taken.
node.write("large", asking(6));
await waits("large", "TopologyAffinityError");
node.write("late", asking(2, 2));
await waits("late", "TopologyAffinityError");

const before = node.container("whole")?.containerID;
await node.kill();
await node.start(...node.started);
const { containerID, restartCount } = (await node.running("whole")) ?? {};
check("the agent was killed: the same container", before === containerID, `restarts: ${restartCount}`);
await runs("whole", { cpus: "4-7", mems: "1" });
await waits("late", "TopologyAffinityError");

node.remove("whole");
await runs("late", { mems: "1", devices: "null-1,null-3" });
console.log(
  node
    .holdfast("get --raw /metrics")
    .match(/^kubelet_container_aligned.*$/gm)
    ?.join("\n"),
);
await node.end(["shared", "core", "thread", "large", "late"]);
plugin.kill();
finish();
