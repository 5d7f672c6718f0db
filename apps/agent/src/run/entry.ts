// SPDX-License-Identifier: Apache-2.0

/** Entry of the agent's bundle: reads the configuration, runs the agent, turns signals into a stop. The one place that exits. */
import { parseArgs } from "node:util";
import { errorText, holdfastErrorIn } from "@holdfast/core/errors";
import { systemClock } from "@holdfast/core/node";
import { loadConfig } from "../config/load-config.ts";
import { createLogger } from "../logging/line-logger.ts";
import { Agent } from "./agent.ts";

/** Longer than every component's own limit together with a margin; then the process ends as it is. Pods are not touched either way. */
const STOP_LIMIT_MS = 15_000;
const LAST_FILES_MS = 500;
const LAST_FILES_STEP_MS = 20;
/** Exit codes: 1 failed, 2 wrong usage or configuration. */
const EXIT_USAGE = 2;

async function main(): Promise<number> {
  if (Number(process.versions["napi"]) < 10) {
    process.stderr.write(
      `holdfast: Node.js ${process.versions.node} is too old, 24 or later is needed\n  next: run npm install in the checkout, it brings Node 24\n`,
    );
    return EXIT_USAGE;
  }
  const { values } = parseArgs({
    options: { config: { type: "string" }, share: { type: "boolean" } },
    strict: true,
  });
  const loaded = loadConfig(values.config);
  const config = values.share === true ? { ...loaded.config, share: true } : loaded.config;
  const logger = createLogger({
    clock: systemClock,
    level: config.logLevel,
    format: config.logFormat,
    write: (line) => void process.stdout.write(line),
  });
  // A reader of the log that went away must not end the agent.
  process.stdout.on("error", () => {});
  for (const warning of loaded.warnings) logger.warn(warning);

  const agent = new Agent({
    config,
    configWarnings: loaded.warnings,
    ...(loaded.file !== undefined && { configFile: loaded.file }),
    clock: systemClock,
    logger,
  });
  const stopped = stopAtSignals(agent);
  process.on("unhandledRejection", (err) => {
    logger.error("a programming error: a rejection nobody handles", { err });
    process.exitCode = 1;
    void agent.stop();
  });
  await agent.start();
  await Promise.race([stopped, agent.done]);
  return Number(process.exitCode ?? 0);
}

/** The first signal stops the agent, the second ends the process at once. */
function stopAtSignals(agent: Agent): Promise<void> {
  return new Promise((resolve) => {
    let signals = 0;
    const onSignal = (): void => {
      signals += 1;
      if (signals > 1) end(1);
      systemClock.timer(STOP_LIMIT_MS, () => end(1));
      void agent.stop().then(resolve);
    };
    for (const name of ["SIGTERM", "SIGINT", "SIGHUP"] as const) process.on(name, onSignal);
  });
}

/** Files that are asked for and have not answered. */
function hasPendingFiles(): boolean {
  return process.getActiveResourcesInfo().some((name) => name.startsWith("FSReq"));
}

/** What was begun in the last moment ends in a few milliseconds; what asks a dead mount does not. */
async function filesAnswered(): Promise<void> {
  for (let waited = 0; hasPendingFiles() && waited < LAST_FILES_MS; waited += LAST_FILES_STEP_MS)
    await systemClock.sleep(LAST_FILES_STEP_MS);
}

/**
 * Ends the process. `process.exit` waits for Node's threads, and one that asks a dead mount never comes back: then a signal ends the process, and SIGTERM is a
 * clean end to systemd.
 */
function end(code: number): void {
  if (!hasPendingFiles()) process.exit(code);
  process.removeAllListeners("SIGTERM");
  process.kill(process.pid, code === 0 ? "SIGTERM" : "SIGKILL");
}

async function run(): Promise<void> {
  try {
    const code = await main();
    await filesAnswered();
    process.stdout.write("", () => end(code));
  } catch (error) {
    const known = holdfastErrorIn(error);
    process.stderr.write(
      `holdfast: ${error instanceof Error && known?.kind === "bad-input" ? error.message : errorText(error)}\n`,
    );
    if (known?.code === "STORE_LOCKED")
      process.stderr.write("  next: stop the other agent, or give this one another stateDir\n");
    process.exit(known?.kind === "bad-input" || known === undefined ? EXIT_USAGE : 1);
  }
}

void run();
