// SPDX-License-Identifier: Apache-2.0
/*
 * A private containerd, one per instance name: its own root, state, socket, bridge and subnet, in a process session of its own, so that Ctrl-C in
 * the terminal that started it does not reach it. `up` leaves a running one alone; `down` stops the daemon and nothing else: its containers go on.
 */
import { spawn } from "node:child_process";
import {
  chmodSync,
  existsSync,
  mkdirSync,
  openSync,
  closeSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { bootId, canLowerOomScore, overlayWorksIn, readText, systemdOwnsCgroups } from "./host.mjs";
import { ensureHostFiles } from "./host-files.mjs";
import { containerdConfig } from "./containerd-config.mjs";
import { withLock } from "./lock.mjs";
import { chooseSubnet, cniConfig, usedNetworks } from "./network.mjs";
import { PAUSE_IMAGE } from "./images.mjs";
import { instancePaths, runRoot } from "./paths.mjs";
import { endProcess, livingPid, processIdentity } from "./processes.mjs";
import { tryRun, waitFor } from "./run.mjs";
import { ensureRuntimeFiles } from "./runtime-files.mjs";
import { note, SetupError, step } from "./say.mjs";

/** A log larger than this is set aside at the next start, bytes. */
const LOG_LIMIT_BYTES = 8 * 1024 * 1024;
const START_TIMEOUT_MS = 30_000;

/** What is true of an instance now. */
export async function containerdStatus(name) {
  const paths = instancePaths(name);
  const pid = livingPid(paths.pid);
  return { name, pid, socket: paths.socket, facts: JSON.parse(readText(paths.facts) || "null"), paths };
}

/** Whether something that speaks containerd's API answers at `socket`. Returns its version. */
export async function containerdAnswers(socket, files, timeoutMs = 5000) {
  if (!existsSync(socket)) return undefined;
  const result = await tryRun(files.ctr, ["--address", socket, "--connect-timeout", "2s", "version"], {
    env: files.env,
    timeoutMs,
  });
  if (result.status !== 0) return undefined;
  return /Server:\s*Version:\s*(\S+)/.exec(result.stdout)?.[1] ?? "unknown";
}

/**
 * Brings the instance up and returns how to reach it.
 * @param {string} name
 * @returns {Promise<{ paths: ReturnType<typeof instancePaths>, files: Awaited<ReturnType<typeof ensureRuntimeFiles>>, version: string }>}
 */
export function containerdUp(name) {
  return withLock(`containerd-${name}`, () => up(name));
}

async function up(name) {
  const paths = instancePaths(name);
  const files = await ensureRuntimeFiles();
  if (livingPid(paths.pid)) {
    const version = await containerdAnswers(paths.socket, files);
    if (version) return { paths, files, version };
    await containerdDown(name);
  }
  step(`Starting a private containerd (instance "${name}")`);
  await prepare(paths, files);
  const pid = launch(paths, files);
  const version = await waitFor(
    async () => (livingPid(paths.pid) ? containerdAnswers(paths.socket, files) : "died"),
    START_TIMEOUT_MS,
    100,
  );
  if (version === undefined || version === "died") {
    const why =
      version === "died"
        ? "ended right after its start"
        : `does not answer after ${START_TIMEOUT_MS / 1000} s`;
    await containerdDown(name);
    throw new SetupError(
      `containerd ${why}`,
      `read ${paths.log}`,
      readText(paths.log).trim().split("\n").slice(-12).join("\n"),
    );
  }
  const facts = JSON.parse(readText(paths.facts));
  note(`containerd ${version}, pid ${pid}, ${facts.snapshotter}, pods in ${facts.subnet} on ${paths.bridge}`);
  note(`socket ${paths.socket}`);
  return { paths, files, version };
}

/** Stops the daemon; containers go on running and are found again by the next `up`. */
export async function containerdDown(name) {
  const paths = instancePaths(name);
  const pid = livingPid(paths.pid);
  if (pid !== undefined) await endProcess(pid);
  rmSync(paths.pid, { force: true });
  rmSync(paths.socket, { force: true });
  rmSync(`${paths.socket}.ttrpc`, { force: true });
  return pid !== undefined;
}

/** Folders, facts and configuration. Facts that pods depend on (snapshotter, subnet) stay as they were first chosen. */
async function prepare(paths, files) {
  for (const dir of [paths.root, paths.cniConf, paths.certs, paths.podLogs])
    mkdirSync(dir, { recursive: true });
  mkdirSync(runRoot, { recursive: true, mode: 0o711 });
  mkdirSync(paths.run, { recursive: true, mode: 0o711 });
  chmodSync(paths.run, 0o711);
  forgetLastBoot(paths);
  ensureHostFiles();
  const known = JSON.parse(readText(paths.facts) || "{}");
  const facts = {
    snapshotter: known.snapshotter ?? ((await overlayWorksIn(paths.root)) ? "overlayfs" : "native"),
    subnet: known.subnet ?? chooseSubnet(paths.bridge, usedNetworks()),
    systemdCgroup: systemdOwnsCgroups(),
    restrictOomScoreAdj: !canLowerOomScore(),
  };
  writeFileSync(paths.facts, `${JSON.stringify(facts, null, 2)}\n`);
  writeFileSync(
    `${paths.cniConf}/10-holdfast.conflist`,
    cniConfig({ name: paths.bridge, subnet: facts.subnet, ipamDir: paths.ipam }),
  );
  writeFileSync(paths.config, containerdConfig({ paths, files, ...facts, pauseImage: PAUSE_IMAGE }));
}

/** Where /run is no tmpfs, what an earlier boot left there would be taken for running tasks. */
function forgetLastBoot(paths) {
  if (readText(paths.boot).trim() !== bootId()) {
    for (const dir of [paths.state, paths.runc, paths.ipam]) rmSync(dir, { recursive: true, force: true });
  }
  writeFileSync(paths.boot, `${bootId()}\n`);
}

function launch(paths, files) {
  if (existsSync(paths.log) && statSync(paths.log).size > LOG_LIMIT_BYTES)
    renameSync(paths.log, `${paths.log}.1`);
  const log = openSync(paths.log, "a");
  // `detached` is setsid(2): a session of its own, out of reach of the terminal's signals.
  const child = spawn(files.containerd, ["--config", paths.config], {
    env: files.env,
    cwd: "/",
    detached: true,
    stdio: ["ignore", log, log],
  });
  closeSync(log);
  child.on("error", () => {});
  child.unref();
  if (child.pid === undefined)
    throw new SetupError(`${files.containerd} cannot be run`, "run npm run clean, then try again");
  writeFileSync(paths.pid, `${processIdentity(child.pid) ?? `${child.pid} 0`}\n`);
  return child.pid;
}
