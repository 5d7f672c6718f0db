// SPDX-License-Identifier: Apache-2.0

/** What a plugin wants done to a container, checked. Pure. A plugin may be wrong; it must not be able to break a container's root or the agent. */
import { HoldfastError } from "@holdfast/core/errors";
import type { ContainerAnswer } from "./ports.ts";

/** Entries of one kind in one answer. */
const MAX_ENTRIES = 4096;
/** Over these nothing is ever mounted, and no device node takes their place. What goes below /proc the runtime decides: some files there may be covered. */
const FORBIDDEN_PATHS: ReadonlySet<string> = new Set(["/", "/proc", "/sys", "/dev"]);
const PERMISSIONS = /^[rwm]*$/;
const CDI_NAME =
  /^[A-Za-z][-A-Za-z0-9_.]*\/[A-Za-z][-A-Za-z0-9_.]*=[A-Za-z0-9](?:[-A-Za-z0-9_.:]*[A-Za-z0-9])?$/;

/**
 * The one answer that was asked for. Throws `bad-input` (DEVICE_ANSWER) for anything that must not reach a container.
 * kubelet takes the first of several answers; here an answer for a container that nobody asked about is refused.
 */
export function checkAnswers(answers: readonly ContainerAnswer[], ids: readonly string[]): ContainerAnswer {
  const [answer] = answers;
  if (answer === undefined)
    throw refused(`no containers return in allocation response for ${ids.join(", ")}`);
  if (answers.length > 1) throw refused(`it was asked for one container and answered for ${answers.length}`);
  checkAnswer(answer);
  return answer;
}

function checkAnswer(answer: ContainerAnswer): void {
  const { envs, mounts, devices, annotations, cdiDevices } = answer;
  bounded("environment variables", Object.keys(envs).length);
  bounded("mounts", mounts.length);
  bounded("device nodes", devices.length);
  bounded("annotations", Object.keys(annotations).length);
  bounded("CDI devices", cdiDevices.length);
  for (const [name, value] of Object.entries(envs))
    if (name === "" || name.includes("=") || name.includes("\0") || value.includes("\0"))
      throw refused(`${JSON.stringify(name)} is no environment variable`);
  for (const { containerPath, hostPath } of mounts) {
    checkContainerPath("a mount", containerPath);
    checkHostPath("a mount", hostPath);
  }
  for (const { containerPath, hostPath, permissions } of devices) {
    checkContainerPath("a device node", containerPath);
    checkHostPath("a device node", hostPath);
    if (!PERMISSIONS.test(permissions))
      throw refused(`permissions of ${hostPath} must be of r, w and m, not ${JSON.stringify(permissions)}`);
  }
  if ("" in annotations) throw refused("an annotation has no name");
  for (const name of cdiDevices)
    if (!CDI_NAME.test(name)) throw refused(`${JSON.stringify(name)} is no CDI name (VENDOR/CLASS=NAME)`);
}

function bounded(what: string, count: number): void {
  if (count > MAX_ENTRIES) throw refused(`it asks for ${count} ${what}, and ${MAX_ENTRIES} is the most`);
}

function checkContainerPath(what: string, path: string): void {
  const clean = checkPath(what, "container", path);
  if (FORBIDDEN_PATHS.has(clean)) throw refused(`${what} may not go over ${clean} of the container`);
}

function checkHostPath(what: string, path: string): void {
  checkPath(what, "host", path);
}

/** The path without doubled slashes, single dots and a slash at its end. */
function checkPath(what: string, side: string, path: string): string {
  if (!path.startsWith("/") || path.includes("\0"))
    throw refused(`${what} needs an absolute path on the ${side}, not ${JSON.stringify(path)}`);
  const parts = path.split("/").filter((part) => part !== "" && part !== ".");
  if (parts.includes("..")) throw refused(`${what} has a path with .. on the ${side}: ${path}`);
  return `/${parts.join("/")}`;
}

function refused(message: string): HoldfastError {
  return new HoldfastError("DEVICE_ANSWER", "bad-input", message);
}
