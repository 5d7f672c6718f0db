// SPDX-License-Identifier: Apache-2.0

/**
 * Makes the PLEG's calls on the runtime. No call is trusted to return: each has a deadline of ours beside the client's, a place in a limit
 * that it loses when it is stuck, and is named while it is under way.
 *
 * Owns: the set of calls under way. Lost on a crash: nothing.
 */
import { withDeadline, linkSignal } from "@holdfast/core/lifecycle";
import { Limiter } from "@holdfast/core/limiter";
import { HoldfastError, isNotFound } from "@holdfast/core/errors";
import { POD_UID_LABEL } from "@holdfast/core/names";
import type { ContainerStatus, CriCallOptions, PodSandboxStatus } from "@holdfast/cri";
import { callError, describeCall } from "./errors.ts";
import type { PlegCall } from "./errors.ts";
import type { ResolvedPlegOptions } from "./options.ts";
import { groupByPod } from "./pod-records.ts";
import type { ListedItem, ListedPod } from "./pod-records.ts";

/** A call that has been made and has not answered. */
export interface CallUnderWay extends PlegCall {
  /** Milliseconds since it was made. */
  readonly ageMs: number;
}

/** Somebody waits for this one; or it is one of the many that a pass over all pods asks for. */
export type Urgency = "urgent" | "usual";

const PRIORITY: Readonly<Record<Urgency, number>> = { urgent: 0, usual: 1 };

/** What two list calls showed. */
export interface Listing {
  /** Monotonic, before the calls. */
  readonly startedAt: number;
  /** Grows with each listing begun: tells which of two is newer where the time is the same. */
  readonly order: number;
  /** Whether all pods were asked for. */
  readonly whole: boolean;
  readonly pods: ReadonlyMap<string, ListedPod>;
}

/** See the top of the file. */
export class RuntimeCalls {
  readonly #options: ResolvedPlegOptions;
  readonly #status: Limiter;
  readonly #underWay = new Map<object, { readonly call: PlegCall; readonly startedAt: number }>();
  /** Pods that a list by the label of their UID would not show: as the last whole list had it, and who was found since. */
  #unlabelled = new Set<string>();
  #order = 0;

  constructor(options: ResolvedPlegOptions) {
    this.#options = options;
    const { clock, parallelStatusCalls: limit, stuckAfterMs: releaseAfterMs } = options;
    this.#status = new Limiter({ clock, limit, releaseAfterMs });
  }

  /** The number of the newest listing that has begun. */
  get newestListing(): number {
    return this.#order;
  }

