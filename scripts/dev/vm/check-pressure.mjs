// SPDX-License-Identifier: Apache-2.0
/*
 * `node scripts/dev/vm/check-pressure.mjs cgroupfs|systemd [limits|memory|watch|stalls]`, run in the machine of scripts/dev/vm.sh: what the cgroup of all pods is held to,
 * over restarts and other settings; then the machine's memory running out, between rounds too, and the pressure stall threshold, each crossed by real pods.
 * Prints what was seen, goes on after something that is wrong, and ends with 1 then.
 */
import { existsSync, readFileSync } from "node:fs";
import { check, finish, LASTING, NodeUnderCheck, sh, until } from "./node-under-check.mjs";

const MIB = 2 ** 20;
const TRANSITION = "60s";
const ROOT = "/sys/fs/cgroup";
const isV2 = existsSync(`${ROOT}/cgroup.controllers`);
const driver = process.argv[2] === "systemd" ? "systemd" : "cgroupfs";
const only = process.argv[3];
const kubepods = driver === "systemd" ? "kubepods.slice" : "kubepods";

const numberIn = (file, pattern = /(\d+)/) => Number(pattern.exec(readFileSync(file, "utf8"))?.[1]);
const totalBytes = numberIn("/proc/meminfo", /MemTotal:\s+(\d+)/) * 1024;
const totalPids = Math.min(...["pid_max", "threads-max"].map((file) => numberIn(`/proc/sys/kernel/${file}`)));
const totalCpus = Number(sh("nproc"));

/** A pod that holds so much memory, and says when it has it. What lies in a volume of memory is its container's. */
function holding(mib, { before = "", requests = {}, ...spec } = {}) {
  return {
    command: `${before}dd if=/dev/zero of=/memory/x bs=1M count=${mib} 2>/dev/null; echo full; ${LASTING}`,
    container: { resources: { requests }, volumeMounts: [{ name: "memory", mountPath: "/memory" }] },
    spec: { ...spec, volumes: [{ name: "memory", emptyDir: { medium: "Memory" } }] },
  };
}

// --- limits of all pods ---

/** Of `kubepods`, as the kernel has them. */
function limits() {
  const value = (v2, v1) =>
    readFileSync(isV2 ? `${ROOT}/${kubepods}/${v2}` : `${ROOT}/${v1.replace("*", kubepods)}`, "utf8").trim();
  return {
    memory: value("memory.max", "memory/*/memory.limit_in_bytes"),
    cpu: value("cpu.weight", "cpu/*/cpu.shares"),
    pids: value("pids.max", "pids/*/pids.max"),
  };
}

/** What they must be with so much set aside. kubelet: its conversion of shares to a weight. */
function expected({ memory, cpuMilli, pids }) {
  const shares = Math.floor(((totalCpus * 1000 - cpuMilli) * 1024) / 1000);
  return {
    memory: String(totalBytes - memory),
    cpu: String(isV2 ? 1 + Math.floor(((shares - 2) * 9999) / 262_142) : shares),
    pids: String(totalPids - pids),
  };
}

async function checkLimit(what, reserved) {
  const want = JSON.stringify(expected(reserved));
  let seen = "";
  const same = await until(
    what,
    () => {
      seen = existsSync(`${ROOT}/${isV2 ? "" : "memory/"}${kubepods}`) ? JSON.stringify(limits()) : "none";
      return seen === want;
    },
    60_000,
  );
  check(what, same === true, same === true ? seen : `${seen}, not ${want}`);
}

