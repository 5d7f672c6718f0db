// SPDX-License-Identifier: Apache-2.0

// A client's side of SPDY/3.1, of as much as kubectl and crictl use of it, for tests.
import { request } from "node:http";
import type { Duplex } from "node:stream";

import { HeaderReader, HeaderWriter } from "../src/shell/streaming/spdy-headers.ts";

/** What came on a stream, as text, and whether it has ended. */
export interface Received {
  text: string;
  ended: boolean;
}

/** A connection whose streams are told by names of the caller's. */
export class SpdyClient {
  readonly protocol: string;
  readonly received = new Map<string, Received>();
  /** Ids of pings that were answered. */
  readonly pongs: number[] = [];
  closed = false;
  readonly #socket: Duplex;
  readonly #writer = new HeaderWriter();
  readonly #reader = new HeaderReader();
  readonly #names = new Map<number, string>();
  #next = 1;

  private constructor(socket: Duplex, protocol: string) {
    this.#socket = socket;
    this.protocol = protocol;
    void this.#read().finally(() => {
      this.closed = true;
    });
  }

  /** Rejects with `STATUS TEXT` when the server does not switch. */
  static connect(url: string, protocols: string): Promise<SpdyClient> {
    const headers = { Connection: "Upgrade", Upgrade: "SPDY/3.1", "X-Stream-Protocol-Version": protocols };
    return new Promise((resolve, reject) => {
      const asked = request(url, { method: "POST", headers });
      asked.on("error", reject);
      asked.on("response", (response) => {
        response
          .setEncoding("utf8")
          .once("data", (text) => reject(new Error(`${response.statusCode} ${text}`)));
      });
      asked.on("upgrade", (response, socket, head) => {
        socket.unshift(head);
        resolve(new SpdyClient(socket, String(response.headers["x-stream-protocol-version"])));
      });
      asked.end();
    });
  }

  async open(name: string, headers: Readonly<Record<string, string>>): Promise<number> {
    const id = this.#next;
    this.#next += 2;
    this.#names.set(id, name);
    this.received.set(name, { text: "", ended: false });
    const fields = Buffer.alloc(10);
    fields.writeUInt32BE(id);
    const block = await this.#writer.write(new Map(Object.entries(headers)));
    this.#frame(1, Buffer.concat([fields, block]));
    return id;
  }

  send(id: number, text: string, isLast = false): void {
    const head = Buffer.alloc(8);
    head.writeUInt32BE(id, 0);
    head.writeUInt32BE(Buffer.byteLength(text), 4);
    head[4] = isLast ? 1 : 0;
    this.#socket.write(Buffer.concat([head, Buffer.from(text)]));
  }

  ping(id: number): void {
    const body = Buffer.alloc(4);
    body.writeUInt32BE(id);
    this.#frame(6, body);
  }

  /** Something that is no SPDY. */
  babble(): void {
    this.#socket.write(Buffer.alloc(64, 0xff));
  }

  close(): void {
    this.#socket.destroy();
    this.#reader.close();
    this.#writer.close();
  }

  #frame(type: number, body: Buffer): void {
    const head = Buffer.alloc(8);
    head.writeUInt16BE(0x8003, 0);
    head.writeUInt16BE(type, 2);
    head.writeUInt32BE(body.length, 4);
    this.#socket.write(Buffer.concat([head, body]));
  }

  async #read(): Promise<void> {
    let buffer: Buffer = Buffer.alloc(0);
    try {
      for await (const chunk of this.#socket as AsyncIterable<Buffer>) {
        buffer = Buffer.concat([buffer, chunk]);
        while (buffer.length >= 8 && buffer.length >= 8 + buffer.readUIntBE(5, 3)) {
          const size = 8 + buffer.readUIntBE(5, 3);
          this.#take(buffer.subarray(0, 8), buffer.subarray(8, size));
          buffer = buffer.subarray(size);
        }
      }
    } catch {
      // It was closed.
    }
  }

  #take(head: Buffer, body: Buffer): void {
    if (((head[0] ?? 0) & 0x80) !== 0) {
      if (head.readUInt16BE(2) === 6) this.pongs.push(body.readUInt32BE(0));
      return;
    }
    const found = this.received.get(this.#names.get(head.readUInt32BE(0)) ?? "");
    if (found === undefined) return;
    found.text += body.toString();
    if (head[4] === 1) found.ended = true;
  }
}
