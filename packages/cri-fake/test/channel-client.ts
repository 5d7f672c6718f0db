// SPDX-License-Identifier: Apache-2.0

// A client of Kubernetes' channels over a WebSocket, in binary or base64.

/** See the top of the file. */
export class ChannelClient {
  readonly #socket: WebSocket;
  readonly #isText: boolean;
  /** By channel: all that came. */
  readonly received: Buffer[] = [];
  /** Resolves to the code that the server closed with. */
  readonly closed: Promise<number>;

  private constructor(socket: WebSocket, isText: boolean) {
    this.#socket = socket;
    this.#isText = isText;
    socket.binaryType = "arraybuffer";
    socket.addEventListener("message", ({ data }) => this.#take(data as string | ArrayBuffer));
    this.closed = new Promise((resolve) =>
      socket.addEventListener("close", ({ code }) => resolve(code), { once: true }),
    );
  }

  /** Rejects when the server does not want to. */
  static async connect(url: string, ...protocols: readonly (string | undefined)[]): Promise<ChannelClient> {
    const named = protocols.filter((protocol) => protocol !== undefined);
    const socket = new WebSocket(url.replace("http:", "ws:"), named);
    const client = new ChannelClient(socket, named.includes("v4.base64.channel.k8s.io"));
    await new Promise<void>((resolve, reject) => {
      socket.addEventListener("open", () => resolve(), { once: true });
      socket.addEventListener("error", () => reject(new Error("the WebSocket was refused")), { once: true });
    });
    return client;
  }

  get protocol(): string {
    return this.#socket.protocol;
  }

  send(channel: number, text: string): void {
    const body = Buffer.from(text);
    if (this.#isText) this.#socket.send(`${channel}${body.toString("base64")}`);
    else this.#socket.send(Buffer.concat([Buffer.from([channel]), body]));
  }

  close(): void {
    this.#socket.close();
  }

  #take(data: string | ArrayBuffer): void {
    const [channel, body] =
      typeof data === "string"
        ? [Number(data[0]), Buffer.from(data.slice(1), "base64")]
        : [Buffer.from(data)[0] ?? 0, Buffer.from(data).subarray(1)];
    this.received[channel] = Buffer.concat([this.received[channel] ?? Buffer.alloc(0), body]);
  }
}
