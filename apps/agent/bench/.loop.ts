import { createCriClient } from "@holdfast/cri";
import { setTimeout as pause } from "node:timers/promises";
import { BenchNode } from "./bench-node.ts";
import { container, pod } from "../test/integration/harness/manifests.ts";
await using client = createCriClient({ endpoint: process.env.HOLDFAST_TEST_CONTAINERD! });
const id = Math.random().toString(16).slice(2, 8);
await using node = new BenchNode(client, id);
await node.start();
for (let round = 0; round < Number(process.argv[2]); round++) {
  const pods = Array.from({ length: 10 }, (_, i) =>
    pod(`m${id}-${round}-${i}`, { containers: [container("main")] }),
  );
  const up = await node.drop(pods);
  await pause(Math.random() * Number(process.argv[3]));
  const down = await node.remove(pods);
  console.log(round, up.toFixed(0), down.toFixed(0));
}
