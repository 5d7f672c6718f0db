// SPDX-License-Identifier: Apache-2.0
/*
 * `node --conditions=@holdfast/source scripts/dev/restart-latency.ts SOCKET [RESTARTS]`: kills a container's process, waits for containerd's exit event,
 * creates and starts its successor by direct CRI calls, and prints one line of JSON: p50 and worst of each part, in milliseconds. The floor under every
 * agent's restart. Makes one sandbox and removes it.
 */
import { randomUUID } from "node:crypto";

import { ContainerState, createCriClient, isExecEvent } from "../../packages/cri/src/index.ts";

const [socket = "", count = "20"] = process.argv.slice(2);
const RESTARTS = Number(count);
/** The first ones warm up shim, page cache and V8; they are not counted. */
const WARM_UP = 2;
const EXIT_DEADLINE_MS = 10_000;

const cri = createCriClient({ endpoint: `unix://${socket}` });
const uid = randomUUID();
const sandboxConfig = {
  metadata: { name: "restart-latency", namespace: "default", uid, attempt: 0 },
  linux: { securityContext: { namespaceOptions: { network: 2 } } },
};
const over = new AbortController();
const waiting = new Map<string, (at: number) => void>();

/** Tells whoever waits for it when a main process's exit comes in. */
async function readExits(): Promise<void> {
  for await (const event of cri.containerdEvents({ signal: over.signal, filters: ['topic=="/tasks/exit"'] }))
    if (!isExecEvent(event)) waiting.get(event.containerId)?.(performance.now());
}

function exitOf(containerId: string): Promise<number> {
  return new Promise((resolve, reject) => {
    const late = setTimeout(() => reject(new Error(`no exit event of ${containerId}`)), EXIT_DEADLINE_MS);
    waiting.set(containerId, (at) => {
      clearTimeout(late);
      waiting.delete(containerId);
      resolve(at);
    });
  });
}

async function create(podSandboxId: string, attempt: number): Promise<string> {
  const config = {
    metadata: { name: "app", attempt },
    image: { image: "holdfast.local/busybox:1" },
    command: ["/bin/sleep", "86400"],
  };
  return (await cri.createContainer({ podSandboxId, sandboxConfig, config })).containerId;
}

async function pidOf(containerId: string): Promise<number> {
  const { info } = await cri.containerStatus({ containerId, verbose: true });
  const { pid } = JSON.parse(info["info"] ?? "{}") as { pid?: number };
  if (pid === undefined || pid <= 1) throw new Error(`the runtime does not tell the pid of ${containerId}`);
  return pid;
}

async function isRunning(containerId: string): Promise<boolean> {
  const { status } = await cri.containerStatus({ containerId });
  return status?.state === ContainerState.CONTAINER_RUNNING;
}

/** Milliseconds of each part of one restart. */
interface Parts {
  readonly exitEvent: number;
  readonly create: number;
  readonly start: number;
  readonly total: number;
}

async function restart(podSandboxId: string, old: string, attempt: number): Promise<[string, Parts]> {
  const exit = exitOf(old);
  const pid = await pidOf(old);
  const killedAt = performance.now();
  process.kill(pid, "SIGKILL");
  const toldAt = await exit;
  const next = await create(podSandboxId, attempt);
  const createdAt = performance.now();
  await cri.startContainer({ containerId: next });
  const runningAt = performance.now();
  // containerd 1.x refuses to remove one whose exit its CRI has not seen yet.
  while (await isRunning(old)) await new Promise((resolve) => setTimeout(resolve, 5));
  await cri.removeContainer({ containerId: old });
  const parts = { exitEvent: toldAt - killedAt, create: createdAt - toldAt, start: runningAt - createdAt };
  return [next, { ...parts, total: runningAt - killedAt }];
}

function summary(all: readonly Parts[]): Record<keyof Parts, { p50: number; max: number }> {
  const of = (part: keyof Parts) => {
    const sorted = all.map((one) => one[part]).sort((a, b) => a - b);
    const rounded = (value = 0): number => Math.round(value * 10) / 10;
    return { p50: rounded(sorted[Math.floor(sorted.length / 2)]), max: rounded(sorted.at(-1)) };
  };
  return { exitEvent: of("exitEvent"), create: of("create"), start: of("start"), total: of("total") };
}

const reading = readExits();
const { podSandboxId } = await cri.runPodSandbox({ config: sandboxConfig });
try {
  let current = await create(podSandboxId, 0);
  await cri.startContainer({ containerId: current });
  const measured: Parts[] = [];
  for (let attempt = 1; attempt <= RESTARTS + WARM_UP; attempt++) {
    const [next, parts] = await restart(podSandboxId, current, attempt);
    current = next;
    if (attempt > WARM_UP) measured.push(parts);
  }
  process.stdout.write(`${JSON.stringify({ restarts: measured.length, ...summary(measured) })}\n`);
} finally {
  await cri.removePodSandbox({ podSandboxId });
  over.abort();
  await reading.catch(() => undefined);
  await cri.close();
}
