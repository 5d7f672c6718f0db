// SPDX-License-Identifier: Apache-2.0
/*
 * Debian's packages, fetched with apt-get download and unpacked with dpkg -x into a folder of ours. Nothing is installed on the system, no
 * maintainer script runs, and apt's own lists and caches are only read: when they are empty or stale, private ones are made.
 */
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { basename, join } from "node:path";
import { debianArch } from "./host.mjs";
import { home } from "./paths.mjs";
import { run, tryRun } from "./run.mjs";
import { note, SetupError } from "./say.mjs";

const KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg";
const DEFAULT_MIRROR = "http://deb.debian.org/debian";

/** The mirror that this machine already uses for Debian's own packages. */
export function debianMirror(etcApt = "/etc/apt") {
  const files = [join(etcApt, "sources.list")];
  const parts = join(etcApt, "sources.list.d");
  if (existsSync(parts))
    files.push(
      ...readdirSync(parts)
        .sort()
        .map((name) => join(parts, name)),
    );
  for (const file of files) {
    const text = existsSync(file) && /\.(list|sources)$/.test(file) ? readFileSync(file, "utf8") : "";
    const uri = /^(?:deb\s+(?:\[[^\]]*\]\s+)?|URIs:\s*)(https?:\/\/\S+\/debian\/?)(?:\s|$)/m.exec(text)?.[1];
    if (uri) return uri.replace(/\/$/, "");
  }
  return DEFAULT_MIRROR;
}

/** apt's options for working beside the system's own state; `suite` adds private sources of just that suite. */
function privateApt(dir, suite) {
  for (const name of ["lists/partial", "cache/archives/partial"])
    mkdirSync(join(dir, name), { recursive: true });
  const options = ["-q", "-o", `Dir::Cache=${join(dir, "cache")}`, "-o", "APT::Sandbox::User=root"];
  if (suite !== undefined) {
    const sources = join(dir, "sources.list");
    const signed = existsSync(KEYRING) ? `[signed-by=${KEYRING}] ` : "";
    writeFileSync(sources, `deb ${signed}${debianMirror()} ${suite} main\n`);
    options.push("-o", `Dir::Etc::sourcelist=${sources}`, "-o", "Dir::Etc::sourceparts=-");
  }
  return { options, lists: ["-o", `Dir::State::lists=${join(dir, "lists")}`] };
}

/**
 * Downloads packages as .deb files into `to`.
 * @param {string[]} packages
 * @param {string} to an empty folder
 * @param {string} [suite] take them from this suite instead of the system's own sources
 */
export async function downloadPackages(packages, to, suite) {
  if ((await tryRun("apt-get", ["--version"])).status !== 0) {
    throw new SetupError(
      "apt-get is not here: set-up takes containerd from Debian's packages",
      "use Debian 12 or 13, or give npm start a containerd of your own at /run/containerd/containerd.sock",
    );
  }
  const { options, lists } = privateApt(join(home, "apt", suite ?? "system"), suite);
  const download = (extra) =>
    tryRun("apt-get", [...options, ...extra, "download", ...packages], { cwd: to, timeoutMs: 300_000 });
  // The system's lists serve when they know these packages and the mirror still has them.
  if (suite === undefined && (await download([])).status === 0) return;
  note(`reading package lists from ${debianMirror()} (private lists; the system's stay as they are)`);
  // A third-party source that fails does not matter as long as the download below works.
  const update = await tryRun("apt-get", [...options, ...lists, "update"], { timeoutMs: 300_000 });
  const result = await download(lists);
  if (result.status === 0) return;
  throw new SetupError(
    `Debian's packages cannot be fetched: ${packages.join(" ")}`,
    "check the network and /etc/apt/sources.list, then run the same command again",
    `${update.stderr}\n${result.stderr}`.trim(),
  );
}

/** Unpacks every .deb in `from` into `to` and returns their names, like "containerd_1.6.20~ds1-1+deb12u3_amd64.deb". */
export async function unpackPackages(from, to) {
  mkdirSync(to, { recursive: true });
  const debs = readdirSync(from).filter((name) => name.endsWith(".deb"));
  for (const deb of debs) await run("dpkg", ["-x", join(from, deb), to], { what: `unpacking ${deb}` });
  return debs.map((deb) => decodeURIComponent(basename(deb)));
}

/** The multiarch folder of libraries, as in /usr/lib/x86_64-linux-gnu. */
export function multiarchTriplet() {
  return { amd64: "x86_64-linux-gnu", arm64: "aarch64-linux-gnu" }[debianArch()] ?? "";
}

/** Libraries that a program needs and that neither the system nor `libraryPath` has. */
export async function missingLibraries(program, libraryPath) {
  const listed = await tryRun("ldd", [program], { env: { ...process.env, LD_LIBRARY_PATH: libraryPath } });
  return [...listed.stdout.matchAll(/^\s*(\S+) => not found/gm)].map((match) => match[1]);
}

/** Removes the private lists and caches. */
export function forgetLists() {
  rmSync(join(home, "apt"), { recursive: true, force: true });
}
