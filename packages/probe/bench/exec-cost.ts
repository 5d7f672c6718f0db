// SPDX-License-Identifier: Apache-2.0

/** What an exec probe costs on a real containerd: the CPU of containerd, of the pod's shim and of all that the shim has run and buried. Not ours. */
import { randomUUID } from "node:crypto";
import { readdirSync, readFileSync, readlinkSync } from "node:fs";
import { createCriClient } from "@holdfast/cri";

/** The kernel counts in hundredths of a second. */
const MICROS_PER_TICK = 10_000;
const COMMANDS = 100;

/** Per command. */
export interface ExecCost {
  readonly runtimeMicros: number;
  readonly wallMicros: number;
}

/** `endpoint` is a containerd with the image of the tests; a pod on the host's network is made there, and removed. */
export async function execCost(endpoint: string): Promise<ExecCost> {
  const cri = createCriClient({ endpoint });
  const config = {
    metadata: { name: "probe-bench", namespace: "default", uid: randomUUID(), attempt: 0 },
    linux: { securityContext: { namespaceOptions: { network: 2 as const } } },
  };
  const { podSandboxId } = await cri.runPodSandbox({ config });
  try {
    const { containerId } = await cri.createContainer({
      podSandboxId,
      sandboxConfig: config,
      config: {
        metadata: { name: "app", attempt: 0 },
        image: { image: "holdfast.local/busybox:1" },
        command: ["/bin/sleep", "1000"],
      },
    });
    await cri.startContainer({ containerId });
    const run = async (): Promise<void> =>
      void (await cri.execSync({ containerId, cmd: ["/bin/true"], timeout: 10n }));
    await run();
    const pids = [listenerOf(endpoint.replace("unix://", "")), shimOf(podSandboxId)];
    const micros = (): number => pids.reduce((sum, pid) => sum + cpuMicros(pid), 0);
    const before = micros();
    const begun = performance.now();
    for (let turn = 0; turn < COMMANDS; turn++) await run();
    const wallMicros = Math.round(((performance.now() - begun) * 1000) / COMMANDS);
    return { runtimeMicros: Math.round((micros() - before) / COMMANDS), wallMicros };
  } finally {
    await cri.stopPodSandbox({ podSandboxId });
    await cri.removePodSandbox({ podSandboxId });
    await cri.close();
  }
}

const processes = (): string[] => readdirSync("/proc").filter((name) => /^\d+$/.test(name));

function shimOf(sandboxId: string): string {
  const isShim = (pid: string): boolean => {
    const words = textOf(`/proc/${pid}/cmdline`).split("\0");
    return words[words.indexOf("-id") + 1] === sandboxId;
  };
  return found(processes().find(isShim), "the shim");
}

/** Who listens at a Unix socket. */
function listenerOf(path: string): string {
  const inode = textOf("/proc/net/unix")
    .split("\n")
    .map((line) => line.trim().split(/\s+/))
    .find((fields) => fields.at(-1) === path)?.[6];
  const holds = (pid: string): boolean => {
    try {
      const fds = readdirSync(`/proc/${pid}/fd`);
      return fds.some((fd) => readlinkSync(`/proc/${pid}/fd/${fd}`) === `socket:[${inode}]`);
    } catch {
      // It has ended.
      return false;
    }
  };
  return found(processes().find(holds), "containerd");
}

function found(pid: string | undefined, what: string): string {
  if (pid === undefined) throw new Error(`no process of ${what}`);
  return pid;
}

/** A process' own time and that of the children that it has buried, user's and kernel's. */
function cpuMicros(pid: string): number {
  const text = textOf(`/proc/${pid}/stat`);
  const fields = text.slice(text.lastIndexOf(")") + 2).split(" ");
  return fields.slice(11, 15).reduce((sum, ticks) => sum + Number(ticks), 0) * MICROS_PER_TICK;
}

function textOf(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return "";
  }
}
