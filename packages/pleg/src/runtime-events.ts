// SPDX-License-Identifier: Apache-2.0

/**
 * Which event service a runtime has is found out by asking it: containerd's own first, `GetContainerEvents` where that is unknown and the runtime does
 * not call itself containerd (on containerd 1.7 two readers of `GetContainerEvents` take each other's events). Asked anew with each subscription,
 * since another runtime may be there after a reconnect.
 *
 * Owns: nothing. Lost on a crash: nothing.
 */
import { isUnimplemented } from "@holdfast/core/errors";
import type { ContainerEventResponse, ContainerEventType } from "@holdfast/cri";
import type { TaskEvent, TaskEventStream } from "./ports.ts";

/** The calls that it takes to find out. A `CriClient` fits; so does whoever looks on at containerd's events on their way. */
export interface EventfulRuntime {
  /** Subscribed when it is called, not with the first read. */
  readonly containerdEvents: (options: { readonly signal: AbortSignal }) => AsyncIterable<TaskEvent>;
  readonly getContainerEvents: (
    request: Readonly<Record<never, never>>,
    options: { readonly signal: AbortSignal },
  ) => AsyncIterable<ContainerEventResponse>;
  readonly version: (
    request: Readonly<Record<never, never>>,
    options: { readonly signal: AbortSignal; readonly deadlineMs: number },
  ) => Promise<{ readonly runtimeName: string }>;
}

const CONTAINERD = "containerd";
/** Finding out is not worth more. Milliseconds. */
const VERSION_DEADLINE_MS = 10_000;

const TOPICS: Readonly<Record<ContainerEventType, string>> = {
  0: "cri/created",
  1: "cri/started",
  2: "cri/stopped",
  3: "cri/deleted",
};

/**
 * A subscription for {@link GenericPlegOptions.events} on any runtime. It fails as unimplemented where neither service is to be had, and as the runtime's
 * own call does when it cannot be asked. `chosen` is called for each service that is subscribed to, since what happened before it is lost.
 */
export function runtimeEvents(runtime: EventfulRuntime): TaskEventStream {
  return ({ signal, chosen }) => {
    // At once, not with the first read: nothing falls between this and the list that follows.
    const events = runtime.containerdEvents({ signal });
    chosen?.("containerd");
    return firstOrElse(events, signal, async (unimplemented) => {
      const { runtimeName } = await runtime.version({}, { signal, deadlineMs: VERSION_DEADLINE_MS });
      if (runtimeName === CONTAINERD) throw unimplemented;
      const others = runtime.getContainerEvents({}, { signal });
      chosen?.("cri");
      return others;
    });
  };
}

/** What a CRI event says to the PLEG: where to look, and for what. Its statuses are not used: list and status are the truth. */
export function fromContainerEvent(event: ContainerEventResponse): TaskEvent {
  const { containerId, containerEventType, podSandboxStatus } = event;
  return {
    topic: TOPICS[containerEventType] ?? "cri/other",
    containerId,
    id: containerId,
    podUid: podSandboxStatus?.metadata?.uid || undefined,
  };
}

async function* firstOrElse(
  events: AsyncIterable<TaskEvent>,
  signal: AbortSignal,
  otherwise: (unimplemented: unknown) => Promise<AsyncIterable<ContainerEventResponse>>,
): AsyncGenerator<TaskEvent> {
  let others: AsyncIterable<ContainerEventResponse>;
  try {
    yield* events;
    return;
  } catch (error) {
    if (signal.aborted || !isUnimplemented(error)) throw error;
    others = await otherwise(error);
  }
  for await (const event of others) yield fromContainerEvent(event);
}
