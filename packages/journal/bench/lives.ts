// SPDX-License-Identifier: Apache-2.0

// Pods that restart for ever, as the agent tells of them: each life has its own container id, and one event in eight is an end.
import type { Bus, Subject } from "@holdfast/bus";
import type { RuntimePodStatus } from "@holdfast/core/runtime-status";
import { systemClock } from "@holdfast/core/node";

export const PODS = 100;
/** Events of one life. */
export const LIFE_EVENTS = 8;

export class Lives {
  readonly #bus: Bus;
  /** What the runtime says of each pod's last container: as in the agent, its word comes with the end. */
  readonly #records = new Map<string, RuntimePodStatus["containers"]>();
  #turn: number;

  /** `turn`: lives that were before. */
  constructor(bus: Bus, turn: number) {
    this.#bus = bus;
    this.#turn = turn;
  }

  readonly records = {
    get: (uid: string): { readonly status: Pick<RuntimePodStatus, "containers"> } => ({
      status: { containers: this.#records.get(uid) ?? [] },
    }),
  };

  static podName(pod: number): string {
    return `default/web-${pod}-worker-node-1`;
  }

  /** One life, and its end. */
  publish(): void {
    const pod = this.#turn % PODS;
    const life = Math.floor(this.#turn / PODS);
    this.#turn += 1;
    const containerId = `${pod}-${life}-`.padEnd(64, "0123456789abcdef");
    const podUid = `00000000-0000-4000-8000-${String(pod).padStart(12, "0")}`;
    const podOnly: Subject = { podUid, pod: Lives.podName(pod) };
    const about: Subject = { ...podOnly, container: "web", containerId };
    const text = (reason: string, message: string): object => ({
      eventType: "Normal",
      reason,
      message,
      fieldPath: "spec.containers{web}",
      containerId,
      restartCount: life,
    });
    const publish = (name: string, data: unknown, subject: Subject, causes: readonly number[] = []): number =>
      this.#bus.publish({ name }, data, { subject, causes });
    const creating = publish("pod/ContainerCreating", { restartCount: life, image: "busybox:1.36" }, podOnly);
    const created = publish("pod/ContainerCreated", text("Created", "Container created"), about, [creating]);
    publish("pod/ContainerStarting", { containerId, restartCount: life }, about, [created]);
    const started = publish("pod/ContainerStarted", text("Started", "Container started"), about, [created]);
    const status = { uid: podUid, namespace: "default", name: `web-${pod}`, version: life, ready: true };
    publish("status/PodStatusChanged", { ...status, phase: "Running", restarts: life }, podOnly, [started]);
    this.#records.set(podUid, [exited(containerId, life)]);
    const died = { containerId, kind: "container", name: "web", exitCode: 1, unconfirmed: true };
    const end = publish("pleg/ContainerDied", died, about);
    publish("pleg/PodSync", {}, podOnly, [end]);
    const restarts = life + 1;
    publish("status/PodStatusChanged", { ...status, phase: "Running", restarts }, podOnly, [end]);
  }
}

function exited(id: string, restartCount: number): RuntimePodStatus["containers"][number] {
  const now = systemClock.now();
  return {
    id,
    name: "web",
    sandboxId: "s",
    state: "exited",
    attempt: restartCount,
    createdAt: now - 1500,
    startedAt: now - 1000,
    finishedAt: now,
    exitCode: 1,
    reason: "Error",
    message: "",
    image: "busybox:1.36",
    imageRef: "",
    hash: "",
    restartCount,
  };
}
