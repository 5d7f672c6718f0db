// SPDX-License-Identifier: Apache-2.0

// What watching idle logs costs: `strace -c -f -p PID` beside it counts the calls. Prints its own CPU over a minute. Not part of `pnpm bench`.
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { systemClock } from "@holdfast/core/node";
import { ContainerLogManager, nodeLogFiles } from "@holdfast/gc";
import type { LogTarget } from "@holdfast/gc";

const CONTAINERS = Number(process.argv[2] ?? "10");
const MINUTE = 60_000;
const root = mkdtempSync(join(tmpdir(), "holdfast-idle-"));
const targets = Array.from({ length: CONTAINERS }, (_, index): LogTarget => {
  const folder = `${root}/default_p${index}_u${index}/app`;
  mkdirSync(folder, { recursive: true });
  writeFileSync(`${folder}/0.log`, "hello\n");
  return {
    containerId: `c${index}`,
    running: true,
    podUid: `u${index}`,
    pod: "p",
    container: "app",
    attempt: 0,
    folder,
    log: "0.log",
  };
});
const reopen = { reopenContainerLog: () => Promise.resolve({}) };
await using manager = new ContainerLogManager({
  runtime: reopen,
  clock: systemClock,
  files: nodeLogFiles([root]),
  targets: () => Promise.resolve(targets),
  podLogsDir: root,
});
await manager.start();
await systemClock.sleep(Number(process.argv[3] ?? MINUTE));
console.log(`ready ${process.pid}`);
const before = process.cpuUsage();
await systemClock.sleep(MINUTE);
const { user, system } = process.cpuUsage(before);
console.log(`${CONTAINERS} idle containers: ${(user + system) / 1000} ms of CPU in a minute`);
await manager.stop();
rmSync(root, { recursive: true });
