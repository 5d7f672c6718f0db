// SPDX-License-Identifier: Apache-2.0

/**
 * A gRPC server on a unix socket that appears at once: with its mode, as a fresh inode, in place of a dead one, never in place of one that lives.
 *
 * Owns: the socket it made. Invariant: only a socket on which nobody listens is replaced. Lost on a crash: nothing; the socket stays, dead.
 */
import { randomBytes } from "node:crypto";
import { chmod, lstat, mkdir, rename, rm } from "node:fs/promises";
import { connect } from "node:net";
import { basename, dirname, join } from "node:path";
import { Server, ServerCredentials } from "@grpc/grpc-js";
import { HoldfastError } from "@holdfast/core/errors";

/** How a server is made. */
export interface UnixServerOptions {
  readonly path: string;
  /** Of the socket. Default 0600: root only. */
  readonly mode?: number;
  /** Of the folder, when it has to be made. kubelet: 0750. */
  readonly folderMode?: number;
  /** Adds the services. */
  readonly services: (server: Server) => void;
  /** Largest message that is read. Default 64 KiB: these are small requests. */
  readonly maxRequestBytes?: number;
}

const FOLDER_MODE = 0o750;
const SOCKET_MODE = 0o600;
const MAX_REQUEST_BYTES = 65_536;
const PROBE_MS = 1000;
/** sun_path, its ending zero included. */
const MAX_SOCKET_PATH = 107;

/** See the top of the file. */
export class UnixServer {
  readonly path: string;
  readonly #options: UnixServerOptions;
  #server: Server | undefined;
  #inode: bigint | undefined;

  constructor(options: UnixServerOptions) {
    this.path = options.path;
    this.#options = options;
  }

  /** Rejects with `permanent` when somebody serves on the socket already. */
  async start(): Promise<void> {
    const { path, mode = SOCKET_MODE, folderMode = FOLDER_MODE, services } = this.#options;
    const folder = dirname(path);
    await mkdir(folder, { recursive: true, mode: folderMode });
    await claimSocket(path);
    const hidden = join(folder, `.${basename(path)}.${randomBytes(4).toString("hex")}`);
    if (Buffer.byteLength(hidden) > MAX_SOCKET_PATH)
      throw new HoldfastError(
        "DEVICE_SOCKET_PATH",
        "permanent",
        `the path of ${path} is too long for a socket`,
      );
    // Channelz stays on: without it grpc-js 1.14 does not know its sessions, and a forced shutdown leaves them open.
    const server = new Server({
      "grpc.max_receive_message_length": this.#options.maxRequestBytes ?? MAX_REQUEST_BYTES,
    });
    services(server);
    try {
      await bind(server, hidden);
      await chmod(hidden, mode);
      this.#inode = (await lstat(hidden, { bigint: true })).ino;
      // Plugins look for the name to appear: it does when everything is ready.
      await rename(hidden, path);
    } catch (error) {
      server.forceShutdown();
      await rm(hidden, { force: true });
      throw error;
    }
    this.#server = server;
  }

  /** Whether the name is still that of our socket. */
  async isInPlace(): Promise<boolean> {
    return this.#inode !== undefined && (await inodeOf(this.path)) === this.#inode;
  }

  /** Ends every call. The socket goes unless it is somebody else's by now. Idempotent. */
  async stop(): Promise<void> {
    const server = this.#server;
    this.#server = undefined;
    if (server === undefined) return;
    if (await this.isInPlace()) await rm(this.path, { force: true });
    server.forceShutdown();
  }
}

/** Rejects with `permanent` when somebody serves on the socket. */
export async function claimSocket(path: string): Promise<void> {
  if (await isServed(path))
    throw new HoldfastError(
      "DEVICE_SOCKET_TAKEN",
      "permanent",
      `somebody serves on ${path} already: a kubelet, or another agent`,
    );
}

function bind(server: Server, path: string): Promise<void> {
  return new Promise((resolve, reject) => {
    server.bindAsync(`unix://${path}`, ServerCredentials.createInsecure(), (error) =>
      error === null ? resolve() : reject(error),
    );
  });
}

async function inodeOf(path: string): Promise<bigint | undefined> {
  try {
    return (await lstat(path, { bigint: true })).ino;
  } catch {
    return undefined;
  }
}

/** Whether anybody accepts connections there. What is no socket is in the way, and is said to be. */
async function isServed(path: string): Promise<boolean> {
  try {
    const stats = await lstat(path);
    if (!stats.isSocket())
      throw new HoldfastError("DEVICE_SOCKET_TAKEN", "permanent", `${path} is there and is no socket`);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return false;
    throw error;
  }
  return await new Promise((resolve) => {
    const socket = connect({ path, timeout: PROBE_MS });
    const settle = (isAnswered: boolean): void => {
      socket.destroy();
      resolve(isAnswered);
    };
    socket.once("connect", () => settle(true));
    // A full queue is somebody's too.
    socket.once("timeout", () => settle(true));
    socket.once("error", (error) => settle((error as NodeJS.ErrnoException).code === "EAGAIN"));
  });
}
