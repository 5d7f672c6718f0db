// SPDX-License-Identifier: Apache-2.0

// On a real containerd (HOLDFAST_TEST_CONTAINERD): the real event service, the CRI that lags behind it, real exits.
import process from "node:process";
import { randomUUID } from "node:crypto";
import { Bus } from "@holdfast/bus";
import type { AnyEnvelope } from "@holdfast/bus";
import { MetricsRegistry } from "@holdfast/core/metrics";
import {
  CONTAINER_NAME_LABEL,
  INSTANCE_LABEL,
  POD_NAME_LABEL,
  POD_NAMESPACE_LABEL,
  POD_UID_LABEL,
} from "@holdfast/core/names";
import { systemClock } from "@holdfast/core/node";
import { createCriClient } from "@holdfast/cri";
import type { CriClient } from "@holdfast/cri";
import { GenericPLEG } from "@holdfast/pleg";
import { expect, test } from "vitest";

const endpoint = process.env["HOLDFAST_TEST_CONTAINERD"] ?? "";

/** One pod on the runtime, seen by a PLEG that sees nothing else. */
class RealPod implements AsyncDisposable {
  readonly uid = randomUUID();
  readonly cri: CriClient = createCriClient({ endpoint });
  readonly bus = new Bus({ clock: systemClock });
  readonly metrics = new MetricsRegistry();
  readonly instance = `pleg-${this.uid}`;
  readonly pleg = new GenericPLEG({
    runtime: this.cri,
    events: (options) => this.cri.containerdEvents(options),
    clock: systemClock,
    publish: this.bus,
    metrics: this.metrics,
    labelSelector: { [INSTANCE_LABEL]: this.instance },
  });
  readonly #iterator = this.bus.subscribeAll({ name: "test", capacity: 1000 })[Symbol.asyncIterator]();
  readonly #sandbox = {
    metadata: { name: "pleg-test", namespace: "default", uid: this.uid, attempt: 0 },
    labels: this.#labels(),
    linux: { securityContext: { namespaceOptions: { network: 2 as const } } },
  };
  sandboxId = "";

  #labels(): Record<string, string> {
    return {
      [POD_UID_LABEL]: this.uid,
      [POD_NAME_LABEL]: "pleg-test",
      [POD_NAMESPACE_LABEL]: "default",
      [INSTANCE_LABEL]: this.instance,
    };
  }

  async runSandbox(): Promise<void> {
    const { podSandboxId } = await this.cri.runPodSandbox({ config: this.#sandbox });
    this.sandboxId = podSandboxId;
  }

  async run(attempt: number, script: string): Promise<string> {
    const { containerId } = await this.cri.createContainer({
      podSandboxId: this.sandboxId,
      sandboxConfig: this.#sandbox,
      config: {
        metadata: { name: "app", attempt },
        image: { image: "holdfast.local/busybox:1" },
        command: ["/bin/sh", "-c", script],
        labels: { ...this.#labels(), [CONTAINER_NAME_LABEL]: "app" },
      },
    });
    await this.cri.startContainer({ containerId });
    return containerId;
  }

  async kill(containerId: string): Promise<void> {
    const { info } = await this.cri.containerStatus({ containerId, verbose: true });
    const { pid } = JSON.parse(info["info"] ?? "{}") as { readonly pid?: number };
    if (pid === undefined || pid <= 1) throw new Error(`no pid of ${containerId}`);
    process.kill(pid, "SIGKILL");
  }

  /** Waits for an event of this type about this container or pod. */
  async event(type: string, containerId?: string): Promise<AnyEnvelope> {
    for (;;) {
      // Not `for await`: leaving that loop would close the subscription.
      const { done, value: event } = await this.#iterator.next();
      if (done === true) throw new Error("the bus ended");
      if (event.type === "gap" || !("subject" in event) || event.type !== type) continue;
      if (containerId === undefined || event.subject.containerId === containerId) return event;
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.pleg.stop();
    if (this.sandboxId !== "") {
      await this.cri.stopPodSandbox({ podSandboxId: this.sandboxId });
      await this.cri.removePodSandbox({ podSandboxId: this.sandboxId });
    }
    await this.cri.close();
  }
}

test("a killed container is dead in the cache by its event, and the CRI confirms it soon after", async () => {
  await using pod = new RealPod();
  const signal = AbortSignal.timeout(60_000);
  await pod.pleg.start();
  await pod.pleg.whenListedOnce(signal);
  await pod.runSandbox();
  const id = await pod.run(0, "sleep 1000");
  pod.pleg.requestRelist(pod.uid);
  await pod.event("pleg/ContainerStarted", id);
  expect(pod.pleg.get(pod.uid).status).toMatchObject({
    name: "pleg-test",
    sandboxes: [{ state: "ready", hostNetwork: true }],
  });

  await pod.kill(id);
  const died = await pod.event("pleg/ContainerDied", id);
  expect(died.data).toMatchObject({ name: "app", exitCode: 137, unconfirmed: true });
  const confirmed = await pod.event("pleg/PodSync");
  expect(confirmed.causes).toContain(died.seq);
  const [record] = pod.pleg.get(pod.uid).status.containers;
  expect(record).toMatchObject({ id, state: "exited", exitCode: 137, reason: "Error" });
  expect(record?.exitUnconfirmed).toBeUndefined();

  const answer = await pod.pleg.getNewerThan(pod.uid, systemClock.monotonic(), signal);
  expect(answer.error).toBeUndefined();
  expect(pod.metrics.value("holdfast_pleg_event_to_cache_seconds", { step: "confirmed" })).toBe(1);
});

test("a container that ends before anybody looked, a removed one, and the sandbox's end are all seen", async () => {
  await using pod = new RealPod();
  await pod.pleg.start();
  await pod.pleg.whenListedOnce(AbortSignal.timeout(60_000));
  await pod.runSandbox();
  const quick = await pod.run(0, "exit 3");
  const died = await pod.event("pleg/ContainerDied", quick);
  expect(died.data).toMatchObject({ exitCode: 3 });
  // containerd's event comes before its CRI knows of the end. Until then a removal is refused ("is still running"), and a stop
  // does not wait for it where the task is gone already (1.6, 1.7): the PLEG's own confirmation tells when the CRI knows.
  if ((died.data as { readonly unconfirmed: boolean }).unconfirmed) await pod.event("pleg/PodSync");
  await pod.cri.removeContainer({ containerId: quick });
  pod.pleg.requestRelist(pod.uid);
  await pod.event("pleg/ContainerRemoved", quick);
  await pod.cri.stopPodSandbox({ podSandboxId: pod.sandboxId });
  await pod.event("pleg/ContainerDied", pod.sandboxId);
  expect(pod.pleg.get(pod.uid).status.sandboxes).toMatchObject([{ id: pod.sandboxId, state: "notready" }]);
  expect(pod.pleg.snapshot().events.state).toBe("listening");
});
