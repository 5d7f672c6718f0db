// SPDX-License-Identifier: Apache-2.0

import type { Clock } from "./clock.ts";
import { HoldfastError } from "./errors.ts";
import { silentLogger } from "./log.ts";
import type { Logger } from "./log.ts";

/** What a component says about itself. No failures means healthy. */
export interface Health {
  readonly failures: readonly string[];
}

/** What every manager is. The constructor only stores; `start` resolves when ready; `stop` is idempotent and bounded. */
export interface Component extends AsyncDisposable {
  readonly name: string;
  /** Resolves when the component does its work. `signal` gives up starting. */
  start(signal?: AbortSignal): Promise<void>;
  /** Releases timers, listeners, streams. Never touches a container. Never rejects because of state. */
  stop(): Promise<void>;
  health(): Health;
}

/** A controller that aborts with its parent and can be let go of: no listener stays on a long-lived signal. */
export interface LinkedSignal extends Disposable {
  readonly signal: AbortSignal;
  abort(reason?: unknown): void;
}

/** Use instead of `AbortSignal.any`, which keeps memory for each call on a long-lived signal (nodejs/node#54614). */
export function linkSignal(parent?: AbortSignal): LinkedSignal {
  const controller = new AbortController();
  const onAbort = (): void => controller.abort(parent?.reason);
  if (parent?.aborted) onAbort();
  else parent?.addEventListener("abort", onAbort, { once: true });
  const unlink = (): void => parent?.removeEventListener("abort", onAbort);
  return {
    signal: controller.signal,
    abort(reason) {
      unlink();
      controller.abort(reason);
    },
    [Symbol.dispose]: unlink,
  };
}

/** How a {@link Supervisor} is made. */
export interface SupervisorOptions {
  readonly clock: Clock;
  readonly logger?: Logger;
  /** How long one component may take to stop before it is named and left behind. Default 10 s. */
  readonly stopTimeoutMs?: number;
}

/** Starts components in order and stops them in reverse; a failed start stops what had started. */
export class Supervisor implements AsyncDisposable {
  readonly #clock: Clock;
  readonly #logger: Logger;
  readonly #stopTimeoutMs: number;
  readonly #started: Component[] = [];

  constructor(options: SupervisorOptions) {
    this.#clock = options.clock;
    this.#logger = options.logger ?? silentLogger;
    this.#stopTimeoutMs = options.stopTimeoutMs ?? 10_000;
  }

  async start(components: readonly Component[], signal?: AbortSignal): Promise<void> {
    for (const component of components) {
      signal?.throwIfAborted();
      this.#started.push(component);
      try {
        await component.start(signal);
      } catch (error) {
        await this.stop();
        throw error;
      }
    }
  }

  /** Stops everything, in reverse, each within its limit. Never rejects. */
  async stop(): Promise<void> {
    for (let component = this.#started.pop(); component !== undefined; component = this.#started.pop()) {
      try {
        await withDeadline(this.#clock, this.#stopTimeoutMs, `stopping ${component.name}`, component.stop());
      } catch (err) {
        this.#logger.error("component did not stop cleanly", { component: component.name, err });
      }
    }
  }

  health(): Health {
    return {
      failures: this.#started.flatMap((component) =>
        component.health().failures.map((failure) => `${component.name}: ${failure}`),
      ),
    };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop();
  }
}

/** Settles as `work` does, or rejects with kind `deadline` after `ms`. The work itself goes on: cancel it separately. */
export async function withDeadline<T>(
  clock: Pick<Clock, "timer">,
  ms: number,
  what: string,
  work: Promise<T>,
): Promise<T> {
  let timer: { cancel(): void } | undefined;
  const expired = new Promise<never>((_resolve, reject) => {
    timer = clock.timer(ms, () =>
      reject(new HoldfastError("CORE_DEADLINE", "deadline", `${what} took longer than ${ms} ms`)),
    );
  });
  try {
    return await Promise.race([work, expired]);
  } finally {
    timer?.cancel();
  }
}
