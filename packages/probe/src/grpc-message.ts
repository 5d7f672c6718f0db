// SPDX-License-Identifier: Apache-2.0

/**
 * grpc.health.v1.Health/Check by hand: one string out, one number back. Pure. kubelet: pkg/probe/grpc.
 */
import { formatDuration } from "@holdfast/core/duration";
import { failure, timedOut } from "./outcome.ts";
import type { ProbeOutcome } from "./outcome.ts";

/** The path of the call. */
export const HEALTH_CHECK_PATH = "/grpc.health.v1.Health/Check";
/** Longer answers are none. */
export const MAX_GRPC_MESSAGE_BYTES = 4096;

const SERVING_STATUS: readonly string[] = ["UNKNOWN", "SERVING", "NOT_SERVING", "SERVICE_UNKNOWN"];
const SERVING = 1;
const PREFIX_BYTES = 5;
const UNIMPLEMENTED = 12;
const HEALTHY: ProbeOutcome = { result: "success", output: "service healthy" };

const CODE_NAMES: readonly string[] = [
  "OK",
  "Canceled",
  "Unknown",
  "InvalidArgument",
  "DeadlineExceeded",
  "NotFound",
  "AlreadyExists",
  "PermissionDenied",
  "ResourceExhausted",
  "FailedPrecondition",
  "Aborted",
  "OutOfRange",
  "Unimplemented",
  "Internal",
  "Unavailable",
  "DataLoss",
  "Unauthenticated",
];

/** HTTP status of a server that speaks no gRPC, as gRPC reads it. */
const CODE_OF_HTTP: Readonly<Record<number, number>> = {
  400: 13,
  401: 16,
  403: 7,
  404: 12,
  429: 14,
  502: 14,
  503: 14,
  504: 14,
};

/** HealthCheckRequest with its length prefix. */
export function encodeHealthRequest(service: string): Buffer {
  const name = Buffer.from(service, "utf8");
  const length: number[] = [];
  for (let left = name.length; ; left = Math.floor(left / 128)) {
    length.push(left < 128 ? left : (left % 128) + 128);
    if (left < 128) break;
  }
  const message = name.length === 0 ? Buffer.alloc(0) : Buffer.concat([Buffer.from([10, ...length]), name]);
  const prefix = Buffer.alloc(PREFIX_BYTES);
  prefix.writeUInt32BE(message.length, 1);
  return Buffer.concat([prefix, message]);
}

/** The status in a HealthCheckResponse; undefined when there is none to be read. */
export function decodeHealthResponse(bytes: Buffer): number | undefined {
  if (bytes.length < PREFIX_BYTES || bytes[0] !== 0) return undefined;
  const end = PREFIX_BYTES + bytes.readUInt32BE(1);
  if (bytes.length < end) return undefined;
  let at = PREFIX_BYTES;
  let status = 0;
  const varint = (): number => {
    let value = 0;
    for (let shift = 0; shift < 35 && at < end; shift += 7) {
      const byte = bytes[at++] ?? 0;
      value += (byte & 127) * 2 ** shift;
      if (byte < 128) return value;
    }
    return Number.NaN;
  };
  while (at < end) {
    const tag = varint();
    const wire = tag % 8;
    if (tag === 8) status = varint();
    else if (wire === 0) varint();
    else if (wire === 1) at += 8;
    else if (wire === 2) {
      const length = varint();
      at += length;
    } else if (wire === 5) at += 4;
    else return undefined;
    if (Number.isNaN(at) || Number.isNaN(status)) return undefined;
  }
  return at === end ? status : undefined;
}

/** What came back. */
export interface GrpcAnswer {
  readonly httpStatus: number;
  /** From trailers, or from headers when there is nothing but trailers. */
  readonly grpcStatus: number | undefined;
  readonly grpcMessage: string;
  readonly contentType: string;
  readonly body: Buffer;
}

/** The outcome of an answer. */
export function healthOutcome(answer: GrpcAnswer): ProbeOutcome {
  const { grpcStatus, httpStatus } = answer;
  if (grpcStatus === 0) {
    const status = decodeHealthResponse(answer.body);
    if (status === undefined) return rpcFailed(13, "failed to unmarshal the received message");
    if (status === SERVING) return HEALTHY;
    return failure(`service unhealthy (responded with "${SERVING_STATUS[status] ?? status}")`);
  }
  if (grpcStatus !== undefined) {
    const message = decodeGrpcMessage(answer.grpcMessage);
    return rpcFailed(grpcStatus, message, message);
  }
  const wrongType = answer.contentType.startsWith("application/grpc")
    ? "; server closed the stream without sending trailers"
    : answer.contentType === ""
      ? "; malformed header: missing HTTP content-type"
      : `; transport: received unexpected content-type "${answer.contentType}"`;
  return rpcFailed(
    CODE_OF_HTTP[httpStatus] ?? 2,
    `unexpected HTTP status code received from server: ${httpStatus}${wrongType}`,
    answer.contentType,
  );
}

/** The call failed with a status of gRPC's. `quotes`: what of the message the server said. */
export function rpcFailed(code: number, message: string, quotes?: string): ProbeOutcome {
  if (code === UNIMPLEMENTED)
    return failure(
      `error: this server does not implement the grpc health protocol (grpc.health.v1.Health): ${message}`,
      quotes,
    );
  return failure(`error: health rpc probe failed: ${rpcError(code, message)}`, quotes);
}

/** Nobody answered as a gRPC server in time. */
export function dialTimeout(address: string, timeoutMs: number): ProbeOutcome {
  return timedOut(
    `timeout: failed to connect service "${address}" within ${formatDuration(timeoutMs)}: context deadline exceeded`,
  );
}

/** The server is there and did not answer the call in time. */
export function rpcTimeout(timeoutMs: number): ProbeOutcome {
  return timedOut(`timeout: health rpc did not complete within ${formatDuration(timeoutMs)}`);
}

function rpcError(code: number, message: string): string {
  return `rpc error: code = ${CODE_NAMES[code] ?? `Code(${code})`} desc = ${message}`;
}

/** Percent-encoded, as `grpc-message` is. */
function decodeGrpcMessage(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}
