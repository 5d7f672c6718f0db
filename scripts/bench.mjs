// SPDX-License-Identifier: Apache-2.0
/*
 * `pnpm bench [NAME…] [-- OPTIONS]`: runs bench/*.bench.ts of the named packages (all when none is named), each file in a fresh process on Node 24,
 * with the options handed on. Results are tables on the screen, and JSON in bench-results/PACKAGE-FILE.json: the line that is one JSON object.
 * `agent` gets a private containerd of its own.
 */
import { spawn } from "node:child_process";
import { existsSync, mkdirSync, readdirSync, writeFileSync } from "node:fs";
import { basename, join, relative } from "node:path";
import { createInterface } from "node:readline";
import { containerdUp } from "./lib/containerd.mjs";
import { requireHost } from "./lib/host.mjs";
import { ensureImages } from "./lib/images.mjs";
import { node24, repo } from "./lib/paths.mjs";
import { main, SetupError, step } from "./lib/say.mjs";
import { removeInstance } from "./lib/teardown.mjs";
import { build, ensureToolchain, toolEnv } from "./lib/toolchain.mjs";

const INSTANCE = "bench";
const RESULTS = join(repo, "bench-results");
const FLAGS = ["--conditions=@holdfast/source", "--expose-gc"];

/** Package name -> its benchmark files. */
function findBenches() {
  const found = new Map();
  for (const top of ["packages", "apps"]) {
    for (const name of readdirSync(join(repo, top))) {
      const dir = join(repo, top, name, "bench");
      const files = existsSync(dir) ? readdirSync(dir).filter((file) => file.endsWith(".bench.ts")) : [];
      if (files.length > 0)
        found.set(
          name,
          files.sort().map((file) => join(dir, file)),
        );
    }
  }
  return found;
}

/** Shows what a benchmark prints; a line that is one JSON object is its result and goes into the file instead. */
function runBench(name, file, args, env) {
  const result = join(RESULTS, `${name}-${basename(file, ".bench.ts")}.json`);
  step(relative(repo, file));
  return new Promise((resolve) => {
    const options = { cwd: repo, env: toolEnv(env), stdio: ["ignore", "pipe", "inherit"] };
    const child = spawn(node24, [...FLAGS, file, ...args], options);
    process.once("SIGINT", () => child.kill("SIGINT"));
    createInterface({ input: child.stdout }).on("line", (line) => {
      if (isJsonObject(line)) writeFileSync(result, `${JSON.stringify(JSON.parse(line), null, 2)}\n`);
      else process.stdout.write(`${line}\n`);
    });
    child.on("error", () => resolve(false));
    child.on("close", (code) => resolve(code === 0));
  });
}

function isJsonObject(line) {
  if (!line.startsWith("{")) return false;
  try {
    return typeof JSON.parse(line) === "object";
  } catch {
    return false;
  }
}

async function withRuntime(work) {
  requireHost();
  await build();
  await removeInstance(INSTANCE);
  try {
    const { paths, files } = await containerdUp(INSTANCE);
    await ensureImages(paths.socket, files);
    return await work({
      HOLDFAST_BENCH_CONTAINERD: `unix://${paths.socket}`,
      HOLDFAST_BENCH_INSTANCE: INSTANCE,
    });
  } finally {
    await removeInstance(INSTANCE);
  }
}

await main(async () => {
  const words = process.argv.slice(2);
  const firstOption = words.findIndex((word) => word.startsWith("-"));
  const names = firstOption === -1 ? words : words.slice(0, firstOption);
  const args = firstOption === -1 ? [] : words.slice(firstOption).filter((word) => word !== "--");
  const benches = findBenches();
  for (const name of names) {
    if (!benches.has(name))
      throw new SetupError(`no benchmark for "${name}"`, `there are: ${[...benches.keys()].join(" ")}`);
  }
  requireHost({ root: false });
  await ensureToolchain();
  mkdirSync(RESULTS, { recursive: true });
  let failed = 0;
  for (const [name, files] of benches) {
    if (names.length > 0 && !names.includes(name)) continue;
    const all = async (env) => {
      for (const file of files) if (!(await runBench(name, file, args, env))) failed++;
    };
    await (name === "agent" ? withRuntime(all) : all({}));
  }
  step(failed === 0 ? `results are in ${relative(repo, RESULTS)}/` : `${failed} benchmarks failed`);
  return failed === 0 ? 0 : 1;
});
