// SPDX-License-Identifier: Apache-2.0
/*
 * `npm run clean`: removes everything that npm start, npm test and scripts/containerd.mjs made: the agent, pods, private containerds with their mounts,
 * cgroups, bridges and rules, .holdfast, build output. node_modules stays unless `--all`.
 */
import { existsSync, readdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import { stopAgent } from "./lib/agent.mjs";
import { readInstanceId } from "./lib/agent-state.mjs";
import { removeCgroupTrees, removeIfEmpty, removeInstance, unmountBelow } from "./lib/teardown.mjs";
import { removeHostFiles } from "./lib/host-files.mjs";
import { requireHost } from "./lib/host.mjs";
import { home, repo, runRoot, startCgroupRoot } from "./lib/paths.mjs";
import { rememberedChoice, runTypeScript } from "./lib/runtime-choice.mjs";
import { main, note, step, warn } from "./lib/say.mjs";

function folders(dir) {
  return existsSync(dir)
    ? readdirSync(dir, { withFileTypes: true })
        .filter((entry) => entry.isDirectory())
        .map((entry) => entry.name)
    : [];
}

/** On a runtime that is not ours, only what carries our label goes. */
async function removeFromSharedRuntime() {
  const choice = rememberedChoice();
  if (choice?.kind !== "shared") return;
  const instance = readInstanceId();
  if (instance === undefined) return;
  step(`Removing our pods from ${choice.socket}`);
  const removed = await runTypeScript("remove-owned.ts", [choice.socket, instance], 300_000);
  for (const line of removed.stdout.split("\n").filter(Boolean)) note(line);
  if (removed.status !== 0)
    warn(`not all of our pods could be removed from ${choice.socket}:\n${removed.stderr.trim()}`);
}

function removeBuildOutput(all) {
  const dirs = ["packages", "apps"].flatMap((top) =>
    folders(join(repo, top)).map((name) => join(repo, top, name)),
  );
  for (const dir of [repo, ...dirs]) {
    for (const name of ["dist", ".turbo", ...(all ? ["node_modules"] : [])])
      rmSync(join(dir, name), { recursive: true, force: true });
    for (const name of readdirSync(dir))
      if (name.endsWith(".tsbuildinfo")) rmSync(join(dir, name), { force: true });
  }
}

await main(async () => {
  requireHost();
  const all = process.argv.includes("--all");
  if (await stopAgent()) step("Stopped the agent");
  await removeFromSharedRuntime();
  const instances = new Set([
    ...folders(join(home, "containerd")),
    ...folders(runRoot).filter((name) => !/^agent(-|$)/.test(name)),
  ]);
  for (const name of instances) await removeInstance(name);
  await unmountBelow([home, runRoot]);
  removeCgroupTrees(startCgroupRoot);
  removeHostFiles();
  step(`Removing ${home}, ${runRoot} and build output${all ? ", node_modules" : ""}`);
  for (const dir of [home, runRoot]) rmSync(dir, { recursive: true, force: true });
  removeBuildOutput(all);
  removeIfEmpty("/run/containerd");
  if (!all) note("node_modules stays; npm run clean -- --all removes it too");
});
