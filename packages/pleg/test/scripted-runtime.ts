// SPDX-License-Identifier: Apache-2.0

// A runtime in memory that does what the test says: no virtual time of its own, every call is counted, any call can hang or fail.
import {
  CONTAINER_HASH_ANNOTATION,
  CONTAINER_NAME_LABEL,
  POD_NAME_LABEL,
  POD_NAMESPACE_LABEL,
  POD_UID_LABEL,
  RESTART_COUNT_ANNOTATION,
} from "@holdfast/core/names";
import { HoldfastError } from "@holdfast/core/errors";
import type { CriCallOptions } from "@holdfast/cri";
import { Container, ContainerStatus, PodSandbox, PodSandboxStatus } from "@holdfast/cri";
import type { PlegRuntime, TaskEvent } from "@holdfast/pleg";

export type Method = "listPodSandbox" | "listContainers" | "podSandboxStatus" | "containerStatus";
type State = "created" | "running" | "exited" | "unknown";
const STATES: Readonly<Record<State, 0 | 1 | 2 | 3>> = { created: 0, running: 1, exited: 2, unknown: 3 };

export interface ScriptedContainer {
  id: string;
  name: string;
  pod: string;
  sandboxId: string;
  state: State;
  attempt: number;
  exitCode: number;
  reason: string;
  createdAt: number;
  labels: Record<string, string>;
}
export interface ScriptedSandbox {
  id: string;
  pod: string;
  ready: boolean;
  attempt: number;
  ip: string | undefined;
  createdAt: number;
  labels: Record<string, string>;
}

interface Request {
  readonly containerId?: string | undefined;
  readonly podSandboxId?: string | undefined;
  readonly filter?:
    | {
        readonly id?: string | undefined;
        readonly labelSelector?: Readonly<Record<string, string | undefined>> | undefined;
      }
    | undefined;
}

export class ScriptedRuntime {
  readonly containers = new Map<string, ScriptedContainer>();
  readonly sandboxes = new Map<string, ScriptedSandbox>();
  /** Ids that lists leave out. */
  readonly hidden = new Set<string>();
  readonly calls: { readonly method: Method; readonly id: string }[] = [];
  /** Return "hang", or an error, or nothing. */
  fault: (method: Method, request: Request) => "hang" | Error | undefined = () => undefined;
  /** Awaited before a call answers; the answer is computed before it, so it can be stale. */
  delay: (method: Method, request: Request) => Promise<void> | undefined = () => undefined;
  #created = 1_000;

  sandbox(pod: string, id = `${pod}-sb`, fields: Partial<ScriptedSandbox> = {}): ScriptedSandbox {
    const sandbox = {
      id,
      pod,
      ready: true,
      attempt: 0,
      ip: "10.0.0.1",
      createdAt: this.#created++,
      labels: {},
      ...fields,
    };
    this.sandboxes.set(id, sandbox);
    return sandbox;
  }

  container(
    pod: string,
    id: string,
    state: State = "running",
    fields: Partial<ScriptedContainer> = {},
  ): ScriptedContainer {
    const container = {
      id,
      name: id.split("-")[0] ?? id,
      pod,
      sandboxId: `${pod}-sb`,
      state,
      attempt: 0,
      exitCode: 0,
      reason: "",
      createdAt: this.#created++,
      labels: {},
      ...fields,
    };
    this.containers.set(id, container);
    return container;
  }

  count(method?: Method): number {
    return method === undefined
      ? this.calls.length
      : this.calls.filter((call) => call.method === method).length;
  }

  forgetCalls(): void {
    this.calls.length = 0;
  }

