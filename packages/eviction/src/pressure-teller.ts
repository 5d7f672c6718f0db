// SPDX-License-Identifier: Apache-2.0

/** Tells changes once: conditions, thresholds that demand something, figures that cannot be had. Owns what was told last. */
import type { Publisher, Subject } from "@holdfast/bus";
import type { Clock } from "@holdfast/core/clock";
import type { Logger } from "@holdfast/core/log";
import { computePressureChanges, computePressureConditions } from "./compute-conditions.ts";
import type { PressureCondition } from "./compute-conditions.ts";
import { PressureChanged, SignalUnknown, ThresholdMet } from "./events.ts";
import { signalFacts } from "./signals.ts";
import type { PressureConditionType, Signal } from "./signals.ts";
import { describeThreshold } from "./threshold.ts";
import type { SignalObservations, Threshold } from "./threshold.ts";

/** A condition and when it came to its status. */
export interface TimedPressureCondition extends PressureCondition {
  /** Wall milliseconds; of the manager's start for one that has not changed. */
  readonly lastTransitionAt: number;
}

/** How a {@link PressureTeller} is made. */
export interface PressureTellerOptions {
  readonly clock: Pick<Clock, "now">;
  readonly publish: Publisher;
  readonly logger: Logger;
  readonly nodeName: string | undefined;
}

/** See the top of the file. */
export class PressureTeller {
  readonly #options: PressureTellerOptions;
  readonly #startedAt: number;
  readonly #changedAt = new Map<PressureConditionType, number>();
  /** Signal -> the event that told it. */
  readonly #told = new Map<Signal, number>();
  #conditions: readonly PressureConditionType[] = [];
  #unknown: ReadonlyMap<string, string> = new Map();

  constructor(options: PressureTellerOptions) {
    this.#options = options;
    this.#startedAt = options.clock.now();
  }

  /** What cannot be had, in words. */
  get unknown(): readonly string[] {
    return [...this.#unknown].map(([signal, problem]) => `${signal}: ${problem}`);
  }

  /** All conditions as they are now. */
  conditions(): readonly TimedPressureCondition[] {
    return computePressureConditions(this.#conditions).map((condition) => ({
      ...condition,
      lastTransitionAt: this.#changedAt.get(condition.type) ?? this.#startedAt,
    }));
  }

  /** Whether anything changed. */
  tellConditions(conditions: readonly PressureConditionType[]): boolean {
    const { clock, publish, logger, nodeName = "" } = this.#options;
    const changes = computePressureChanges(this.#conditions, conditions);
    this.#conditions = conditions;
    for (const { type, status, eventReason } of changes) {
      this.#changedAt.set(type, clock.now());
      const message = `Node ${nodeName} status is now: ${eventReason}`;
      const data = { eventType: "Normal", reason: eventReason, message, condition: type, status } as const;
      publish.publish(PressureChanged, data, { subject: this.#subject });
      if (status === "True") logger.warn("the node is short of something", { condition: type });
      else logger.info("the node has enough again", { condition: type });
    }
    return changes.length > 0;
  }

  /** Once until it is over. Returns the event that told it. */
  tellThreshold(threshold: Threshold, observations: SignalObservations): number {
    const { signal } = threshold;
    const known = this.#told.get(signal);
    if (known !== undefined) return known;
    const { available = 0, capacity = 0 } = observations.get(signal) ?? {};
    const message = `Attempting to reclaim ${signalFacts(signal)?.resource ?? signal}`;
    const text = describeThreshold(threshold);
    const seq = this.#options.publish.publish(
      ThresholdMet,
      {
        eventType: "Warning",
        reason: "EvictionThresholdMet",
        message,
        signal,
        threshold: text,
        available,
        capacity,
      },
      { subject: this.#subject },
    );
    this.#options.logger.warn("attempting to reclaim", { threshold: text, available, capacity });
    this.#told.set(signal, seq);
    return seq;
  }

  /** What is not met any more will be told again. */
  forgetAllBut(met: readonly Threshold[]): void {
    if (this.#told.size === 0) return;
    const signals = new Set(met.map(({ signal }) => signal));
    for (const signal of this.#told.keys()) if (!signals.has(signal)) this.#told.delete(signal);
  }

  /** What thresholds stand on and cannot be had, by its name. */
  tellUnknown(unknown: ReadonlyMap<string, string>): void {
    if (unknown.size === 0 && this.#unknown.size === 0) return;
    const before = this.#unknown;
    this.#unknown = unknown;
    for (const [signal, problem] of unknown) {
      // Figures in its words change from round to round: it is still the same trouble.
      if (before.has(signal)) continue;
      this.#options.logger.error("nothing is evicted for it: its figures are not known", {
        signal,
        err: problem,
      });
      this.#tellSignal(signal, problem, `${signal} is not known, and nothing is evicted for it: ${problem}`);
    }
    for (const signal of before.keys())
      if (!unknown.has(signal)) this.#tellSignal(signal, undefined, `${signal} is known again`);
  }

  #tellSignal(signal: string, problem: string | undefined, message: string): void {
    const { publish } = this.#options;
    publish.publish(SignalUnknown, { signal, problem, message }, { subject: this.#subject });
  }

  get #subject(): Subject {
    const { nodeName } = this.#options;
    return nodeName === undefined ? {} : { node: nodeName };
  }
}
