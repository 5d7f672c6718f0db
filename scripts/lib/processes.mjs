// SPDX-License-Identifier: Apache-2.0
/* Processes by what /proc says of them. A process is named by pid and start time, so that a reused pid is never mistaken for ours. */
import { readdirSync } from "node:fs";
import { readText } from "./host.mjs";
import { waitFor } from "./run.mjs";

/** Parent and start time (in clock ticks since boot) of a process; undefined when it is gone or a zombie. */
export function processStat(pid) {
  const text = readText(`/proc/${pid}/stat`);
  if (text === "") return undefined;
  const fields = text.slice(text.lastIndexOf(")") + 2).split(" ");
  if (fields[0] === "Z" || fields[0] === "X") return undefined;
  return { pid: Number(pid), ppid: Number(fields[1]), startTime: fields[19] };
}

/** "PID STARTTIME", as written to a pid file. */
export function processIdentity(pid) {
  const stat = processStat(pid);
  return stat && `${stat.pid} ${stat.startTime}`;
}

/** The pid in a pid file when that very process still lives. */
export function livingPid(pidFile) {
  const [pid, startTime] = readText(pidFile).trim().split(" ");
  if (!pid || !startTime) return undefined;
  return processStat(pid)?.startTime === startTime ? Number(pid) : undefined;
}

/** Every process: its stat fields and its command line's words. */
export function listProcesses() {
  const all = [];
  for (const name of readdirSync("/proc")) {
    if (!/^\d+$/.test(name)) continue;
    const stat = processStat(name);
    if (stat) all.push({ ...stat, words: readText(`/proc/${name}/cmdline`).split("\0") });
  }
  return all;
}

/** All processes below `pid`, the deepest last. */
export function descendants(pid, all = listProcesses()) {
  const found = [];
  let level = new Set([pid]);
  while (level.size > 0) {
    const children = all.filter((entry) => level.has(entry.ppid));
    found.push(...children);
    level = new Set(children.map((entry) => entry.pid));
  }
  return found;
}

/** Sends a signal; a process that is gone already is no error. */
export function signal(pid, name) {
  try {
    process.kill(pid, name);
  } catch (error) {
    if (error.code !== "ESRCH") throw error;
  }
}

/** Ends one process: SIGTERM, and SIGKILL when it is still there after `graceMs`. */
export async function endProcess(pid, graceMs = 10_000) {
  const started = processStat(pid)?.startTime;
  const gone = () => processStat(pid)?.startTime !== started || started === undefined;
  if (gone()) return;
  signal(pid, "SIGTERM");
  if (await waitFor(gone, graceMs)) return;
  signal(pid, "SIGKILL");
  await waitFor(gone, 5000);
}
