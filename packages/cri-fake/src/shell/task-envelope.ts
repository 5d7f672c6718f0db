// SPDX-License-Identifier: Apache-2.0
//
// containerd's task events as its event service sends them.

import { Envelope, TaskDelete, TaskExit, TaskOOM, TaskStart } from "@holdfast/cri";
import type { ContainerdTaskEvent, Timestamp } from "@holdfast/cri";

const NANOS_PER_SECOND = 1_000_000_000n;

export function toEnvelope(event: ContainerdTaskEvent): Envelope {
  const [typeUrl, value] = payloadOf(event);
  return Envelope.fromPartial({
    timestamp: toTimestamp(event.timestamp),
    namespace: "k8s.io",
    topic: event.topic,
    event: { typeUrl, value: Buffer.from(value) },
  });
}

function payloadOf(event: ContainerdTaskEvent): [string, Uint8Array] {
  const { containerId } = event;
  switch (event.topic) {
    case "/tasks/start":
      return [
        "containerd.events.TaskStart",
        TaskStart.encode(TaskStart.fromPartial({ containerId, pid: event.pid })).finish(),
      ];
    case "/tasks/exit": {
      const { id, pid, exitStatus } = event;
      const exitedAt = toTimestamp(event.exitedAt);
      return [
        "containerd.events.TaskExit",
        TaskExit.encode(TaskExit.fromPartial({ containerId, id, pid, exitStatus, exitedAt })).finish(),
      ];
    }
    case "/tasks/delete": {
      const { pid, exitStatus } = event;
      const exitedAt = toTimestamp(event.exitedAt);
      return [
        "containerd.events.TaskDelete",
        TaskDelete.encode(TaskDelete.fromPartial({ containerId, pid, exitStatus, exitedAt })).finish(),
      ];
    }
    case "/tasks/oom":
      return ["containerd.events.TaskOOM", TaskOOM.encode(TaskOOM.fromPartial({ containerId })).finish()];
  }
}

function toTimestamp(nanos: bigint): Timestamp {
  return { seconds: nanos / NANOS_PER_SECOND, nanos: Number(nanos % NANOS_PER_SECOND) };
}
