// SPDX-License-Identifier: Apache-2.0
/*
 * `npm test`: all set-up, then every check and test, on a private containerd that is made for this run and removed after it. Nothing here is
 * cached except compilation. `node scripts/test.mjs check unit` runs only those parts.
 */
import { spawn } from "node:child_process";
import { join } from "node:path";
import { containerdUp } from "./lib/containerd.mjs";
import { requireHost } from "./lib/host.mjs";
import { ensureImages } from "./lib/images.mjs";
import { binDir, repo } from "./lib/paths.mjs";
import { explain, main, SetupError, step } from "./lib/say.mjs";
import { removeInstance } from "./lib/teardown.mjs";
import { build, ensureToolchain, toolEnv } from "./lib/toolchain.mjs";

const INSTANCE = "test";
let interrupted = false;
// The terminal sends Ctrl-C to the running tool as well: it ends, and then everything is taken down as usual.
for (const name of ["SIGINT", "SIGTERM", "SIGHUP"]) process.on(name, () => (interrupted = true));

/** Runs a tool of the workspace with its output shown. */
function show(program, args, env = {}) {
  return new Promise((resolve) => {
    const child = spawn(join(binDir, program), args, { cwd: repo, env: toolEnv(env), stdio: "inherit" });
    child.on("error", () => resolve(false));
    child.on("close", (code) => resolve(code === 0));
  });
}

/** What integration tests are told about the runtime that is theirs alone: they may kill it and bring it up again. */
function runtimeEnv({ paths }) {
  return {
    HOLDFAST_TEST_CONTAINERD: `unix://${paths.socket}`,
    HOLDFAST_TEST_INSTANCE: INSTANCE,
    HOLDFAST_TEST_CONTAINERD_PIDFILE: paths.pid,
    HOLDFAST_TEST_CERTS_D: paths.certs,
  };
}

async function withRuntime(work) {
  // Left over from a run that was killed.
  await removeInstance(INSTANCE);
  try {
    const runtime = await containerdUp(INSTANCE);
    await ensureImages(runtime.paths.socket, runtime.files);
    return await work(runtimeEnv(runtime));
  } finally {
    await removeInstance(INSTANCE);
  }
}

const PARTS = {
  build: () => build().then(() => true),
  format: () => show("oxfmt", ["--check", "."]),
  lint: () => show("oxlint", ["--deny-warnings", "."]),
  types: async () =>
    (await show("tsc", ["-b", "tsconfig.json"])) && (await show("tsc", ["-p", "tsconfig.test.json"])),
  floors: () => show("node", ["scripts/check-floors.mjs"]),
  unit: () => show("vitest", ["run", "--project", "unit"]),
  integration: () =>
    withRuntime((env) => show("vitest", ["run", "--project", "integration", "--passWithNoTests"], env)),
};
const CHECKS = ["format", "lint", "types", "floors"];

function chosenParts(words) {
  if (words.length === 0) return Object.keys(PARTS);
  const chosen = words.flatMap((word) => (word === "check" ? CHECKS : [word]));
  const unknown = chosen.filter((word) => !(word in PARTS));
  if (unknown.length > 0)
    throw new SetupError(
      `no such part: ${unknown.join(" ")}`,
      `parts: check ${Object.keys(PARTS).join(" ")}`,
    );
  return chosen;
}

await main(async () => {
  const parts = chosenParts(process.argv.slice(2));
  requireHost({ root: parts.includes("integration") });
  await ensureToolchain();
  const results = [];
  for (const part of parts) {
    if (interrupted) break;
    step(`${part}`);
    const started = performance.now();
    const passed = await PARTS[part]().catch((error) => (explain(error), false));
    results.push({ part, passed, seconds: ((performance.now() - started) / 1000).toFixed(1) });
  }
  const passed = results.length === parts.length && results.every((result) => result.passed);
  step(interrupted ? "interrupted" : passed ? "all passed" : "NOT all passed");
  for (const { part, passed: ok, seconds } of results)
    process.stderr.write(`    ${ok ? "ok  " : "FAIL"}  ${part.padEnd(12)} ${seconds.padStart(6)} s\n`);
  return interrupted ? 130 : passed ? 0 : 1;
});
