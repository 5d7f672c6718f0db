// SPDX-License-Identifier: Apache-2.0

// A runtime for the benchmark, in a process of its own, so that its work is not measured: lists and events are written once and sent as they are.
// argv: socket, containers, events. Sends "ready" to its parent.

import { Server, ServerCredentials } from "@grpc/grpc-js";
import type { handleServerStreamingCall, handleUnaryCall, UntypedHandleCall } from "@grpc/grpc-js";
import {
  Envelope,
  ListContainersResponse,
  ListPodSandboxResponse,
  TaskExit,
  VersionResponse,
} from "@holdfast/cri";

import { containersOf, sandboxesOf } from "./node-of.ts";

const [socket = "", containers = "0", events = "0"] = process.argv.slice(2);

const asIs = (bytes: Buffer): Buffer => bytes;
const path = (service: string, name: string): string => `/${service}/${name}`;
const rpc = (service: string, name: string, responseStream: boolean) => ({
  path: path(service, name),
  requestStream: false,
  responseStream,
  requestSerialize: asIs,
  requestDeserialize: asIs,
  responseSerialize: asIs,
  responseDeserialize: asIs,
});
const always = (bytes: Uint8Array): UntypedHandleCall => {
  const answer = Buffer.from(bytes);
  const handle: handleUnaryCall<Buffer, Buffer> = (_call, done) => done(null, answer);
  return handle as UntypedHandleCall;
};

const event = Buffer.from(
  Envelope.encode(
    Envelope.create({
      topic: "/tasks/exit",
      namespace: "k8s.io",
      event: {
        typeUrl: "containerd.events.TaskExit",
        value: Buffer.from(
          TaskExit.encode(TaskExit.create({ containerId: "c".repeat(64), id: "c".repeat(64) })).finish(),
        ),
      },
    }),
  ).finish(),
);
const sendEvents: handleServerStreamingCall<Buffer, Buffer> = (call) => {
  let left = Number(events);
  const more = (): void => {
    while (left > 0) {
      left -= 1;
      if (!call.write(event)) {
        call.once("drain", more);
        return;
      }
    }
    call.end();
  };
  more();
};

const server = new Server({ "grpc.max_send_message_length": -1 });
const count = Number(containers);
server.addService(
  {
    version: rpc("runtime.v1.RuntimeService", "Version", false),
    listContainers: rpc("runtime.v1.RuntimeService", "ListContainers", false),
    listPodSandbox: rpc("runtime.v1.RuntimeService", "ListPodSandbox", false),
  },
  {
    version: always(VersionResponse.encode(VersionResponse.create({ runtimeName: "bench" })).finish()),
    listContainers: always(ListContainersResponse.encode({ containers: containersOf(count) }).finish()),
    listPodSandbox: always(ListPodSandboxResponse.encode({ items: sandboxesOf(count) }).finish()),
  },
);
server.addService(
  { subscribe: rpc("containerd.services.events.v1.Events", "Subscribe", true) },
  { subscribe: sendEvents as UntypedHandleCall },
);
server.bindAsync(`unix://${socket}`, ServerCredentials.createInsecure(), (error) => {
  if (error !== null) throw error;
  process.send?.("ready");
});
process.on("disconnect", () => process.exit(0));
