// SPDX-License-Identifier: Apache-2.0
//
// Makes the methods of a service: an RPC's handler, put behind the caller's side.

import { CriError } from "@holdfast/cri";
import type { CriDeadlines, CriStream, CriUnary, DeepPartial } from "@holdfast/cri";

import type { Caller, CallContext, FakeMethod } from "./caller.ts";
import { notImplemented } from "./failure.ts";
import type { FaultSubject } from "./faults.ts";
import { EventQueue } from "./stream.ts";

/** What differs from RPC to RPC. */
export interface MethodSpec<Request, Response> {
  /** What it is about, for errors and faults. Default: nothing. */
  readonly target?: (request: Request) => string;
  /** Default: runtimeRequestTimeout. */
  readonly deadlineMs?: (request: Request, deadlines: CriDeadlines) => number;
  /** Default: the pod and container of the target. */
  readonly subject?: (request: Request) => Partial<FaultSubject>;
  readonly ownPace?: boolean;
  readonly distort?: FakeMethod<Request, Response>["distort"];
  readonly handle: (request: Request, context: CallContext) => Response | Promise<Response>;
}

interface Codec<Request> {
  fromPartial(partial: DeepPartial<Request>): Request;
}

/** See the top of the file. */
export interface MethodFactory {
  unary<Request, Response>(
    name: string,
    request: Codec<Request>,
    spec: MethodSpec<Request, Response>,
  ): CriUnary<Request, Response>;
  /** An RPC that this runtime does not have. */
  missing<Request, Response>(
    name: string,
    request: Codec<Request>,
    target?: (request: Request) => string,
  ): CriUnary<Request, Response>;
  /** A stream that ends: a list in pieces. Missing unless the runtime has streamed lists. */
  page<Request, Response>(
    name: string,
    request: Codec<Request>,
    pieces: (request: Request) => readonly Response[],
  ): CriStream<Request, Response>;
}

/** What methods are made with. */
export interface MethodFactoryOptions {
  readonly caller: Caller;
  readonly deadlines: CriDeadlines;
  readonly subjectOf: (target: string) => Partial<FaultSubject>;
  readonly isMissing: (name: string) => boolean;
}

export function createMethodFactory({
  caller,
  deadlines,
  subjectOf,
  isMissing,
}: MethodFactoryOptions): MethodFactory {
  const unary = <Request, Response>(
    name: string,
    request: Codec<Request>,
    spec: MethodSpec<Request, Response>,
  ): CriUnary<Request, Response> => {
    const { target = () => "", deadlineMs = usualDeadline } = spec;
    const method: FakeMethod<Request, Response> = {
      name,
      request,
      target,
      deadlineMs: (message) => deadlineMs(message, deadlines),
      subject: spec.subject ?? ((message) => subjectOf(target(message))),
      ...(spec.ownPace === undefined ? {} : { ownPace: spec.ownPace }),
      ...(spec.distort === undefined ? {} : { distort: spec.distort }),
      handle: (message, context) => {
        if (isMissing(name)) throw notImplemented(name);
        return spec.handle(message, context);
      },
    };
    return (partial, options) => caller.call(method, partial, options);
  };
  const missing = <Request, Response>(
    name: string,
    request: Codec<Request>,
    target: (request: Request) => string = () => "",
  ): CriUnary<Request, Response> =>
    unary<Request, Response>(name, request, {
      target,
      handle: () => {
        throw notImplemented(name);
      },
    });
  const page = <Request, Response>(
    name: string,
    request: Codec<Request>,
    pieces: (request: Request) => readonly Response[],
  ): CriStream<Request, Response> => {
    const collect = unary<Request, readonly Response[]>(name, request, { handle: pieces });
    return (partial, options) => {
      const signal = options?.signal;
      const onAbort = (): void => queue.finish();
      const queue = new EventQueue<Response>(() => signal?.removeEventListener("abort", onAbort));
      signal?.addEventListener("abort", onAbort, { once: true });
      const fill = async (): Promise<void> => {
        try {
          for (const piece of await collect(partial, options)) queue.push(piece);
          queue.end();
        } catch (error) {
          queue.finish(signal?.aborted === true ? undefined : error);
        }
      };
      void fill();
      return queue;
    };
  };
  return { unary, missing, page };
}

function usualDeadline(_request: unknown, { runtimeRequestTimeoutMs }: CriDeadlines): number {
  return runtimeRequestTimeoutMs;
}

/** Opens an endless stream of events, or one that ends at once with the reason why there is none. */
export function openStream<Event>(
  caller: Caller,
  name: string,
  isMissing: boolean,
  signal: AbortSignal | undefined,
  subscribe: (lost: () => unknown) => EventQueue<Event>,
): EventQueue<Event> {
  const info = caller.info(name, "", Number.POSITIVE_INFINITY);
  const refused = new EventQueue<Event>();
  if (signal?.aborted) {
    refused.finish();
    return refused;
  }
  const refusal = caller.refusal(info);
  if (refusal !== undefined || isMissing) {
    refused.finish(refusal ?? new CriError("CRI_UNIMPLEMENTED", info, notImplemented(name).message));
    return refused;
  }
  return subscribe(() => caller.cut(info));
}
