import { createCriClient } from "@holdfast/cri";
import { readFileSync } from "node:fs";
import { setTimeout as pause } from "node:timers/promises";
import { BenchNode } from "./bench-node.ts";
import { container, pod } from "../test/integration/harness/manifests.ts";
await using client = createCriClient({ endpoint: process.env.HOLDFAST_TEST_CONTAINERD! });
const id = Math.random().toString(16).slice(2, 8);
await using node = new BenchNode(client, id);
await node.start();
const anon = () => /RssAnon:\s+(\d+)/.exec(readFileSync(`/proc/${node.pid}/status`, "utf8"))![1];
console.log("ready", anon());
await pause(5000);
console.log("5s", anon());
const pods = Array.from({ length: Number(process.argv[2] ?? 10) }, (_, i) =>
  pod(`m${id}-${i}`, { containers: [container("main")] }),
);
await node.drop(pods);
console.log("dropped", anon());
await pause(15000);
console.log("15s", anon());
if (process.argv[3] === "n") {
  console.log("removing");
  await node.remove(pods);
  console.log("removed");
  await node[Symbol.asyncDispose]();
  process.exit(0);
}
process.kill(node.pid, "SIGUSR1");
await pause(1000);
const [{ webSocketDebuggerUrl }] = (await (await fetch("http://127.0.0.1:9229/json")).json()) as any;
const ws = new WebSocket(webSocketDebuggerUrl);
await new Promise((r) => (ws.onopen = r));
let n = 0;
const waiting = new Map();
ws.onmessage = (e) => {
  const m = JSON.parse(String(e.data));
  waiting.get(m.id)?.(m);
};
const call = (method: string, params = {}) =>
  new Promise<any>((r) => {
    waiting.set(++n, r);
    ws.send(JSON.stringify({ id: n, method, params }));
  });
const ev = async (expression: string) =>
  (await call("Runtime.evaluate", { expression, returnByValue: true, includeCommandLineAPI: true })).result
    ?.result?.value;
console.log("inspected", anon(), await ev("JSON.stringify(process.memoryUsage())"));
await call("HeapProfiler.enable");
await call("HeapProfiler.collectGarbage");
console.log("after gc", anon(), await ev("JSON.stringify(process.memoryUsage())"));
console.log(
  await ev(
    "JSON.stringify(process.getBuiltinModule('v8').getHeapSpaceStatistics().map(s=>[s.space_name,s.space_size,s.space_used_size]))",
  ),
);
console.log(await ev("JSON.stringify(process.getBuiltinModule('v8').getHeapStatistics())"));
console.log(
  await ev(
    "JSON.stringify(process.moduleLoadList.filter(x=>/undici|http|net|inspector|crypto|worker|wasm|zlib/i.test(x)).join(' '))",
  ),
);
console.log(
  readFileSync(`/proc/${node.pid}/smaps`, "utf8")
    .split(/\n(?=[0-9a-f]+-[0-9a-f]+ )/)
    .map((b) => [b.split("\n")[0], Number(/Anonymous:\s+(\d+)/.exec(b)?.[1])] as const)
    .filter((x) => x[1] > 300)
    .sort((a, b) => b[1] - a[1])
    .map((x) => x.join("  "))
    .join("\n"),
);
ws.close();
console.log("removing", anon());
setTimeout(() => {
  console.log(readFileSync(`/proc/${node.pid}/status`, "utf8").split("\n").slice(0, 8).join("|"));
}, 20000).unref();
await node.remove(pods);
console.log("removed");
