// SPDX-License-Identifier: Apache-2.0
/*
 * The programs of the private containerd: containerd, runc, the CNI plugins, iptables for them, a static busybox and tini. Unpacked once per suite
 * into .holdfast/runtime/SUITE/{root,bin}; bin has the few links that Debian's update-alternatives would make.
 */
import { existsSync, mkdirSync, mkdtempSync, renameSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { downloadPackages, missingLibraries, multiarchTriplet, unpackPackages } from "./debian.mjs";
import { debianCodename, readText } from "./host.mjs";
import { withLock } from "./lock.mjs";
import { home, runtimeDir } from "./paths.mjs";
import { tryRun } from "./run.mjs";
import { note, SetupError, step, warn } from "./say.mjs";

const PROGRAMS = ["runc", "containernetworking-plugins", "busybox-static", "tini", "iptables"];
/** What runc and iptables link to and a bare Debian may lack. The system's own copies go first where they exist. */
const LIBRARIES = [
  "libseccomp2",
  "libxtables12",
  "libip4tc2",
  "libip6tc2",
  "libmnl0",
  "libnftnl11",
  "libnfnetlink0",
  "libnetfilter-conntrack3",
];
const UNPACKED_AS = 1;

/** Which Debian suite containerd is taken from: HOLDFAST_CONTAINERD_SUITE, else the system's own. */
export function containerdSuite() {
  const suite = process.env.HOLDFAST_CONTAINERD_SUITE ?? "";
  if (!/^[a-z]*$/.test(suite))
    throw new SetupError(
      `HOLDFAST_CONTAINERD_SUITE="${suite}" is no suite's name`,
      "use bookworm, trixie or sid",
    );
  return suite === debianCodename() ? "" : suite;
}

/** Unpacks what is missing and returns where things are. Quick when it is all there. */
export async function ensureRuntimeFiles() {
  const suite = containerdSuite();
  const dir = runtimeDir(suite || debianCodename() || "system");
  const stamp = join(dir, "unpacked.json");
  const present = () => JSON.parse(readText(stamp) || "{}").format === UNPACKED_AS;
  if (!present()) await withLock("runtime", async () => present() || (await unpackInto(dir, stamp, suite)));
  return { dir, ...(await locate(dir)) };
}

async function unpackInto(dir, stamp, suite) {
  step(
    `Unpacking Debian's containerd, runc and CNI plugins into ${dir} (nothing is installed on the system)`,
  );
  mkdirSync(home, { recursive: true });
  const work = mkdtempSync(join(home, "unpack-"));
  try {
    const packages = await unpackAll(work, suite);
    rmSync(dir, { recursive: true, force: true });
    mkdirSync(dirname(dir), { recursive: true });
    renameSync(work, dir);
    writeFileSync(stamp, `${JSON.stringify({ format: UNPACKED_AS, packages }, null, 2)}\n`);
  } finally {
    rmSync(work, { recursive: true, force: true });
  }
}

async function unpackAll(work, suite) {
  const debs = join(work, "debs");
  const root = join(work, "root");
  mkdirSync(debs, { recursive: true });
  const common = [...PROGRAMS, ...LIBRARIES];
  await downloadPackages(suite === "" ? ["containerd", ...common] : common, debs);
  // Only containerd comes from another suite: its libc demands are modest, runc's of sid are not.
  if (suite !== "") await downloadPackages(["containerd"], debs, suite);
  const packages = await unpackPackages(debs, root);
  rmSync(debs, { recursive: true, force: true });
  linkPrograms(work, root);
  for (const name of packages.filter((deb) => !deb.startsWith("lib")))
    note(name.replace(/_[a-z0-9]+\.deb$/, "").replace("_", " "));
  return packages;
}

/** iptables' links for both back ends; which one is used is decided at each start. */
function linkPrograms(work, root) {
  for (const kind of ["nft", "legacy"]) {
    const bin = join(work, `iptables-${kind}`);
    mkdirSync(bin);
    for (const family of ["iptables", "ip6tables"]) {
      for (const verb of ["", "-save", "-restore"])
        symlinkSync(`../root/usr/sbin/xtables-${kind}-multi`, join(bin, `${family}${verb}`));
    }
  }
  if (!existsSync(join(root, "usr/bin/containerd")))
    throw new SetupError("the package containerd holds no /usr/bin/containerd");
}

/** The programs' paths and the environment in which they run. */
async function locate(dir) {
  const root = join(dir, "root");
  const first = (...names) => names.map((name) => join(root, name)).find((path) => existsSync(path)) ?? "";
  const files = {
    containerd: first("usr/bin/containerd"),
    ctr: first("usr/bin/ctr"),
    shim: first("usr/bin/containerd-shim-runc-v2"),
    runc: first("usr/sbin/runc", "usr/bin/runc"),
    cni: first("usr/lib/cni", "opt/cni/bin"),
    busybox: first("bin/busybox", "usr/bin/busybox"),
    tini: first("usr/bin/tini-static"),
  };
  for (const [name, path] of Object.entries(files)) {
    if (path === "")
      throw new SetupError(
        `${name} is missing below ${root}`,
        `rm -r ${dir}, then run the same command again`,
      );
  }
  const env = await environment(dir, root, files);
  return { ...files, env };
}

async function environment(dir, root, files) {
  const triplet = multiarchTriplet();
  const libraries = [join(root, "usr/lib", triplet), join(root, "lib", triplet)].filter((path) =>
    existsSync(path),
  );
  const env = { ...process.env };
  delete env.NODE_OPTIONS;
  const path = [
    dirname(files.containerd),
    dirname(files.runc),
    ...(env.PATH ?? "/usr/bin:/bin").split(":"),
    "/usr/sbin",
    "/sbin",
  ];
  if ((await missingLibraries(files.runc, "")).length > 0) env.LD_LIBRARY_PATH = libraries.join(":");
  // A pod's hostPort and its way out are iptables rules. The system's program knows best which back end this machine uses.
  if (
    (await tryRun("iptables", ["-w", "5", "-t", "nat", "-S"], { env: { ...env, PATH: path.join(":") } }))
      .status !== 0
  ) {
    env.LD_LIBRARY_PATH = libraries.join(":");
    env.XTABLES_LIBDIR = join(root, "usr/lib", triplet, "xtables");
    const kind = await workingIptables(dir, env);
    path.unshift(join(dir, `iptables-${kind}`));
  }
  return { ...env, PATH: [...new Set(path)].join(":") };
}

async function workingIptables(dir, env) {
  let problem = "";
  for (const kind of ["nft", "legacy"]) {
    const tried = await tryRun(join(dir, `iptables-${kind}`, "iptables"), ["-w", "5", "-t", "nat", "-S"], {
      env,
    });
    if (tried.status === 0) return kind;
    problem = tried.stderr.trim().split("\n").at(-1) ?? "";
  }
  warn(
    `iptables does not work here (${problem}): pods with a hostPort will not start; others get no way out`,
  );
  return "nft";
}
