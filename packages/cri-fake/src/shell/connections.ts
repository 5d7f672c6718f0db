// SPDX-License-Identifier: Apache-2.0
//
// The connections of clients, each of which can be made half-open: bytes are read and written no more, and it is not closed. Owns the
// listening socket and what was accepted on it. A half-open one ends when its client closes it.

import { createServer } from "node:net";
import type { Server, Socket } from "node:net";
import { Duplex } from "node:stream";

/** What gRPC sees of a connection. */
class Connection extends Duplex {
  readonly #socket: Socket;
  #silent = false;

  constructor(socket: Socket) {
    super({ allowHalfOpen: false });
    this.#socket = socket;
    socket.on("data", (chunk: Buffer) => {
      if (this.#silent) return;
      if (!this.push(chunk)) socket.pause();
    });
    socket.on("end", () => this.push(null));
    socket.on("close", () => this.destroy());
    socket.on("error", () => this.destroy());
  }

  silence(): void {
    this.#silent = true;
    // Read on, or its client's close is never noticed.
    this.#socket.resume();
  }

  override _read(): void {
    this.#socket.resume();
  }

  override _write(chunk: Buffer, _encoding: string, done: (error?: Error | null) => void): void {
    if (this.#silent || this.#socket.destroyed) done();
    else this.#socket.write(chunk, done);
  }

  override _final(done: () => void): void {
    if (!this.#silent) this.#socket.end();
    done();
  }

  override _destroy(error: Error | null, done: (error: Error | null) => void): void {
    // gRPC drops a client that answers no ping. This one would never learn of it.
    if (!this.#silent) this.#socket.destroy();
    done(error);
  }

  cut(): void {
    this.#socket.destroy();
    this.destroy();
  }
}

/** See the top of the file. */
export class Connections {
  readonly #open = new Set<Connection>();
  readonly #server: Server;

  /** `accept` gets every connection. */
  constructor(accept: (connection: Duplex) => void) {
    this.#server = createServer((socket) => {
      const connection = new Connection(socket);
      this.#open.add(connection);
      socket.on("close", () => this.#open.delete(connection));
      accept(connection);
    });
  }

  /** Listens on a unix socket. Rejects with what the system says. */
  listen(path: string): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#server.once("error", reject);
      this.#server.listen(path, () => {
        this.#server.off("error", reject);
        resolve();
      });
    });
  }

  /** Makes every connection half-open. */
  silence(): void {
    for (const connection of this.#open) connection.silence();
  }

  /** Listens no more, and cuts every connection. */
  close(): void {
    this.#server.close();
    for (const connection of this.#open) connection.cut();
  }
}
