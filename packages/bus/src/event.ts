// SPDX-License-Identifier: Apache-2.0

declare const payload: unique symbol;

/** A name that carries the type of its payload. Owned and exported by the package that publishes it. */
export interface EventType<Data, Name extends string = string> {
  readonly name: Name;
  /** Never present at run time: it only carries the type. */
  readonly [payload]?: Data;
}

/** Makes a token: `const ContainerDied = defineEvent<{ exitCode: number }>()("pleg/ContainerDied")`. */
export function defineEvent<Data>(): <const Name extends string>(name: Name) => EventType<Data, Name> {
  return (name) => ({ name });
}

/** What an event is about. Every part that is known is given. */
export interface Subject {
  readonly podUid?: string;
  /** `namespace/name` of the pod. */
  readonly pod?: string;
  readonly container?: string;
  readonly containerId?: string;
  readonly image?: string;
  readonly device?: string;
  readonly node?: string;
}

/** An event as subscribers see it. */
export interface Envelope<Data, Name extends string = string> {
  /** Grows by one with each event, also over restarts of the agent. */
  readonly seq: number;
  /** Wall time, milliseconds since the epoch: to be shown. */
  readonly at: number;
  /** Monotonic milliseconds: to be subtracted. */
  readonly monotonic: number;
  readonly type: Name;
  readonly subject: Subject;
  /** The `seq`s of the events that led to this one; at most {@link MAX_CAUSES}. */
  readonly causes: readonly number[];
  readonly data: Data;
}

/** The envelope of a token. */
export type EnvelopeOf<E> = E extends EventType<infer Data, infer Name> ? Envelope<Data, Name> : never;

/** Any envelope, for code that treats all alike. */
export type AnyEnvelope = Envelope<unknown>;

/** Delivered in place of what was dropped. The only correct reaction is to read the owner's state again. */
export interface Gap {
  readonly type: "gap";
  readonly dropped: number;
}

/** More causes than these add nothing to a story; the newest are kept. */
export const MAX_CAUSES = 8;

/** Merges lists of causes: no doubles, the newest {@link MAX_CAUSES}, in order. */
export function mergeCauses(...lists: readonly (readonly number[])[]): readonly number[] {
  const merged = [...new Set(lists.flat())].sort((a, b) => a - b);
  return merged.slice(-MAX_CAUSES);
}
