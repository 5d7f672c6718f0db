// SPDX-License-Identifier: Apache-2.0

// Reading and understanding the kernel's log: records per second, the longest stall of the event loop in a flood, and what idling costs.
// "read" rows make one real read of /dev/kmsg for each record where it can be read, so that the system calls count.
// Run: node --conditions=@holdfast/source packages/oom/bench/kmsg.bench.ts
import { cpus } from "node:os";
import { monitorEventLoopDelay, performance } from "node:perf_hooks";
import { readFileSync } from "node:fs";
import { spawn } from "node:child_process";
import { Bus } from "@holdfast/bus";
import { systemClock } from "@holdfast/core/node";
import { OomAssembler, OomWatcher, parseKmsgRecord } from "@holdfast/oom";
import type { KmsgDevice, KmsgRead } from "@holdfast/oom";
import { NodeKmsgDevice } from "@holdfast/oom/node";

const SIZES = [1000, 10_000, 100_000];
const report = readFileSync(new URL("../test/fixtures/linux-5.4-memcg.kmsg", import.meta.url), "utf8")
  .trim()
  .split("\n");
const number = (text: string, sequence: number): string => text.replace(/^(\d+),\d+/, `$1,${sequence}`);
const round = (value: number): number => Math.round(value * 100) / 100;

/** A log that suddenly has `count` records; each costs a real read of /dev/kmsg as well, where that works. */
class FloodDevice implements KmsgDevice {
  readonly #real = new NodeKmsgDevice();
  #left: readonly string[] = [];
  #at = 0;

  flood(texts: readonly string[]): void {
    this.#left = texts;
    this.#at = 0;
  }

  uptimeMs(): number {
    return this.#real.uptimeMs();
  }

  open(): ReturnType<KmsgDevice["open"]> {
    const { handle, reopen } = this.#reopening();
    return {
      read: (): KmsgRead => {
        const text = this.#left[this.#at++];
        if (text === undefined) return { kind: "empty" };
        if (handle.current?.read().kind === "empty") reopen();
        return { kind: "record", text };
      },
      close: () => handle.current?.close(),
    };
  }

  #reopening(): { handle: { current: ReturnType<KmsgDevice["open"]> | undefined }; reopen: () => void } {
    const handle: { current: ReturnType<KmsgDevice["open"]> | undefined } = { current: undefined };
    const reopen = (): void => {
      handle.current?.close();
      try {
        handle.current = this.#real.open();
      } catch {
        handle.current = undefined; // no /dev/kmsg here: parsing alone is measured
      }
    };
    reopen();
    return { handle, reopen };
  }
}

function records(count: number, isOom: boolean): readonly string[] {
  return Array.from({ length: count }, (_, index) =>
    number(
      isOom ? (report[index % report.length] ?? "") : "6,0,1,-;eth0: port 8(veth) entered forwarding state",
      index + 1,
    ),
  );
}

function parseOnly(count: number, isOom: boolean): object {
  const texts = records(count, isOom);
  const assembler = new OomAssembler();
  const start = performance.now();
  for (const text of texts) {
    const record = parseKmsgRecord(text);
    if (record !== undefined) assembler.push(record);
  }
  const ms = performance.now() - start;
  return {
    work: isOom ? "parse, all OOM reports" : "parse, other lines",
    records: count,
    ms: round(ms),
    perSecond: Math.round(count / (ms / 1000)),
  };
}

async function flood(count: number, isOom: boolean): Promise<object> {
  const device = new FloodDevice();
  const watcher = new OomWatcher({ device, clock: systemClock, publish: new Bus({ clock: systemClock }) });
  await watcher.start();
  device.flood(records(count, isOom));
  globalThis.gc?.();
  const delay = monitorEventLoopDelay({ resolution: 1 });
  delay.enable();
  await systemClock.sleep(20);
  delay.reset();
  const start = performance.now();
  await watcher.drain();
  const ms = performance.now() - start;
  await systemClock.sleep(5);
  delay.disable();
  await watcher.stop();
  const maxStallMs = round(delay.max / 1e6);
  return {
    work: isOom ? "read, all OOM reports" : "read, other lines",
    records: count,
    ms: round(ms),
    perSecond: Math.round(count / (ms / 1000)),
    maxStallMs,
  };
}

/** CPU of one look that finds nothing, as a share of a core at the usual six a minute; and the memory of the child process that we do not have. */
async function idle(): Promise<object> {
  const LOOKS = 200;
  const watcher = new OomWatcher({ device: new NodeKmsgDevice(), clock: systemClock, periodMs: 10 });
  await watcher.start();
  await systemClock.sleep(500);
  const before = process.cpuUsage();
  await systemClock.sleep(LOOKS * 10);
  const used = process.cpuUsage(before);
  await watcher.stop();
  const microseconds = round((used.user + used.system) / LOOKS);
  const child = spawn("cat", { stdio: ["pipe", "ignore", "ignore"] });
  await systemClock.sleep(50);
  const rss = /^VmRSS:\s+(\d+)/m.exec(readFileSync(`/proc/${child.pid}/status`, "utf8"))?.[1];
  child.stdin.end();
  return {
    microsecondsPerLook: microseconds,
    looksAMinute: 6,
    percentOfACore: Math.round(microseconds / 10) / 10_000,
    childProcessKb: Number(rss),
  };
}

/** Prints tables, then the result as one line of JSON. */
export async function main(): Promise<void> {
  parseOnly(20_000, true);
  await flood(20_000, false);
  const rows: object[] = [];
  for (const isOom of [false, true]) {
    for (const size of SIZES) rows.push(parseOnly(size, isOom));
    for (const size of SIZES) rows.push(await flood(size, isOom));
  }
  console.table(rows);
  const quiet = await idle();
  console.table([quiet]);
  const machine = { node: process.version, cpu: cpus()[0]?.model ?? "", cores: cpus().length };
  process.stdout.write(`${JSON.stringify({ bench: "oom-kmsg", machine, rows, idle: quiet })}\n`);
}

if (import.meta.main) await main();
