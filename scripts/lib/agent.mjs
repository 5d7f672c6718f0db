// SPDX-License-Identifier: Apache-2.0
/* The agent that `npm start` runs: its configuration, its process, and how it is stopped. */
import { spawn } from "node:child_process";
import {
  closeSync,
  existsSync,
  mkdirSync,
  openSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { agentPaths, holdfastBin, runRoot, startCgroupRoot } from "./paths.mjs";
import { endProcess, livingPid, processIdentity } from "./processes.mjs";
import { SetupError } from "./say.mjs";
import { toolEnv } from "./toolchain.mjs";

const LOG_LIMIT_BYTES = 8 * 1024 * 1024;
/** The agent's own stop has its own limits; this is the backstop. */
const STOP_MS = 30_000;

export const agentSocket = join(agentPaths.run, "holdfast.sock");

/** The agent's configuration: two YAML documents. JSON strings are YAML strings. */
function agentConfig(runtimeSocket) {
  const q = JSON.stringify;
  return `# Written by npm start at every start; changes are lost.
apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
staticPodPath: ${q(agentPaths.manifests)}
containerRuntimeEndpoint: ${q(`unix://${runtimeSocket}`)}
podLogsDir: ${q(agentPaths.podLogs)}
cgroupRoot: ${q(startCgroupRoot)}
---
apiVersion: holdfast.agent/v1alpha1
kind: AgentConfiguration
stateDir: ${q(agentPaths.state)}
runDir: ${q(agentPaths.run)}
devicePluginsDir: ${q(agentPaths.devicePlugins)}
`;
}

/** Writes the configuration and makes the agent's folders. */
export function writeAgentConfig(runtimeSocket) {
  for (const dir of [agentPaths.dir, agentPaths.state, agentPaths.podLogs])
    mkdirSync(dir, { recursive: true });
  mkdirSync(runRoot, { recursive: true, mode: 0o711 });
  mkdirSync(agentPaths.run, { recursive: true, mode: 0o700 });
  writeFileSync(agentPaths.config, agentConfig(runtimeSocket));
}

/**
 * Starts the agent in a session of its own, so that Ctrl-C reaches this script alone and the agent gets exactly one SIGTERM from it.
 * @param {boolean} toScreen log lines go to our standard output instead of the log file
 */
export function startAgent(toScreen) {
  if (!existsSync(holdfastBin)) throw new SetupError(`${holdfastBin} is missing`, "pnpm run build");
  if (existsSync(agentPaths.log) && statSync(agentPaths.log).size > LOG_LIMIT_BYTES)
    renameSync(agentPaths.log, `${agentPaths.log}.1`);
  const log = toScreen ? "inherit" : openSync(agentPaths.log, "a");
  const child = spawn(holdfastBin, ["run", "--config", agentPaths.config], {
    env: toolEnv(),
    cwd: "/",
    detached: true,
    stdio: ["ignore", log, log],
  });
  if (log !== "inherit") closeSync(log);
  if (child.pid !== undefined) writeFileSync(agentPaths.pid, processIdentity(child.pid) ?? "");
  return child;
}

/**
 * Stops the agent of ours that still runs. Its pods are not touched. Returns whether there was one.
 * @param {number} [only] nothing is done to another one: after a take-over it is somebody else's
 */
export async function stopAgent(only) {
  const pid = livingPid(agentPaths.pid);
  if (only !== undefined && pid !== only) return false;
  if (pid !== undefined) await endProcess(pid, STOP_MS);
  rmSync(agentPaths.pid, { force: true });
  return pid !== undefined;
}
