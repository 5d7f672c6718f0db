// SPDX-License-Identifier: Apache-2.0
//
// One RPC as data: its path, how its messages are written and read, what it is about, how long it may take.

import type { BinaryReader, BinaryWriter } from "@bufbuild/protobuf/wire";

import type { CriDeadlines, DeadlineRule } from "./deadlines.ts";
import { requestTimeout } from "./deadlines.ts";
import type { DeepPartial } from "./gen/runtime/v1/config.ts";
import { InterningReader } from "./interning-reader.ts";
import type { StringTable } from "./interning-reader.ts";

/** The part of a generated message type that a call needs. */
export interface Codec<Message> {
  encode(message: Message): BinaryWriter;
  decode(input: BinaryReader | Uint8Array): Message;
  fromPartial(object: DeepPartial<Message>): Message;
}

/** The part of a generated service definition that ties the two messages of an RPC together. */
export interface Definition<Request, Response> {
  readonly path: string;
  requestSerialize(value: Request): Buffer;
  responseDeserialize(value: Buffer): Response;
}

/** One RPC. */
export interface Method<Request, Response> {
  /** `StopContainer`. */
  readonly name: string;
  /** `/runtime.v1.RuntimeService/StopContainer`. */
  readonly path: string;
  /** The kubelet's operation_type, or one made the same way. */
  readonly operation: string;
  /** gRPC metadata that goes with the call; none for the CRI itself. */
  readonly headers?: Readonly<Record<string, string>> | undefined;
  encode(request: DeepPartial<Request>): Buffer;
  /** A stream leaves out what decodes to undefined. */
  decode(bytes: Buffer): Response | undefined;
  target(request: DeepPartial<Request>): string;
  deadlineMs(request: DeepPartial<Request>, deadlines: CriDeadlines): number;
}

/** What differs from the usual RPC. */
export interface MethodTraits<Request> {
  /** The id that the request is about, for errors. */
  readonly target?: (request: DeepPartial<Request>) => string | undefined;
  /** Default: runtimeRequestTimeout. */
  readonly deadline?: DeadlineRule<DeepPartial<Request>>;
  /** Read strings through this table. */
  readonly intern?: StringTable | undefined;
  readonly headers?: Readonly<Record<string, string>>;
}

/** Puts an RPC together from generated code. That the parts belong together is checked by the compiler. */
export function method<Request, Response>(
  definition: Definition<Request, Response>,
  operation: string,
  request: Codec<Request>,
  response: Codec<Response>,
  traits: MethodTraits<Request> = {},
): Method<Request, Response> {
  const { target, deadline = requestTimeout, intern, headers } = traits;
  return {
    name: definition.path.slice(definition.path.lastIndexOf("/") + 1),
    path: definition.path,
    operation,
    headers,
    encode(partial) {
      const bytes = request.encode(request.fromPartial(partial)).finish();
      return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    },
    decode:
      intern === undefined
        ? (bytes) => response.decode(bytes)
        : (bytes) => response.decode(new InterningReader(bytes, intern)),
    target: (partial) => target?.(partial) ?? "",
    deadlineMs: deadline,
  };
}