async function checkLimits() {
  console.log("\n# limits of all pods");
  const some = { memory: 1024 * MIB, cpuMilli: 500, pids: 1000 };
  const none = { memory: 0, cpuMilli: 0, pids: 0 };
  node.write("calm");
  await node.start({ evictionHard: {}, systemReserved: { memory: "1Gi", cpu: "500m", pid: "1000" } });
  const { containerID } = (await node.running("calm")) ?? {};
  await checkLimit("what systemReserved leaves", some);
  const pid = /\s(\d+)\s/.exec(
    sh(`ctr -n k8s.io task ls | grep ${containerID?.replace(/^.*:\/\//, "")}`),
  )?.[1];
  const path = sh(`grep -E '^0::|:memory:' /proc/${pid}/cgroup`).trim();
  check("a container's process is below it", path.includes(`:/${kubepods}/`), path.replaceAll("\n", " "));
  sh("systemctl daemon-reload");
  await checkLimit("over systemctl daemon-reload", some);
  await node.stop();
  await node.start({ evictionHard: {}, systemReserved: { memory: "512Mi" }, kubeReserved: { pid: "300" } });
  await checkLimit("other reservations, at the agent's start", { memory: 512 * MIB, cpuMilli: 0, pids: 300 });
  await node.stop();
  await node.start({ evictionHard: {}, enforceNodeAllocatable: ["none"], systemReserved: { memory: "1Gi" } });
  await checkLimit("enforceNodeAllocatable: [none]: all that the machine has", none);
  await node.stop();
  await node.start({ evictionHard: {} });
  await checkLimit("nothing reserved", none);
  const after = await node.running("calm");
  check("the container has lived through all of it", after?.containerID === containerID);
  await node.stop();

  const left = 300 * MIB;
  await node.start({ evictionHard: {}, systemReserved: { memory: String(totalBytes - left) } });
  await checkLimit("300 MiB for all", { memory: totalBytes - left, cpuMilli: 0, pids: 0 });
  node.write("hog", { command: "exec tail /dev/zero" });
  const [end] = (await until("a pod without a limit of its own was ended at the limit of all", () => {
    const ends = node.ends("hog");
    return ends.length > 0 && ends.at(-1).reason !== undefined ? ends.toReversed() : undefined;
  })) ?? [undefined];
  node.remove("hog");
  check("it was killed", end?.exitCode === 137, `exit code ${end?.exitCode}, ${end?.reason}, ${end?.cause}`);
  console.log(node.holdfast("why hog"));
  const free = numberIn("/proc/meminfo", /MemAvailable:\s+(\d+)/) / 1024;
  check("the machine has memory", free > 1024, `${Math.round(free)} MiB`);
  check("the other pod is untouched", node.container("calm")?.containerID === containerID);
  await node.end(["calm"]);
}

// --- evictions ---

const conditionOf = (type) =>
  JSON.parse(node.holdfast("get node -o json") || "{}").conditions?.find((one) => one.type === type)?.status;

/** The pod, once it is Failed. */
const evicted = (name) =>
  until(`${name} is evicted`, () => {
    const pod = node.pod(name);
    return pod?.status?.reason === "Evicted" && pod.status.phase === "Failed" ? pod : undefined;
  });

async function full(name) {
  await until(`${name} has its memory`, () => node.holdfast(`logs ${name}`).includes("full"));
}

async function checkOver(type) {
  await until(`${type} is over`, () => conditionOf(type) === "False", 300_000);
  const told = node.events("eviction/PressureChanged").map(({ data }) => data.reason);
  check("the conditions, in turn", told.length % 2 === 0, told.join(", "));
}

async function checkMemory() {
  console.log("\n# the machine's memory");
  node.write("calm");
  node.write("modest", holding(300, { requests: { memory: "400Mi" } }));
  node.write("important", holding(500, { priority: 1000 }));
  node.write("greedy", holding(400));
  await node.start({ evictionHard: {} });
  for (const name of ["modest", "important", "greedy"]) await full(name);
  await node.stop();
  const free = Math.round(freeBytes() / MIB);
  // Nothing is short of it by 200 MiB: the largest of the lowest priority is enough.
  const threshold = `${free + 200}Mi`;
  await node.start(
    { evictionHard: { "memory.available": threshold }, evictionPressureTransitionPeriod: TRANSITION },
    { evictStaticPods: true },
  );
  const greedy = await evicted("greedy");
  check("MemoryPressure", conditionOf("MemoryPressure") === "True");
  console.log(greedy?.status.message);
  const form =
    /^The node was low on resource: memory\. Threshold quantity: \S+, available: \S+\. Container main was using \S+, request is 0, has larger consumption of memory\. $/;
  check("the message", form.test(greedy?.status.message ?? ""));
  await checkOver("MemoryPressure");
  for (const name of ["calm", "modest", "important"])
    check(
      `${name} stays`,
      node.container(name)?.restartCount === 0 && node.pod(name)?.status.phase === "Running",
    );
  console.log(node.holdfast("why greedy"));
  await node.end(["calm", "modest", "important", "greedy"]);
}

