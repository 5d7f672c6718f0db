// SPDX-License-Identifier: Apache-2.0

import type { CriCallOptions, DeepPartial } from "@holdfast/cri";
import { CriError } from "@holdfast/cri";
import type { CriErrorCode } from "@holdfast/cri";
import type { ContainerConfig, PodSandboxConfig } from "@holdfast/cri";
import type { ContainerRecord, RuntimePodStatus, SandboxRecord } from "@holdfast/core/runtime-status";
import type { PodRuntime } from "../../src/ports.ts";

/** An error as the client makes it. */
export function criError(code: CriErrorCode, method: string, text: string = code): CriError {
  const mayHaveHappened = code === "CRI_DEADLINE";
  return new CriError(code, { method, target: "", deadlineMs: 1000, endpoint: "unix:///x" }, text, {
    mayHaveHappened,
  });
}

export interface ScriptedContainer {
  id: string;
  sandboxId: string;
  config: DeepPartial<ContainerConfig>;
  state: 0 | 1 | 2 | 3;
  exitCode: number;
  createdAt: number;
  finishedAt: number;
}
export interface ScriptedSandbox {
  id: string;
  config: DeepPartial<PodSandboxConfig>;
  ready: boolean;
  createdAt: number;
}

type Calls = { [K in keyof PodRuntime]: PodRuntime[K] };
type Before = (request: never, options?: CriCallOptions) => Promise<void> | void;

/** Sandboxes and containers in memory, a log of calls, and a hook before (or after) each call. */
export class ScriptedRuntime implements PodRuntime {
  readonly calls: string[] = [];
  readonly requests: { method: string; request: unknown }[] = [];
  readonly sandboxes: ScriptedSandbox[] = [];
  readonly containers: ScriptedContainer[] = [];
  readonly images = new Map<string, { id: string; uid?: bigint; username?: string }>([
    ["busybox:1", { id: "sha256:busybox" }],
  ]);
  /** May throw, instead of the call. */
  readonly before: Partial<Record<keyof Calls, Before>> = {};
  /** May throw, after the call took effect. */
  readonly after: Partial<Record<keyof Calls, Before>> = {};
  now = 1000;
  #next = 0;

  /** The PLEG's view. */
  status(pod: { uid: string; name: string; namespace: string }): RuntimePodStatus {
    const sandboxes = this.sandboxes.map<SandboxRecord>((one) => ({
      id: one.id,
      attempt: one.config.metadata?.attempt ?? 0,
      state: one.ready ? "ready" : "notready",
      createdAt: one.createdAt,
      ip: "10.0.0.1",
      hostNetwork: false,
    }));
    const states = ["created", "running", "exited", "unknown"] as const;
    const containers = this.containers.map<ContainerRecord>((one) => ({
      id: one.id,
      name: one.config.metadata?.name ?? "",
      sandboxId: one.sandboxId,
      state: states[one.state] ?? "unknown",
      attempt: one.config.metadata?.attempt ?? 0,
      createdAt: one.createdAt,
      startedAt: one.createdAt,
      finishedAt: one.finishedAt,
      exitCode: one.exitCode,
      reason: "",
      message: "",
      image: one.config.image?.userSpecifiedImage ?? "",
      imageRef: one.config.image?.image ?? "",
      hash: one.config.annotations?.["io.kubernetes.container.hash"] ?? "",
      restartCount: Number(one.config.annotations?.["io.kubernetes.container.restartCount"] ?? 0),
    }));
    const ready = sandboxes.some(({ state }) => state === "ready");
    return {
      uid: pod.uid,
      name: pod.name,
      namespace: pod.namespace,
      ips: ready ? ["10.0.0.1"] : [],
      sandboxes: sandboxes.toReversed(),
      containers: containers.toReversed(),
    };
  }

  /** A container's process ends. */
  exit(name: string, exitCode: number, at: number): void {
    for (const one of this.containers)
      if (one.config.metadata?.name === name && one.state === 1)
        Object.assign(one, { state: 2, exitCode, finishedAt: at });
  }

