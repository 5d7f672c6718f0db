// SPDX-License-Identifier: Apache-2.0
/* `node images.mjs ROOT FOLDER`: the local images as archives in FOLDER, built of the busybox and tini of the Debian at ROOT. */
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { buildImages } from "../../lib/images.mjs";

const [root, folder] = process.argv.slice(2);
mkdirSync(folder, { recursive: true });
const built = await buildImages({
  busybox: join(root, "bin/busybox"),
  tini: join(root, "usr/bin/tini-static"),
});
for (const { name, archive } of built)
  writeFileSync(join(folder, `${name.replace(/[^a-z0-9]+/g, "-")}.tar`), archive);
