// SPDX-License-Identifier: Apache-2.0

/** Looks at the machine for `holdfast doctor`. Nothing here changes anything. */
import { existsSync, readdirSync, readFileSync, statfsSync, accessSync, constants } from "node:fs";
import { dirname, join } from "node:path";
import { createCriClient } from "@holdfast/cri";
import { errorText, HoldfastError } from "@holdfast/core/errors";
import { silentLogger } from "@holdfast/core/log";
import { readMachineFacts } from "@holdfast/node";
import type { NodeObject } from "../api/types.ts";
import type { AgentConfig, LoadedConfig } from "../config/agent-config.ts";
import { detectCgroupDriver, kubeletRuns } from "../run/runtime-probe.ts";
import { TUNABLE_KEYS } from "./compute-findings.ts";
import type { DoctorFacts, RuntimeFacts } from "./compute-findings.ts";

const CAP_SYS_ADMIN = 21n;
const CAP_SYS_RESOURCE = 24n;
const RUNTIME_DEADLINE_MS = 5000;
const MIN_FREE_BYTES = 64 * 1024 * 1024;

/** Gathers everything; `loaded` is the configuration, or why it does not read; `agent` what the agent answered, if one runs. */
export async function gatherFacts(
  loaded: LoadedConfig | Error,
  fallback: LoadedConfig,
  agent: NodeObject | undefined,
): Promise<DoctorFacts> {
  const config = loaded instanceof Error ? fallback.config : loaded.config;
  const machine = readMachineFacts();
  const capabilities = BigInt(`0x${/^CapEff:\s*([0-9a-f]+)/m.exec(text("/proc/self/status"))?.[1] ?? "0"}`);
  return {
    root: process.getuid?.() === 0,
    napiVersion: Number(process.versions["napi"]),
    nodeVersion: process.versions.node,
    machine: await machineText(),
    cgroupVersion: machine.cgroupVersion,
    cgroupControllers:
      machine.cgroupVersion === 2
        ? text("/sys/fs/cgroup/cgroup.controllers").split(/\s+/)
        : list("/sys/fs/cgroup").flatMap((name) => name.split(",")),
    swapBytes: machine.swapBytes,
    capSysResource: hasBit(capabilities, CAP_SYS_RESOURCE),
    capSysAdmin: hasBit(capabilities, CAP_SYS_ADMIN),
    kernelTunables: Object.fromEntries(
      TUNABLE_KEYS.map((key) => [key, text(`/proc/sys/${key.replaceAll(".", "/")}`) || undefined]),
    ),
    programs: Object.fromEntries(
      ["mount", "umount", "iptables"].map((program) => [program, onPath(program)]),
    ),
    kubeletPodFolders: list("/var/lib/kubelet/pods").length,
    kubeletRunning: kubeletRuns(),
    runtime: await askRuntime(config),
    stateDirProblem: stateDirProblem(config.stateDir),
    manifestPath: config.staticPodPath,
    manifestPathExists: existsSync(config.staticPodPath),
    configProblem: loaded instanceof Error ? loaded.message : undefined,
    configWarnings: loaded instanceof Error ? [] : loaded.warnings,
    configFile: loaded instanceof Error ? undefined : loaded.file,
    agent: agent?.agent,
  };
}

/** systeminformation is loaded only here: it is large, and some of its calls start hundreds of processes. */
async function machineText(): Promise<string> {
  const { default: si } = await import("systeminformation");
  const [os, cpu, memory] = await Promise.all([si.osInfo(), si.cpu(), si.mem()]);
  return `${os.distro} ${os.release}, Linux ${os.kernel}, ${cpu.cores} x ${cpu.manufacturer} ${cpu.brand}, ${Math.round(memory.total / 2 ** 30)} GiB`.replaceAll(
    /\s+/g,
    " ",
  );
}

async function askRuntime({ runtimeEndpoint: endpoint, cgroupDriver }: AgentConfig): Promise<RuntimeFacts> {
  const nothing = {
    endpoint,
    name: "",
    version: "",
    runtimeReady: undefined,
    networkReady: undefined,
    cgroupDriver: undefined,
  };
  await using client = createCriClient({ endpoint });
  try {
    const version = await client.version({ version: "v1" }, { deadlineMs: RUNTIME_DEADLINE_MS });
    const status = await client.status({ verbose: true }, { deadlineMs: RUNTIME_DEADLINE_MS });
    const problem = (type: string): string | undefined => {
      const condition = status.status?.conditions.find((candidate) => candidate.type === type);
      return condition?.status === true
        ? undefined
        : `${condition?.reason ?? "unknown"}: ${condition?.message ?? "not reported"}`;
    };
    return {
      endpoint,
      problem: undefined,
      name: version.runtimeName,
      version: version.runtimeVersion,
      runtimeReady: problem("RuntimeReady"),
      networkReady: problem("NetworkReady"),
      cgroupDriver: await detectCgroupDriver(
        client,
        cgroupDriver,
        silentLogger,
        AbortSignal.timeout(RUNTIME_DEADLINE_MS),
      ),
    };
  } catch (error) {
    return { ...nothing, problem: HoldfastError.is(error) ? withoutCall(error.message) : errorText(error) };
  }
}

/** The report names the endpoint itself. */
function withoutCall(message: string): string {
  return message.replace(/^\w+: nothing answers at \S+: /, "");
}

function stateDirProblem(stateDir: string): string | undefined {
  let folder = stateDir;
  while (!existsSync(folder)) folder = dirname(folder);
  try {
    accessSync(folder, constants.W_OK);
    const { bavail, bsize } = statfsSync(folder);
    if (bavail * bsize < MIN_FREE_BYTES)
      return `only ${Math.round((bavail * bsize) / 2 ** 20)} MiB are free for ${stateDir}`;
  } catch (error) {
    return `${stateDir} cannot be written: ${errorText(error)}`;
  }
  return undefined;
}

function hasBit(value: bigint, bit: bigint): boolean {
  return ((value >> bit) & 1n) === 1n;
}

function onPath(program: string): boolean {
  const folders = [...(process.env["PATH"] ?? "").split(":"), "/usr/sbin", "/sbin"];
  return folders.some((folder) => folder !== "" && existsSync(join(folder, program)));
}

function text(path: string): string {
  try {
    return readFileSync(path, "utf8").trim();
  } catch {
    return ""; // not on this machine, or gone meanwhile
  }
}

function list(path: string): string[] {
  try {
    return readdirSync(path);
  } catch {
    return []; // not on this machine
  }
}
