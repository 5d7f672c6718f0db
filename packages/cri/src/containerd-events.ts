// SPDX-License-Identifier: Apache-2.0
//
// containerd's own event service: what happens to tasks, on every containerd, 20 ms before the CRI knows. Pure decoding; the stream is the
// connection's. An event is a hint: none is kept, and what happens while the stream is down is found by listing.

import { Envelope, EventsService, SubscribeRequest } from "./gen/containerd/services/events/v1/events.ts";
import { TaskDelete, TaskExit, TaskOOM, TaskStart } from "./gen/containerd/events/task.ts";
import type { Timestamp } from "./gen/google/protobuf/timestamp.ts";
import { endless } from "./deadlines.ts";
import { method } from "./method.ts";
import type { Method } from "./method.ts";

interface TaskEventBase {
  readonly containerId: string;
  /** The process: `containerId` for the container's main one, else the id of an exec in it. */
  readonly id: string;
  /** When containerd sent it, in nanoseconds since the epoch. */
  readonly timestamp: bigint;
}

/** The main process runs. */
export interface ContainerdTaskStart extends TaskEventBase {
  readonly topic: "/tasks/start";
  readonly pid: number;
}

/** A process ended, the container's or an exec's. */
export interface ContainerdTaskExit extends TaskEventBase {
  readonly topic: "/tasks/exit";
  readonly pid: number;
  /** As a shell has it: 137 is killed by signal 9. */
  readonly exitStatus: number;
  /** Nanoseconds since the epoch. */
  readonly exitedAt: bigint;
}

/** The task's record was removed. */
export interface ContainerdTaskDelete extends TaskEventBase {
  readonly topic: "/tasks/delete";
  readonly pid: number;
  readonly exitStatus: number;
  readonly exitedAt: bigint;
}

/** The kernel killed a process of the container for want of memory. */
export interface ContainerdTaskOom extends TaskEventBase {
  readonly topic: "/tasks/oom";
}

/** An event of containerd about a task. Switch on `topic`; whether it is about an exec says {@link isExecEvent}. */
export type ContainerdTaskEvent =
  | ContainerdTaskStart
  | ContainerdTaskExit
  | ContainerdTaskDelete
  | ContainerdTaskOom;

/** Whether the event is about an exec in the container, not about the container. */
export function isExecEvent(event: ContainerdTaskEvent): boolean {
  return event.id !== event.containerId;
}

const NANOS_PER_SECOND = 1_000_000_000n;

/** The namespace in which containerd's CRI plugin keeps everything. */
const CRI_NAMESPACE = "k8s.io";

/**
 * What is asked for when the caller gives no filters: alternatives, one per topic, so that an exec probe's other events
 * (exec-added, exec-started) never leave containerd. Without the quotes containerd refuses the slash.
 */
export const TASK_FILTERS: readonly string[] = ["start", "exit", "delete", "oom"].map(
  (name) => `namespace==${CRI_NAMESPACE},topic=="/tasks/${name}"`,
);

/** The RPC behind `containerdEvents`; an event of another kind decodes to undefined. */
export function subscribeMethod(): Method<SubscribeRequest, ContainerdTaskEvent> {
  const subscribe = method(EventsService.subscribe, "containerd_events", SubscribeRequest, Envelope, {
    deadline: endless,
  });
  return {
    ...subscribe,
    decode(bytes) {
      const envelope = subscribe.decode(bytes);
      return envelope === undefined ? undefined : decodeTaskEvent(envelope);
    },
  };
}

/** Reads an envelope; undefined when it holds something other than the four task events. Throws when the payload is broken. */
export function decodeTaskEvent(envelope: Envelope): ContainerdTaskEvent | undefined {
  if (envelope.event === undefined) return undefined;
  const { typeUrl, value } = envelope.event;
  const timestamp = toNanos(envelope.timestamp);
  // containerd writes the bare name; a URL in front of it is what protobuf would have.
  switch (typeUrl.slice(typeUrl.lastIndexOf("/") + 1)) {
    case "containerd.events.TaskStart": {
      const { containerId, pid } = TaskStart.decode(value);
      return { topic: "/tasks/start", containerId, id: containerId, timestamp, pid };
    }
    case "containerd.events.TaskExit":
      return { topic: "/tasks/exit", timestamp, ...exitFields(TaskExit.decode(value)) };
    case "containerd.events.TaskDelete":
      return { topic: "/tasks/delete", timestamp, ...exitFields(TaskDelete.decode(value)) };
    case "containerd.events.TaskOOM": {
      const { containerId } = TaskOOM.decode(value);
      return { topic: "/tasks/oom", containerId, id: containerId, timestamp };
    }
    default:
      return undefined;
  }
}

type ExitFields = Omit<ContainerdTaskExit, "topic" | "timestamp">;

/** TaskDelete has no id for the main process on some versions. */
function exitFields(event: TaskExit | TaskDelete): ExitFields {
  const { containerId, pid, exitStatus } = event;
  return {
    containerId,
    id: event.id === "" ? containerId : event.id,
    pid,
    exitStatus,
    exitedAt: toNanos(event.exitedAt),
  };
}

function toNanos(time: Timestamp | undefined): bigint {
  return time === undefined ? 0n : time.seconds * NANOS_PER_SECOND + BigInt(time.nanos);
}
