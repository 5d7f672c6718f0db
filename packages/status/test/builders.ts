// SPDX-License-Identifier: Apache-2.0

import type {
  Container,
  ContainerStateStatus,
  ContainerStatus,
  Pod,
  RestartPolicy,
} from "@holdfast/core/pod-types";
import type { ContainerRecord, RuntimePodStatus, SandboxRecord } from "@holdfast/core/runtime-status";
import type { PodStatusOptions } from "@holdfast/status";

export const container = (name: string, more: Partial<Container> = {}): Container => ({
  name,
  image: "busybox",
  ...more,
});
export const sidecar = (name: string): Container => container(name, { restartPolicy: "Always" });

/** A pod of the given containers; of the API unless `source` says otherwise. */
export function pod(
  restartPolicy: RestartPolicy,
  names: readonly (string | Container)[] = ["a"],
  inits: readonly (string | Container)[] = [],
  more: { readonly source?: string; readonly deleted?: boolean; readonly hostNetwork?: boolean } = {},
): Pod {
  const make = (one: string | Container): Container => (typeof one === "string" ? container(one) : one);
  return {
    apiVersion: "v1",
    kind: "Pod",
    metadata: {
      name: "web",
      namespace: "default",
      uid: "uid-1",
      ...(more.source === undefined ? {} : { annotations: { "kubernetes.io/config.source": more.source } }),
      ...(more.deleted === true ? { deletionTimestamp: "2026-01-01T00:00:00Z" } : {}),
    },
    spec: {
      restartPolicy,
      containers: names.map(make),
      ...(inits.length === 0 ? {} : { initContainers: inits.map(make) }),
      ...(more.hostNetwork === true ? { hostNetwork: true } : {}),
    },
  };
}

export const running: ContainerStateStatus = { running: { startedAt: "2026-01-01T00:00:00Z" } };
export const ended = (exitCode: number): ContainerStateStatus => ({ terminated: { exitCode } });
export const waiting = (reason?: string): ContainerStateStatus => ({
  waiting: reason === undefined ? {} : { reason },
});

export const status = (
  name: string,
  state: ContainerStateStatus,
  more: Partial<ContainerStatus> = {},
): ContainerStatus => ({
  name,
  state,
  lastState: {},
  ready: false,
  restartCount: 0,
  image: "busybox",
  imageID: "",
  ...more,
});

export const sandbox = (id: string, more: Partial<SandboxRecord> = {}): SandboxRecord => ({
  id,
  attempt: 0,
  state: "ready",
  createdAt: 1000,
  ip: "10.88.0.2",
  hostNetwork: false,
  ...more,
});

export const record = (name: string, more: Partial<ContainerRecord> = {}): ContainerRecord => ({
  id: `${name}-${more.attempt ?? 0}`,
  name,
  sandboxId: "s",
  state: "running",
  attempt: 0,
  createdAt: 1000,
  startedAt: 2000,
  finishedAt: 0,
  exitCode: 0,
  reason: "",
  message: "",
  image: "docker.io/library/busybox:latest",
  imageRef: "sha256:1",
  hash: "",
  restartCount: more.attempt ?? 0,
  ...more,
});

export const exited = (
  name: string,
  exitCode: number,
  more: Partial<ContainerRecord> = {},
): ContainerRecord =>
  record(name, {
    state: "exited",
    exitCode,
    reason: exitCode === 0 ? "Completed" : "Error",
    finishedAt: 3000,
    ...more,
  });

/** Newest first, as the cache has them. */
export const runtime = (
  containers: readonly ContainerRecord[],
  sandboxes: readonly SandboxRecord[] = [sandbox("s")],
): RuntimePodStatus => ({
  uid: "uid-1",
  name: "web",
  namespace: "default",
  ips: sandboxes.flatMap(({ state, ip }) => (state === "ready" && ip !== undefined && ip !== "" ? [ip] : [])),
  sandboxes,
  containers,
});

export const options = (more: Partial<PodStatusOptions> = {}): PodStatusOptions => ({
  podIsTerminal: false,
  waitingReasons: new Map(),
  ...more,
});

export const crashLoop = (name: string): PodStatusOptions =>
  options({
    waitingReasons: new Map([
      [name, { reason: "CrashLoopBackOff", message: `back-off 10s restarting failed container=${name}` }],
    ]),
  });
