// SPDX-License-Identifier: Apache-2.0

/**
 * Tells of probes that fail, without a flood: a text that was told is told again after a while, with how often it came meanwhile.
 *
 * Owns: what was told last, by worker. Lost on a crash: that; the text is told once more.
 */
import type { Publisher } from "@holdfast/bus";
import type { Clock } from "@holdfast/core/clock";
import { ProbeUnhealthy } from "./events.ts";
import { firstLine } from "./outcome.ts";
import type { ProbeOutcome } from "./outcome.ts";
import type { ProbeWorker } from "./probe-worker.ts";
import type { ProblemText } from "./worker-host.ts";

interface Told {
  text: string;
  at: number;
  untold: number;
}

/** A text that differs each time is told so often at most. */
const CHANGED_TEXT_MS = 5000;
/** Longer messages are cut. kubelet: the API's limit for events. */
const MAX_MESSAGE = 1024;

/** See the top of the file. */
export class UnhealthyTeller {
  readonly #publish: Publisher;
  readonly #clock: Pick<Clock, "monotonic">;
  readonly #repeatMs: number;
  readonly #told = new Map<ProbeWorker, Told>();

  constructor(publish: Publisher, clock: Pick<Clock, "monotonic">, repeatMs: number) {
    this.#publish = publish;
    this.#clock = clock;
    this.#repeatMs = repeatMs;
  }

  tell(worker: ProbeWorker, outcome: ProbeOutcome, { reason, message }: ProblemText): void {
    const now = this.#clock.monotonic();
    const known = this.#told.get(worker);
    const text = firstLine(message);
    const gapMs = known?.text === text ? this.#repeatMs : Math.min(this.#repeatMs, CHANGED_TEXT_MS);
    if (known !== undefined && now - known.at < gapMs) {
      known.untold += 1;
      return;
    }
    const count = (known?.untold ?? 0) + 1;
    this.#told.set(worker, { text, at: now, untold: 0 });
    this.#publish.publish(
      ProbeUnhealthy,
      {
        eventType: "Warning",
        reason,
        message: message.slice(0, MAX_MESSAGE),
        fieldPath: fieldPathOf(worker),
        kind: worker.kind,
        ...(outcome.error === undefined ? {} : { proberError: outcome.error.why }),
        count,
      },
      { subject: subjectOf(worker) },
    );
  }

  forget(worker: ProbeWorker): void {
    this.#told.delete(worker);
  }
}

/** What an event of a worker is about. */
export function subjectOf(worker: ProbeWorker): {
  readonly podUid: string;
  readonly pod: string;
  readonly container: string;
  readonly containerId?: string;
} {
  const { pod, podUid, containerName, containerId } = worker;
  return {
    podUid,
    pod: `${pod.metadata.namespace}/${pod.metadata.name}`,
    container: containerName,
    ...(containerId === undefined ? {} : { containerId }),
  };
}

/** kubelet: GenerateContainerRef. */
function fieldPathOf({ pod, containerName }: ProbeWorker): string {
  const isInit = pod.spec.initContainers?.some(({ name }) => name === containerName) === true;
  return `spec.${isInit ? "initContainers" : "containers"}{${containerName}}`;
}
