// SPDX-License-Identifier: Apache-2.0
/*
 * `node scripts/dev/vm/check-oom.mjs cgroupfs|systemd [groups|machine|clock]`, run in the machine of scripts/dev/vm.sh on cgroup v2: the kernel kills at a container's limit, by group
 * and one process only, and when the machine itself has no memory left; what the agent then has in the pod's status, and what `holdfast why` tells. Then the machine's
 * clock is set back by an hour, and forward again, under the agent.
 * Prints what was seen, goes on after something that is wrong, and ends with 1 then.
 */
import { existsSync, readFileSync } from "node:fs";
import { check, finish, NodeUnderCheck, sh, until } from "./node-under-check.mjs";

/** A main process that lives on while a child of it eats, and says that it does. */
const PARENT =
  "trap 'exit 0' TERM; sh -c 'exec tail /dev/zero'; echo the child is gone; sleep 1000000 & wait";

const limited = (memory) => ({ resources: { limits: { memory } } });

const SINGLE = "holdfast.agent/single-process-oom-kill";
/** What the node's setting and the pod's annotation lead to. */
const CASES = [
  { setting: undefined, name: "default", annotations: {}, group: true },
  { setting: undefined, name: "wants-single", annotations: { [SINGLE]: "true" }, group: false },
  { setting: true, name: "node-single", annotations: {}, group: false },
  { setting: true, name: "wants-group", annotations: { [SINGLE]: "main: false" }, group: true },
];

/** The folder of a container's cgroup, while it is there. */
function cgroupOf(id) {
  return sh(`find /sys/fs/cgroup -type d -name '*${id}*' | head -1`).trim();
}

const start = (setting) => node.start(setting === undefined ? {} : { singleProcessOOMKill: setting });

async function checkGroup({ name, group }) {
  console.log(`\n# ${name}`);
  if (group) {
    const [end] = (await until(`${name} ended`, () => {
      const ends = node.ends(name);
      return ends.some(({ reason }) => reason !== undefined) ? ends.toReversed() : undefined;
    })) ?? [undefined];
    check("the whole container ended", end?.exitCode === 137, `exit code ${end?.exitCode}, ${end?.reason}`);
    check("its cause", end?.cause === "MemoryLimit", end?.cause);
    const told = end?.evidence.map(({ text }) => text).join("; ") ?? "";
    check("the child is named, and its group", /tail was killed.*memory\.oom\.group/.test(told), told);
  } else {
    await until("the child was killed", () => node.holdfast(`logs ${name}`).includes("the child is gone"));
    const why = await until("why tells of it", () => {
      const text = node.holdfast(`why ${name}`);
      return text.includes("the container goes on") ? text : undefined;
    });
    check(
      "the child is named, with the limit",
      /tail \(pid \d+\) held [\d.]+ MiB; the limit( of its pod)? is 32\.0 MiB/.test(why ?? ""),
    );
    const status = node.container(name);
    check("the main process lives on", status?.restartCount === 0 && status.state.running !== undefined);
    const id = status?.containerID.replace(/^.*:\/\//, "") ?? "";
    const cgroup = cgroupOf(id);
    const value = cgroup === "" ? "?" : readFileSync(`${cgroup}/memory.oom.group`, "utf8").trim();
    check("memory.oom.group", value === "0", `${value} in ${cgroup.replace(/[0-9a-f]{52}/, "…")}`);
    const kills = sh(`grep oom_kill ${cgroup}/memory.events`).trim().replaceAll("\n", ", ");
    check("the kernel counts one kill", /oom_kill 1(?!\d)/.test(kills), kills);
  }
  console.log(node.holdfast(`why ${name}`));
}

/** A container without a limit eats all that the machine has. */
async function checkMachine() {
  console.log("\n# the machine has no memory left");
  node.write("bystander", { container: limited("32Mi") });
  await until("the bystander runs", () => node.container("bystander")?.state.running);
  const bystander = node.container("bystander").containerID;
  node.write("hog", { command: "exec tail /dev/zero" });
  const [end] = (await until("the hog ended", () => {
    const ends = node.ends("hog");
    return ends.length > 0 && ends.at(-1).cause === "NodeOOM" ? ends.toReversed() : undefined;
  })) ?? [node.ends("hog").at(-1)];
  node.remove("hog");
  check("its cause", end?.cause === "NodeOOM", end?.cause);
  check("who asked for it", end?.askedBy === "the kernel's OOM killer", end?.askedBy);
  console.log(node.holdfast("why hog"));
  const machine = node.holdfast("why node");
  check("why node names the victim", /the machine was out of memory: the kernel killed tail/.test(machine));
  console.log(machine.split("\n").slice(0, 8).join("\n"));
  check("the bystander is untouched", node.container("bystander")?.containerID === bystander);
  check("the agent is, too", node.isUp());
}

/** Order is by number, whatever the clock says, and each end is told once. */
async function checkClock() {
  console.log("\n# the clock is set back by an hour, and forward again");
  node.write("timed");
  for (const [round, step] of ["0", "-1 hour", "1 hour"].entries()) {
    if (step !== "0") sh(`date -s '${step}'`);
    const running = await until(`start ${round + 1}`, () => {
      const status = node.container("timed");
      return status?.restartCount === round && status.state.running !== undefined ? status : undefined;
    });
    const id = (running?.containerID ?? "").replace(/^.*:\/\//, "");
    sh(`ctr -n k8s.io task kill -s SIGKILL ${id}`);
    await until(`end ${round + 1} is in the ledger`, () =>
      node.ends("timed").some((end) => end.containerId === id),
    );
  }
  const ends = node.ends("timed");
  const told = ends.map(({ restartCount, cause }) => `${restartCount} ${cause}`).join(", ");
  check("newest first, each once", told === "2 Outside, 1 Outside, 0 Outside", told);
  const events = node
    .holdfast("events -o json --limit 1000")
    .trim()
    .split("\n")
    .map((line) => JSON.parse(line));
  const inOrder = events.every(({ seq }, index) => index === 0 || seq > events[index - 1].seq);
  const back = events.some(({ at }, index) => index > 0 && at < events[index - 1].at - 3_000_000);
  check("events are in order of their numbers, the clock's step among them", inOrder && back);
  console.log(node.holdfast("why timed"));
}

const driver = process.argv[2] === "systemd" ? "systemd" : "cgroupfs";
const only = process.argv[3];
sh(`vm-driver ${driver}`);
check("cgroup v2", existsSync("/sys/fs/cgroup/cgroup.controllers"));
const node = new NodeUnderCheck("/var/tmp/check-oom");
for (const setting of only === undefined || only === "groups" ? [undefined, true] : []) {
  console.log(`\n## singleProcessOOMKill: ${setting ?? "not set"}, ${driver} driver`);
  const cases = CASES.filter((one) => one.setting === setting);
  for (const one of cases)
    node.write(one.name, { command: PARENT, annotations: one.annotations, container: limited("32Mi") });
  await start(setting);
  for (const one of cases) await checkGroup(one);
  const disagreed = node.holdfast("events --type 'oomwatch/*' -o json").trim();
  check("the kernel's log, the counters and containerd agree", disagreed === "", disagreed);
  await node.end(cases.map(({ name }) => name));
}
if (only === undefined || only === "clock") {
  await start(undefined);
  await checkClock();
  await node.end(["timed"]);
}
if (only === undefined || only === "machine") {
  await start(undefined);
  await checkMachine();
  await node.end(["bystander"]);
}
finish();
