// SPDX-License-Identifier: Apache-2.0

/**
 * Brings up a pod's sandbox: once, whatever becomes of the call. kubelet: createPodSandbox.
 *
 * Invariant: after a call whose answer was lost, or when the name is taken, the runtime is asked what there is, and a ready sandbox of the
 * same pod, attempt and owner is taken for the one that was asked for, unless it has containers: then the status that we act on is out of date.
 */
import type { DeepPartial, PodSandbox, PodSandboxConfig } from "@holdfast/cri";
import { PodSandboxState } from "@holdfast/cri";
import type { Clock } from "@holdfast/core/clock";
import { errorText, HoldfastError } from "@holdfast/core/errors";
import type { Limiter } from "@holdfast/core/limiter";
import { INSTANCE_LABEL, POD_UID_LABEL } from "@holdfast/core/names";
import type { Pod } from "@holdfast/core/pod-types";
import type { PodRuntime } from "../ports.ts";
import { ownerSelector } from "./container-labels.ts";
import type { Owner } from "./container-labels.ts";
import { SandboxCreated, SandboxCreating, SandboxFailed } from "./events.ts";
import { lateSignal } from "./late-signal.ts";
import type { PodRecorder } from "./pod-recorder.ts";
import { isNameTaken, mayExist, PodSyncError } from "./sync-error.ts";

/** First starts go after restarts. */
export const FIRST_START_PRIORITY = 1;
/** How long a call under way is let go on after the pod's termination was asked for. */
export const LATE_ABORT_MS = 10_000;
/** A look after a lost answer. */
export const LOOKUP_DEADLINE_MS = 10_000;

/** Ports of a sandbox's creation. */
export interface CreateSandboxDeps {
  readonly runtime: Pick<
    PodRuntime,
    | "runPodSandbox"
    | "podSandboxStatus"
    | "listPodSandbox"
    | "stopPodSandbox"
    | "removePodSandbox"
    | "listContainers"
  >;
  readonly clock: Clock;
  readonly limiter: Limiter;
  readonly owner: Owner;
}

/** One sandbox to create. */
export interface CreateSandboxRequest {
  readonly pod: Pod;
  readonly config: DeepPartial<PodSandboxConfig>;
  readonly attempt: number;
  readonly recorder: PodRecorder;
  readonly signal: AbortSignal;
}

/** A sandbox that runs. */
export interface CreatedSandbox {
  readonly sandboxId: string;
  /** Empty with hostNetwork. */
  readonly ips: readonly string[];
}

/** Rejects with CreatePodSandboxError, or with the signal's reason. */
export async function createSandbox(
  deps: CreateSandboxDeps,
  request: CreateSandboxRequest,
): Promise<CreatedSandbox> {
  const { attempt, recorder, signal, pod } = request;
  const after = recorder.emit(SandboxCreating, { attempt });
  using late = lateSignal(deps.clock, signal, LATE_ABORT_MS);
  const fail = (reason: string, message: string, cause: unknown): PodSyncError => {
    recorder.emit(SandboxFailed, { eventType: "Warning", reason, message, attempt }, { after });
    return new PodSyncError("CreatePodSandboxError", message, { cause, announced: true });
  };
  let made: { readonly sandboxId: string; readonly adopted: boolean };
  try {
    made = await deps.limiter.run(() => runOrAdopt(deps, request, late.signal), {
      priority: FIRST_START_PRIORITY,
      signal,
    });
  } catch (error) {
    signal.throwIfAborted();
    throw fail("FailedCreatePodSandBox", `Failed to create pod sandbox: ${errorText(error)}`, error);
  }
  let ips: readonly string[] = [];
  if (pod.spec.hostNetwork !== true) {
    try {
      const { status } = await deps.runtime.podSandboxStatus(
        { podSandboxId: made.sandboxId, verbose: false },
        { signal: late.signal },
      );
      const { ip = "", additionalIps = [] } = status?.network ?? {};
      ips = [ip, ...additionalIps.map((address) => address.ip)].filter((address) => address !== "");
    } catch (error) {
      signal.throwIfAborted();
      throw fail("FailedPodSandBoxStatus", `Unable to get pod sandbox status: ${errorText(error)}`, error);
    }
  }
  recorder.emit(SandboxCreated, { ...made, attempt, ips }, { after });
  return { sandboxId: made.sandboxId, ips };
}