  /** Lists all pods, or the one with `podUid`. */
  async list(
    podUid: string | undefined,
    known: (id: string) => ListedItem | undefined,
    signal: AbortSignal,
  ): Promise<Listing> {
    const { runtime, labelSelector, clock } = this.#options;
    const deadlineMs = podUid === undefined ? this.#options.listDeadlineMs : this.#options.statusDeadlineMs;
    const everything = podUid === undefined || this.#unlabelled.has(podUid);
    const filter = {
      labelSelector: everything ? labelSelector : { ...labelSelector, [POD_UID_LABEL]: podUid },
    };
    const startedAt = clock.monotonic();
    const order = ++this.#order;
    using link = linkSignal(signal);
    const call = { podUid, container: "", id: "" };
    try {
      const [sandboxes, containers] = await Promise.all([
        this.#make({ ...call, method: "ListPodSandbox" }, deadlineMs, link.signal, (options) =>
          runtime.listPodSandbox({ filter }, options),
        ),
        this.#make({ ...call, method: "ListContainers" }, deadlineMs, link.signal, (options) =>
          runtime.listContainers({ filter }, options),
        ),
      ]);
      const all = groupByPod(sandboxes.items, containers.containers, known);
      const pods = podUid === undefined ? all : onlyPod(podUid, all);
      if (everything) this.#noteUnlabelled(all);
      return { startedAt, order, whole: podUid === undefined, pods };
    } catch (error) {
      link.abort(error);
      throw error;
    }
  }

  /** Which pod an id belongs to, if it is ours. */
  async findPod(id: string, signal: AbortSignal): Promise<string | undefined> {
    const { runtime, labelSelector, statusDeadlineMs } = this.#options;
    const filter = { id, labelSelector };
    const call = { podUid: undefined, container: "", id };
    const { containers } = await this.#make(
      { ...call, method: "ListContainers" },
      statusDeadlineMs,
      signal,
      (options) => runtime.listContainers({ filter }, options),
    );
    const container = containers.find((one) => one.id === id);
    const owner = container?.labels[POD_UID_LABEL];
    if (owner !== undefined) return owner;
    const sandboxId = container?.podSandboxId ?? id;
    const { items } = await this.#make(
      { ...call, method: "ListPodSandbox" },
      statusDeadlineMs,
      signal,
      (options) => runtime.listPodSandbox({ filter: { ...filter, id: sandboxId } }, options),
    );
    const sandbox = items.find((one) => one.id === sandboxId);
    const uid = sandbox?.metadata?.uid;
    if (uid !== undefined && (container !== undefined || sandbox?.labels[POD_UID_LABEL] !== uid))
      this.#unlabelled.add(uid);
    return uid;
  }

  #noteUnlabelled(pods: ReadonlyMap<string, ListedPod>): void {
    this.#unlabelled.clear();
    for (const { uid, labelled } of pods.values()) if (!labelled) this.#unlabelled.add(uid);
  }

  /** A container's status; undefined when the runtime does not know it. */
  containerStatus(
    item: ListedItem,
    signal: AbortSignal,
    urgency: Urgency = "usual",
  ): Promise<ContainerStatus | undefined> {
    return this.#statusCall("ContainerStatus", { item, urgency }, signal, async (options) => {
      const { status } = await this.#options.runtime.containerStatus({ containerId: item.id }, options);
      return required(status);
    });
  }

  /** A sandbox's status; undefined when the runtime does not know it. */
  sandboxStatus(
    item: ListedItem,
    signal: AbortSignal,
    urgency: Urgency = "usual",
  ): Promise<PodSandboxStatus | undefined> {
    return this.#statusCall("PodSandboxStatus", { item, urgency }, signal, async (options) => {
      const { status } = await this.#options.runtime.podSandboxStatus({ podSandboxId: item.id }, options);
      return required(status);
    });
  }

  /** Calls under way, oldest first. */
  underWay(): CallUnderWay[] {
    const now = this.#options.clock.monotonic();
    return Array.from(this.#underWay.values(), ({ call, startedAt }) => ({
      ...call,
      ageMs: now - startedAt,
    }));
  }

  async #statusCall<T>(
    method: "ContainerStatus" | "PodSandboxStatus",
    { item, urgency }: { readonly item: ListedItem; readonly urgency: Urgency },
    signal: AbortSignal,
    make: (options: CriCallOptions) => Promise<T>,
  ): Promise<T | undefined> {
    const call: PlegCall = { method, podUid: item.podUid, container: item.name, id: item.id };
    const run = (): Promise<T> => this.#make(call, this.#options.statusDeadlineMs, signal, make);
    try {
      return await this.#status.run(run, { signal, priority: PRIORITY[urgency] });
    } catch (error) {
      if (isNotFound(error)) return undefined;
      throw error;
    }
  }

  async #make<T>(
    call: PlegCall,
    deadlineMs: number,
    signal: AbortSignal,
    make: (options: CriCallOptions) => Promise<T>,
  ): Promise<T> {
    const { clock } = this.#options;
    const startedAt = clock.monotonic();
    const key = {};
    this.#underWay.set(key, { call, startedAt });
    using link = linkSignal(signal);
    try {
      const work = untilAborted(make({ signal: link.signal, deadlineMs }), link.signal);
      return await withDeadline(clock, deadlineMs, describeCall(call), work);
    } catch (error) {
      if (signal.aborted) throw signal.reason;
      const failure = callError(call, clock.monotonic() - startedAt, error);
      link.abort(failure);
      throw failure;
    } finally {
      this.#underWay.delete(key);
    }
  }
}

function onlyPod(uid: string, pods: ReadonlyMap<string, ListedPod>): ReadonlyMap<string, ListedPod> {
  const pod = pods.get(uid);
  return new Map(pod === undefined ? [] : [[uid, pod]]);
}

/** An answer that lacks what was asked for is garbage, not an answer of "gone". */
function required<T>(status: T | undefined): T {
  if (status === undefined)
    throw new HoldfastError("PLEG_GARBAGE", "retryable", "the answer holds no status");
  return status;
}

/** Settles at the latest when the signal aborts, also when what was called does not heed it. */
function untilAborted<T>(work: Promise<T>, signal: AbortSignal): Promise<T> {
  return new Promise((resolve, reject) => {
    const onAbort = (): void => reject(signal.reason as Error);
    if (signal.aborted) onAbort();
    signal.addEventListener("abort", onAbort, { once: true });
    work.then(resolve, reject).finally(() => signal.removeEventListener("abort", onAbort));
  });
}
