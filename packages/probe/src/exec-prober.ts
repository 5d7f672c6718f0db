// SPDX-License-Identifier: Apache-2.0

/**
 * Exec probes through the runtime. kubelet: pkg/probe/exec, prober.newExecInContainer.
 *
 * Invariants: every call has a deadline, also on a runtime that ignores it; a command that hangs is told from a runtime that does. Owns
 * nothing that outlives a call.
 */
import type { Clock } from "@holdfast/core/clock";
import { formatDuration } from "@holdfast/core/duration";
import { holdfastErrorIn, isDeadline } from "@holdfast/core/errors";
import { withDeadline } from "@holdfast/core/lifecycle";
import { CommandRemains } from "./command-remains.ts";
import { failure, MAX_OUTPUT_BYTES, proberError } from "./outcome.ts";
import type { ProbeOutcome } from "./outcome.ts";
import type { HandlerRun, ProbeProcesses, ProbeRuntime } from "./ports.ts";

/** One command, ready to be run. */
export interface ExecProbeRequest {
  readonly handler: "exec";
  readonly containerId: string;
  readonly command: string[];
  /** Rounded up to whole seconds: the runtime knows no others. */
  readonly timeoutMs: number;
}

/** How an {@link ExecProber} is made. */
export interface ExecProberOptions {
  readonly runtime: ProbeRuntime;
  readonly clock: Clock;
  /** How much later than the command's own timeout the runtime may answer. */
  readonly answerGraceMs: number;
  /** Counts and ends what a command that timed out has left. Without it, one is counted for each that the runtime did not end. */
  readonly processes?: ProbeProcesses | undefined;
  /** A command timed out, and so many of its processes lived on; `ended` of them do no more. */
  readonly onLeftBehind: (containerId: string, processes: number, ended: number) => void;
}

const MS = 1000;
const VERSION_DEADLINE_MS = 2000;
/** Only for a runtime that does not keep the deadline that it was given. */
const BACKSTOP_MS = 250;

/** See the top of the file. */
export class ExecProber {
  readonly #options: ExecProberOptions;

  constructor(options: ExecProberOptions) {
    this.#options = options;
  }

  start(request: ExecProbeRequest, onDone: (outcome: ProbeOutcome) => void): HandlerRun {
    const giveUp = new AbortController();
    let wanted = true;
    const run = async (): Promise<void> => {
      const outcome = await this.#run(request, giveUp.signal);
      if (wanted) onDone(outcome);
    };
    void run();
    return {
      // The runtime keeps the time of the command, the deadline that of the call.
      expire() {},
      cancel() {
        wanted = false;
        giveUp.abort(new Error("the probe is no longer wanted"));
      },
    };
  }

  async #run(request: ExecProbeRequest, signal: AbortSignal): Promise<ProbeOutcome> {
    const { runtime, clock, answerGraceMs, processes, onLeftBehind } = this.#options;
    const seconds = Math.max(Math.ceil(request.timeoutMs / MS), 1);
    const deadlineMs = seconds * MS + answerGraceMs;
    const { containerId, command } = request;
    const facts = { containerId, command, timeoutMs: seconds * MS };
    const remains = new CommandRemains(facts, { processes, clock, onLeftBehind });
    try {
      const call = runtime.execSync(
        { containerId, cmd: command, timeout: BigInt(seconds) },
        { signal, deadlineMs },
      );
      const first = Promise.race([call, rejectionOf(signal)]);
      const answer = await withDeadline(clock, deadlineMs + BACKSTOP_MS, "ExecSync", first);
      const output = outputOf(answer.stdout, answer.stderr);
      return answer.exitCode === 0 ? { result: "success", output, quotes: output } : failure(output, output);
    } catch (error) {
      const timeout = `command timed out: "${command.join(" ")}" timed out after ${formatDuration(seconds * MS)}`;
      const ended = holdfastErrorIn(error)?.code === "CRI_RUNTIME_DEADLINE";
      if (!ended && (!isDeadline(error) || signal.aborted)) return proberError("runtime", plainText(error));
      if (!ended && !(await this.#runtimeAnswers())) return proberError("silent", plainText(error));
      // The verdict does not wait for it.
      void remains.tidy(ended ? 0 : 1);
      return failure(timeout);
    } finally {
      remains.answered();
    }
  }

  async #runtimeAnswers(): Promise<boolean> {
    const { runtime, clock } = this.#options;
    if (runtime.version === undefined) return false;
    try {
      const call = runtime.version({}, { deadlineMs: VERSION_DEADLINE_MS });
      await withDeadline(clock, VERSION_DEADLINE_MS + BACKSTOP_MS, "Version", call);
      return true;
    } catch {
      // It does not: the probe's own outcome says so.
      return false;
    }
  }
}

const CALL = /^ExecSync of \S+: /;
const LONG_ID = /[0-9a-f]{64}/g;

/** Without ids: the same trouble has the same text each time, so that it is counted and not listed. */
function plainText(error: unknown): string {
  const text = error instanceof Error ? error.message : String(error);
  return text.replace(CALL, "").replace(LONG_ID, "…");
}

/** Rejects when the signal aborts: not every runtime minds it. The signal is one call's own. */
function rejectionOf(signal: AbortSignal): Promise<never> {
  return new Promise((_resolve, reject) => {
    signal.addEventListener("abort", () => reject(signal.reason as Error), { once: true });
  });
}

/** Keeps nothing between two texts that are whole. */
const decoder = new TextDecoder();

/** stdout, then stderr, cut to 10 KiB. */
function outputOf(stdout: Uint8Array, stderr: Uint8Array): string {
  if (stdout.length + stderr.length === 0) return "";
  if (stderr.length === 0) return decoder.decode(stdout.subarray(0, MAX_OUTPUT_BYTES));
  const bytes = new Uint8Array(Math.min(stdout.length + stderr.length, MAX_OUTPUT_BYTES));
  bytes.set(stdout.subarray(0, bytes.length));
  const room = bytes.length - Math.min(stdout.length, bytes.length);
  bytes.set(stderr.subarray(0, room), bytes.length - room);
  return decoder.decode(bytes);
}
