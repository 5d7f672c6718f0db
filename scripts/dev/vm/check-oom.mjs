// SPDX-License-Identifier: Apache-2.0
/*
 * `node scripts/dev/vm/check-oom.mjs cgroupfs|systemd [groups|machine|clock]`, run in the machine of scripts/dev/vm.sh on cgroup v2: the kernel kills at a container's limit, by group
 * and one process only, and when the machine itself has no memory left; what the agent then has in the pod's status, and what `holdfast why` tells. Then the machine's
 * clock is set back by an hour, and forward again, under the agent.
 * Prints what was seen, goes on after something that is wrong, and ends with 1 then.
 */
import { execFileSync, spawn } from "node:child_process";
import { existsSync, mkdirSync, openSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";

const FOLDER = "/var/tmp/check-oom";
const MANIFESTS = `${FOLDER}/manifests`;
const CONFIG = `${FOLDER}/config.yaml`;
const SOCKET = `${FOLDER}/holdfast.sock`;

/** A main process that lives on while a child of it eats, and says that it does. */
const PARENT =
  "trap 'exit 0' TERM; sh -c 'exec tail /dev/zero'; echo the child is gone; sleep 1000000 & wait";

function manifest(name, { annotations = {}, command = PARENT, memory = "32Mi" }) {
  return JSON.stringify({
    apiVersion: "v1",
    kind: "Pod",
    metadata: { name, annotations },
    spec: {
      hostNetwork: true,
      terminationGracePeriodSeconds: 1,
      containers: [
        {
          name: "main",
          image: "holdfast.local/busybox:1",
          command: ["sh", "-c", command],
          ...(memory === "" ? {} : { resources: { limits: { memory } } }),
        },
      ],
    },
  });
}

const SINGLE = "holdfast.agent/single-process-oom-kill";
/** What the node's setting and the pod's annotation lead to. */
const CASES = [
  { setting: undefined, name: "default", annotations: {}, group: true },
  { setting: undefined, name: "wants-single", annotations: { [SINGLE]: "true" }, group: false },
  { setting: true, name: "node-single", annotations: {}, group: false },
  { setting: true, name: "wants-group", annotations: { [SINGLE]: "main: false" }, group: true },
];

let failed = false;
function check(what, good, detail = "") {
  console.log(`${good ? "ok  " : "BAD "} ${what}${detail === "" ? "" : `: ${detail}`}`);
  failed ||= !good;
}

function sh(command) {
  try {
    const options = { encoding: "utf8", stdio: ["ignore", "pipe", "ignore"], timeout: 60_000 };
    return execFileSync("sh", ["-c", command], options);
  } catch (error) {
    return String(error.stdout ?? "");
  }
}

const holdfast = (args) => sh(`holdfast ${args} --socket ${SOCKET}`);

async function until(what, ask, limitMs = 900_000) {
  const end = Date.now() + limitMs;
  for (;;) {
    const answer = ask();
    if (answer) return answer;
    if (Date.now() > end) {
      check(what, false, "not within the time");
      return undefined;
    }
    await sleep(500);
  }
}

function podOf(name) {
  const list = JSON.parse(holdfast("get pods -o json") || '{"items":[]}');
  return list.items.find(({ metadata }) => metadata.name.startsWith(`${name}-`));
}
const statusOf = (name) => podOf(name)?.status?.containerStatuses?.[0];
const endsOf = (name) => {
  const text = holdfast(`why ${name} -o json`);
  if (text === "") return [];
  return JSON.parse(text).story.chapters.flatMap(({ termination }) => termination ?? []);
};

/** The folder of a container's cgroup, while it is there. */
function cgroupOf(id) {
  return sh(`find /sys/fs/cgroup -type d -name '*${id}*' | head -1`).trim();
}

let agent;
async function start(setting) {
  writeFileSync(
    CONFIG,
    `apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
staticPodPath: ${MANIFESTS}
${setting === undefined ? "" : `singleProcessOOMKill: ${setting}\n`}---
apiVersion: holdfast.agent/v1alpha1
kind: AgentConfiguration
stateDir: ${FOLDER}/state
runDir: ${FOLDER}
`,
  );
  const log = openSync(`${FOLDER}/agent.log`, "a");
  agent = spawn("holdfast", ["run", "--config", CONFIG], { stdio: ["ignore", log, log] });
  await until("the agent answers", () => holdfast("get pods -o json") !== "");
}
async function stop() {
  const ended = new Promise((resolve) => agent.once("exit", resolve));
  agent.kill("SIGTERM");
  await ended;
}

async function checkGroup({ name, group }) {
  console.log(`\n# ${name}`);
  if (group) {
    const [end] = (await until(`${name} ended`, () => {
      const ends = endsOf(name);
      return ends.some(({ reason }) => reason !== undefined) ? ends.toReversed() : undefined;
    })) ?? [undefined];
    check("the whole container ended", end?.exitCode === 137, `exit code ${end?.exitCode}, ${end?.reason}`);
    check("its cause", end?.cause === "MemoryLimit", end?.cause);
    const told = end?.evidence.map(({ text }) => text).join("; ") ?? "";
    check("the child is named, and its group", /tail was killed.*memory\.oom\.group/.test(told), told);
  } else {
    await until("the child was killed", () => holdfast(`logs ${name}`).includes("the child is gone"));
    const why = await until("why tells of it", () => {
      const text = holdfast(`why ${name}`);
      return text.includes("the container goes on") ? text : undefined;
    });
    check(
      "the child is named, with the limit",
      /tail \(pid \d+\) held [\d.]+ MiB; the limit is 32\.0 MiB/.test(why ?? ""),
    );
    const status = statusOf(name);
    check("the main process lives on", status?.restartCount === 0 && status.state.running !== undefined);
    const id = status?.containerID.replace(/^.*:\/\//, "") ?? "";
    const cgroup = cgroupOf(id);
    const value = cgroup === "" ? "?" : readFileSync(`${cgroup}/memory.oom.group`, "utf8").trim();
    check("memory.oom.group", value === "0", `${value} in ${cgroup.replace(/[0-9a-f]{52}/, "…")}`);
    const kills = sh(`grep oom_kill ${cgroup}/memory.events`).trim().replaceAll("\n", ", ");
    check("the kernel counts one kill", /oom_kill 1(?!\d)/.test(kills), kills);
  }
  console.log(holdfast(`why ${name}`));
}

/** A container without a limit eats all that the machine has. */
async function checkMachine() {
  console.log("\n# the machine has no memory left");
  const calm = "trap 'exit 0' TERM; sleep 1000000 & wait";
  writeFileSync(`${MANIFESTS}/bystander.json`, manifest("bystander", { command: calm }));
  await until("the bystander runs", () => statusOf("bystander")?.state.running);
  const bystander = statusOf("bystander").containerID;
  writeFileSync(`${MANIFESTS}/hog.json`, manifest("hog", { command: "exec tail /dev/zero", memory: "" }));
  const [end] = (await until("the hog ended", () => {
    const ends = endsOf("hog");
    return ends.length > 0 && ends.at(-1).cause === "NodeOOM" ? ends.toReversed() : undefined;
  })) ?? [endsOf("hog").at(-1)];
  rmSync(`${MANIFESTS}/hog.json`);
  check("its cause", end?.cause === "NodeOOM", end?.cause);
  check("who asked for it", end?.askedBy === "the kernel's OOM killer", end?.askedBy);
  console.log(holdfast("why hog"));
  const node = holdfast("why node");
  check("why node names the victim", /the machine was out of memory: the kernel killed tail/.test(node));
  console.log(node.split("\n").slice(0, 8).join("\n"));
  check("the bystander is untouched", statusOf("bystander")?.containerID === bystander);
  check("the agent is, too", agent.exitCode === null);
}

/** Order is by number, whatever the clock says, and each end is told once. */
async function checkClock() {
  console.log("\n# the clock is set back by an hour, and forward again");
  const calm = "trap 'exit 0' TERM; sleep 1000000 & wait";
  writeFileSync(`${MANIFESTS}/timed.json`, manifest("timed", { command: calm, memory: "" }));
  for (const [round, step] of ["0", "-1 hour", "1 hour"].entries()) {
    if (step !== "0") sh(`date -s '${step}'`);
    const running = await until(`start ${round + 1}`, () => {
      const status = statusOf("timed");
      return status?.restartCount === round && status.state.running !== undefined ? status : undefined;
    });
    const id = (running?.containerID ?? "").replace(/^.*:\/\//, "");
    sh(`ctr -n k8s.io task kill -s SIGKILL ${id}`);
    await until(`end ${round + 1} is in the ledger`, () =>
      endsOf("timed").some((end) => end.containerId === id),
    );
  }
  const ends = endsOf("timed");
  const told = ends.map(({ restartCount, cause }) => `${restartCount} ${cause}`).join(", ");
  check("newest first, each once", told === "2 Outside, 1 Outside, 0 Outside", told);
  const events = holdfast("events -o json --limit 1000")
    .trim()
    .split("\n")
    .map((line) => JSON.parse(line));
  const inOrder = events.every(({ seq }, index) => index === 0 || seq > events[index - 1].seq);
  const back = events.some(({ at }, index) => index > 0 && at < events[index - 1].at - 3_000_000);
  check("events are in order of their numbers, the clock's step among them", inOrder && back);
  console.log(holdfast("why timed"));
}

async function removeAll(names) {
  for (const name of names) rmSync(`${MANIFESTS}/${name}.json`, { force: true });
  await until("the pods are gone", () => !holdfast("get pods -o name").includes("pod/"));
  await stop();
}

const driver = process.argv[2] === "systemd" ? "systemd" : "cgroupfs";
const only = process.argv[3];
sh(`vm-driver ${driver}`);
check("cgroup v2", existsSync("/sys/fs/cgroup/cgroup.controllers"));
rmSync(FOLDER, { recursive: true, force: true });
mkdirSync(MANIFESTS, { recursive: true });
for (const setting of only === undefined || only === "groups" ? [undefined, true] : []) {
  console.log(`\n## singleProcessOOMKill: ${setting ?? "not set"}, ${driver} driver`);
  const cases = CASES.filter((one) => one.setting === setting);
  for (const one of cases) writeFileSync(`${MANIFESTS}/${one.name}.json`, manifest(one.name, one));
  await start(setting);
  for (const one of cases) await checkGroup(one);
  const disagreed = holdfast("events --type 'oomwatch/*' -o json").trim();
  check("the kernel's log, the counters and containerd agree", disagreed === "", disagreed);
  await removeAll(cases.map(({ name }) => name));
}
if (only === undefined || only === "clock") {
  await start(undefined);
  await checkClock();
  await removeAll(["timed"]);
}
if (only === undefined || only === "machine") {
  await start(undefined);
  await checkMachine();
  await removeAll(["bystander"]);
}
console.log(`\n${failed ? "FAILED" : "all as it should be"}`);
process.exitCode = failed ? 1 : 0;
