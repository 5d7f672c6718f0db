// SPDX-License-Identifier: Apache-2.0

/**
 * Connections to plugins over gRPC. kubelet: plugin/v1beta1 client, dial.
 *
 * Owns: one grpc-js client for each connection. Invariants: only sockets inside the plugin folder are dialled, whatever a plugin says and whatever
 * links it lays; a message is at most 4 MiB. Lost on a crash: the connections.
 */
import { lstat, realpath } from "node:fs/promises";
import { basename, dirname, isAbsolute, join } from "node:path";
import { Client, credentials, Metadata, status } from "@grpc/grpc-js";
import type { ServiceError } from "@grpc/grpc-js";
import { HoldfastError } from "@holdfast/core/errors";
import type { ErrorKind } from "@holdfast/core/errors";
import { answerOf } from "../checkpoint.ts";
import type { PreferenceQuestion } from "../choose-devices.ts";
import { DevicePluginService } from "../gen/deviceplugin/v1beta1/deviceplugin.ts";
import type { ListAndWatchResponse } from "../gen/deviceplugin/v1beta1/deviceplugin.ts";
import type { ListedDevice, PluginConnection, PluginDialer } from "../ports.ts";

/** gRPC's own default, and the kubelet's. */
const MAX_MESSAGE_BYTES = 4 * 1024 * 1024;
/** Should our own deadlines fail. */
const BACKSTOP_MS = 15 * 60_000;
/** `folder`: where kubelet.sock is, and plugins' sockets are. `others`: further folders below which an absolute path may lie. */
export function nodePluginDialer(folder: string, others: readonly string[] = []): PluginDialer {
  return {
    dial: async (endpoint, signal) => {
      const path = await checkSocket(endpoint, folder, others);
      // Before the connection: a socket that takes its place meanwhile is then told from it.
      const { dev, ino, birthtimeNs } = await lstat(path, { bigint: true });
      const identity = `${dev}:${ino}:${birthtimeNs}`;
      signal.throwIfAborted();
      const client = connectTo(path);
      try {
        await ready(client, signal);
      } catch (error) {
        client.close();
        throw error;
      }
      return new GrpcPluginConnection(client, identity);
    },
  };
}

/** A client of a plugin's socket, which has not connected yet. */
export function connectTo(path: string): Client {
  return new Client(`unix://${path}`, credentials.createInsecure(), {
    "grpc.default_authority": "localhost",
    "grpc.max_receive_message_length": MAX_MESSAGE_BYTES,
    "grpc.max_send_message_length": MAX_MESSAGE_BYTES,
    "grpc.enable_retries": 0,
    "grpc.enable_channelz": 0,
    "grpc.enable_http_proxy": 0,
    "grpc.service_config_disable_resolution": 1,
    "grpc.use_local_subchannel_pool": 1,
  });
}

/** Real path of a plugin's socket. Throws `bad-input` for what a plugin must not name. */
export async function checkSocket(
  endpoint: string,
  folder: string,
  others: readonly string[] = [],
): Promise<string> {
  const refuse = (what: string): never => {
    throw new HoldfastError("DEVICE_SOCKET", "bad-input", `endpoint ${JSON.stringify(endpoint)} ${what}`);
  };
  if (endpoint === "" || endpoint.length > 1024 || endpoint.includes("\0")) refuse("is no socket's name");
  const isPath = isAbsolute(endpoint);
  if (!isPath && (basename(endpoint) !== endpoint || endpoint === "." || endpoint === ".."))
    refuse(`must be the name of a socket in ${folder}, without a path`);
  const path = isPath ? endpoint : join(folder, endpoint);
  try {
    const real = await realpath(path);
    const allowed = await Promise.all([folder, ...others].map((each) => realpath(each).catch(() => each)));
    if (!allowed.some((each) => isBelow(real, each)))
      refuse(`leads to ${real}, which is outside of ${[folder, ...others].join(" and ")}`);
    if (!(await lstat(real)).isSocket()) refuse("is no socket");
    return real;
  } catch (error) {
    if (HoldfastError.is(error)) throw error;
    return refuse(`cannot be used: ${(error as NodeJS.ErrnoException).code ?? "unknown error"}`);
  }
}

function isBelow(path: string, folder: string): boolean {
  let above = dirname(path);
  while (above !== folder && above !== dirname(above)) above = dirname(above);
  return above === folder;
}

function ready(client: Client, signal: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    const onAbort = (): void => {
      client.close();
      reject(signal.reason as Error);
    };
    signal.addEventListener("abort", onAbort, { once: true });
    client.waitForReady(backstop(), (error) => {
      signal.removeEventListener("abort", onAbort);
      if (error === undefined) resolve();
      else reject(new HoldfastError("DEVICE_DIAL", "retryable", `cannot connect: ${error.message}`));
    });
  });
}

/** grpc-js takes a wall-clock time and turns it into a duration at once. */
function backstop(): number {
  return Date.now() + BACKSTOP_MS;
}

