// SPDX-License-Identifier: Apache-2.0

// The client on a unix socket, with the runtime in a process of its own: what a round of both lists costs by the number of containers, calls and
// events per second, and what 100,000 calls leave on the heap.
// node --expose-gc --conditions=@holdfast/source packages/cri/bench/client.bench.ts

import { fork } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { cpus, tmpdir } from "node:os";
import { join } from "node:path";

import { createCriClient } from "@holdfast/cri";
import type { CriClient } from "@holdfast/cri";

interface Round {
  readonly containers: number;
  readonly callsPerRound: number;
  /** Own CPU, user and system, of a round: median. */
  readonly cpuMs: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
  readonly heapMb: number;
}

const SIZES = [10, 100, 1000, 10_000];
const ROUNDS: Readonly<Record<number, number>> = { 10: 400, 100: 300, 1000: 100, 10_000: 40 };
const WARM_UP = 15;
const EVENTS = 200_000;
const CALLS = 100_000;
const IN_FLIGHT = 16;
const MIB = 1024 * 1024;

async function withRuntime<T>(containers: number, work: (client: CriClient) => Promise<T>): Promise<T> {
  const folder = mkdtempSync(join(tmpdir(), "holdfast-cri-bench-"));
  const socket = join(folder, "cri.sock");
  const child = fork(new URL("server.ts", import.meta.url), [socket, String(containers), String(EVENTS)]);
  try {
    await new Promise((resolve, reject) => {
      child.once("message", resolve);
      child.once("exit", (code) => reject(new Error(`the server ended with ${code}`)));
    });
    await using client = createCriClient({ endpoint: socket });
    return await work(client);
  } finally {
    child.disconnect();
    rmSync(folder, { recursive: true });
  }
}

async function measureRounds(containers: number): Promise<Round> {
  return withRuntime(containers, async (client) => {
    const round = async (): Promise<void> => {
      await Promise.all([client.listPodSandbox({}), client.listContainers({})]);
    };
    for (let turn = 0; turn < WARM_UP; turn++) await round();
    const times: number[] = [];
    const cpu: number[] = [];
    for (let turn = 0; turn < (ROUNDS[containers] ?? 50); turn++) {
      const begun = performance.now();
      const start = process.cpuUsage();
      await round();
      const { system, user } = process.cpuUsage(start);
      times.push(performance.now() - begun);
      cpu.push((user + system) / 1000);
    }
    return {
      containers,
      callsPerRound: 2,
      cpuMs: quantile(cpu, 0.5),
      p50Ms: quantile(times, 0.5),
      p99Ms: quantile(times, 0.99),
      heapMb: heapMb(),
    };
  });
}

/** Small calls, 16 at a time, and what they leave behind. */
async function measureCalls(): Promise<{ readonly callsPerSecond: number; readonly grownMb: number }> {
  return withRuntime(0, async (client) => {
    const make = async (count: number): Promise<void> => {
      let left = count;
      const caller = async (): Promise<void> => {
        while (left-- > 0) await client.version({});
      };
      await Promise.all(Array.from({ length: IN_FLIGHT }, caller));
    };
    await make(CALLS / 10);
    const before = heapMb();
    const begun = performance.now();
    await make(CALLS);
    const seconds = (performance.now() - begun) / 1000;
    return { callsPerSecond: Math.round(CALLS / seconds), grownMb: round2(heapMb() - before) };
  });
}

async function measureEvents(): Promise<number> {
  return withRuntime(0, async (client) => {
    let count = 0;
    const begun = performance.now();
    for await (const { containerId } of client.containerdEvents()) if (containerId !== "") count += 1;
    return Math.round(count / ((performance.now() - begun) / 1000));
  });
}

function heapMb(): number {
  globalThis.gc?.();
  return round2(process.memoryUsage().heapUsed / MIB);
}

function quantile(values: readonly number[], share: number): number {
  const sorted = values.toSorted((a, b) => a - b);
  return round2(sorted[Math.min(Math.floor(sorted.length * share), sorted.length - 1)] ?? 0);
}

function round2(value: number): number {
  return Math.round(value * 100) / 100;
}

/** Prints tables, then the result as one line of JSON. */
export async function main(): Promise<void> {
  const rounds: Round[] = [];
  for (const size of SIZES) rounds.push(await measureRounds(size));
  console.table(rounds);
  const calls = await measureCalls();
  const eventsPerSecond = await measureEvents();
  console.table([{ ...calls, eventsPerSecond }]);
  const machine = { node: process.version, cpu: cpus()[0]?.model ?? "", cores: cpus().length };
  console.log(JSON.stringify({ bench: "cri-client", machine, rounds, ...calls, eventsPerSecond }));
}

if (import.meta.main) await main();
