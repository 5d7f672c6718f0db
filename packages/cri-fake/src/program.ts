// SPDX-License-Identifier: Apache-2.0
//
// What a container does, as data. Nothing is executed: a program says when it ends and how it answers.

import type { Inside } from "./inside.ts";

/** What an exec in a container answers. */
export interface ExecAnswer {
  /** Default 0. */
  readonly exitCode?: number;
  /** Default empty. */
  readonly stdout?: string;
  /** Default empty. */
  readonly stderr?: string;
  /** How long the command takes, in milliseconds. Default 0; Infinity never ends by itself. */
  readonly afterMs?: number;
}

/** One line that a container writes to its log. */
export interface OutputLine {
  /** Milliseconds after the start. Default 0. */
  readonly afterMs?: number;
  /** Default stdout. */
  readonly stream?: "stdout" | "stderr";
  /** Again and again, so many milliseconds apart, until the program ends. At least 1. Default: once. */
  readonly everyMs?: number;
  /** Without the newline. */
  readonly text: string;
}

/** What the main process of a container does. An empty program runs until it is told to stop. */
export interface Program {
  /** Ends by itself after so many milliseconds. Default: never. */
  readonly exitAfterMs?: number;
  /** How it ends by itself. Default 0. */
  readonly exitCode?: number;
  /** SIGTERM does nothing, as to a PID 1 without a handler: only SIGKILL ends it. Default false. */
  readonly ignoreSigterm?: boolean;
  /** How long it takes to end on SIGTERM, in milliseconds. Default 0. */
  readonly exitOnSigtermAfterMs?: number;
  /** How it ends on SIGTERM. Default 143, as one that has no handler. */
  readonly sigtermExitCode?: number;
  /** SIGKILL does nothing either, as to a process that waits for a dead NFS server. Default false. */
  readonly ignoreSigkill?: boolean;
  /** Answers commands that are run in it. Default: exit code 0, no output. */
  readonly exec?: (command: readonly string[]) => ExecAnswer;
  /**
   * It reads its stdin, as a shell does: each line that is sent by Attach is answered as an exec, and with `stdinOnce` its end is the program's,
   * with 0. Default false: what is sent is ignored.
   */
  readonly shell?: boolean;
  /** It cannot be started: StartContainer fails with this text, and the container is EXITED with 128, StartError. */
  readonly startError?: string;
  /** The kernel kills it for want of memory after so many milliseconds: 137, OOMKilled. Default: never. */
  readonly oomAfterMs?: number;
  /** What it writes to its log, at most 10,000 lines. Default nothing. */
  readonly output?: readonly OutputLine[];
  /** Bytes of memory that it uses from the start on. Default 1 MiB. Above its limit the kernel kills it: 137, OOMKilled. */
  readonly memoryBytes?: number;
  /** Bytes of memory that it uses more each second. Default 0. */
  readonly memoryGrowthPerSecond?: number;
  /** Cores that it keeps busy. Default 0.01. */
  readonly cpuCores?: number;
  /** Bytes that it has in its writable layer from the start on. Default 0. */
  readonly diskBytes?: number;
  /** Bytes that it writes there each second, until the file system is full. Default 0. */
  readonly diskGrowthPerSecond?: number;
  /** What it listens on, at most 16. Real only with {@link FakeRuntimeOptions.loopback}; `serving()` tells in virtual time. */
  readonly serve?: readonly ServedPort[];
}

/** A port that a program listens on, on loopback, with a health that changes on the clock. */
export interface ServedPort {
  readonly port: number;
  /** `grpc` is grpc.health.v1. */
  readonly kind: "http" | "tcp" | "grpc";
  /** Milliseconds from the start until it listens. Default 0. */
  readonly listenAfterMs?: number;
  /** From then on it is unwell: http answers 503, grpc NOT_SERVING, tcp listens no more. Default never. */
  readonly failAfterMs?: number;
  /** From then on it is well again. Default never. */
  readonly recoverAfterMs?: number;
  /** From then on it accepts and says nothing. Default never. */
  readonly hangAfterMs?: number;
  /** http: the status of a path, whatever the health. Default 200 for every path. */
  readonly paths?: Readonly<Record<string, number>>;
  /** grpc: the names of services that there are. Default only the whole server, the empty name. */
  readonly services?: readonly string[];
}

/** Which container a program is asked for. */
export interface ProgramQuery {
  readonly containerId: string;
  readonly podUid: string;
  readonly podName: string;
  readonly podNamespace: string;
  /** The container's name in its pod. */
  readonly name: string;
  readonly attempt: number;
  /** As the request named it. */
  readonly image: string;
  readonly command: readonly string[];
  readonly args: readonly string[];
  readonly env: Readonly<Record<string, string>>;
  readonly labels: Readonly<Record<string, string>>;
  readonly annotations: Readonly<Record<string, string>>;
  /** What it finds around itself. */
  readonly inside: Inside;
}

/** Chooses the program of a container. Asked once, when the container is started. */
export type Programs = (container: ProgramQuery) => Program;

/** What containerd and runc say of a command that is not in the image: for {@link Program.startError}. */
export function commandNotFound(command: string): string {
  return (
    "failed to create containerd task: failed to create shim task: OCI runtime create failed: runc create failed: " +
    `unable to start container process: exec: "${command}": executable file not found in $PATH: unknown`
  );
}