type Method<Request, Response> = {
  readonly path: string;
  readonly requestSerialize: (value: Request) => Buffer;
  readonly responseDeserialize: (value: Buffer) => Response;
};

/** One call; it is cancelled when the signal aborts. */
export function unary<Request, Response>(
  client: Client,
  method: Method<Request, Response>,
  request: Request,
  signal: AbortSignal,
): Promise<Response> {
  return new Promise((resolve, reject) => {
    signal.throwIfAborted();
    const onAbort = (): void => call.cancel();
    const call = client.makeUnaryRequest(
      method.path,
      method.requestSerialize,
      method.responseDeserialize,
      request,
      new Metadata(),
      { deadline: backstop() },
      (error, response) => {
        signal.removeEventListener("abort", onAbort);
        if (error === null && response !== undefined) resolve(response);
        else reject(signal.aborted ? (signal.reason as Error) : fromService(error));
      },
    );
    signal.addEventListener("abort", onAbort, { once: true });
  });
}

const KINDS: Partial<Record<status, ErrorKind>> = {
  [status.NOT_FOUND]: "not-found",
  [status.DEADLINE_EXCEEDED]: "deadline",
  [status.UNIMPLEMENTED]: "unimplemented",
  [status.INVALID_ARGUMENT]: "bad-input",
};

/** Longest text of a plugin that goes into logs, statuses and events. */
const MAX_TEXT = 2048;

function fromService(error: ServiceError | null): HoldfastError {
  if (error === null) return new HoldfastError("DEVICE_RPC", "permanent", "an answer without content");
  const text = error.details === "" ? (status[error.code] ?? "unknown error") : error.details;
  return new HoldfastError("DEVICE_RPC", KINDS[error.code] ?? "retryable", text.slice(0, MAX_TEXT));
}

class GrpcPluginConnection implements PluginConnection {
  readonly identity: string;
  readonly #client: Client;

  constructor(client: Client, identity: string) {
    this.#client = client;
    this.identity = identity;
  }

  options(signal: AbortSignal) {
    return unary(this.#client, DevicePluginService.getDevicePluginOptions, {}, signal);
  }

  async preferred({ available, mustInclude, size }: PreferenceQuestion, signal: AbortSignal) {
    const request = {
      availableDeviceIDs: [...available],
      mustIncludeDeviceIDs: [...mustInclude],
      allocationSize: size,
    };
    const method = DevicePluginService.getPreferredAllocation;
    const answer = await unary(this.#client, method, { containerRequests: [request] }, signal);
    return answer.containerResponses[0]?.deviceIDs ?? [];
  }

  async allocate(ids: readonly string[], signal: AbortSignal) {
    const request = { containerRequests: [{ devicesIds: [...ids] }] };
    const answer = await unary(this.#client, DevicePluginService.allocate, request, signal);
    return answer.containerResponses.map(answerOf);
  }

  async preStart(ids: readonly string[], signal: AbortSignal) {
    const request = { devicesIds: [...ids] };
    await unary(this.#client, DevicePluginService.preStartContainer, request, signal);
  }

  /** One list at a time: HTTP/2's flow control holds back the rest. */
  async *lists(signal: AbortSignal): AsyncGenerator<readonly ListedDevice[]> {
    const method = DevicePluginService.listAndWatch;
    const source = this.#client.makeServerStreamRequest(
      method.path,
      method.requestSerialize,
      method.responseDeserialize,
      {},
      new Metadata(),
    );
    let newest: ListAndWatchResponse | undefined;
    let end: { readonly error: unknown } | undefined;
    let wake: () => void = () => {};
    const finish = (error: unknown): void => {
      end ??= { error };
      wake();
    };
    const onAbort = (): void => {
      source.cancel();
      finish(undefined);
    };
    source.on("data", (message: ListAndWatchResponse) => {
      newest = message;
      // The next one is read when this one was taken: a plugin that never stops sending is held back.
      source.pause();
      wake();
    });
    // Cancelling reports an error too, and one that nobody listens to ends the process.
    source.on("error", (error) => {
      finish(signal.aborted ? undefined : fromService(error as ServiceError));
    });
    source.on("end", () => finish(undefined));
    signal.addEventListener("abort", onAbort, { once: true });
    if (signal.aborted) onAbort();
    try {
      for (;;) {
        const message: ListAndWatchResponse | undefined = newest;
        newest = undefined;
        if (message !== undefined) {
          yield message.devices.map(listed);
          source.resume();
        } else if (end !== undefined) break;
        else await new Promise<void>((resolve) => (wake = resolve));
      }
      if (end.error !== undefined) throw end.error;
    } finally {
      signal.removeEventListener("abort", onAbort);
      source.cancel();
    }
  }

  close(): void {
    this.#client.close();
  }
}

const NOWHERE: readonly number[] = [];

function listed(device: ListAndWatchResponse["devices"][number]): ListedDevice {
  const { ID: id, health, topology } = device;
  return { id, health, numaNodes: topology === undefined ? NOWHERE : topology.nodes.map(({ ID }) => ID) };
}
