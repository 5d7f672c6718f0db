// SPDX-License-Identifier: Apache-2.0
//
// What decoding a container list costs, with the plain and with the interning reader: time, garbage and what is kept.
// node --expose-gc --conditions=@holdfast/source packages/cri/bench/decode.bench.ts

import { InterningReader, ListContainersResponse, StringTable } from "@holdfast/cri";

import { containersOf } from "./node-of.ts";

export interface DecodeResult {
  readonly containers: number;
  readonly reader: "plain" | "interning";
  readonly megabytes: number;
  /** Median of the runs, once warm. */
  readonly medianMs: number;
  /** Heap that one decoded list keeps alive, with the table of strings warm. 0 without --expose-gc. */
  readonly retainedMb: number;
}

const RUNS = 15;
const WARM_UP = 5;
const MIB = 1024 * 1024;

function listOf(count: number): Buffer {
  const containers = containersOf(count);
  return Buffer.from(ListContainersResponse.encode({ containers }).finish());
}

function measure(containers: number, bytes: Buffer, reader: DecodeResult["reader"]): DecodeResult {
  const table = new StringTable(32_768);
  const decode = (): ListContainersResponse =>
    ListContainersResponse.decode(reader === "plain" ? bytes : new InterningReader(bytes, table));
  const times: number[] = [];
  for (let run = 0; run < WARM_UP + RUNS; run++) {
    const begun = performance.now();
    decode();
    if (run >= WARM_UP) times.push(performance.now() - begun);
  }
  times.sort((left, right) => left - right);
  return {
    containers,
    reader,
    megabytes: bytes.length / 1e6,
    medianMs: times[RUNS >> 1] ?? 0,
    retainedMb: retained(decode),
  };
}

function retained(decode: () => ListContainersResponse): number {
  if (globalThis.gc === undefined) return 0;
  globalThis.gc();
  const before = process.memoryUsage().heapUsed;
  const kept = decode();
  globalThis.gc();
  const bytes = process.memoryUsage().heapUsed - before;
  return kept.containers.length === 0 ? 0 : bytes / MIB;
}

/** Runs all of it. */
export function main(): DecodeResult[] {
  const results: DecodeResult[] = [];
  for (const count of [10, 100, 1000, 10_000]) {
    const bytes = listOf(count);
    for (const reader of ["plain", "interning"] as const) results.push(measure(count, bytes, reader));
  }
  return results;
}

if (import.meta.main) {
  const results = main();
  console.table(
    results.map(({ containers, reader, megabytes, medianMs, retainedMb }) => ({
      containers,
      reader,
      MB: megabytes.toFixed(2),
      "median ms": medianMs.toFixed(2),
      "retained MiB": retainedMb.toFixed(1),
    })),
  );
  console.log(JSON.stringify({ name: "cri/decode", node: process.version, results }));
}
