// SPDX-License-Identifier: Apache-2.0
/* `npm run device-plugin`: the example device plugin of packages/device, for the agent that `npm start` runs. Ctrl-C ends it. */
import { agentPaths } from "./lib/paths.mjs";
import { note, step } from "./lib/say.mjs";

process.argv[2] = agentPaths.devicePlugins;
step(`Eight devices holdfast.example/null, in ${agentPaths.devicePlugins} (Ctrl-C ends the plugin)`);
note("cp packages/device/examples/null-device.yaml examples/   gives two of them to a pod");
note(`kill -USR1 ${process.pid}   breaks the first device, and mends it the next time`);
await import("../packages/device/examples/null-devices.ts");
