// SPDX-License-Identifier: Apache-2.0
/*
 * Which containerd `npm start` uses: the machine's own, when it is ready and no kubelet uses it, else a private one. Chosen once and remembered, because
 * pods stay on the runtime that they were started on. HOLDFAST_RUNTIME=private or =/path/of/containerd.sock decides by hand.
 */
import { existsSync, mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { readText } from "./host.mjs";
import { home, node24, repo, runtimeChoiceFile } from "./paths.mjs";
import { listProcesses } from "./processes.mjs";
import { tryRun } from "./run.mjs";
import { note, warn } from "./say.mjs";
import { toolEnv } from "./toolchain.mjs";

const SYSTEM_SOCKET = "/run/containerd/containerd.sock";

/** Runs one of our TypeScript programs on Node 24. */
export function runTypeScript(file, args, timeoutMs = 30_000) {
  return tryRun(node24, ["--conditions=@holdfast/source", join(repo, "scripts", file), ...args], {
    cwd: repo,
    env: toolEnv(),
    timeoutMs,
  });
}

/** Why the runtime at `socket` is not for us; undefined when it is. */
export async function reasonAgainst(socket) {
  if (!existsSync(socket)) return `no containerd at ${socket}`;
  const checked = await runTypeScript("check-runtime.ts", [socket]);
  if (checked.status !== 0) return `${socket} does not answer as a CRI runtime`;
  const { runtime, runtimeReady, networkReady, kubeletPods } = JSON.parse(checked.stdout);
  if (!runtimeReady) return `${runtime} at ${socket} says that it is not ready`;
  if (!networkReady) return `${runtime} at ${socket} has no pod network`;
  if (kubeletPods > 0) return `a kubelet's pods live on ${socket} (${kubeletPods})`;
  if (listProcesses().some(({ words }) => /(^|\/)kubelet$/.test(words[0] ?? "")))
    return "a kubelet runs on this machine";
  return undefined;
}

/** Reads what was chosen before. */
export function rememberedChoice() {
  return JSON.parse(readText(runtimeChoiceFile) || "null") ?? undefined;
}

/** @returns {Promise<{ kind: "private" | "shared", socket?: string, why: string }>} */
export async function chooseRuntime() {
  const before = rememberedChoice();
  const choice = before ?? (await decide());
  if (before === undefined) {
    mkdirSync(home, { recursive: true });
    writeFileSync(runtimeChoiceFile, `${JSON.stringify(choice, null, 2)}\n`);
  }
  note(
    `runtime: ${choice.kind === "private" ? "a private containerd" : choice.socket} (${before ? "as before: " : ""}${choice.why})`,
  );
  if (before?.kind === "shared") {
    const against = await reasonAgainst(before.socket);
    if (against) warn(`${against}; the agent waits or refuses. npm run clean forgets the choice`);
  }
  return choice;
}

async function decide() {
  const wish = process.env.HOLDFAST_RUNTIME ?? "";
  if (wish === "private") return { kind: "private", why: "HOLDFAST_RUNTIME=private" };
  if (wish !== "") return { kind: "shared", socket: wish.replace(/^unix:\/\//, ""), why: "HOLDFAST_RUNTIME" };
  const against = await reasonAgainst(SYSTEM_SOCKET);
  if (against !== undefined) return { kind: "private", why: against };
  return { kind: "shared", socket: SYSTEM_SOCKET, why: "ready, and no kubelet's pods on it" };
}
