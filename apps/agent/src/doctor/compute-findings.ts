// SPDX-License-Identifier: Apache-2.0

/** What `holdfast doctor` says about the facts it gathered: pure. Kernel settings are checked, never written. */

/** Everything doctor looks at. Undefined means that it could not be found out. */
export interface DoctorFacts {
  readonly root: boolean;
  readonly napiVersion: number;
  readonly nodeVersion: string;
  readonly machine: string;
  readonly cgroupVersion: 1 | 2;
  readonly cgroupControllers: readonly string[];
  readonly swapBytes: number;
  readonly capSysResource: boolean;
  readonly capSysAdmin: boolean;
  readonly kernelTunables: Readonly<Record<string, string | undefined>>;
  readonly programs: Readonly<Record<string, boolean>>;
  readonly kubeletPodFolders: number;
  readonly kubeletRunning: boolean;
  readonly runtime: RuntimeFacts;
  readonly stateDirProblem: string | undefined;
  readonly manifestPath: string;
  readonly manifestPathExists: boolean;
  readonly configProblem: string | undefined;
  readonly configWarnings: readonly string[];
  /** The file of the settings; undefined when there is none. */
  readonly configFile: string | undefined;
  readonly agent: { readonly version: string; readonly pid: number } | undefined;
}

/** What the runtime answered. */
export interface RuntimeFacts {
  readonly endpoint: string;
  readonly problem: string | undefined;
  readonly name: string;
  readonly version: string;
  readonly runtimeReady: string | undefined;
  readonly networkReady: string | undefined;
  readonly cgroupDriver: string | undefined;
}

/** One line of the report. `mend` is a command or an action. */
export interface Finding {
  readonly level: "ok" | "warning" | "problem";
  readonly text: string;
  readonly mend?: string;
}

/** What the kubelet would write itself (it refuses with protectKernelDefaults); we only say it. */
const TUNABLES: readonly (readonly [key: string, wanted: string, why: string])[] = [
  ["net.ipv4.ip_forward", "1", "pods cannot reach other machines without it"],
  ["vm.overcommit_memory", "1", "the kubelet's setting: memory is refused by limits, not by guesses"],
  ["vm.panic_on_oom", "0", "an out-of-memory kill must not stop the machine"],
  ["kernel.panic", "10", "a node that panics should come back"],
  ["kernel.panic_on_oops", "1", "a kernel that stumbled should not go on"],
];

/** All findings, in the order of the report. */
export function computeFindings(facts: DoctorFacts): Finding[] {
  return [
    { level: "ok", text: facts.machine },
    facts.root
      ? { level: "ok", text: "running as root" }
      : {
          level: "problem",
          text: "not root: containers, cgroups and sockets need it",
          mend: "sudo holdfast doctor",
        },
    facts.napiVersion >= 10
      ? { level: "ok", text: `Node.js ${facts.nodeVersion}` }
      : {
          level: "problem",
          text: `Node.js ${facts.nodeVersion} is too old (24 or later is needed)`,
          mend: "run npm install in the checkout: it brings its own Node 24",
        },
    facts.configProblem === undefined
      ? {
          level: "ok",
          text:
            facts.configFile === undefined
              ? "no configuration file: every setting has its default"
              : `configuration ${facts.configFile} reads`,
        }
      : {
          level: "problem",
          text: facts.configProblem,
          mend: "mend the file; holdfast run --help lists every key",
        },
    ...facts.configWarnings.map((text): Finding => ({ level: "warning", text })),
    ...runtimeFindings(facts.runtime),
    ...cgroupFindings(facts),
    ...kubeletFindings(facts),
    facts.stateDirProblem === undefined
      ? { level: "ok", text: "state folder is usable" }
      : {
          level: "problem",
          text: facts.stateDirProblem,
          mend: "make room, or name another folder as stateDir",
        },
    facts.manifestPathExists
      ? { level: "ok", text: `manifests are read from ${facts.manifestPath}` }
      : {
          level: "warning",
          text: `${facts.manifestPath} does not exist: no pods until it does`,
          mend: `mkdir -p ${facts.manifestPath}`,
        },
    ...programFindings(facts),
    ...tunableFindings(facts),
    facts.agent === undefined
      ? { level: "warning", text: "no agent is running", mend: "systemctl start holdfast, or npm start" }
      : {
          level: "ok",
          text: `the agent is running: holdfast ${facts.agent.version}, pid ${facts.agent.pid}`,
        },
  ];
}

