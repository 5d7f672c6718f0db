// SPDX-License-Identifier: Apache-2.0
/*
 * `node --conditions=@holdfast/source scripts/remove-owned.ts SOCKET INSTANCE`: stops and removes the pod sandboxes that carry our instance's label, and with
 * them their containers, addresses and rules. For a runtime that others use too: nothing else on it is touched.
 */
import { INSTANCE_LABEL } from "../packages/core/src/names.ts";
import { createCriClient } from "../packages/cri/src/index.ts";

const [socket = "", instance = ""] = process.argv.slice(2);
if (instance === "") throw new Error("an instance id is needed");
await using client = createCriClient({ endpoint: `unix://${socket}` });
const { items } = await client.listPodSandbox({
  filter: { id: "", labelSelector: { [INSTANCE_LABEL]: instance } },
});
for (const { id, metadata, labels } of items) {
  if (labels[INSTANCE_LABEL] !== instance) continue;
  await client.stopPodSandbox({ podSandboxId: id });
  await client.removePodSandbox({ podSandboxId: id });
  process.stdout.write(`removed ${metadata?.namespace}/${metadata?.name}\n`);
}
