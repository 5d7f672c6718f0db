// SPDX-License-Identifier: Apache-2.0
//
// A gRPC channel to one socket, and whether anybody answers on it. Owns one grpc-js client. A crash loses the calls on it.

import { Client, credentials, Metadata, status } from "@grpc/grpc-js";
import type { ChannelOptions } from "@grpc/grpc-js";
import type { Clock } from "@holdfast/core/clock";

const FIRST_RECONNECT_MS = 100;
/** How far gRPC's own deadline stands behind ours. */
const BACKSTOP_MS = 5000;
/** The smallest question there is. An image service that does not know it says so: that is an answer too. */
const QUESTION = "/runtime.v1.RuntimeService/Version";
const NOTHING = Buffer.alloc(0);

/** What a channel stands on. */
export interface ChannelSettings {
  readonly endpoint: string;
  readonly clock: Pick<Clock, "timer">;
  readonly maxMessageBytes: number;
  readonly maxReconnectMs: number;
}

/** What came of a question: an answer, whatever it says; nothing in time; or gRPC knows that there is no connection. */
export type Answer = "answer" | "silence" | "refused";

/** See the top of the file. */
export class Channel {
  readonly client: Client;
  readonly #clock: Pick<Clock, "timer">;

  constructor(settings: ChannelSettings) {
    this.#clock = settings.clock;
    this.client = new Client(settings.endpoint, credentials.createInsecure(), channelOptions(settings));
  }

  /** Asks whether anybody is there. Never rejects; silence when the signal aborts. */
  ask(timeoutMs: number, signal: AbortSignal): Promise<Answer> {
    return new Promise((resolve) => {
      const settle = (answer: Answer): void => {
        timer.cancel();
        signal.removeEventListener("abort", giveUp);
        resolve(answer);
      };
      const giveUp = (): void => {
        settle("silence");
        call.cancel();
      };
      const timer = this.#clock.timer(timeoutMs, giveUp);
      const call = this.client.makeUnaryRequest<Buffer, Buffer>(
        QUESTION,
        asIs,
        asIs,
        NOTHING,
        new Metadata(),
        { deadline: backstop(timeoutMs) },
        (error) => settle(error === null ? "answer" : answerOf(error.code)),
      );
      signal.addEventListener("abort", giveUp, { once: true });
      if (signal.aborted) giveUp();
    });
  }

  close(): void {
    this.client.close();
  }
}

/** Messages are written and read by us, not inside grpc-js: then what is wrong with one is known exactly. */
export function asIs(bytes: Buffer): Buffer {
  return bytes;
}

/** grpc-js takes a wall-clock time, and turns it into a duration at once. */
export function backstop(deadlineMs: number): number {
  return Date.now() + deadlineMs + BACKSTOP_MS;
}

function answerOf(code: status): Answer {
  if (code === status.UNAVAILABLE) return "refused";
  return code === status.CANCELLED || code === status.DEADLINE_EXCEEDED ? "silence" : "answer";
}

function channelOptions({ maxMessageBytes, maxReconnectMs }: ChannelSettings): ChannelOptions {
  return {
    "grpc.default_authority": "localhost",
    "grpc.max_receive_message_length": maxMessageBytes,
    "grpc.max_send_message_length": maxMessageBytes,
    "grpc.initial_reconnect_backoff_ms": FIRST_RECONNECT_MS,
    "grpc.max_reconnect_backoff_ms": maxReconnectMs,
    // No pings (see keepalive.ts). Repeating a call is the caller's decision.
    "grpc.enable_retries": 0,
    "grpc.enable_channelz": 0,
    "grpc.enable_http_proxy": 0,
    "grpc.service_config_disable_resolution": 1,
    "grpc.use_local_subchannel_pool": 1,
  };
}
