// SPDX-License-Identifier: Apache-2.0
/*
 * Files of the host that containerd copies into every pod and fails without. A Debian made by debootstrap may lack them. These are the only files
 * that set-up makes outside the repository and /run; they are said aloud, remembered, and taken away by clean while they are as they were made.
 */
import { existsSync, mkdirSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { readText } from "./host.mjs";
import { home } from "./paths.mjs";
import { note } from "./say.mjs";

const NEEDED = {
  "/etc/hosts": "127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n",
  "/etc/resolv.conf": "# Empty: the resolver's defaults apply.\n",
};
const record = join(home, "host-files.json");

/** Makes what is missing. */
export function ensureHostFiles() {
  const made = JSON.parse(readText(record) || "[]");
  const missing = Object.keys(NEEDED).filter((path) => !existsSync(path));
  if (missing.length === 0) return;
  mkdirSync(dirname(record), { recursive: true });
  writeFileSync(record, JSON.stringify([...new Set([...made, ...missing])]));
  for (const path of missing) {
    note(`this machine has no ${path}, which containerd needs for every pod: making a minimal one`);
    writeFileSync(path, NEEDED[path]);
  }
}

/** Removes what ensureHostFiles made and nobody changed. */
export function removeHostFiles() {
  for (const path of JSON.parse(readText(record) || "[]")) {
    if (readText(path) === NEEDED[path]) rmSync(path, { force: true });
  }
}
