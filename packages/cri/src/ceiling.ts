// SPDX-License-Identifier: Apache-2.0
//
// gRPC refuses an answer of more than 16 MiB as a whole: one more container, and the list cannot be had at all. Said before that comes, by name.
// Owns: the largest answer and the last warning of each operation; there are as many as the CRI has RPCs.

import type { Clock } from "@holdfast/core/clock";
import type { Logger } from "@holdfast/core/log";
import type { Metrics } from "@holdfast/core/metrics";

/** From this share of the largest message on an answer is warned about. */
const SHARE = 0.75;
/** Each operation is warned about once in so long. Milliseconds. */
const WARNING_MS = 60_000;

/** What can be done about a message that is too large, or soon will be. */
export const NEXT_STEP = "remove dead containers and sandboxes, or raise maxMessageBytes";

/** What the ceiling does its work with. */
export interface CeilingOptions {
  readonly clock: Pick<Clock, "monotonic">;
  readonly logger: Logger;
  readonly metrics: Metrics;
  readonly maxMessageBytes: number;
}

/** See the top of the file. */
export class Ceiling {
  readonly #options: CeilingOptions;
  readonly #largest = new Map<string, number>();
  readonly #warnedAt = new Map<string, number>();
  readonly #gauge;
  readonly #near;

  constructor(options: CeilingOptions) {
    this.#options = options;
    this.#gauge = options.metrics.gauge(
      "holdfast_runtime_largest_answer_bytes",
      "The largest unary answer of the runtime so far, by operation type.",
    );
    this.#near = options.metrics.counter(
      "holdfast_runtime_answers_near_limit_total",
      "Unary answers of more than three quarters of the largest message, by operation type.",
    );
  }

  /** An answer came. */
  seen(bytes: number, method: string, operation: string): void {
    const labels = { operation_type: operation };
    if (bytes > (this.#largest.get(operation) ?? 0)) {
      this.#largest.set(operation, bytes);
      this.#gauge.set(bytes, labels);
    }
    const { clock, logger, maxMessageBytes } = this.#options;
    if (bytes <= SHARE * maxMessageBytes) return;
    this.#near.inc(labels);
    const now = clock.monotonic();
    if (now - (this.#warnedAt.get(operation) ?? Number.NEGATIVE_INFINITY) < WARNING_MS) return;
    this.#warnedAt.set(operation, now);
    logger.warn(`an answer of the runtime nears the largest message: ${NEXT_STEP}`, {
      method,
      bytes,
      maxMessageBytes,
    });
  }
}
