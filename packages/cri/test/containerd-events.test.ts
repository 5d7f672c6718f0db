// SPDX-License-Identifier: Apache-2.0

import {
  createCriClient,
  decodeTaskEvent,
  Envelope,
  isExecEvent,
  TASK_FILTERS,
  TaskDelete,
  TaskExit,
  TaskOOM,
  TaskStart,
} from "@holdfast/cri";
import type { ContainerdTaskEvent, MessageFns, SubscribeRequest } from "@holdfast/cri";
import type { DeepPartial } from "@holdfast/cri";
import { describe, expect, it } from "vitest";

import { scriptedServer, streams } from "./scripted-server.ts";

const timestamp = { seconds: 1_795_000_000n, nanos: 123_456_789 };
const at = 1_795_000_000_123_456_789n;

function envelope<Message>(
  topic: string,
  typeUrl: string,
  codec: MessageFns<Message>,
  payload: DeepPartial<Message>,
): Envelope {
  const value = Buffer.from(codec.encode(codec.create(payload)).finish());
  return Envelope.create({ timestamp, namespace: "k8s.io", topic, event: { typeUrl, value } });
}

const start = envelope("/tasks/start", "containerd.events.TaskStart", TaskStart, {
  containerId: "c",
  pid: 7,
});
const exit = envelope("/tasks/exit", "containerd.events.TaskExit", TaskExit, {
  containerId: "c",
  id: "c",
  pid: 7,
  exitStatus: 137,
  exitedAt: timestamp,
});
const execExit = envelope("/tasks/exit", "containerd.events.TaskExit", TaskExit, {
  containerId: "c",
  id: "probe",
});
const removed = envelope("/tasks/delete", "containerd.events.TaskDelete", TaskDelete, {
  containerId: "c",
  pid: 7,
});
const oom = envelope("/tasks/oom", "containerd.events.TaskOOM", TaskOOM, { containerId: "c" });
const paused = envelope("/tasks/paused", "containerd.events.TaskPaused", TaskOOM, { containerId: "c" });

describe("containerd's task events", () => {
  it.each<[string, Envelope, ContainerdTaskEvent | undefined]>([
    ["start", start, { topic: "/tasks/start", containerId: "c", id: "c", pid: 7, timestamp: at }],
    [
      "exit",
      exit,
      {
        topic: "/tasks/exit",
        containerId: "c",
        id: "c",
        pid: 7,
        exitStatus: 137,
        exitedAt: at,
        timestamp: at,
      },
    ],
    [
      "exit of an exec",
      execExit,
      {
        topic: "/tasks/exit",
        containerId: "c",
        id: "probe",
        pid: 0,
        exitStatus: 0,
        exitedAt: 0n,
        timestamp: at,
      },
    ],
    [
      "delete, without an id",
      removed,
      {
        topic: "/tasks/delete",
        containerId: "c",
        id: "c",
        pid: 7,
        exitStatus: 0,
        exitedAt: 0n,
        timestamp: at,
      },
    ],
    ["oom", oom, { topic: "/tasks/oom", containerId: "c", id: "c", timestamp: at }],
    ["another topic", paused, undefined],
    ["no payload", Envelope.create({ topic: "/tasks/exit" }), undefined],
  ])("%s", (_name, message, expected) => {
    expect(decodeTaskEvent(message)).toEqual(expected);
  });

  it("tell an exec from the container", () => {
    expect(
      [exit, execExit].map((message) => isExecEvent(decodeTaskEvent(message) as ContainerdTaskEvent)),
    ).toEqual([false, true]);
  });

  it("come through the client, without what is of no use", async () => {
    const asked: SubscribeRequest[] = [];
    await using server = await scriptedServer({
      subscribe: streams<Envelope>((stream) => {
        asked.push(stream.request);
        for (const message of [start, paused, execExit, exit]) stream.write(message);
      }),
    });
    await using client = createCriClient({ endpoint: server.endpoint });
    const controller = new AbortController();
    const seen: string[] = [];
    for await (const event of client.containerdEvents({ signal: controller.signal })) {
      seen.push(`${event.topic} ${event.id}`);
      if (seen.length === 3) controller.abort();
    }
    expect(seen).toEqual(["/tasks/start c", "/tasks/exit probe", "/tasks/exit c"]);
    expect(asked[0]?.filters).toEqual(TASK_FILTERS);
    expect(TASK_FILTERS[1]).toBe('namespace==k8s.io,topic=="/tasks/exit"');
  });

  it("fail as garbage when a payload is broken", async () => {
    await using server = await scriptedServer({
      subscribe: streams<Envelope>((stream) => {
        stream.write(
          Envelope.create({
            event: { typeUrl: "containerd.events.TaskExit", value: Buffer.of(0x0a, 100, 1) },
          }),
        );
      }),
    });
    await using client = createCriClient({ endpoint: server.endpoint });
    await expect(client.containerdEvents().next()).rejects.toMatchObject({ code: "CRI_GARBAGE" });
  });
});
