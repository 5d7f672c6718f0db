// SPDX-License-Identifier: Apache-2.0

/**
 * Verdicts on the disk: what a container was found to be, and how far its thresholds were, so that a restart of the agent forgets nothing.
 *
 * Owns: the checkpoint's entries, by `podUid/container/kind`, and what was read from it at the start. Invariants: an entry is only believed for
 * the container id that it was written for; damaged text is forgotten, with a warning; at most `capacity` entries are read.
 */
import { clampedAge } from "@holdfast/core/clock";
import type { Clock } from "@holdfast/core/clock";
import type { Logger } from "@holdfast/core/log";
import { isDeadly } from "./compute-verdict.ts";
import type { ProbeState } from "./compute-verdict.ts";
import type { ProbeVerdict } from "./outcome.ts";
import type { ProbeCheckpoint } from "./ports.ts";
import type { ProbeKind } from "./probe-spec.ts";

/** Whose verdict it is. */
export interface VerdictKey {
  readonly podUid: string;
  readonly container: string;
  readonly kind: ProbeKind;
}

/** What an earlier process has left. */
export interface RestoredVerdict {
  readonly containerId: string;
  readonly state: ProbeState;
  /** Monotonic milliseconds of the probe that it rests on: before this process began, so mostly negative. */
  readonly probedAt: number;
}

const FORMAT = 1;
const MAX_AGE_MS = 10 * 365 * 86_400_000;

/** See the top of the file. */
export class VerdictStore {
  readonly #checkpoint: ProbeCheckpoint | undefined;
  readonly #restored = new Map<string, RestoredVerdict>();
  readonly #byContainer = new Map<string, RestoredVerdict>();

  constructor(
    checkpoint: ProbeCheckpoint | undefined,
    clock: Pick<Clock, "now" | "monotonic">,
    logger: Logger,
    capacity: number,
  ) {
    this.#checkpoint = checkpoint;
    for (const [key, text] of checkpoint?.entries("") ?? []) {
      const restored = this.#restored.size < capacity ? parse(text, clock) : undefined;
      if (restored === undefined) {
        logger.warn("a stored probe verdict cannot be read and is forgotten", { key });
        checkpoint?.delete(key);
        continue;
      }
      this.#restored.set(key, restored);
      this.#byContainer.set(`${kindOf(key)}/${restored.containerId}`, restored);
    }
  }

  /** What was kept of this very container. */
  restored(key: VerdictKey, containerId: string): RestoredVerdict | undefined {
    const restored = this.#restored.get(keyText(key));
    return restored?.containerId === containerId ? restored : undefined;
  }

  /** The same for one who knows the container's id only, before its pod is added. Nothing is killed for it. */
  verdict(kind: ProbeKind, containerId: string): ProbeVerdict | undefined {
    const verdict = this.#byContainer.get(`${kind}/${containerId}`)?.state.verdict;
    return isDeadly(kind, verdict) ? undefined : verdict;
  }

  /** Whether an earlier process watched it. */
  has(key: VerdictKey): boolean {
    return this.#restored.has(keyText(key));
  }

  /** `probedAt`: wall time of the probe that the state rests on. */
  save(key: VerdictKey, containerId: string, state: ProbeState, probedAt: number): void {
    const { verdict, last, run, onHold } = state;
    this.#checkpoint?.set(
      keyText(key),
      JSON.stringify({
        format: FORMAT,
        id: containerId,
        verdict,
        last,
        run,
        onHold,
        at: Math.round(probedAt),
      }),
    );
  }

  /** What was read at the start is in use now, or holds no more. */
  adopted(key: VerdictKey): void {
    const text = keyText(key);
    const restored = this.#restored.get(text);
    if (restored === undefined) return;
    this.#restored.delete(text);
    this.#byContainer.delete(`${key.kind}/${restored.containerId}`);
  }

  remove(key: VerdictKey): void {
    this.adopted(key);
    this.#checkpoint?.delete(keyText(key));
  }

  /** Forgets what belongs to pods that nobody knows. Only after all sources were heard. */
  removeOrphans(known: ReadonlySet<string>): void {
    for (const [key, restored] of this.#restored) {
      if (known.has(key.slice(0, key.indexOf("/")))) continue;
      this.#restored.delete(key);
      this.#byContainer.delete(`${kindOf(key)}/${restored.containerId}`);
      this.#checkpoint?.delete(key);
    }
  }

  /** Forgets a pod of which no worker was ever made in this process. */
  removePod(podUid: string): void {
    for (const key of this.#restored.keys()) {
      if (!key.startsWith(`${podUid}/`)) continue;
      const [, container = "", kind = ""] = key.split("/");
      this.remove({ podUid, container, kind: kind as ProbeKind });
    }
  }
}

const keyText = ({ podUid, container, kind }: VerdictKey): string => `${podUid}/${container}/${kind}`;
const kindOf = (key: string): string => key.slice(key.lastIndexOf("/") + 1);

function parse(text: string, clock: Pick<Clock, "now" | "monotonic">): RestoredVerdict | undefined {
  let stored: unknown;
  try {
    stored = JSON.parse(text);
  } catch {
    return undefined;
  }
  if (typeof stored !== "object" || stored === null) return undefined;
  const { format, id, verdict, last, run, onHold, at } = stored as Record<string, unknown>;
  const sound =
    format === FORMAT &&
    typeof id === "string" &&
    id !== "" &&
    isVerdict(verdict) &&
    isVerdict(last) &&
    Number.isSafeInteger(run) &&
    (run as number) >= 0 &&
    typeof onHold === "boolean" &&
    typeof at === "number";
  if (!sound) return undefined;
  const state: ProbeState = { verdict, last, run: run as number, onHold };
  return { containerId: id, state, probedAt: clock.monotonic() - clampedAge(clock, at, MAX_AGE_MS) };
}

function isVerdict(value: unknown): value is ProbeVerdict | undefined {
  return value === undefined || value === "success" || value === "failure";
}
