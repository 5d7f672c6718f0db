// SPDX-License-Identifier: Apache-2.0
/*
 * Where set-up puts things. Everything that may live long stands under `<repo>/.holdfast/`; unix sockets and containerd's state stand under
 * `/run/holdfast-<hash of the repository's path>/`, because a socket's path may have 107 bytes at most (sun_path) and a repository's may not fit,
 * and because run-time state should vanish on a reboot. Nothing here touches the disk.
 */
import { createHash } from "node:crypto";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

/** The repository's root. */
export const repo = join(dirname(fileURLToPath(import.meta.url)), "..", "..");
/** Eight hex digits that tell this clone from another one on the same machine. */
export const repoHash = createHash("sha256").update(repo).digest("hex").slice(0, 8);
/** All that set-up makes and keeps. */
export const home = join(repo, ".holdfast");
/** Short paths, gone after a reboot. */
export const runRoot = `/run/holdfast-${repoHash}`;
/** pnpm, installed for this clone only. */
export const toolsDir = join(home, "tools");
/** The workspace's own programs, Node 24 first among them. */
export const binDir = join(repo, "node_modules", ".bin");
/** Node 24 from the npm registry. */
export const node24 = join(binDir, "node");
/** The launcher of the agent. */
export const holdfastBin = join(repo, "apps", "agent", "bin", "holdfast");
/** Small files that say "done, for this input". */
export const stampsDir = join(home, "stamps");
/** Tests give `npm start` a name, and a runtime by HOLDFAST_RUNTIME: it then stands beside the one that a person may have running. */
const startName = process.env.HOLDFAST_START_NAME ?? "";
const suffix = startName === "" ? "" : `-${startName}`;
/** Which runtime `npm start` chose. */
export const runtimeChoiceFile = join(home, `runtime-choice${suffix}.json`);
/** All cgroups of `npm start`'s pods stand below this one, so that clean knows them. No dash: systemd reads one as a step down. */
export const startCgroupRoot = `/holdfast${repoHash}${startName}`;

/** Where Debian's packages of one suite are unpacked. */
export function runtimeDir(suite) {
  return join(home, "runtime", suite);
}

/**
 * The places of one private containerd.
 * @param {string} name instance name: lower case letters, digits, dashes
 */
export function instancePaths(name) {
  if (!/^[a-z][a-z0-9-]{0,15}$/.test(name))
    throw new Error(`instance name "${name}": use a-z, 0-9 and "-", at most 16 characters`);
  const dir = join(home, "containerd", name);
  const run = join(runRoot, name);
  return {
    name,
    dir,
    run,
    root: join(dir, "root"),
    config: join(dir, "config.toml"),
    log: join(dir, "containerd.log"),
    facts: join(dir, "instance.json"),
    cniConf: join(dir, "cni"),
    certs: join(dir, "certs.d"),
    podLogs: join(dir, "pod-logs"),
    state: join(run, "state"),
    runc: join(run, "runc"),
    ipam: join(run, "ipam"),
    pid: join(run, "containerd.pid"),
    boot: join(run, "boot-id"),
    socket: join(run, "containerd.sock"),
    /** Linux allows 15 characters for an interface's name. */
    bridge: `hf-${createHash("sha256").update(`${repo}\0${name}`).digest("hex").slice(0, 8)}`,
  };
}

const agentFolder = `agent${suffix}`;
/** Where the agent that `npm start` runs keeps its things. */
export const agentPaths = {
  dir: join(home, agentFolder),
  config: join(home, agentFolder, "config.yaml"),
  log: join(home, agentFolder, "agent.log"),
  state: join(home, agentFolder, "state"),
  podLogs: join(home, agentFolder, "pod-logs"),
  run: join(runRoot, agentFolder),
  pid: join(runRoot, agentFolder, "start.pid"),
  manifests: join(repo, "examples"),
  /** Short, for sockets; beside it are plugins_registry and pod-resources. */
  devicePlugins: join(runRoot, agentFolder, "kubelet", "device-plugins"),
};
