// SPDX-License-Identifier: Apache-2.0
//
// The fields of a script. Their meaning is that of the library's options of the same names.

import { ERROR_KINDS } from "@holdfast/cri";

import type { Shape } from "./shape.ts";

const TEXT: Shape = { kind: "text" };
const NAME: Shape = { kind: "text", filled: true };
const FLAG: Shape = { kind: "flag" };
const BYTES: Shape = { kind: "bytes" };
const MS: Shape = { kind: "number", least: 0 };
/** `.inf` is never. */
const MS_OR_NEVER: Shape = { kind: "number", least: 0, endless: true };
const EXIT_CODE: Shape = { kind: "number", least: 0, most: 255, whole: true };
const COUNT: Shape = { kind: "number", least: 1, whole: true };
const ID: Shape = { kind: "number", least: 0, whole: true };
const TEXTS: Shape = { kind: "list", of: TEXT };
const object = (fields: Readonly<Record<string, Shape>>, ...required: string[]): Shape => ({
  kind: "object",
  fields,
  required,
});
const listOf = (of: Shape): Shape => ({ kind: "list", of });
const mapOf = (of: Shape): Shape => ({ kind: "map", of });

const ERROR = object({ code: { kind: "text", oneOf: Object.keys(ERROR_KINDS) }, message: TEXT });

const FAULT = object({
  match: object({
    method: { kind: "one-or-list", of: NAME },
    podUid: TEXT,
    podName: TEXT,
    podNamespace: TEXT,
    container: TEXT,
    target: TEXT,
    topic: TEXT,
    nth: { kind: "one-or-list", of: COUNT },
    from: COUNT,
    times: COUNT,
    probability: { kind: "number", least: 0, most: 1 },
  }),
  latencyMs: MS,
  hang: FLAG,
  ignoreCancel: FLAG,
  error: ERROR,
  after: object({ latencyMs: MS, hang: FLAG, error: ERROR }),
  stale: FLAG,
  truncateTo: { kind: "number", least: 0, whole: true },
  wrongState: { kind: "number", least: 0, whole: true },
  lose: FLAG,
  duplicate: FLAG,
  delayMs: MS,
  halfOpen: FLAG,
});

const PORT = object(
  {
    port: { kind: "number", least: 1, most: 65_535, whole: true },
    kind: { kind: "text", oneOf: ["http", "tcp", "grpc"] },
    listenAfterMs: MS,
    failAfterMs: MS,
    recoverAfterMs: MS,
    hangAfterMs: MS,
    paths: mapOf({ kind: "number", least: 100, most: 599, whole: true }),
    services: TEXTS,
  },
  "port",
  "kind",
);

const EXEC = object({ command: TEXT, exitCode: EXIT_CODE, stdout: TEXT, stderr: TEXT, afterMs: MS_OR_NEVER });

const PROGRAM = object({
  match: object({
    container: TEXT,
    podName: TEXT,
    podNamespace: TEXT,
    podUid: TEXT,
    image: TEXT,
    command: TEXT,
    attempt: { kind: "number", least: 0, whole: true },
    labels: mapOf(TEXT),
    readOnlyRoot: FLAG,
  }),
  exitAfterMs: MS_OR_NEVER,
  exitCode: EXIT_CODE,
  ignoreSigterm: FLAG,
  exitOnSigtermAfterMs: MS_OR_NEVER,
  sigtermExitCode: EXIT_CODE,
  ignoreSigkill: FLAG,
  oomAfterMs: MS_OR_NEVER,
  shell: FLAG,
  startError: NAME,
  memoryBytes: BYTES,
  memoryGrowthPerSecond: BYTES,
  cpuCores: { kind: "number", least: 0 },
  diskBytes: BYTES,
  diskGrowthPerSecond: BYTES,
  output: listOf(
    object(
      {
        afterMs: MS,
        everyMs: { kind: "number", least: 1 },
        stream: { kind: "text", oneOf: ["stdout", "stderr"] },
        text: TEXT,
      },
      "text",
    ),
  ),
  exec: listOf(EXEC),
  serve: listOf(PORT),
});

const IMAGE = object(
  {
    reference: NAME,
    tags: TEXTS,
    id: { kind: "text", filled: true },
    size: BYTES,
    diskBytes: BYTES,
    uid: { kind: "number", least: 0, whole: true },
    user: TEXT,
    users: listOf(object({ name: NAME, uid: ID, gid: ID, groups: { kind: "list", of: ID } }, "name", "uid")),
    pinned: FLAG,
    repoDigests: TEXTS,
  },
  "reference",
);

/** A whole script. */
export const SCRIPT: Shape = object({
  runtime: object({
    containerd: { kind: "text", oneOf: ["1.6", "1.7", "2.1"] },
    seed: { kind: "number", least: 0, whole: true },
    latencyMs: mapOf(MS),
    criLagMs: MS,
    streamedLists: FLAG,
    missing: TEXTS,
    runtimeName: NAME,
    addressPrefix: { kind: "text", filled: true },
    addresses: COUNT,
    runtimeHandlers: TEXTS,
    cgroupDriver: { kind: "text", oneOf: ["systemd", "cgroupfs"] },
  }),
  imageFs: object({ capacityBytes: BYTES, mountpoint: NAME, otherBytes: BYTES }),
  images: listOf(IMAGE),
  registry: listOf(IMAGE),
  programs: listOf(PROGRAM),
  faults: listOf(FAULT),
});