/** As the signal memory.available has it. kubelet: MemTotal less the root's working set. */
function freeBytes() {
  const stat = readFileSync(isV2 ? `${ROOT}/memory.stat` : `${ROOT}/memory/memory.stat`, "utf8");
  const of = (name) => Number(new RegExp(`^${name} (\\d+)`, "m").exec(stat)?.[1]);
  const used = isV2 ? of("anon") + of("file") : numberIn(`${ROOT}/memory/memory.usage_in_bytes`);
  return totalBytes - (used - of(isV2 ? "inactive_file" : "total_inactive_file"));
}

async function checkWatch() {
  console.log("\n# memory between two rounds");
  node.write("calm");
  const settings = (watch) => [
    {
      evictionHard: { "memory.available": `${Math.round(freeBytes() / MIB) - 300}Mi` },
      evictionPressureTransitionPeriod: TRANSITION,
      kernelMemcgNotification: watch,
    },
    { evictStaticPods: true },
  ];
  await node.start(...settings(true));
  await node.running("calm");
  node.write("burst", holding(700, { before: "sleep 5; date +%s; " }));
  const began = Number(await until("the burst begins", () => node.holdfast("logs burst").split("\n")[0]));
  await evicted("burst");
  const told = node.events("eviction/PodEvicting").at(-1);
  check(
    "the burst was seen",
    told !== undefined && began > 0,
    `${(told.at / 1000 - began).toFixed(1)} s after it began`,
  );
  await node.end(["calm", "burst"]);
}

async function checkStalls() {
  console.log("\n# pressure stalls");
  if (!existsSync("/proc/pressure/memory")) return check("the kernel has pressure stall information", false);
  // Files that are read again and again, more of them than its limit leaves room for: each read waits for memory.
  const thrash =
    "trap 'exit 0' TERM; dd if=/dev/urandom of=/data/x bs=1M count=40 2>/dev/null; for i in 1 2; do while :; do cat /data/x >/dev/null; done & done; wait";
  const container = {
    resources: { requests: { memory: "1Mi" }, limits: { memory: "32Mi" } },
    volumeMounts: [{ name: "data", mountPath: "/data" }],
  };
  node.write("calm");
  node.write("thrashing", {
    command: thrash,
    container,
    spec: { volumes: [{ name: "data", emptyDir: {} }] },
  });
  await node.start(
    { evictionHard: {}, evictionPressureTransitionPeriod: TRANSITION },
    { evictStaticPods: true, evictionPressure: { "memory.psi.some.avg10": "20%" } },
  );
  await node.running("calm");
  const pod = await evicted("thrashing");
  console.log(pod?.status.message);
  console.log(sh("cat /proc/pressure/memory"));
  const [met] = node.events("eviction/ThresholdMet");
  check("the threshold", met !== undefined, JSON.stringify(met?.data));
  check("the signal", node.events("eviction/PodEvicting")[0]?.data.signal === "memory.psi.some.avg10");
  check("one pod went", node.events("eviction/PodEvicting").length === 1);
  check(
    "calm stays",
    node.container("calm")?.restartCount === 0 && node.pod("calm")?.status.phase === "Running",
  );
  await checkOver("MemoryPressure");
  console.log(node.holdfast("why thrashing"));
  await node.end(["calm", "thrashing"]);
}

sh(`vm-driver ${driver}`);
console.log(`cgroup v${isV2 ? 2 : 1}, ${driver} driver`);
const node = new NodeUnderCheck("/var/tmp/check-pressure");
const PARTS = { limits: checkLimits, memory: checkMemory, watch: checkWatch, stalls: checkStalls };
for (const [name, part] of Object.entries(PARTS)) if (only === undefined || only === name) await part();
finish();
