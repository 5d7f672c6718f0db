// SPDX-License-Identifier: Apache-2.0
/* `npm run setup`: packages, Node 24 and the build, without starting anything. For an installation under systemd. */
import { relative } from "node:path";
import { requireHost } from "./lib/host.mjs";
import { holdfastBin } from "./lib/paths.mjs";
import { main, note } from "./lib/say.mjs";
import { build, ensureToolchain } from "./lib/toolchain.mjs";

await main(async () => {
  requireHost();
  await ensureToolchain();
  await build();
  note(`ready: ${relative(process.cwd(), holdfastBin)} doctor`);
});
