// SPDX-License-Identifier: Apache-2.0

/** Pure: the signal that an exit code tells of. */

/** Linux numbers that a container's end can have. */
const SIGNALS: ReadonlyMap<number, string> = new Map([
  [1, "SIGHUP"],
  [2, "SIGINT"],
  [3, "SIGQUIT"],
  [4, "SIGILL"],
  [5, "SIGTRAP"],
  [6, "SIGABRT"],
  [7, "SIGBUS"],
  [8, "SIGFPE"],
  [9, "SIGKILL"],
  [10, "SIGUSR1"],
  [11, "SIGSEGV"],
  [12, "SIGUSR2"],
  [13, "SIGPIPE"],
  [14, "SIGALRM"],
  [15, "SIGTERM"],
  [24, "SIGXCPU"],
  [25, "SIGXFSZ"],
  [31, "SIGSYS"],
]);

/** Signals that somebody sends; the others come from what a process does itself. */
const SENT: ReadonlySet<string> = new Set([
  "SIGHUP",
  "SIGINT",
  "SIGQUIT",
  "SIGKILL",
  "SIGUSR1",
  "SIGUSR2",
  "SIGTERM",
]);

/** Exit code of a process that SIGKILL ended, as a shell and the runtime report it. */
export const KILLED = 137;

/** `SIGKILL` for 137; undefined for a code that tells of none. */
export function signalOfExitCode(exitCode: number | undefined): string | undefined {
  return exitCode === undefined || exitCode <= 128 ? undefined : SIGNALS.get(exitCode - 128);
}

/** Whether the signal is one that is sent by somebody and does not come of a fault of the process. */
export function isSentSignal(signal: string | undefined): boolean {
  return signal !== undefined && SENT.has(signal);
}
