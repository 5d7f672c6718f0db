// SPDX-License-Identifier: Apache-2.0

/** Publishes events about one pod, with subject and causes filled in. */
import type { EventType, Publisher } from "@holdfast/bus";
import type { Container, Pod } from "@holdfast/core/pod-types";

/** What of an event is about a part of the pod. */
export interface RecordedSubject {
  readonly container?: string;
  readonly containerId?: string;
  readonly image?: string;
  /** Added to the causes of the whole work. */
  readonly after?: number;
}

/** One piece of work on one pod. */
export class PodRecorder {
  readonly #publish: Publisher;
  readonly #pod: { readonly podUid: string; readonly pod: string };
  readonly causes: readonly number[];

  constructor(
    publish: Publisher,
    pod: { readonly uid: string; readonly namespace: string; readonly name: string },
    causes: readonly number[],
  ) {
    this.#publish = publish;
    this.#pod = { podUid: pod.uid, pod: `${pod.namespace}/${pod.name}` };
    this.causes = causes;
  }

  /** Returns the event's `seq`. */
  emit<Data>(type: EventType<Data>, data: NoInfer<Data>, { after, ...about }: RecordedSubject = {}): number {
    return this.#publish.publish(type, data, {
      subject: { ...this.#pod, ...about },
      causes: after === undefined ? this.causes : [...this.causes, after],
    });
  }
}

/** `spec.containers{name}`. kubelet: GenerateContainerRef. */
export function containerFieldPath(pod: Pod | undefined, name: string): string {
  const isInit = (pod?.spec.initContainers ?? []).some((container: Container) => container.name === name);
  return `spec.${isInit ? "initContainers" : "containers"}{${name}}`;
}