function runtimeFindings(runtime: RuntimeFacts): Finding[] {
  if (runtime.problem !== undefined) {
    const text = `no container runtime answers at ${runtime.endpoint}: ${runtime.problem}`;
    return [
      {
        level: "problem",
        text,
        mend: "start containerd, or set containerRuntimeEndpoint; npm start brings a private one",
      },
    ];
  }
  const findings: Finding[] = [
    { level: "ok", text: `${runtime.name} ${runtime.version} answers at ${runtime.endpoint}` },
  ];
  if (runtime.runtimeReady !== undefined)
    findings.push({
      level: "problem",
      text: `runtime is not ready: ${runtime.runtimeReady}`,
      mend: "look at its log: journalctl -u containerd",
    });
  if (runtime.networkReady !== undefined) {
    findings.push({
      level: "problem",
      text: `network is not ready: ${runtime.networkReady}`,
      mend: "put a CNI configuration into /etc/cni/net.d and the plugins into the runtime's CNI folder",
    });
  }
  if (runtime.cgroupDriver !== undefined)
    findings.push({ level: "ok", text: `the runtime uses the ${runtime.cgroupDriver} cgroup driver` });
  return findings;
}

function cgroupFindings(facts: DoctorFacts): Finding[] {
  const missing = ["cpu", "cpuset", "memory", "pids"].filter(
    (controller) => !facts.cgroupControllers.includes(controller),
  );
  return [
    facts.cgroupVersion === 2
      ? { level: "ok", text: "cgroup v2" }
      : {
          level: "warning",
          text: "cgroup v1: works, but memory kills are per process and pressure is not measured",
          mend: "boot with systemd.unified_cgroup_hierarchy=1",
        },
    ...(missing.length === 0
      ? []
      : [
          {
            level: "problem",
            text: `cgroup controllers are missing: ${missing.join(", ")}`,
            mend: "enable them on the kernel's command line (cgroup_enable=memory)",
          } as const,
        ]),
    ...(facts.swapBytes === 0
      ? []
      : [
          {
            level: "warning",
            text: `${Math.round(facts.swapBytes / 2 ** 20)} MiB of swap: memory limits are softer than they look`,
            mend: "swapoff -a",
          } as const,
        ]),
    ...(facts.capSysResource
      ? []
      : [
          {
            level: "warning",
            text: "CAP_SYS_RESOURCE is missing: oom_score_adj cannot be lowered",
            mend: "containerd needs restrict_oom_score_adj = true here",
          } as const,
        ]),
    ...(facts.capSysAdmin
      ? []
      : [
          {
            level: "problem",
            text: "CAP_SYS_ADMIN is missing: nothing can be mounted",
            mend: "run outside a restricted container",
          } as const,
        ]),
  ];
}

function kubeletFindings(facts: DoctorFacts): Finding[] {
  if (facts.kubeletRunning)
    return [
      {
        level: "problem",
        text: "a kubelet is running on this machine",
        mend: "stop it, or give holdfast a containerd of its own; --share overrules",
      },
    ];
  if (facts.kubeletPodFolders > 0)
    return [
      {
        level: "warning",
        text: `${facts.kubeletPodFolders} pod folders of a kubelet lie in /var/lib/kubelet/pods`,
        mend: "nothing of them is touched",
      },
    ];
  return [];
}

function programFindings(facts: DoctorFacts): Finding[] {
  const packages: Readonly<Record<string, string>> = {
    mount: "mount",
    umount: "mount",
    iptables: "iptables",
  };
  return Object.entries(facts.programs)
    .filter(([, there]) => !there)
    .map(([program]) => ({
      level: "warning",
      text: `${program} is not installed${program === "iptables" ? ": CNI's portmap (hostPort) needs it on the runtime's PATH" : ": in-memory emptyDir volumes need it"}`,
      mend: `apt-get install ${packages[program] ?? program}`,
    }));
}

function tunableFindings(facts: DoctorFacts): Finding[] {
  return TUNABLES.filter(
    ([key, wanted]) => facts.kernelTunables[key] !== undefined && facts.kernelTunables[key] !== wanted,
  ).map(([key, wanted, why]) => ({
    level: "warning",
    text: `${key} is ${facts.kernelTunables[key]}: ${why}`,
    mend: `sysctl -w ${key}=${wanted}`,
  }));
}

/** The keys of {@link DoctorFacts.kernelTunables}. */
export const TUNABLE_KEYS: readonly string[] = TUNABLES.map(([key]) => key);
