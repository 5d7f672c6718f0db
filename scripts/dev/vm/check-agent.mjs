// SPDX-License-Identifier: Apache-2.0
/*
 * `node scripts/dev/vm/check-agent.mjs install cgroupfs|systemd`, then `restart`, `kill`, `stop`, (a reboot), `rebooted`: run in the machine of
 * scripts/dev/vm.sh. The agent as the systemd unit that it ships, with the examples and a few pods more; prints what was seen, goes on after
 * something that is wrong, and ends with 1 then.
 */
import { execFileSync } from "node:child_process";
import { cpSync, existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";

const MANIFESTS = "/etc/holdfast/manifests";
const UNIT = "/etc/systemd/system/holdfast.service";
const NOTES = "/var/tmp/check-agent.json";
const CONFIG = `apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
staticPodPath: ${MANIFESTS}
podPidsLimit: 300
`;
const EXTRA = {
  // What the unit's UMask and a user that is not root must both allow.
  "nonroot.yaml": `apiVersion: v1
kind: Pod
metadata: { name: nonroot }
spec:
  terminationGracePeriodSeconds: 1
  containers:
    - name: c
      image: holdfast.local/busybox-nonroot:1
      securityContext: { runAsNonRoot: true }
      command: [sh, -c, 'cat /etc/hosts /etc/resolv.conf >/dev/null && touch /disk/x /memory/x && echo fine >/dev/termination-log && echo allowed; sleep 100000']
      volumeMounts: [{ name: disk, mountPath: /disk }, { name: memory, mountPath: /memory }]
  volumes: [{ name: disk, emptyDir: {} }, { name: memory, emptyDir: { medium: Memory } }]
`,
  "guaranteed.yaml": `apiVersion: v1
kind: Pod
metadata: { name: guaranteed }
spec:
  terminationGracePeriodSeconds: 1
  containers:
    - name: c
      image: holdfast.local/busybox:1
      command: [sleep, "100000"]
      resources: { limits: { cpu: 100m, memory: 32Mi } }
`,
};
const LASTING = ["guaranteed", "nonroot", "shared-volume", "web"];

let failed = false;
function check(what, good, detail = "") {
  console.log(`${good ? "ok  " : "BAD "} ${what}${detail === "" ? "" : `: ${detail}`}`);
  failed ||= !good;
}

function sh(command, { quiet = false } = {}) {
  try {
    return execFileSync("sh", ["-c", command], {
      encoding: "utf8",
      stdio: ["ignore", "pipe", quiet ? "ignore" : "inherit"],
    });
  } catch (error) {
    return String(error.stdout ?? "");
  }
}

/** Containers by "pod/container": id, pid, restarts and its process's cgroup. */
function seen() {
  const list = JSON.parse(sh("holdfast get pods -o json", { quiet: true }) || '{"items":[]}');
  const pids = new Map(
    sh("ctr -n k8s.io task ls", { quiet: true })
      .split("\n")
      .slice(1)
      .map((line) => line.trim().split(/\s+/))
      .filter(([, , state]) => state === "RUNNING")
      .map(([id, pid]) => [id, Number(pid)]),
  );
  const found = new Map();
  for (const { metadata, status } of list.items) {
    for (const { name, containerID, restartCount, state } of status?.containerStatuses ?? []) {
      const id = (containerID ?? "").replace("containerd://", "");
      const pid = pids.get(id);
      const cgroup = pid === undefined ? "" : readFileSync(`/proc/${pid}/cgroup`, "utf8").trim();
      found.set(`${shortName(metadata.name)}/${name}`, {
        id,
        pid,
        restartCount,
        uid: metadata.uid,
        qos: status.qosClass,
        phase: status.phase,
        podIP: status.podIP,
        state: Object.keys(state ?? {})[0],
        cgroup,
      });
    }
  }
  return found;
}

/** Static pods carry the node's name. */
const shortName = (name) => name.replace(/-vm$/, "");

function lasting(containers) {
  return [...containers].filter(([name]) => LASTING.includes(name.split("/")[0]));
}

async function until(what, test, limitMs = 240_000) {
  const end = Date.now() + limitMs;
  for (;;) {
    const containers = seen();
    if (test(containers)) {
      check(what, true);
      return containers;
    }
    if (Date.now() > end) {
      check(what, false, [...containers].map(([name, { state }]) => `${name} ${state}`).join(", "));
      return containers;
    }
    await sleep(500);
  }
}

const allRun = (containers) =>
  lasting(containers).length === 5 &&
  lasting(containers).every(([, { pid, state }]) => pid !== undefined && state === "running");

function expectedParent(driver, { uid, qos }) {
  const [name, classes] = [
    `pod${uid}`,
    { Guaranteed: [], Burstable: ["burstable"], BestEffort: ["besteffort"] }[qos],
  ];
  const parts = ["kubepods", ...classes, name];
  if (driver === "cgroupfs") return `/${parts.join("/")}/`;
  return `/${parts
    .map(
      (_, index) =>
        `${parts
          .slice(0, index + 1)
          .map((part) => part.replaceAll("-", "_"))
          .join("-")}.slice`,
    )
    .join("/")}/`;
}

/** Container ids and restart counts now, for the next step. */
function keep(containers, notes = {}) {
  writeFileSync(NOTES, JSON.stringify({ ...notes, containers: lasting(containers) }));
}
const notes = () => JSON.parse(readFileSync(NOTES, "utf8"));

function checkSame(what, containers) {
  const before = new Map(notes().containers);
  const changed = lasting(containers).filter(([name, { id, pid, restartCount }]) => {
    const old = before.get(name);
    return old?.id !== id || old.pid !== pid || old.restartCount !== restartCount;
  });
  check(
    what,
    changed.length === 0 && lasting(containers).length === before.size,
    changed.map(([name]) => name).join(" "),
  );
}

const agentPid = () => Number(sh("systemctl show -P MainPID holdfast").trim());

async function agentAnswers() {
  const end = Date.now() + 180_000;
  while (Date.now() < end) {
    if (sh("holdfast get pods -o name", { quiet: true }).includes("pod/")) return true;
    await sleep(300);
  }
  return false;
}

const steps = {
  async install(driver) {
    sh(`vm-driver ${driver}`);
    mkdirSync(MANIFESTS, { recursive: true });
    writeFileSync("/etc/holdfast/config.yaml", CONFIG);
    cpSync("/opt/holdfast/apps/agent/systemd/holdfast.service", UNIT);
    const verify = sh(`systemd-analyze verify ${UNIT} 2>&1`);
    check("systemd-analyze verify has nothing to say", verify.trim() === "", verify.trim());
    console.log(sh("holdfast doctor"));
    for (const name of readdirSync("/opt/holdfast/examples"))
      cpSync(`/opt/holdfast/examples/${name}`, `${MANIFESTS}/${name}`);
    for (const [name, text] of Object.entries(EXTRA)) writeFileSync(`${MANIFESTS}/${name}`, text);
    sh("systemctl daemon-reload; systemctl enable --now holdfast");
    const containers = await until("the pods run", allRun);
    for (const [name, container] of lasting(containers)) {
      const parent = expectedParent(driver, container);
      check(
        `${name} is in its pod's cgroup`,
        container.cgroup.includes(parent),
        container.cgroup.replace(/([0-9a-f]{12})[0-9a-f]{52}/, "$1"),
      );
    }
    check("its port answers", sh("busybox wget -qO- http://127.0.0.1:8080/").includes("Hello"));
    console.log(
      sh(
        `cd /sys/fs/cgroup$(grep -o '/.*/' /proc/${containers.get("guaranteed/c")?.pid}/cgroup | head -1); grep -H . cpu.weight cpu.max memory.max pids.max`,
      ),
    );
    check(
      "a user that is not root can write what it may",
      sh("holdfast logs nonroot").includes("allowed"),
      sh("holdfast logs nonroot").trim(),
    );
    check(
      "the job completes",
      (await until("the job's end", (all) => all.get("job/count")?.phase === "Succeeded")).has("job/count"),
    );
    check("state folder 0700", sh("stat -c %a /var/lib/holdfast").trim() === "700");
    check("socket 0600", sh("stat -c %a /run/holdfast/holdfast.sock").trim() === "600");
    check("oom_score_adj -999", sh(`cat /proc/${agentPid()}/oom_score_adj`).trim() === "-999");
    console.log(sh("holdfast get pods -o wide; holdfast doctor; systemctl status holdfast --no-pager -n 0"));
    console.log(sh("systemctl list-units --all --plain --no-legend 'kubepods*'"));
    keep(containers, { driver });
  },
  async restart() {
    const before = agentPid();
    const from = Date.now();
    sh("systemctl restart holdfast");
    const took = Date.now() - from;
    check(
      "another process",
      agentPid() !== before && agentPid() > 1,
      `${before} -> ${agentPid()}, ${took} ms`,
    );
    check("it answers", await agentAnswers());
    checkSame("restart: nothing was restarted", await until("the pods still run", allRun));
    sh("systemctl restart containerd");
    checkSame("restart of containerd: nothing was restarted", await until("the pods still run", allRun));
    check(
      "the agent was left alone",
      agentPid() !== 0 && sh("systemctl show -P NRestarts holdfast").trim() === "0",
    );
  },
  async kill() {
    for (let round = 0; round < 8; round++) {
      const before = agentPid();
      if (before < 2) break;
      sh(`kill -9 ${before}`);
      const end = Date.now() + 30_000;
      while ((agentPid() === before || agentPid() === 0) && Date.now() < end) await sleep(100);
    }
    check(
      "eight kills in a row: started again each time",
      sh("systemctl is-active holdfast").trim() === "active",
      `NRestarts ${sh("systemctl show -P NRestarts holdfast").trim()}`,
    );
    if (sh("systemctl is-active holdfast").trim() !== "active")
      sh("systemctl reset-failed holdfast; systemctl start holdfast");
    check("it answers", await agentAnswers());
    checkSame("kill -9: nothing was restarted", await until("the pods still run", allRun));
  },
  async stop() {
    const before = notes();
    sh("systemctl stop holdfast");
    check(
      "stopped",
      sh("systemctl is-active holdfast").trim() === "inactive",
      sh("systemctl show -P Result,ExecMainStatus holdfast").trim().replaceAll("\n", " "),
    );
    for (const [name, { pid }] of before.containers)
      check(`${name} lives on without the agent`, existsSync(`/proc/${pid}`));
    const victim = new Map(before.containers).get("guaranteed/c");
    sh(`kill -9 ${victim.pid}`);
    sh("systemctl start holdfast");
    check("it answers", await agentAnswers());
    const containers = await until(
      "what died meanwhile runs again",
      (all) => allRun(all) && all.get("guaranteed/c").restartCount === victim.restartCount + 1,
    );
    keep(containers, { driver: before.driver });
  },
  async removal() {
    const { driver } = notes();
    sh(`rm ${MANIFESTS}/*`);
    const end = Date.now() + 240_000;
    while (sh("ctr -n k8s.io containers ls -q").trim() !== "" && Date.now() < end) await sleep(500);
    await sleep(3000);
    check("no container is left", sh("ctr -n k8s.io containers ls -q").trim() === "");
    check(
      "no pod cgroup is left",
      sh("find /sys/fs/cgroup -type d -name '*pod*-*' -o -type d -name 'kubepods*-pod*'").trim() === "",
      sh("find /sys/fs/cgroup -type d -name '*pod*-*' -o -type d -name 'kubepods*-pod*'").trim(),
    );
    check(
      "no pod folder is left",
      readdirSync("/var/lib/holdfast/pods").length === 0,
      readdirSync("/var/lib/holdfast/pods").join(" "),
    );
    check("no mount is left", !/holdfast\/pods/.test(readFileSync("/proc/mounts", "utf8")));
    check(
      "no log folder is left",
      readdirSync("/var/log/pods").length === 0,
      readdirSync("/var/log/pods").join(" "),
    );
    check(
      "no address is left",
      readdirSync("/var/lib/cni/networks/pods").every((name) => !/^\d/.test(name)),
    );
    console.log(
      `${driver}, units:\n${sh("systemctl list-units --all --plain --no-legend 'kubepods*' 'cri-containerd*'")}`,
    );
  },
  async rebooted() {
    const before = notes();
    const old = new Map(before.containers);
    check("the unit came with the boot", await agentAnswers());
    const containers = await until("the pods run again", allRun);
    for (const [name, container] of lasting(containers)) {
      check(
        `${name} is new, its restarts counted`,
        container.id !== old.get(name)?.id &&
          container.restartCount === (old.get(name)?.restartCount ?? 0) + 1,
        `${old.get(name)?.restartCount} -> ${container.restartCount}`,
      );
      check(
        `${name} is in its pod's cgroup`,
        container.cgroup.includes(expectedParent(before.driver, container)),
      );
    }
    check(
      "the job was not run again",
      containers.get("job/count")?.phase === "Succeeded" && containers.get("job/count")?.restartCount === 0,
    );
    check("its port answers", sh("busybox wget -qO- http://127.0.0.1:8080/").includes("Hello"));
    console.log(
      sh(
        "holdfast get pods -o wide; ctr -n k8s.io containers ls; ls /var/lib/cni/networks/pods; systemd-analyze critical-chain holdfast.service --no-pager",
      ),
    );
    keep(containers, { driver: before.driver });
  },
};

const [step = "", argument] = process.argv.slice(2);
await steps[step](argument);
process.exitCode = failed ? 1 : 0;
