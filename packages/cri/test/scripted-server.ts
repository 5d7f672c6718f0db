// SPDX-License-Identifier: Apache-2.0
//
// A gRPC server on a temporary unix socket, in this process, whose every answer a test writes down. Connections go through a relay, so that
// a stop cuts them as the death of a process does; grpc-js' own shutdown ends each call politely.

import { mkdtempSync, rmSync } from "node:fs";
import { connect, createServer } from "node:net";
import type { Server as NetServer, Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { Server, ServerCredentials } from "@grpc/grpc-js";
import type {
  handleServerStreamingCall,
  handleUnaryCall,
  ServiceDefinition,
  UntypedHandleCall,
} from "@grpc/grpc-js";
import { EventsService, ImageServiceService, RuntimeServiceService } from "@holdfast/cri";

import { TasksService } from "../src/gen/containerd/services/tasks/v1/tasks.ts";

/** Handlers by camelCase RPC name; what is missing is answered with UNIMPLEMENTED. */
export type Script = Readonly<Record<string, UntypedHandleCall>>;

export interface ScriptedServer extends AsyncDisposable {
  readonly endpoint: string;
  readonly path: string;
  /** Ends every connection; the socket is gone afterwards. */
  stop(): Promise<void>;
  start(): Promise<void>;
  /** Connections that were accepted so far. */
  readonly accepted: number;
  /** Forwards nothing more, in neither direction, and closes nothing: on the connections that there are, or also on those to come. */
  freeze(which: "old" | "all"): void;
}

/** A folder for one test's socket. */
export function temporarySocket(): { path: string } & Disposable {
  const folder = mkdtempSync(join(tmpdir(), "holdfast-cri-"));
  return {
    path: join(folder, "cri.sock"),
    [Symbol.dispose]: () => rmSync(folder, { recursive: true, force: true }),
  };
}

export async function scriptedServer(script: Script): Promise<ScriptedServer> {
  const socket = temporarySocket();
  const inner = `${socket.path}.inner`;
  const connections = new Set<Socket>();
  let accepted = 0;
  let frozen = false;
  let server: Server | undefined;
  let front: NetServer | undefined;
  const stop = (): Promise<void> => {
    for (const connection of connections) connection.destroy();
    front?.close();
    server?.forceShutdown();
    server = front = undefined;
    for (const path of [socket.path, inner]) rmSync(path, { force: true });
    return Promise.resolve();
  };
  const start = async (): Promise<void> => {
    const started = new Server({ "grpc.max_send_message_length": -1, "grpc.max_receive_message_length": -1 });
    for (const service of [RuntimeServiceService, ImageServiceService, EventsService, TasksService])
      started.addService(service as unknown as ServiceDefinition, script);
    await new Promise<void>((resolve, reject) =>
      started.bindAsync(`unix://${inner}`, ServerCredentials.createInsecure(), (error) =>
        error === null ? resolve() : reject(error),
      ),
    );
    server = started;
    front = createServer((outside) => {
      accepted += 1;
      const inside = connect(inner);
      for (const [from, to] of [
        [outside, inside],
        [inside, outside],
      ] as const) {
        connections.add(from);
        from.on("close", () => {
          connections.delete(from);
          to.destroy();
        });
        from.on("error", () => from.destroy());
        if (!frozen) from.pipe(to);
      }
    });
    const listening = front;
    await new Promise<void>((resolve) => listening.listen(socket.path, resolve));
  };
  await start();
  return {
    endpoint: `unix://${socket.path}`,
    path: socket.path,
    start,
    stop,
    get accepted() {
      return accepted;
    },
    freeze(which) {
      frozen = which === "all";
      for (const connection of connections) connection.unpipe();
    },
    async [Symbol.asyncDispose]() {
      await stop();
      socket[Symbol.dispose]();
    },
  };
}

/** Answers with what `reply` returns. */
export function answers<Request, Response>(reply: (request: Request) => Response): UntypedHandleCall {
  const handle: handleUnaryCall<Request, Response> = (call, done) => done(null, reply(call.request));
  return handle as UntypedHandleCall;
}

/** Fails with a gRPC status. */
export function fails(code: number, details: string): UntypedHandleCall {
  const handle: handleUnaryCall<unknown, unknown> = (_call, done) => done({ code, details });
  return handle as UntypedHandleCall;
}

/** Never answers. `called` resolves when the call has arrived, `cancelled` when the client has let go of it. */
export function hangs(): { handler: UntypedHandleCall; called: Promise<void>; cancelled: Promise<void> } {
  const called = Promise.withResolvers<void>();
  const cancelled = Promise.withResolvers<void>();
  const handle: handleUnaryCall<unknown, unknown> = (call) => {
    call.on("cancelled", () => cancelled.resolve());
    called.resolve();
  };
  return { handler: handle as UntypedHandleCall, called: called.promise, cancelled: cancelled.promise };
}

/** A stream as the test drives it. */
export function streams<Response>(onCall: handleServerStreamingCall<never, Response>): UntypedHandleCall {
  return onCall as UntypedHandleCall;
}