  readonly port: PlegRuntime = {
    listPodSandbox: (request, options) =>
      this.#answer("listPodSandbox", request, options, () => ({
        items: [...this.sandboxes.values()]
          .filter((sandbox) => !this.hidden.has(sandbox.id) && matches(sandbox.id, sandbox, request))
          .map((sandbox) =>
            PodSandbox.create({
              id: sandbox.id,
              metadata: {
                name: `name-${sandbox.pod}`,
                namespace: "ns",
                uid: sandbox.pod,
                attempt: sandbox.attempt,
              },
              state: sandbox.ready ? 0 : 1,
              createdAt: BigInt(sandbox.createdAt) * 1_000_000n,
              labels: labelsOf(sandbox),
            }),
          ),
      })),
    listContainers: (request, options) =>
      this.#answer("listContainers", request, options, () => ({
        containers: [...this.containers.values()]
          .filter((container) => !this.hidden.has(container.id) && matches(container.id, container, request))
          .map((container) =>
            Container.create({
              id: container.id,
              podSandboxId: container.sandboxId,
              metadata: { name: container.name, attempt: container.attempt },
              state: STATES[container.state],
              createdAt: BigInt(container.createdAt) * 1_000_000n,
              labels: { ...labelsOf(container), [CONTAINER_NAME_LABEL]: container.name },
            }),
          ),
      })),
    podSandboxStatus: (request, options) =>
      this.#answer("podSandboxStatus", request, options, () => {
        const sandbox = found(this.sandboxes.get(request.podSandboxId ?? ""));
        return {
          status: PodSandboxStatus.create({
            id: sandbox.id,
            metadata: {
              name: `name-${sandbox.pod}`,
              namespace: "ns",
              uid: sandbox.pod,
              attempt: sandbox.attempt,
            },
            state: sandbox.ready ? 0 : 1,
            createdAt: BigInt(sandbox.createdAt) * 1_000_000n,
            ...(sandbox.ip === undefined ? {} : { network: { ip: sandbox.ip } }),
          }),
          info: {},
          containersStatuses: [],
          timestamp: 0n,
        };
      }),
    containerStatus: (request, options) =>
      this.#answer("containerStatus", request, options, () => {
        const container = found(this.containers.get(request.containerId ?? ""));
        return {
          status: ContainerStatus.create({
            id: container.id,
            metadata: { name: container.name, attempt: container.attempt },
            state: STATES[container.state],
            createdAt: BigInt(container.createdAt) * 1_000_000n,
            exitCode: container.exitCode,
            reason: container.reason,
            image: { image: "busybox:1" },
            imageRef: "sha256:abc",
            annotations: {
              [CONTAINER_HASH_ANNOTATION]: "h1",
              [RESTART_COUNT_ANNOTATION]: String(container.attempt),
            },
          }),
          info: {},
        };
      }),
  };

  async #answer<T>(
    method: Method,
    request: Request,
    options: CriCallOptions | undefined,
    make: () => T,
  ): Promise<T> {
    this.calls.push({ method, id: request.containerId ?? request.podSandboxId ?? request.filter?.id ?? "" });
    const fault = this.fault(method, request);
    if (fault === "hang") return new Promise<T>((_resolve, reject) => onAbort(options, reject));
    if (fault !== undefined) throw fault;
    const answer = make();
    await this.delay(method, request);
    return answer;
  }
}

function onAbort(options: CriCallOptions | undefined, reject: (reason: unknown) => void): void {
  options?.signal?.addEventListener("abort", () => reject(options.signal?.reason), { once: true });
}

function labelsOf({
  pod,
  labels,
}: {
  readonly pod: string;
  readonly labels: Record<string, string>;
}): Record<string, string> {
  return { [POD_UID_LABEL]: pod, [POD_NAME_LABEL]: `name-${pod}`, [POD_NAMESPACE_LABEL]: "ns", ...labels };
}

function matches(id: string, item: ScriptedContainer | ScriptedSandbox, { filter }: Request): boolean {
  if (filter?.id !== undefined && filter.id !== "" && filter.id !== id) return false;
  const labels = labelsOf(item);
  return Object.entries(filter?.labelSelector ?? {}).every(([key, value]) => labels[key] === value);
}

function found<T>(item: T | undefined): T {
  if (item === undefined) throw new HoldfastError("CRI_NOT_FOUND", "not-found", "no such thing");
  return item;
}

/** An event stream that the test writes to. */
export class ScriptedEvents {
  subscriptions = 0;
  #push: ((event: TaskEvent) => void) | undefined;
  #fail: ((error: unknown) => void) | undefined;

  readonly stream = ({ signal }: { readonly signal: AbortSignal }): AsyncIterable<TaskEvent> => {
    this.subscriptions += 1;
    const queue: TaskEvent[] = [];
    let wake = (): void => {};
    let failure: { readonly error: unknown } | undefined;
    this.#push = (event) => {
      queue.push(event);
      wake();
    };
    this.#fail = (error) => {
      failure = { error };
      wake();
    };
    signal.addEventListener("abort", () => wake(), { once: true });
    return {
      async *[Symbol.asyncIterator]() {
        while (!signal.aborted) {
          const event = queue.shift();
          if (event !== undefined) yield event;
          else if (failure !== undefined) throw failure.error;
          else await new Promise<void>((resolve) => (wake = resolve));
        }
      },
    };
  };

  emit(event: TaskEvent): void {
    this.#push?.(event);
  }

  exit(containerId: string, exitStatus: number, id: string = containerId): void {
    this.emit({ topic: "/tasks/exit", containerId, id, exitStatus, exitedAt: 5_000_000_000n });
  }

  fail(error: unknown): void {
    this.#fail?.(error);
  }
}
