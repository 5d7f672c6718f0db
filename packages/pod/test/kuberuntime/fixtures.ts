// SPDX-License-Identifier: Apache-2.0

import type { Container, Pod } from "@holdfast/core/pod-types";
import type { ContainerRecord, RuntimePodStatus, SandboxRecord } from "@holdfast/core/runtime-status";
import { hashContainer } from "../../src/kuberuntime/container-hash.ts";

export function container(name: string, more: Partial<Container> = {}): Container {
  return { name, image: "busybox:1", imagePullPolicy: "IfNotPresent", ...more };
}

export function sidecar(name: string, more: Partial<Container> = {}): Container {
  return container(name, { restartPolicy: "Always", ...more });
}

export interface PodParts {
  readonly spec?: Partial<Pod["spec"]>;
  readonly metadata?: Partial<Pod["metadata"]>;
}

export function makePod({ spec, metadata }: PodParts = {}): Pod {
  return {
    apiVersion: "v1",
    kind: "Pod",
    metadata: { name: "web", namespace: "default", uid: "uid-1", ...metadata },
    spec: {
      containers: [container("foo1"), container("foo2"), container("foo3")],
      restartPolicy: "Always",
      ...spec,
    },
  };
}

let nextId = 0;

/** A record of a container of the pod, with the hash of its spec. */
export function record(pod: Pod, name: string, more: Partial<ContainerRecord> = {}): ContainerRecord {
  const spec = [...(pod.spec.initContainers ?? []), ...pod.spec.containers].find((one) => one.name === name);
  return {
    id: `${name}-${nextId++}`,
    name,
    sandboxId: "sandbox-0",
    state: "running",
    attempt: 0,
    createdAt: 1000,
    startedAt: 1000,
    finishedAt: 0,
    exitCode: 0,
    reason: "",
    message: "",
    image: spec?.image ?? "busybox:1",
    imageRef: "sha256:busybox",
    hash: spec === undefined ? "" : hashContainer(spec),
    restartCount: 0,
    ...more,
  };
}

export const exited = (exitCode: number, reason = ""): Partial<ContainerRecord> => ({
  state: "exited",
  exitCode,
  reason,
  finishedAt: 2000,
});

export function sandbox(more: Partial<SandboxRecord> = {}): SandboxRecord {
  return {
    id: "sandbox-0",
    attempt: 0,
    state: "ready",
    createdAt: 500,
    ip: "10.0.0.1",
    hostNetwork: false,
    ...more,
  };
}

export function status(
  pod: Pod,
  containers: readonly ContainerRecord[],
  sandboxes: readonly SandboxRecord[] = [sandbox()],
): RuntimePodStatus {
  const { uid, name, namespace } = pod.metadata;
  return { uid, name, namespace, ips: ["10.0.0.1"], sandboxes, containers };
}