  runPodSandbox: PodRuntime["runPodSandbox"] = (request, options) =>
    this.#call("runPodSandbox", request, options, () => {
      const id = `sandbox-${this.#next++}`;
      this.sandboxes.push({ id, config: request.config ?? {}, ready: true, createdAt: this.now++ });
      return { podSandboxId: id };
    });
  stopPodSandbox: PodRuntime["stopPodSandbox"] = (request, options) =>
    this.#call("stopPodSandbox", request, options, () => {
      for (const one of this.sandboxes) if (one.id === request.podSandboxId) one.ready = false;
      for (const one of this.containers)
        if (one.sandboxId === request.podSandboxId && one.state === 1) one.state = 2;
      return {};
    });
  removePodSandbox: PodRuntime["removePodSandbox"] = (request, options) =>
    this.#call("removePodSandbox", request, options, () => {
      remove(this.sandboxes, ({ id }) => id === request.podSandboxId);
      remove(this.containers, ({ sandboxId }) => sandboxId === request.podSandboxId);
      return {};
    });
  podSandboxStatus: PodRuntime["podSandboxStatus"] = (request, options) =>
    this.#call("podSandboxStatus", request, options, () => ({
      status: { network: { ip: "10.0.0.1", additionalIps: [] } },
    }));
  listPodSandbox: PodRuntime["listPodSandbox"] = (request, options) =>
    this.#call("listPodSandbox", request, options, () => ({
      items: this.sandboxes
        .filter((one) => matches(one.config.labels, request.filter?.labelSelector))
        .map((one) => ({
          id: one.id,
          metadata: one.config.metadata,
          state: one.ready ? 0 : 1,
          labels: one.config.labels ?? {},
        })),
    }));
  createContainer: PodRuntime["createContainer"] = (request, options) =>
    this.#call("createContainer", request, options, () => {
      const id = `container-${this.#next++}`;
      this.containers.push({
        id,
        sandboxId: request.podSandboxId ?? "",
        config: request.config ?? {},
        state: 0,
        exitCode: 0,
        createdAt: this.now++,
        finishedAt: 0,
      });
      return { containerId: id };
    });
  startContainer: PodRuntime["startContainer"] = (request, options) =>
    this.#call("startContainer", request, options, () => {
      this.#container(request.containerId).state = 1;
      return {};
    });
  stopContainer: PodRuntime["stopContainer"] = (request, options) =>
    this.#call("stopContainer", request, options, () => {
      this.#container(request.containerId).state = 2;
      return {};
    });
  removeContainer: PodRuntime["removeContainer"] = (request, options) =>
    this.#call("removeContainer", request, options, () => {
      remove(this.containers, ({ id }) => id === request.containerId);
      return {};
    });
  listContainers: PodRuntime["listContainers"] = (request, options) =>
    this.#call("listContainers", request, options, () => ({
      containers: this.containers
        .filter((one) => matches(one.config.labels, request.filter?.labelSelector))
        .filter(({ sandboxId }) => [undefined, sandboxId].includes(request.filter?.podSandboxId))
        .map((one) => ({
          id: one.id,
          podSandboxId: one.sandboxId,
          metadata: one.config.metadata,
          state: one.state,
          annotations: one.config.annotations,
        })),
    }));
  containerStatus: PodRuntime["containerStatus"] = (request, options) =>
    this.#call("containerStatus", request, options, () => {
      const { state, config } = this.#container(request.containerId);
      return { status: { state, annotations: config.annotations } };
    });
  execSync: PodRuntime["execSync"] = (request, options) =>
    this.#call("execSync", request, options, () => ({ exitCode: 0 }));
  imageStatus: PodRuntime["imageStatus"] = (request, options) =>
    this.#call("imageStatus", request, options, () => {
      const wanted = request.image?.image ?? "";
      const image = this.images.get(wanted) ?? [...this.images.values()].find(({ id }) => id === wanted);
      if (image === undefined) return { image: undefined };
      const uid = image.uid === undefined ? undefined : { value: image.uid };
      return { image: { id: image.id, size: 7n, uid, username: image.username ?? "" } };
    });
  pullImage: PodRuntime["pullImage"] = (request, options) =>
    this.#call("pullImage", request, options, () => {
      const name = request.image?.image ?? "";
      this.images.set(name, { id: `sha256:${name}` });
      return { imageRef: `sha256:${name}` };
    });

  async #call<Method extends keyof Calls>(
    method: Method,
    request: unknown,
    options: CriCallOptions | undefined,
    answer: () => unknown,
  ): Promise<Awaited<ReturnType<Calls[Method]>>> {
    this.calls.push(method);
    this.requests.push({ method, request });
    await this.before[method]?.(request as never, options);
    const result = answer();
    await this.after[method]?.(request as never, options);
    return result as Awaited<ReturnType<Calls[Method]>>;
  }

  #container(id: string | undefined): ScriptedContainer {
    const found = this.containers.find((one) => one.id === id);
    if (found === undefined) throw criError("CRI_NOT_FOUND", "ContainerStatus");
    return found;
  }
}

function remove<T>(from: T[], which: (one: T) => boolean): void {
  for (let index = from.length - 1; index >= 0; index--) if (which(from[index] as T)) from.splice(index, 1);
}

function matches(
  labels: { readonly [key: string]: string | undefined } = {},
  selector: { readonly [key: string]: string | undefined } = {},
): boolean {
  return Object.entries(selector).every(([key, value]) => labels[key] === value);
}
