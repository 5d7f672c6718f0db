// SPDX-License-Identifier: Apache-2.0
/*
 * The small local images, built without a registry around Debian's static busybox and tini, and imported into a containerd where they are missing.
 *
 * Pause is tini with one sleeping busybox below it. A sandbox's process must reap zombies (with shareProcessNamespace it is every process's last
 * parent) and must end at once on SIGTERM. busybox's sleep does neither as PID 1: the kernel ignores a signal for which PID 1 has no handler. tini does
 * both, and `sleep`, being no PID 1, dies of the signal that tini passes on.
 */
import { mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { debianArch } from "./host.mjs";
import { withLock } from "./lock.mjs";
import { ociArchive } from "./oci.mjs";
import { home } from "./paths.mjs";
import { run, tryRun } from "./run.mjs";
import { note, step } from "./say.mjs";

export const PAUSE_IMAGE = "holdfast.local/pause:1";
export const BUSYBOX_IMAGE = "holdfast.local/busybox:1";
/** The same, with user 65532 in the image's configuration (for runAsNonRoot). */
export const NONROOT_IMAGE = "holdfast.local/busybox-nonroot:1";

/** Where CRI's part of containerd keeps its images. */
const CRI_NAMESPACE = "k8s.io";
const PATH = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
const FOREVER_SECONDS = "2147483647";

async function busyboxFiles(files) {
  const applets = (await run(files.busybox, ["--list"]))
    .split("\n")
    .filter((name) => name !== "" && name !== "busybox");
  const dirs = ["bin", "etc", "home", "home/nonroot", "root", "usr", "usr/bin", "var", "var/run"];
  return [
    ...dirs.map((path) => ({
      path,
      type: "dir",
      ...(path === "home/nonroot" ? { uid: 65532, gid: 65532 } : {}),
    })),
    { path: "tmp", type: "dir", mode: 0o1777 },
    { path: "bin/busybox", mode: 0o755, data: readFileSync(files.busybox) },
    ...applets.sort().map((name) => ({ path: `bin/${name}`, type: "symlink", target: "busybox" })),
    { path: "usr/bin/env", type: "symlink", target: "/bin/env" },
    {
      path: "etc/passwd",
      data: "root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/false\nnonroot:x:65532:65532:nonroot:/home/nonroot:/bin/sh\n",
    },
    { path: "etc/group", data: "root:x:0:\nnogroup:x:65534:\nnonroot:x:65532:\n" },
  ];
}

function pauseFiles(files) {
  return [
    { path: "tini", mode: 0o755, data: readFileSync(files.tini) },
    { path: "sleep", mode: 0o755, data: readFileSync(files.busybox) },
  ];
}

/** Builds the archives in memory. */
export async function buildImages(files) {
  const arch = debianArch();
  const busybox = await busyboxFiles(files);
  const shell = { Env: [PATH], Cmd: ["sh"] };
  return [
    {
      name: PAUSE_IMAGE,
      files: pauseFiles(files),
      config: { Env: [PATH], Entrypoint: ["/tini", "--", "/sleep", FOREVER_SECONDS] },
    },
    { name: BUSYBOX_IMAGE, files: busybox, config: shell },
    {
      name: NONROOT_IMAGE,
      files: busybox,
      config: { ...shell, User: "65532:65532", WorkingDir: "/home/nonroot" },
    },
  ].map(({ name, ...image }) => ({ name, ...ociArchive({ name, arch, ...image }) }));
}

/**
 * Imports what the containerd at `socket` lacks.
 * @param {string} socket
 * @param {{ ctr: string, busybox: string, tini: string, env: NodeJS.ProcessEnv }} files
 */
export function ensureImages(socket, files) {
  return withLock("images", () => importMissing(socket, files));
}

async function importMissing(socket, files) {
  const ctr = (...args) => ["--address", socket, "--namespace", CRI_NAMESPACE, ...args];
  const images = await buildImages(files);
  const listed = await tryRun(files.ctr, ctr("images", "list"), { env: files.env });
  const missing = images.filter(
    ({ name, digest }) =>
      !listed.stdout.split("\n").some((line) => line.startsWith(`${name} `) && line.includes(digest)),
  );
  if (missing.length === 0) return;
  step(`Building ${missing.length} local images (no registry)`);
  const dir = join(home, "images");
  mkdirSync(dir, { recursive: true });
  for (const { name, archive, digest } of missing) {
    const file = join(dir, `${name.replace(/[^a-z0-9]+/g, "-")}.tar`);
    writeFileSync(file, archive);
    await run(files.ctr, ctr("images", "import", file), { env: files.env, what: `importing ${name}` });
    rmSync(file, { force: true });
    note(`${name} ${digest.slice(0, 19)}`);
  }
  // CRI shows an image once its store has seen it; pinned, no image GC (ours or a kubelet's) takes the sandbox's image.
  const labels = ["io.cri-containerd.image=managed", "io.cri-containerd.pinned=pinned"];
  for (const { name } of missing) {
    await run(
      files.ctr,
      ctr("images", "label", name, ...(name === PAUSE_IMAGE ? labels : labels.slice(0, 1))),
      { env: files.env },
    );
  }
}
