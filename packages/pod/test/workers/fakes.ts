// SPDX-License-Identifier: Apache-2.0

/** Small fillings of the ports that need no test of their own. */
import { defineEvent } from "@holdfast/bus";
import type { Publisher } from "@holdfast/bus";
import type { Clock } from "@holdfast/core/clock";
import { POD_UID_LABEL } from "@holdfast/core/names";
import type { Pod, PodStatus } from "@holdfast/core/pod-types";
import { emptyRuntimePodStatus, newestByName } from "@holdfast/core/runtime-status";
import type { ContainerState, RuntimePodStatus } from "@holdfast/core/runtime-status";
import type { CriClient } from "@holdfast/cri";
import type {
  CachedPodStatus,
  PodCache,
  PodFiles,
  PodStatusOptions,
  PodStatusPort,
  RuntimeReadiness,
} from "../../src/ports.ts";

/** What the cache publishes when a pod looks different. */
export const PodSeen = defineEvent<Record<string, never>>()("test/PodSeen");

const NODE_NAMESPACE = 2;
const STATES: readonly ContainerState[] = ["created", "running", "exited", "unknown"];

interface Waiter {
  readonly uid: string;
  readonly minTime: number;
  readonly settle: () => void;
}

/** The PLEG's promises over a runtime: looks on request and by the period, one event for each difference. */
export class LookingCache implements PodCache {
  readonly #clock: Clock;
  readonly #runtime: CriClient;
  readonly #publish: Publisher;
  readonly #entries = new Map<string, CachedPodStatus & { readonly at: number }>();
  readonly #waiters = new Set<Waiter>();
  readonly #looking = new Map<string, Promise<void>>();
  /** Pods whose looks never end. */
  readonly hung = new Set<string>();
  /** Looks that fail, by UID. */
  readonly failing = new Map<string, Error>();
  /** What is seen instead of the truth. */
  distort: (status: RuntimePodStatus) => RuntimePodStatus = (status) => status;
  /** No event is published: as if all had been lost. */
  mute = false;
  looks = 0;
  closed = false;

  constructor(clock: Clock, runtime: CriClient, publish: Publisher) {
    this.#clock = clock;
    this.#runtime = runtime;
    this.#publish = publish;
  }

  get(uid: string): CachedPodStatus {
    return this.#entries.get(uid) ?? { status: emptyRuntimePodStatus(uid), error: undefined };
  }

