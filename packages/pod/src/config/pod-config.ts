// SPDX-License-Identifier: Apache-2.0

/**
 * Merges the pods of all sources into what the node should run.
 *
 * Owns: the desired pods by source and UID, with the stamps config.source and config.seen. Reads: complete snapshots of the sources.
 * Invariants: a pod's seen time stays with its UID; of two pods with one full name in a source the first counts; listeners are told after
 * the state changed, REMOVE before ADD, and each sees every change once. Lost on a crash: seen times; the sources deliver the rest again.
 */
import type { Publisher } from "@holdfast/bus";
import { nullPublisher } from "@holdfast/bus";
import type { Clock } from "@holdfast/core/clock";
import { silentLogger } from "@holdfast/core/log";
import type { Logger } from "@holdfast/core/log";
import { CONFIG_SEEN_ANNOTATION, CONFIG_SOURCE_ANNOTATION } from "@holdfast/core/names";
import { formatPod, podFullName } from "@holdfast/core/pod";
import type { Pod } from "@holdfast/core/pod-types";
import { rfc3339 } from "@holdfast/core/rfc3339";
import { computePodUpdates } from "./compute-pod-updates.ts";
import { PodsChanged } from "./events.ts";
import type { PodSource, PodUpdate, SourceSnapshot } from "./pod-update.ts";

/** How a {@link PodConfig} is made. */
export interface PodConfigOptions {
  /** The sources that will deliver. Until each has been ready once, nothing may be removed from the node. */
  readonly sources: readonly PodSource[];
  readonly clock: Pick<Clock, "now">;
  readonly publish?: Publisher;
  readonly logger?: Logger;
}

/** Takes the changes of one delivery, in the kubelet's order; none when only a doubt about an input is over. Must not throw; an error is logged and goes no further. */
export type PodUpdateListener = (updates: readonly PodUpdate[]) => void;

interface SourceState {
  pods: ReadonlyMap<string, Pod>;
  /** As the source gave them, by UID: what it gives again needs no look, and a folder gives all its pods at each change of a file. */
  given: ReadonlyMap<string, Pod>;
  ready: boolean;
  unknown: readonly string[];
}

/** The mux of pod sources. kubelet: config.PodConfig. */
export class PodConfig {
  readonly #clock: Pick<Clock, "now">;
  readonly #publish: Publisher;
  readonly #logger: Logger;
  readonly #sources: Map<PodSource, SourceState>;
  readonly #listeners = new Set<PodUpdateListener>();
  readonly #pods = new Map<string, Pod>();

  constructor(options: PodConfigOptions) {
    this.#clock = options.clock;
    this.#publish = options.publish ?? nullPublisher;
    this.#logger = options.logger ?? silentLogger;
    this.#sources = new Map(
      options.sources.map((source) => [
        source,
        { pods: new Map(), given: new Map(), ready: false, unknown: [] },
      ]),
    );
  }

  /**
   * Tells `listener` of every change from now on, beginning with an ADD of all pods that are known already. Dispose to end.
   * Nothing is queued: a listener that needs a queue coalesces by reading {@link PodConfig.pods}.
   */
  subscribe(listener: PodUpdateListener): Disposable {
    this.#listeners.add(listener);
    const known = [...this.#sources]
      .filter(([, { pods }]) => pods.size > 0)
      .map(([source, { pods }]): PodUpdate => ({ op: "ADD", pods: [...pods.values()], source }));
    if (known.length > 0) this.#tell(listener, known);
    return { [Symbol.dispose]: () => void this.#listeners.delete(listener) };
  }

  /** All desired pods. */
  pods(): readonly Pod[] {
    return [...this.#pods.values()];
  }

  /** One desired pod by UID. */
  get(uid: string): Pod | undefined {
    return this.#pods.get(uid);
  }

  /** Whether every source has seen its whole input once. kubelet: SourcesReady.AllReady. */
  seenAllSources(): boolean {
    return [...this.#sources.values()].every(({ ready }) => ready);
  }

  /**
   * Inputs whose pods are not known, like a file that cannot be read. While there are any, a pod on the runtime that no manifest explains may
   * be theirs and is no orphan.
   */
  unknownInputs(): readonly string[] {
    return [...this.#sources.values()].flatMap(({ unknown }) => unknown);
  }

  /** Takes a source's complete set. A source that was not named to the constructor is a mistake in the wiring. */
  update(snapshot: SourceSnapshot): void {
    const { source } = snapshot;
    const state = this.#sources.get(source);
    if (state === undefined) throw new TypeError(`pod source ${source} was not registered`);
    const before = state.pods;
    const { pods: after, given } = this.#accept(snapshot, state);
    const updates = computePodUpdates(source, before, after);
    state.pods = after;
    state.given = given;
    state.ready ||= snapshot.ready;
    const wasUnknown = state.unknown.length > 0;
    state.unknown = snapshot.unknown;
    if (updates.length === 0) {
      // Nothing is to be changed, but what nobody could explain may be an orphan now.
      if (wasUnknown && snapshot.unknown.length === 0)
        for (const listener of this.#listeners) this.#tell(listener, []);
      return;
    }
    for (const uid of before.keys()) if (!after.has(uid)) this.#pods.delete(uid);
    for (const [uid, pod] of after) this.#pods.set(uid, pod);
    const count = (op: PodUpdate["op"]): number =>
      updates.find((update) => update.op === op)?.pods.length ?? 0;
    this.#publish.publish(PodsChanged, {
      source,
      added: count("ADD"),
      updated: count("UPDATE") + count("DELETE"),
      removed: count("REMOVE"),
    });
    for (const listener of this.#listeners) this.#tell(listener, updates);
  }

  /** The snapshot's pods by UID, stamped, without doubles; unchanged pods keep their object. */
  #accept({ source, pods }: SourceSnapshot, last: SourceState): Pick<SourceState, "given" | "pods"> {
    const before = last.pods;
    const accepted = new Map<string, Pod>();
    const given = new Map<string, Pod>();
    const names = new Set<string>();
    for (const pod of pods) {
      const { uid } = pod.metadata;
      const name = podFullName(pod);
      const other = this.#pods.get(uid);
      const foreign = other !== undefined && !before.has(uid);
      if (names.has(name) || accepted.has(uid) || foreign) {
        this.#logger.warn("pod ignored: its name or UID is taken", { pod: formatPod(pod), source });
        continue;
      }
      names.add(name);
      const old = before.get(uid);
      const isSame = old !== undefined && last.given.get(uid) === pod;
      accepted.set(uid, isSame ? old : this.#stamp(pod, source, old));
      given.set(uid, pod);
    }
    return { pods: accepted, given };
  }

  #stamp(pod: Pod, source: PodSource, old: Pod | undefined): Pod {
    const seen = old?.metadata.annotations?.[CONFIG_SEEN_ANNOTATION] ?? rfc3339(this.#clock.now());
    const annotations = {
      ...pod.metadata.annotations,
      [CONFIG_SOURCE_ANNOTATION]: source,
      [CONFIG_SEEN_ANNOTATION]: seen,
    };
    const stamped = { ...pod, metadata: { ...pod.metadata, annotations } };
    return old !== undefined && computePodUpdates(source, byUid(old), byUid(stamped)).length === 0
      ? old
      : stamped;
  }

  #tell(listener: PodUpdateListener, updates: readonly PodUpdate[]): void {
    try {
      listener(updates);
    } catch (err) {
      this.#logger.error("a listener of pod changes failed", { err });
    }
  }
}

function byUid(pod: Pod): ReadonlyMap<string, Pod> {
  return new Map([[pod.metadata.uid, pod]]);
}
