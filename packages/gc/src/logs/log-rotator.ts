// SPDX-License-Identifier: Apache-2.0

/**
 * Rotates one log: old files go, the log is moved aside, the runtime opens a new one. Compression follows apart, so that a fast writer does not wait for it.
 *
 * Invariants: when the runtime does not reopen, the log gets its name back; files that are being compressed are left alone; at most
 * `maxFiles` files are left but for those. kubelet: rotateLog, rotateLatestLog.
 */
import type { Publisher, Subject } from "@holdfast/bus";
import type { Clock } from "@holdfast/core/clock";
import { errorText, HoldfastError } from "@holdfast/core/errors";
import { LogRotated } from "../events.ts";
import type { ContainerLogRuntime, LogFiles } from "../ports.ts";
import type { LogCompressor } from "./log-compressor.ts";
import type { LogRotationPolicy } from "./log-policy.ts";
import type { LogTarget } from "./log-targets.ts";
import { planLogRotation } from "./plan-log-rotation.ts";

const REOPEN_DEADLINE_MS = 10_000;

/** What a rotation works with. */
export interface LogRotatorDeps {
  readonly runtime: ContainerLogRuntime;
  readonly files: LogFiles;
  readonly clock: Clock;
  readonly compressor: LogCompressor;
  readonly policy: LogRotationPolicy;
  readonly publish: Publisher;
}

/** Rotates if the log is big enough, and tells whether. Rejects with `GC_LOG`, after all was put back. */
export async function rotateLog(
  deps: LogRotatorDeps,
  target: LogTarget,
  signal: AbortSignal,
): Promise<boolean> {
  const { files, clock, compressor, policy, publish } = deps;
  const { folder, log } = target;
  const path = `${folder}/${log}`;
  const bytes = (await files.size(path)) ?? 0;
  const plan = planLogRotation(
    { log, bytes, files: await files.list(folder), busy: compressor.busyIn(folder), now: clock.now() },
    policy,
  );
  if (!plan.rotate) return false;
  for (const { name } of plan.removals) await files.remove(`${folder}/${name}`);
  const rotatedTo = `${folder}/${plan.rotatedTo}`;
  await files.rename(path, rotatedTo);
  try {
    await reopenLog(deps, target, signal);
  } catch (error) {
    await putBack(files, rotatedTo, path, error);
    throw logError(`rotate ${path}`, error);
  }
  publish.publish(LogRotated, { path, rotatedTo, bytes }, { subject: subjectOf(target) });
  for (const name of plan.compress) compressor.add(folder, name);
  return true;
}

/** Has the runtime open the log's path anew; it makes the file when it is missing. */
export async function reopenLog(
  { runtime }: Pick<LogRotatorDeps, "runtime">,
  { containerId }: LogTarget,
  signal: AbortSignal,
): Promise<void> {
  await runtime.reopenContainerLog({ containerId }, { signal, deadlineMs: REOPEN_DEADLINE_MS });
}

/** Only when nothing new is there: a call without an answer may have happened. */
async function putBack(files: LogFiles, from: string, to: string, why: unknown): Promise<void> {
  try {
    if ((await files.size(to)) === undefined) await files.rename(from, to);
  } catch (error) {
    throw logError(`give ${from} its name back after: ${errorText(why)}`, error);
  }
}

function logError(what: string, cause: unknown): HoldfastError {
  return new HoldfastError("GC_LOG", "retryable", `failed to ${what}`, { cause });
}

/** What events about a log are about. */
export function subjectOf({ podUid, pod, container, containerId }: LogTarget): Subject {
  return { podUid, pod, container, containerId };
}