async function runOrAdopt(
  deps: CreateSandboxDeps,
  request: CreateSandboxRequest,
  signal: AbortSignal,
): Promise<{ readonly sandboxId: string; readonly adopted: boolean }> {
  const run = async (): Promise<string> =>
    (await deps.runtime.runPodSandbox({ config: request.config, runtimeHandler: "" }, { signal }))
      .podSandboxId;
  try {
    return { sandboxId: await run(), adopted: false };
  } catch (error) {
    if (!mayExist(error)) throw error;
    const left = await findSandbox(deps, request);
    if (left?.state === PodSandboxState.SANDBOX_READY) {
      await refuseInhabited(deps, left.id);
      return { sandboxId: left.id, adopted: true };
    }
    if (left === undefined) throw isNameTaken(error) ? await nameHeldByOthers(deps, request, error) : error;
    if (!isNameTaken(error)) throw error;
    // What holds the name is ours and dead: it goes, and the name is free again.
    const podSandboxId = left.id;
    await deps.runtime.stopPodSandbox({ podSandboxId }, { signal });
    await deps.runtime.removePodSandbox({ podSandboxId }, { signal });
    return { sandboxId: await run(), adopted: false };
  }
}

/** Starting containers beside those that nobody told us of would make doubles: the pod must be looked at first. */
async function refuseInhabited({ runtime }: CreateSandboxDeps, podSandboxId: string): Promise<void> {
  const { containers } = await runtime.listContainers(
    { filter: { podSandboxId } },
    { deadlineMs: LOOKUP_DEADLINE_MS },
  );
  if (containers.length === 0) return;
  throw new HoldfastError(
    "POD_STATUS_OUT_OF_DATE",
    "retryable",
    `sandbox ${podSandboxId} of this attempt runs already and has ${containers.length} containers`,
  );
}

/** What is not ours is never touched: whoever reads this must know whose it is, and what to do. */
async function nameHeldByOthers(
  { runtime, owner }: CreateSandboxDeps,
  { pod: { metadata } }: CreateSandboxRequest,
  cause: unknown,
): Promise<unknown> {
  const { items } = await runtime
    .listPodSandbox(
      { filter: { labelSelector: { [POD_UID_LABEL]: metadata.uid } } },
      { deadlineMs: LOOKUP_DEADLINE_MS },
    )
    .catch(() => ({ items: [] }));
  const holder = items.find(({ labels }) => labels[INSTANCE_LABEL] !== owner.instanceId);
  if (holder === undefined) return cause;
  const instance = holder.labels[INSTANCE_LABEL];
  return new HoldfastError(
    "POD_HELD_BY_OTHERS",
    "retryable",
    `sandbox ${holder.id} of this pod belongs to ${instance === undefined ? "another agent" : `Holdfast instance ${instance}`}, not to this one (${owner.instanceId}): ` +
      `stop that agent's pod, or remove what it left: crictl rmp --force ${holder.id.slice(0, 13)}`,
    { cause },
  );
}

async function findSandbox(
  { runtime, owner }: CreateSandboxDeps,
  { pod, attempt }: CreateSandboxRequest,
): Promise<PodSandbox | undefined> {
  const { items } = await runtime.listPodSandbox(
    { filter: { labelSelector: ownerSelector(owner, pod.metadata.uid) } },
    { deadlineMs: LOOKUP_DEADLINE_MS },
  );
  return items.find(({ metadata }) => metadata?.uid === pod.metadata.uid && metadata.attempt === attempt);
}
