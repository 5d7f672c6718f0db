// SPDX-License-Identifier: Apache-2.0
/*
 * Removes a private instance and everything that its containers made on this machine: processes, mounts, cgroups, iptables chains, the bridge.
 * Works from what the kernel shows, not from what containerd remembers, so that it also works after a crash.
 */
import { existsSync, readdirSync, rmdirSync, rmSync } from "node:fs";
import { dirname, join } from "node:path";
import { containerdDown } from "./containerd.mjs";
import { readText } from "./host.mjs";
import { withLock } from "./lock.mjs";
import { instancePaths, runRoot } from "./paths.mjs";
import { descendants, listProcesses, processStat, signal } from "./processes.mjs";
import { tryRun, waitFor } from "./run.mjs";
import { ensureRuntimeFiles } from "./runtime-files.mjs";
import { note, SetupError, step, warn } from "./say.mjs";

/** Time that containers get between SIGTERM and SIGKILL, milliseconds. */
const GRACE_MS = 2000;

/** Removes the instance's processes, kernel objects and folders. */
export function removeInstance(name) {
  return withLock(`containerd-${name}`, () => remove(name));
}

async function remove(name) {
  const paths = instancePaths(name);
  if (!existsSync(paths.dir) && !existsSync(paths.run)) return;
  step(`Removing the private containerd "${name}" and its containers`);
  const files = await ensureRuntimeFiles();
  await containerdDown(name);
  const cgroups = await endContainers(paths);
  removeShimSockets(paths);
  await unmountBelow([paths.run, paths.dir]);
  removeCgroups(cgroups);
  await removeRules(paths.bridge, files);
  await tryRun(files.busybox, ["ip", "link", "delete", paths.bridge]);
  removeCniResults(paths);
  for (const dir of [paths.run, paths.dir]) rmSync(dir, { recursive: true, force: true });
  for (const dir of [runRoot, "/run/containerd/s", "/run/containerd"]) removeIfEmpty(dir);
}

/** Ends every shim of this instance and all below it. Returns the cgroups that they were in. */
async function endContainers(paths) {
  const all = listProcesses();
  const shims = all.filter(
    ({ words }) => /containerd-shim/.test(words[0] ?? "") && words.includes(paths.socket),
  );
  const members = shims.flatMap((shim) => descendants(shim.pid, all));
  const cgroups = new Set(members.flatMap(({ pid }) => cgroupFolders(pid)));
  const living = (entries) =>
    entries.filter(({ pid, startTime }) => processStat(pid)?.startTime === startTime);
  for (const { pid } of members) signal(pid, "SIGTERM");
  await waitFor(() => living(members).length === 0, GRACE_MS);
  for (const { pid } of living(members)) signal(pid, "SIGKILL");
  for (const { pid } of shims) signal(pid, "SIGKILL");
  await waitFor(() => living([...members, ...shims]).length === 0, 5000);
  const left = living([...members, ...shims]);
  if (left.length > 0) warn(`still there after SIGKILL: pids ${left.map(({ pid }) => pid).join(" ")}`);
  if (shims.length > 0) note(`${shims.length} shims and ${members.length} processes ended`);
  return cgroups;
}

/** Mount points of the cgroup hierarchies, by the text before the last colon of a /proc/PID/cgroup line. */
function cgroupFolders(pid) {
  const folders = [];
  for (const line of readText(`/proc/${pid}/cgroup`).trim().split("\n")) {
    const [, controllers = "", path = "/"] = /^\d+:([^:]*):(.*)$/.exec(line) ?? [];
    if (path === "/" || path.includes("..")) continue;
    const mounts =
      controllers === ""
        ? ["/sys/fs/cgroup", "/sys/fs/cgroup/unified"]
        : [`/sys/fs/cgroup/${controllers.replace(/^name=/, "")}`];
    folders.push(...mounts.map((mount) => join(mount, path)).filter((folder) => existsSync(folder)));
  }
  return folders;
}

/** Removes the containers' cgroups and the folders above them that are empty then. A folder with a process or a child in it stays by itself. */
function removeCgroups(folders) {
  for (const folder of folders) {
    for (
      let path = folder;
      path.split("/").length > 5 || !/^\/sys\/fs\/cgroup(\/[^/]+)?$/.test(path);
      path = dirname(path)
    ) {
      if (!removeIfEmpty(path)) break;
    }
  }
}

/** Removes an empty folder (a cgroup: one without processes and children). True when it is gone. */
export function removeIfEmpty(path) {
  try {
    rmdirSync(path);
    return true;
  } catch (error) {
    return error.code === "ENOENT";
  }
}

