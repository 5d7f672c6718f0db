// SPDX-License-Identifier: Apache-2.0

/**
 * What dies with a process. Everything that a simulated agent reaches goes through here: after its death no timer of it fires, no call of it is
 * made, no answer reaches it, and nothing that it still wanted to write is written.
 */
import { sleepOn } from "@holdfast/core/clock";
import type { Clock, Timer } from "@holdfast/core/clock";
import { linkSignal } from "@holdfast/core/lifecycle";
import type { CriClient } from "@holdfast/cri";

/** One process. */
export class Life {
  #dead = false;
  readonly #atDeath = new Set<() => void>();

  get dead(): boolean {
    return this.#dead;
  }

  /** Called once, at the end. Returns how to take it back. */
  atDeath(act: () => void): () => void {
    this.#atDeath.add(act);
    return () => void this.#atDeath.delete(act);
  }

  end(): void {
    this.#dead = true;
    for (const act of this.#atDeath) act();
    this.#atDeath.clear();
  }
}

/** A clock whose timers die with their owner. */
export class MortalClock implements Clock {
  readonly #clock: Clock;
  readonly #life: Life;
  readonly #armed = new Set<Timer>();

  constructor(clock: Clock, life: Life) {
    this.#clock = clock;
    this.#life = life;
    life.atDeath(() => {
      for (const timer of this.#armed) timer.cancel();
      this.#armed.clear();
    });
  }

  /** Timers that are armed. */
  get waiting(): number {
    return this.#armed.size;
  }

  now(): number {
    return this.#clock.now();
  }

  monotonic(): number {
    return this.#clock.monotonic();
  }

  sleep(ms: number, options?: { readonly signal?: AbortSignal | undefined }): Promise<void> {
    return sleepOn(this, ms, options?.signal);
  }

  timer(ms: number, onFire: () => void): Timer {
    if (this.#life.dead) return { cancel() {} };
    const timer = this.#clock.timer(ms, () => {
      this.#armed.delete(timer);
      onFire();
    });
    this.#armed.add(timer);
    return {
      cancel: () => {
        this.#armed.delete(timer);
        timer.cancel();
      },
    };
  }
}

const never = (): Promise<never> => new Promise(() => {});

/** Settles as `work` does, unless the life ends before. */
function whileAlive<T>(life: Life, work: Promise<T>): Promise<T> {
  return new Promise((resolve, reject) => {
    work.then(
      (value) => life.dead || resolve(value),
      (error: unknown) => life.dead || reject(error as Error),
    );
  });
}

/** An object whose methods do nothing once the life is over. Promises that they gave before stay open. */
export function mortal<T extends object>(life: Life, target: T): T {
  return new Proxy(target, {
    get(_target, property) {
      const value = Reflect.get(target, property, target) as unknown;
      if (typeof value !== "function") return value;
      return (...args: unknown[]) => {
        if (life.dead) return never();
        const answer = Reflect.apply(value, target, args) as unknown;
        return answer instanceof Promise ? whileAlive(life, answer) : answer;
      };
    },
  });
}

/** A client of its own on a runtime that others use too: it can be closed, and it dies, without the runtime. */
export function mortalClient(life: Life, runtime: CriClient, carriedOut: () => boolean): CriClient {
  const connection = linkSignal();
  /** Calls that the runtime gives up when its caller dies; the others it carries out. */
  life.atDeath(() => {
    if (!carriedOut()) connection.abort(new Error("the caller died"));
  });
  const close = (): Promise<void> => {
    connection.abort(new Error("the client was closed"));
    return Promise.resolve();
  };
  const invoke = (method: (...args: unknown[]) => unknown, args: readonly unknown[]): unknown => {
    const isSubscription = method === (runtime.containerdEvents as unknown);
    const given = args[isSubscription ? 0 : 1] as { readonly signal?: AbortSignal } | undefined;
    const link = linkSignal(connection.signal);
    const onAbort = (): void => link.abort(given?.signal?.reason);
    if (given?.signal?.aborted === true) onAbort();
    else given?.signal?.addEventListener("abort", onAbort, { once: true });
    const release = (): void => {
      link[Symbol.dispose]();
      given?.signal?.removeEventListener("abort", onAbort);
    };
    const options = { ...given, signal: link.signal };
    const answer = Reflect.apply(method, runtime, isSubscription ? [options] : [args[0], options]) as unknown;
    if (answer instanceof Promise) return whileAlive(life, answer.finally(release));
    // An endless stream: it always ends with its reader.
    life.atDeath(() => link.abort(new Error("the reader died")));
    return mortalStream(life, answer as AsyncIterableIterator<unknown>);
  };
  return new Proxy(runtime, {
    get(_target, property) {
      if (property === "close" || property === Symbol.asyncDispose) return close;
      const value = Reflect.get(runtime, property, runtime) as unknown;
      if (property === "inFlight") return () => runtime.inFlight();
      if (typeof value !== "function") return value;
      return (...args: unknown[]) =>
        life.dead ? never() : invoke(value as (...all: unknown[]) => unknown, args);
    },
  });
}

function mortalStream(life: Life, stream: AsyncIterableIterator<unknown>): AsyncIterableIterator<unknown> {
  const own: AsyncIterableIterator<unknown> = {
    next: () => (life.dead ? never() : whileAlive(life, stream.next())),
    return: () => stream.return?.() ?? Promise.resolve({ done: true, value: undefined }),
    [Symbol.asyncIterator]: () => own,
  };
  return own;
}
