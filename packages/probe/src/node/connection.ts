// SPDX-License-Identifier: Apache-2.0

/**
 * Connections for probes: each is a new one for the target, but over plain TCP the object of Node's behind it is used again. A socket object per
 * probe costs a quarter of the probe's CPU, and V8 carries what is left of it into its old generation: 6 MB at 100 probes a second.
 *
 * Owns: the idle socket objects (no descriptors: they are closed). Invariants: a user hears of its own connection only, and of nothing once it
 * has closed it; an object comes back only after an exchange without an error; what is closed is reset, so nothing is left in TIME_WAIT,
 * neither here nor at the target.
 */
import { isIP, Socket } from "node:net";
import { connect as connectTls } from "node:tls";
import type { TLSSocket } from "node:tls";
import type { SocketError } from "../socket-errors.ts";
import { lookupHost } from "./resolve-host.ts";

/** Who asked for a connection. */
export interface ConnectionUser {
  onConnect(): void;
  /** The first `length` bytes of `buffer` are to be used before this returns. */
  onData(buffer: Buffer, length: number): void;
  /** The other side has ended. */
  onEnd(): void;
  onError(error: SocketError): void;
}

/** A connection under way or open. */
export interface Connection {
  write(data: string | Buffer): void;
  /** Gives it up: the user hears no more. */
  close(): void;
}

/** All plain sockets read into this one: what is read is used before the next read. */
const READ_BUFFER = Buffer.allocUnsafeSlow(16 * 1024);
/** Probes that fall due together, and a little more; an idle object is 3 kB. */
const MAX_IDLE = 32;
const idle: PlainConnection[] = [];

/** Begins to connect. Throws on what is no port. */
export function openPlain(host: string, port: number, user: ConnectionUser): Connection {
  const connection = idle.pop() ?? new PlainConnection();
  connection.open(host, port, user);
  return connection;
}

class PlainConnection implements Connection {
  readonly #socket: Socket;
  #user: ConnectionUser | undefined;
  /** It may be used again. */
  #isSound = false;
  #isName = false;

  constructor() {
    const onread = {
      buffer: READ_BUFFER,
      callback: (length: number): boolean => {
        this.#user?.onData(READ_BUFFER, length);
        return true;
      },
    };
    // Half open: ending our side would forbid the reset.
    const socket = new Socket({ allowHalfOpen: true, onread } as ConstructorParameters<typeof Socket>[0]);
    this.#socket = socket;
    socket.on("connect", () => {
      // A name may have been tried at several addresses: that leaves its marks in the object.
      this.#isSound = !this.#isName;
      this.#user?.onConnect();
    });
    socket.on("end", () => this.#user?.onEnd());
    socket.on("error", (error: SocketError) => {
      this.#isSound = false;
      this.#user?.onError(error);
    });
    socket.on("close", () => {
      if (this.#isSound && idle.length < MAX_IDLE) idle.push(this);
    });
  }

  open(host: string, port: number, user: ConnectionUser): void {
    this.#user = user;
    this.#isSound = false;
    this.#isName = isIP(host) === 0;
    try {
      this.#socket.connect({ host, port, lookup: lookupHost });
    } catch (error) {
      this.close();
      throw error;
    }
  }

  write(data: string | Buffer): void {
    this.#socket.write(data);
  }

  close(): void {
    if (this.#user === undefined) return;
    this.#user = undefined;
    const socket = this.#socket;
    if (socket.connecting || socket.destroyed) {
      this.#isSound = false;
      socket.destroy();
      return;
    }
    if (socket.writableLength > 0) this.#isSound = false;
    socket.resetAndDestroy();
  }
}

/** The same over TLS, with any certificate. `servername` only for names. */
export class TlsConnection implements Connection {
  readonly #socket: Socket = new Socket();
  readonly #tls: TLSSocket;
  #user: ConnectionUser | undefined;
  #isConnected = false;
  #hasEnded = false;

  constructor(host: string, port: number, user: ConnectionUser) {
    this.#user = user;
    const socket = this.#socket;
    const onError = (error: SocketError): void => this.#user?.onError(error);
    socket.on("error", onError);
    socket.connect({ host, port, lookup: lookupHost });
    const name = isIP(host) === 0 ? { servername: host } : {};
    this.#tls = connectTls({ socket, rejectUnauthorized: false, ...name });
    this.#tls.on("error", onError);
    this.#tls.on("data", (bytes: Buffer) => this.#user?.onData(bytes, bytes.length));
    this.#tls.once("secureConnect", () => {
      this.#isConnected = true;
      this.#user?.onConnect();
    });
    this.#tls.once("end", () => {
      this.#hasEnded = true;
      this.#user?.onEnd();
    });
  }

  write(data: string | Buffer): void {
    this.#tls.write(data);
  }

  close(): void {
    this.#user = undefined;
    const socket = this.#socket;
    // An end was answered with an end: that forbids the reset.
    if (this.#hasEnded || !this.#isConnected || socket.destroyed) socket.destroy();
    else socket.resetAndDestroy();
    this.#tls.destroy();
  }
}