  getNewerThan(uid: string, minTime: number, signal: AbortSignal): Promise<CachedPodStatus> {
    if (signal.aborted) return Promise.reject(signal.reason as Error);
    if ((this.#entries.get(uid)?.at ?? Number.NEGATIVE_INFINITY) > minTime)
      return Promise.resolve(this.get(uid));
    return new Promise((resolve, reject) => {
      const waiter: Waiter = {
        uid,
        minTime,
        settle: () => {
          this.#waiters.delete(waiter);
          signal.removeEventListener("abort", onAbort);
          resolve(this.get(uid));
        },
      };
      const onAbort = (): void => {
        this.#waiters.delete(waiter);
        reject(signal.reason as Error);
      };
      signal.addEventListener("abort", onAbort, { once: true });
      this.#waiters.add(waiter);
      this.requestRelist(uid);
    });
  }

  requestRelist(uid: string): void {
    if (this.closed) return;
    const before = this.#looking.get(uid) ?? Promise.resolve();
    const look = before.then(() => this.#look(uid)).catch(() => undefined);
    this.#looking.set(uid, look);
  }

  /** A look at each pod that the runtime or the cache knows. */
  async relist(): Promise<void> {
    const { items } = await this.#runtime.listPodSandbox({});
    const uids = new Set([
      ...items.map(({ metadata }) => metadata?.uid ?? ""),
      ...this.#entries.keys(),
      ...Array.from(this.#waiters, ({ uid }) => uid),
    ]);
    await Promise.all(Array.from(uids, (uid) => this.#look(uid).catch(() => undefined)));
  }

  async #look(uid: string): Promise<void> {
    if (this.hung.has(uid)) return;
    this.looks += 1;
    const at = this.#clock.monotonic();
    const error = this.failing.get(uid);
    const old = this.#entries.get(uid);
    const status = error === undefined ? this.distort(await this.#read(uid)) : this.get(uid).status;
    if (this.closed) return;
    this.#entries.set(uid, { status, error, at });
    for (const waiter of this.#waiters) if (waiter.uid === uid && waiter.minTime <= at) waiter.settle();
    const before = old?.status ?? emptyRuntimePodStatus(uid);
    if (!this.mute && JSON.stringify(before) !== JSON.stringify(status))
      this.#publish.publish(PodSeen, {}, { subject: { podUid: uid } });
  }

  async #read(uid: string): Promise<RuntimePodStatus> {
    const filter = { labelSelector: { [POD_UID_LABEL]: uid } };
    const [{ items }, { containers }] = await Promise.all([
      this.#runtime.listPodSandbox({ filter }),
      this.#runtime.listContainers({ filter }),
    ]);
    const first = items[0]?.metadata;
    const records = await Promise.all(
      containers.map(async ({ id, podSandboxId, metadata, annotations }) => {
        const { status } = await this.#runtime.containerStatus({ containerId: id });
        return {
          id,
          name: metadata?.name ?? "",
          sandboxId: podSandboxId,
          state: STATES[status?.state ?? 3] ?? "unknown",
          attempt: metadata?.attempt ?? 0,
          createdAt: Number((status?.createdAt ?? 0n) / 1_000_000n),
          startedAt: Number((status?.startedAt ?? 0n) / 1_000_000n),
          finishedAt: Number((status?.finishedAt ?? 0n) / 1_000_000n),
          exitCode: status?.exitCode ?? 0,
          reason: status?.reason ?? "",
          message: "",
          image: status?.image?.image ?? "",
          imageRef: status?.imageRef ?? "",
          hash: annotations["io.kubernetes.container.hash"] ?? "",
          restartCount: metadata?.attempt ?? 0,
        };
      }),
    );
    const sandboxes = await Promise.all(
      items.map(async ({ id, metadata, state, createdAt }) => {
        const { status } = await this.#runtime.podSandboxStatus({ podSandboxId: id });
        const hostNetwork = status?.linux?.namespaces?.options?.network === NODE_NAMESPACE;
        return {
          id,
          attempt: metadata?.attempt ?? 0,
          state: state === 0 ? ("ready" as const) : ("notready" as const),
          createdAt: Number(createdAt / 1_000_000n),
          ip: hostNetwork ? undefined : status?.network?.ip,
          hostNetwork,
        };
      }),
    );
    return {
      uid,
      name: first?.name ?? "",
      namespace: first?.namespace ?? "",
      ips: sandboxes.flatMap(({ ip }) => (ip === undefined ? [] : [ip])).slice(0, 1),
      sandboxes: sandboxes.sort((a, b) => b.attempt - a.attempt),
      containers: records.sort((a, b) => b.attempt - a.attempt || b.createdAt - a.createdAt),
    };
  }
}

interface Stored {
  readonly status: PodStatus;
  readonly startedAt: number;
}

/** Phases by the plainest reading; survives the agent as the store would. */
export class PlainStatus implements PodStatusPort {
  readonly #clock: Clock;
  readonly #stored = new Map<string, Stored>();
  updates = 0;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  update(pod: Pod, runtime: RuntimePodStatus, options: PodStatusOptions): PodStatus {
    this.updates += 1;
    const { uid } = pod.metadata;
    const old = this.#stored.get(uid);
    const phase = this.#phase(pod, runtime, options, old?.status.phase);
    const shown = phase === "Pending" ? options.waiting : options.failed;
    const status: PodStatus = {
      phase,
      ...(shown === undefined ? {} : { reason: shown.reason, message: shown.message }),
      containerStatuses: Array.from(options.waitingReasons, ([name, { reason, message }]) => ({
        name,
        state: { waiting: { reason, message } },
        lastState: {},
        ready: false,
        restartCount: 0,
        image: "",
        imageID: "",
      })),
    };
    this.#stored.set(uid, { status, startedAt: old?.startedAt ?? this.#clock.monotonic() });
    return status;
  }

  #phase(
    pod: Pod,
    runtime: RuntimePodStatus,
    { podIsTerminal, failed }: PodStatusOptions,
    old: PodStatus["phase"] | undefined,
  ): PodStatus["phase"] {
    if (old === "Succeeded" || old === "Failed") return old;
    if (failed !== undefined) return "Failed";
    const newest = newestByName(runtime);
    const records = pod.spec.containers.map(({ name }) => newest.get(name));
    if (records.some((record) => record === undefined)) return "Pending";
    if (records.some((record) => record?.state === "running")) return "Running";
    const { restartPolicy = "Always" } = pod.spec;
    const good = records.every((record) => record?.state === "exited" && record.exitCode === 0);
    if (podIsTerminal || restartPolicy === "Never" || (restartPolicy === "OnFailure" && good))
      return good ? "Succeeded" : "Failed";
    return "Running";
  }

  get(uid: string): PodStatus | undefined {
    return this.#stored.get(uid)?.status;
  }

  activeForMs(uid: string): number | undefined {
    const stored = this.#stored.get(uid);
    return stored === undefined ? undefined : this.#clock.monotonic() - stored.startedAt;
  }

  remove(uid: string): void {
    this.#stored.delete(uid);
  }
}

/** Readiness that a test sets. */
export class SettableReadiness implements RuntimeReadiness {
  network: string | undefined;
  runtime: string | undefined;
  networkProblem(): string | undefined {
    return this.network;
  }
  runtimeProblem(): string | undefined {
    return this.runtime;
  }
}

/** A disk: files by path, folders as what their paths imply. */
export class MemoryDisk implements PodFiles {
  readonly files = new Map<string, string>();
  readonly folders = new Set<string>();
  /** Trees that cannot be removed. */
  readonly stuck = new Set<string>();
  writes = 0;

  async mkdir(path: string): Promise<void> {
    this.folders.add(path);
  }
  async removeTree(path: string): Promise<void> {
    if (this.stuck.has(path)) throw new Error(`${path} is busy`);
    const below = (name: string): boolean => name === path || name.startsWith(`${path}/`);
    for (const name of this.files.keys()) if (below(name)) this.files.delete(name);
    for (const name of this.folders) if (below(name)) this.folders.delete(name);
  }
  async writeFile(path: string, content: string): Promise<void> {
    this.writes += 1;
    this.files.set(path, content);
  }
  async readFile(path: string, limitBytes: number): Promise<string | undefined> {
    return this.files.get(path)?.slice(0, limitBytes);
  }
  async list(path: string): Promise<readonly string[]> {
    const names = [...this.files.keys(), ...this.folders]
      .filter((name) => name.startsWith(`${path}/`))
      .map((name) => name.slice(path.length + 1).split("/")[0] ?? "");
    return [...new Set(names)];
  }
  async symlink(target: string, path: string): Promise<void> {
    this.files.set(path, `-> ${target}`);
  }
  async readLink(path: string): Promise<string | undefined> {
    return /^-> (.*)$/.exec(this.files.get(path) ?? "")?.[1];
  }
  async removeFile(path: string): Promise<void> {
    this.files.delete(path);
  }
}
