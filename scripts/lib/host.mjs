// SPDX-License-Identifier: Apache-2.0
/* What this machine is and can do. Only reads. */
import { existsSync, mkdirSync, readFileSync, rmSync, statfsSync } from "node:fs";
import { join } from "node:path";
import { tryRun } from "./run.mjs";
import { SetupError } from "./say.mjs";

/** A file's text, or "" when it cannot be read. */
export function readText(path) {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return "";
  }
}

/** Stops early, with the next step, on a machine where nothing of this can work. */
export function requireHost({ root = true } = {}) {
  if (process.platform !== "linux")
    throw new SetupError(
      `Holdfast runs on Linux, this is ${process.platform}`,
      "use a Debian 12 or 13 machine or VM",
    );
  if (Number(process.versions.node.split(".")[0]) < 18) {
    throw new SetupError(
      `Node ${process.versions.node} is too old for set-up`,
      "apt-get install nodejs npm   (Debian 12 has 18, which is enough; Node 24 then comes by itself)",
    );
  }
  const glibc = process.report?.getReport?.()?.header?.glibcVersionRuntime;
  if (!glibc)
    throw new SetupError(
      "this system does not use glibc; the database library's binary needs glibc 2.34",
      "use Debian 12 or 13",
    );
  const [major, minor] = glibc.split(".").map(Number);
  if (major < 2 || (major === 2 && minor < 34)) {
    throw new SetupError(
      `glibc ${glibc} is too old; the database library's binary needs 2.34`,
      "use Debian 12 or newer",
    );
  }
  if (root && process.getuid?.() !== 0) {
    throw new SetupError(
      "root is needed: pods are made of namespaces, mounts and cgroups",
      "sudo npm start   (or sudo npm test)",
    );
  }
}

/** Debian's code name of this system ("bookworm"), or "" when it is not Debian. */
export function debianCodename() {
  const text = readText("/etc/os-release");
  if (!/^ID=("?)debian\1$/m.test(text)) return "";
  return /^VERSION_CODENAME="?([a-z]+)"?$/m.exec(text)?.[1] ?? "";
}

/** Debian's name of this processor. */
export function debianArch() {
  return { x64: "amd64", arm64: "arm64" }[process.arch] ?? process.arch;
}

/** Changes on every boot. */
export function bootId() {
  return readText("/proc/sys/kernel/random/boot_id").trim();
}

const CAP_SYS_RESOURCE = 24n;

/** Whether this process may lower an oom_score_adj. */
export function canLowerOomScore() {
  const effective = /^CapEff:\s*([0-9a-f]+)$/m.exec(readText("/proc/self/status"))?.[1] ?? "0";
  return ((BigInt(`0x${effective}`) >> CAP_SYS_RESOURCE) & 1n) === 1n;
}

const CGROUP2_SUPER_MAGIC = 0x63677270;

/** Whether /sys/fs/cgroup is the unified hierarchy. */
export function isCgroupV2() {
  try {
    return statfsSync("/sys/fs/cgroup").type === CGROUP2_SUPER_MAGIC;
  } catch {
    return existsSync("/sys/fs/cgroup/cgroup.controllers");
  }
}

/** systemd owns the cgroup tree: then runc must ask it. */
export function systemdOwnsCgroups() {
  return isCgroupV2() && existsSync("/run/systemd/system") && readText("/proc/1/comm").trim() === "systemd";
}

/** Tries a real overlay mount in `dir`: a repository on overlayfs (inside a container) or on a network file system cannot carry one. */
export async function overlayWorksIn(dir) {
  const base = join(dir, ".overlay-check");
  const part = (name) => join(base, name);
  try {
    for (const name of ["lower", "upper", "work", "merged"]) mkdirSync(part(name), { recursive: true });
    const options = `lowerdir=${part("lower")},upperdir=${part("upper")},workdir=${part("work")}`;
    const mounted = await tryRun("mount", ["-t", "overlay", "overlay", "-o", options, part("merged")], {
      timeoutMs: 10_000,
    });
    if (mounted.status !== 0) return false;
    await tryRun("umount", [part("merged")], { timeoutMs: 10_000 });
    return true;
  } finally {
    rmSync(base, { recursive: true, force: true });
  }
}
