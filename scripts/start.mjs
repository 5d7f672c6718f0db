// SPDX-License-Identifier: Apache-2.0
/*
 * `npm start`: all set-up, then the agent in the foreground on examples/, with a live table of its pods. Ctrl-C stops the agent and leaves pods and
 * containerd running; the next `npm start` finds them again. `npm run clean` removes everything.
 */
import { spawn } from "node:child_process";
import { relative } from "node:path";
import { agentSocket, startAgent, stopAgent, writeAgentConfig } from "./lib/agent.mjs";
import { containerdUp } from "./lib/containerd.mjs";
import { readText, requireHost } from "./lib/host.mjs";
import { ensureImages } from "./lib/images.mjs";
import { agentPaths, holdfastBin, repo } from "./lib/paths.mjs";
import { tryRun, waitFor } from "./lib/run.mjs";
import { chooseRuntime } from "./lib/runtime-choice.mjs";
import { ensureRuntimeFiles } from "./lib/runtime-files.mjs";
import { main, note, SetupError, step } from "./lib/say.mjs";
import { build, ensureToolchain, toolEnv } from "./lib/toolchain.mjs";

const INSTANCE = "start";
const READY_MS = 30_000;
/** How an agent ends that was asked to. */
const STOPPED = "was stopped";

/** Resolves at the first Ctrl-C, SIGTERM or hang-up; npm and the terminal may both send one. */
function untilSignal() {
  return new Promise((resolve) => {
    for (const name of ["SIGINT", "SIGTERM", "SIGHUP"]) process.on(name, () => resolve(name));
  });
}

async function setUp() {
  requireHost();
  await ensureToolchain();
  await build();
  const choice = await chooseRuntime();
  if (choice.kind === "shared") {
    await ensureImages(choice.socket, await ensureRuntimeFiles());
    return choice.socket;
  }
  const { paths, files } = await containerdUp(INSTANCE);
  await ensureImages(paths.socket, files);
  return paths.socket;
}

function lastLogLines() {
  return readText(agentPaths.log).trim().split("\n").slice(-15).join("\n");
}

/** Shows the live table until the agent or the user ends it. */
function watchPods() {
  const child = spawn(holdfastBin, ["get", "pods", "--watch", "--socket", agentSocket], {
    env: toolEnv(),
    stdio: ["ignore", "inherit", "inherit"],
  });
  child.on("error", () => {});
  return child;
}

async function agentIsReady() {
  const asked = await tryRun(holdfastBin, ["get", "pods", "--socket", agentSocket], {
    env: toolEnv(),
    timeoutMs: 5000,
  });
  return asked.status === 0;
}

async function runAgent(toScreen, signalled) {
  const agent = startAgent(toScreen);
  const ended = new Promise((resolve) => {
    agent.on("error", (error) => resolve(String(error.message)));
    agent.on("exit", (code, signal) =>
      resolve(code === 0 || signal === "SIGTERM" ? STOPPED : `ended with ${signal ?? `status ${code}`}`),
    );
  });
  let watch;
  const ready = waitFor(agentIsReady, READY_MS, 250).then((yes) => {
    if (!yes) return "does not answer";
    note(`try: ${relative(process.cwd(), holdfastBin) || "holdfast"} get pods --socket ${agentSocket}`);
    if (!toScreen) watch = watchPods();
    return new Promise(() => {});
  });
  const outcome = await Promise.race([
    ended.then((how) => ({ how })),
    signalled.then((by) => ({ by })),
    ready.then((how) => ({ how })),
  ]);
  watch?.kill();
  await stopAgent(agent.pid ?? -1);
  return outcome;
}

await main(async () => {
  let asked = false;
  const signalled = untilSignal().then((name) => ((asked = true), name));
  const socket = await setUp();
  if (asked) return 130;
  if (await stopAgent())
    note("an agent of an earlier npm start was still running: stopped it, its pods go on");
  writeAgentConfig(socket);
  const toScreen = !process.stdout.isTTY;
  step(`Running the agent on ${relative(repo, agentPaths.manifests)}/ (Ctrl-C stops it; pods go on)`);
  if (!toScreen) note(`its log: ${agentPaths.log}`);
  const outcome = await runAgent(toScreen, signalled);
  if (outcome.how === STOPPED) {
    step("The agent was stopped from elsewhere: by another npm start, by npm run clean or by hand");
    return 0;
  }
  if (outcome.how !== undefined)
    throw new SetupError(
      `the agent ${outcome.how}`,
      `read ${agentPaths.log}`,
      toScreen ? undefined : lastLogLines(),
    );
  step("The agent is stopped. Its pods go on running.");
  note("npm start       runs the agent again: it finds its pods, nothing restarts");
  note("npm run clean   removes the pods, the private containerd and everything else that was made");
  return 0;
});