/** Removes the trees below `path` in every cgroup hierarchy, the deepest first. */
export function removeCgroupTrees(path) {
  const hierarchies = [
    "/sys/fs/cgroup",
    ...listFolder("/sys/fs/cgroup").map((name) => join("/sys/fs/cgroup", name)),
  ];
  const removeTree = (dir) => {
    for (const entry of existsSync(dir) ? readdirSync(dir, { withFileTypes: true }) : []) {
      if (entry.isDirectory()) removeTree(join(dir, entry.name));
    }
    removeIfEmpty(dir);
  };
  for (const hierarchy of hierarchies)
    for (const name of [path, `${path}.slice`]) removeTree(join(hierarchy, name));
}

/**
 * Unmounts everything below the folders, the deepest first. Throws when something stays mounted: what is removed next must not be the content of
 * somebody's volume.
 */
export async function unmountBelow(folders) {
  for (const point of mountsBelow(folders).reverse())
    await tryRun("umount", ["-l", point], { timeoutMs: 10_000 });
  const left = mountsBelow(folders);
  if (left.length > 0)
    throw new SetupError(
      `still mounted: ${left.join(" ")}`,
      "unmount it by hand, then run the same command again",
    );
}

/** Mount points below the folders, in the order in which they were mounted. */
export function mountsBelow(folders) {
  const unescape = (text) =>
    text.replace(/\\(\d{3})/g, (_, octal) => String.fromCharCode(Number.parseInt(octal, 8)));
  return readText("/proc/self/mountinfo")
    .split("\n")
    .map((line) => unescape(line.split(" ")[4] ?? ""))
    .filter((point) => folders.some((folder) => point.startsWith(`${folder}/`)));
}

/** Removes the nat rules that CNI's bridge and portmap made for our network: each carries the network's name in its comment. */
async function removeRules(network, files) {
  const iptables = (...args) => tryRun("iptables", ["-w", "5", "-t", "nat", ...args], { env: files.env });
  const rules = (await iptables("-S")).stdout.split("\n").filter((line) => line.startsWith("-A "));
  const ours = rules.filter((line) => line.includes(`name: \\"${network}\\"`));
  const chains = new Set(ours.flatMap((line) => /-j (CNI-(?!HOSTPORT)\S+)/.exec(line)?.[1] ?? []));
  for (const line of ours) await iptables("-D", ...splitRule(line).slice(1));
  for (const chain of chains) await iptables("-F", chain);
  for (const chain of chains) await iptables("-X", chain);
  await removeEmptyHostPortChains(iptables);
}

/** portmap's shared chains: it makes them again when it needs them, so that they may go as soon as no network has a hostPort. */
async function removeEmptyHostPortChains(iptables) {
  const rules = (await iptables("-S")).stdout.split("\n");
  if (
    !rules.includes("-N CNI-HOSTPORT-DNAT") ||
    rules.some((line) => line.startsWith("-A CNI-HOSTPORT-DNAT "))
  )
    return;
  for (const line of rules.filter((rule) => /^-A .* -j CNI-HOSTPORT-/.test(rule)))
    await iptables("-D", ...splitRule(line).slice(1));
  for (const verb of ["-F", "-X"])
    for (const chain of ["DNAT", "MASQ", "SETMARK"]) await iptables(verb, `CNI-HOSTPORT-${chain}`);
}

/** The words of a rule as iptables -S prints it: double quotes around words with spaces, backslash before a quote. */
export function splitRule(line) {
  return [...line.matchAll(/"((?:[^"\\]|\\.)*)"|(\S+)/g)].map(([, quoted, plain]) =>
    quoted === undefined ? plain : quoted.replace(/\\(.)/g, "$1"),
  );
}

/** A killed shim leaves its socket in /run/containerd/s, wherever containerd's own state is; the task's folder says which one. */
function removeShimSockets(paths) {
  const tasks = join(paths.state, "io.containerd.runtime.v2.task", "k8s.io");
  for (const id of listFolder(tasks)) {
    const socket = /^unix:\/\/(\/run\/containerd\/s\/[0-9a-f]+)$/.exec(
      readText(join(tasks, id, "address")).trim(),
    )?.[1];
    if (socket) rmSync(socket, { force: true });
  }
}

/** libcni remembers results in /var/lib/cni, whatever containerd's own root is: of our network, and of our sandboxes' loopback. */
function removeCniResults(paths) {
  const dir = "/var/lib/cni/results";
  const sandboxes = listFolder(join(paths.root, "io.containerd.grpc.v1.cri", "sandboxes"));
  for (const name of listFolder(dir)) {
    if (name.startsWith(`${paths.bridge}-`) || sandboxes.some((id) => name.includes(id)))
      rmSync(join(dir, name), { force: true });
  }
  for (const path of [dir, dirname(dir)]) removeIfEmpty(path);
}

function listFolder(dir) {
  return existsSync(dir) ? readdirSync(dir) : [];
}
