// SPDX-License-Identifier: Apache-2.0
/* What an update costs, with and without a change, for N pods of two containers. `--pods N` (default 1000). */
import { cpus } from "node:os";
import { systemClock } from "@holdfast/core/node";
import type { Pod } from "@holdfast/core/pod-types";
import type { RuntimePodStatus } from "@holdfast/core/runtime-status";
import { StatusManager } from "@holdfast/status";

const at = process.argv.indexOf("--pods");
const count = at === -1 ? 1000 : Number(process.argv[at + 1]);
const names = ["main", "helper"];
const rows: { case: string; pods: number; microsecondsPerPod: number }[] = [];

const pods: readonly Pod[] = Array.from({ length: count }, (_, index) => ({
  apiVersion: "v1",
  kind: "Pod",
  metadata: { name: `pod-${index}`, namespace: "default", uid: `uid-${index}` },
  spec: { containers: names.map((name) => ({ name, image: "busybox" })) },
}));

function runtimeOf(uid: string, attempt: number): RuntimePodStatus {
  const containers = names.map((name) => ({
    id: `${uid}-${name}-${attempt}`,
    name,
    sandboxId: uid,
    state: "running" as const,
    attempt,
    createdAt: 1,
    startedAt: 2,
    finishedAt: 0,
    exitCode: 0,
    reason: "",
    message: "",
    image: "busybox",
    imageRef: "sha256:1",
    hash: "1",
    restartCount: attempt,
  }));
  const sandbox = {
    id: uid,
    attempt: 0,
    state: "ready" as const,
    createdAt: 1,
    ip: "10.88.0.2",
    hostNetwork: false,
  };
  return { uid, name: uid, namespace: "default", ips: ["10.88.0.2"], sandboxes: [sandbox], containers };
}

const manager = new StatusManager({ clock: systemClock });
const options = { podIsTerminal: false, waitingReasons: new Map() };
for (const [name, attempt] of [
  ["first", 0],
  ["unchanged", 0],
  ["unchanged again", 0],
  ["every container restarted", 1],
] as const) {
  const answers = pods.map(({ metadata }) => runtimeOf(metadata.uid, attempt));
  const begun = performance.now();
  for (const [index, pod] of pods.entries()) {
    const answer = answers[index];
    if (answer !== undefined) manager.update(pod, answer, options);
  }
  rows.push({
    case: name,
    pods: count,
    microsecondsPerPod: Math.round(((performance.now() - begun) * 1e4) / count) / 10,
  });
}
console.table(rows);
const machine = { node: process.version, cpu: cpus()[0]?.model ?? "", cores: cpus().length };
process.stdout.write(`${JSON.stringify({ bench: "status-status", machine, rows })}\n`);
