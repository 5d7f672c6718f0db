// SPDX-License-Identifier: Apache-2.0
/*
 * `node --conditions=@holdfast/source scripts/check-runtime.ts SOCKET`: one line of JSON about the CRI runtime at SOCKET: whether it is ready, and how many
 * pods on it belong to somebody else's kubelet. Run by scripts/lib/runtime-choice.mjs on Node 24; only reads.
 */
import { NODE_LABEL, POD_UID_LABEL } from "../packages/core/src/names.ts";
import { createCriClient } from "../packages/cri/src/index.ts";

const DEADLINE_MS = 5000;

const socket = process.argv[2] ?? "";
await using client = createCriClient({
  endpoint: `unix://${socket}`,
  deadlines: { runtimeRequestTimeoutMs: DEADLINE_MS },
});
const version = await client.version({});
const { status } = await client.status({ verbose: false });
const ready = (type: string): boolean =>
  status?.conditions.some((entry) => entry.type === type && entry.status) ?? false;
const { items } = await client.listPodSandbox({});
const kubeletPods = items.filter(
  ({ labels }) => labels[POD_UID_LABEL] !== undefined && labels[NODE_LABEL] === undefined,
).length;
const answer = {
  runtime: `${version.runtimeName} ${version.runtimeVersion}`,
  runtimeReady: ready("RuntimeReady"),
  networkReady: ready("NetworkReady"),
  kubeletPods,
};
process.stdout.write(`${JSON.stringify(answer)}\n`);
