// SPDX-License-Identifier: Apache-2.0
//
// A fake behind a unix socket, for clients in other processes. Thin: every RPC of the definitions is passed to the fake's method of the same
// name, whose errors become statuses; a client that gives up aborts the call. Owns the socket and its connections; when the fake crashes,
// the socket stays and answers UNAVAILABLE, until `stop`.

import { rmSync } from "node:fs";

import { Server, ServerCredentials, status } from "@grpc/grpc-js";
import type {
  handleServerStreamingCall,
  handleUnaryCall,
  ServerWritableStream,
  ServiceDefinition,
  UntypedHandleCall,
} from "@grpc/grpc-js";
import { errorText, HoldfastError } from "@holdfast/core/errors";
import { EventsService, ImageServiceService, RuntimeServiceService } from "@holdfast/cri";
import type { CriCallOptions, SubscribeRequest } from "@holdfast/cri";

import type { FakeRuntime } from "../fake-runtime.ts";
import { Connections } from "./connections.ts";
import { toStatus } from "./status-codes.ts";
import { toEnvelope } from "./task-envelope.ts";

/** Where a fake is served. */
export interface ServeOptions {
  /** `unix:///run/fake.sock`, or the bare path. A socket that is left there is replaced. */
  readonly listen: string;
}

/** A fake that is served. */
export interface ServedFakeRuntime extends AsyncDisposable {
  /** `unix:///run/fake.sock` */
  readonly endpoint: string;
  /** Cuts every connection and removes the socket. The fake itself goes on. */
  stop(): Promise<void>;
}

/** The client's own deadline rules: none of the fake's. */
const NO_DEADLINE = Number.POSITIVE_INFINITY;

/** Serves a fake on a unix socket. Throws `CRI_FAKE_LISTEN` when that cannot be listened on. */
export async function serveFakeRuntime(
  fake: FakeRuntime,
  { listen }: ServeOptions,
): Promise<ServedFakeRuntime> {
  const path = listen.replace(/^unix:(\/\/)?/, "");
  if (!path.startsWith("/"))
    throw new HoldfastError("CRI_FAKE_LISTEN", "bad-input", `listen is "${listen}", must be unix:///path`);
  const server = new Server({ "grpc.max_send_message_length": -1, "grpc.max_receive_message_length": -1 });
  for (const service of [RuntimeServiceService, ImageServiceService])
    server.addService(service as unknown as ServiceDefinition, handlersOf(service, fake));
  server.addService(EventsService as unknown as ServiceDefinition, {
    subscribe: events(fake) as UntypedHandleCall,
  });
  const injector = server.createConnectionInjector(ServerCredentials.createInsecure());
  const connections = new Connections((connection) => injector.injectConnection(connection));
  rmSync(path, { force: true });
  try {
    await connections.listen(path);
  } catch (cause) {
    server.forceShutdown();
    const text = `cannot listen on ${path}: ${errorText(cause)}`;
    throw new HoldfastError("CRI_FAKE_LISTEN", "permanent", text, { cause });
  }
  const forget = fake.onHalfOpen(() => connections.silence());
  const stop = (): Promise<void> => {
    forget();
    connections.close();
    injector.destroy();
    server.forceShutdown();
    rmSync(path, { force: true });
    return Promise.resolve();
  };
  return { endpoint: `unix://${path}`, stop, [Symbol.asyncDispose]: stop };
}

interface RpcDefinition {
  readonly path: string;
  readonly responseStream: boolean;
}
type UnaryMethod = (request: unknown, options: CriCallOptions) => Promise<unknown>;
type StreamMethod = (request: unknown, options: CriCallOptions) => AsyncIterable<unknown>;

/** One handler per RPC; that the fake has a method of each name, its type says. */
function handlersOf(
  service: Readonly<Record<string, RpcDefinition>>,
  fake: FakeRuntime,
): Record<string, UntypedHandleCall> {
  const methods = fake as unknown as Readonly<Record<string, unknown>>;
  return Object.fromEntries(
    Object.entries(service).map(([name, { responseStream }]): [string, UntypedHandleCall] => [
      name,
      responseStream
        ? (stream(methods[name] as StreamMethod) as UntypedHandleCall)
        : (unary(methods[name] as UnaryMethod) as UntypedHandleCall),
    ]),
  );
}

function unary(method: UnaryMethod): handleUnaryCall<unknown, unknown> {
  return (call, answer) => {
    const gaveUp = new AbortController();
    call.on("cancelled", () => gaveUp.abort());
    void method(call.request, { signal: gaveUp.signal, deadlineMs: NO_DEADLINE }).then(
      (response) => answer(null, response),
      (error: unknown) => answer(toStatus(error)),
    );
  };
}

function stream(method: StreamMethod): handleServerStreamingCall<unknown, unknown> {
  return (call) => {
    const gaveUp = new AbortController();
    call.on("cancelled", () => gaveUp.abort());
    void pump(call, method(call.request, { signal: gaveUp.signal, deadlineMs: NO_DEADLINE }), (one) => one);
  };
}

function events(fake: FakeRuntime): handleServerStreamingCall<SubscribeRequest, unknown> {
  return (call) => {
    const gaveUp = new AbortController();
    call.on("cancelled", () => gaveUp.abort());
    const { filters } = call.request;
    void pump(call, fake.containerdEvents({ signal: gaveUp.signal, filters }), toEnvelope);
  };
}

/** Passes everything on; a reader that is slow holds it back. */
async function pump<Message>(
  call: ServerWritableStream<never, unknown> | ServerWritableStream<unknown, unknown>,
  messages: AsyncIterable<Message>,
  encode: (message: Message) => unknown,
): Promise<void> {
  try {
    for await (const message of messages) {
      if (call.cancelled) break;
      if (!call.write(encode(message))) await drained(call);
    }
    call.end();
  } catch (error) {
    const { code, details } = toStatus(error);
    call.emit("error", Object.assign(new Error(details), { code: code ?? status.UNKNOWN, details }));
  }
}

function drained(call: Pick<ServerWritableStream<unknown, unknown>, "once" | "off">): Promise<void> {
  return new Promise((resolve) => {
    const done = (): void => {
      call.off("drain", done);
      call.off("cancelled", done);
      resolve();
    };
    call.once("drain", done);
    call.once("cancelled", done);
  });
}
