// SPDX-License-Identifier: Apache-2.0
/* What clean must know of the agent's state folder. */
import { join } from "node:path";
import { readText } from "./host.mjs";
import { agentPaths } from "./paths.mjs";

/** The instance id that labels our sandboxes; undefined when the agent never ran. */
export function readInstanceId() {
  return readText(join(agentPaths.state, "instance-id")).trim() || undefined;
}
