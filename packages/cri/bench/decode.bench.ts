// SPDX-License-Identifier: Apache-2.0
//
// What decoding a container list costs, with the plain and with the interning reader: time, garbage and what is kept.
// node --expose-gc --conditions=@holdfast/source packages/cri/bench/decode.bench.ts

import { InterningReader, ListContainersResponse, StringTable } from "@holdfast/cri";

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
const PER_POD = 2;

/** A list as a node has it: many containers, few different label keys and values. */
function listOf(count: number): Buffer {
  const containers = Array.from({ length: count }, (_, index) => {
    const pod = Math.floor(index / PER_POD);
    const id = index.toString(16).padStart(64, "0");
    return {
      id,
      podSandboxId: pod.toString(16).padStart(64, "f"),
      metadata: { name: `container-${index % PER_POD}`, attempt: 1 },
      image: {
        image: `registry.example/team/image:${index % 7}`,
        userSpecifiedImage: `registry.example/team/image:${index % 7}`,
      },
      imageRef: `sha256:${String(index % 7).repeat(64)}`,
      imageId: `sha256:${String(index % 7).repeat(64)}`,
      state: index % 2 === 0 ? (1 as const) : (2 as const),
      createdAt: 1_795_000_000_000_000_000n + BigInt(index),
      labels: {
        "io.kubernetes.container.name": `container-${index % PER_POD}`,
        "io.kubernetes.pod.name": `pod-${pod}`,
        "io.kubernetes.pod.namespace": `namespace-${pod % 5}`,
        "io.kubernetes.pod.uid": `${pod}`.padStart(36, "0"),
        "holdfast.agent/node": "node-1",
        "holdfast.agent/instance": "0123456789abcdef",
      },
      annotations: {
        "io.kubernetes.container.hash": `hash-${index % 40}`,
        "io.kubernetes.container.restartCount": String(index % 4),
        "io.kubernetes.container.terminationMessagePath": "/dev/termination-log",
        "io.kubernetes.container.terminationMessagePolicy": "File",
        "io.kubernetes.pod.terminationGracePeriod": "30",
      },
    };
  });
  return Buffer.from(ListContainersResponse.encode(ListContainersResponse.create({ containers })).finish());
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
  for (const count of [1000, 10_000]) {
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
