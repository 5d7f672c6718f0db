// SPDX-License-Identifier: Apache-2.0
//
// A server stream as an async iterator. Owns a queue of at most 64 messages; when it is full the source is paused, and HTTP/2's flow control
// holds the runtime back: nothing is dropped here. Messages that came before a failure are handed out before it.

import type { ClientReadableStream } from "@grpc/grpc-js";

const QUEUE_LIMIT = 64;

/** What a stream is made of; with no source it has already ended. */
export interface MessageStreamOptions<Message> {
  readonly source?: ClientReadableStream<Buffer>;
  /** What decodes to undefined is left out. */
  readonly decode?: (bytes: Buffer) => Message | undefined;
  readonly translate?: (error: unknown) => unknown;
  /** Called once, when no more will come from the source. */
  readonly onFinish?: (failure: unknown) => void;
  readonly failure?: unknown;
}

interface Waiter<Message> {
  resolve(result: IteratorResult<Message, undefined>): void;
  reject(error: unknown): void;
}

/** See the top of the file. For one reader. */
export class MessageStream<Message> implements AsyncIterableIterator<Message, undefined> {
  readonly #source: ClientReadableStream<Buffer> | undefined;
  readonly #onFinish: ((failure: unknown) => void) | undefined;
  #queue: Message[] = [];
  #waiters: Waiter<Message>[] = [];
  #finished = false;
  #failure: unknown;

  constructor(options: MessageStreamOptions<Message>) {
    this.#source = options.source;
    this.#onFinish = options.onFinish;
    if (options.source === undefined) {
      this.#finished = true;
      this.#failure = options.failure;
      return;
    }
    this.#listen(options.source, options);
  }

  next(): Promise<IteratorResult<Message, undefined>> {
    const message = this.#queue.shift();
    if (message !== undefined) {
      if (this.#queue.length === 0 && this.#source?.isPaused() === true) this.#source.resume();
      return Promise.resolve({ done: false, value: message });
    }
    if (this.#finished) {
      const failure = this.#failure;
      this.#failure = undefined;
      return failure === undefined
        ? Promise.resolve({ done: true, value: undefined })
        : Promise.reject(failure as Error);
    }
    return new Promise((resolve, reject) => this.#waiters.push({ resolve, reject }));
  }

  return(): Promise<IteratorResult<Message, undefined>> {
    this.#queue = [];
    this.finish();
    this.#failure = undefined;
    return Promise.resolve({ done: true, value: undefined });
  }

  [Symbol.asyncIterator](): this {
    return this;
  }

  /** Ends it from our side; with a failure, the reader gets that after what is queued. Without one, what is queued is let go. */
  finish(failure?: unknown): void {
    if (this.#finished) return;
    this.#finished = true;
    this.#failure = failure;
    if (failure === undefined) this.#queue = [];
    this.#source?.cancel();
    this.#onFinish?.(failure);
    const waiters = this.#waiters;
    this.#waiters = [];
    for (const waiter of waiters) void this.next().then(waiter.resolve, waiter.reject);
  }

  #listen(source: ClientReadableStream<Buffer>, options: MessageStreamOptions<Message>): void {
    let sourceFailure: unknown;
    source.on("data", (bytes: Buffer) => {
      if (this.#finished) return;
      try {
        const message = options.decode?.(bytes);
        if (message !== undefined) this.#push(message);
      } catch (error) {
        this.finish(error);
      }
    });
    // grpc-js reports the error at once, also when messages are still buffered: those come first. The listener stays,
    // since cancelling reports an error too, and one that nobody listens to ends the process.
    source.on("error", (error) => {
      sourceFailure = options.translate?.(error) ?? error;
      if (source.readableLength === 0 && this.#queue.length === 0) this.#sourceEnded(sourceFailure);
      else source.resume();
    });
    source.on("end", () => this.#sourceEnded(sourceFailure));
  }

  #push(message: Message): void {
    const waiter = this.#waiters.shift();
    if (waiter !== undefined) {
      waiter.resolve({ done: false, value: message });
      return;
    }
    this.#queue.push(message);
    if (this.#queue.length >= QUEUE_LIMIT) this.#source?.pause();
  }

  #sourceEnded(failure: unknown): void {
    if (this.#finished) return;
    this.#finished = true;
    this.#failure = failure;
    this.#onFinish?.(failure);
    const waiters = this.#waiters;
    this.#waiters = [];
    for (const waiter of waiters) void this.next().then(waiter.resolve, waiter.reject);
  }
}
