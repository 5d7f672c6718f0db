// SPDX-License-Identifier: Apache-2.0

/** What the local API shows: reads the managers' state, keeps none but the pods' last events. */
import type { AnyEnvelope, Bus, Subscription } from "@holdfast/bus";
import type { Clock } from "@holdfast/core/clock";
import { HoldfastError } from "@holdfast/core/errors";
import type { Component, Health } from "@holdfast/core/lifecycle";
import type { MetricsRegistry } from "@holdfast/core/metrics";
import type { PodStatus } from "@holdfast/core/pod-types";
import { rfc3339, rfc3339Seconds } from "@holdfast/core/rfc3339";
import type { CriClient } from "@holdfast/cri";
import { computeReadyCondition } from "@holdfast/node";
import type { MachineFacts, RuntimeState } from "@holdfast/node";
import { formatProblem } from "@holdfast/pod";
import type { Cordon } from "@holdfast/status";
import type { ContainerWait, ManifestProblem, PodView } from "@holdfast/pod";
import type { AgentView, LogQuery } from "../api/routes.ts";
import { PodEvents } from "../api/pod-events.ts";
import { PodWatch } from "../api/pod-watch.ts";
import type {
  ExecAnswer,
  ExecBody,
  NodeObject,
  PodList,
  PodObject,
  WaitObject,
  WatchEvent,
} from "../api/types.ts";
import type { AgentConfig } from "../config/agent-config.ts";
import { chooseContainer, logFileOf } from "../logs/container-log.ts";
import { readLog } from "../logs/read-log.ts";
import { VERSION } from "../version.ts";
import { computeStuckCalls } from "./compute-stuck-calls.ts";
import { execError } from "./exec-error.ts";
import type { CallSubject } from "./compute-stuck-calls.ts";
import type { PodSide } from "./pod-side.ts";

/** What the view reads. */
export interface LocalViewOptions {
  readonly config: AgentConfig;
  readonly configWarnings: readonly string[];
  /** Where the settings come from; absent when all are defaults. */
  readonly configFile?: string;
  readonly clock: Clock;
  readonly bus: Bus;
  readonly runtime: CriClient;
  readonly machine: MachineFacts;
  readonly metrics: MetricsRegistry;
  readonly instanceId: string;
}

const EVENT_QUEUE = 2048;
const DEFAULT_EXEC_SECONDS = 60;
/** kubelet: DefaultTerminationGracePeriodSeconds. */
const DEFAULT_GRACE_SECONDS = 30;
const NO_STATUS: PodStatus = { phase: "Pending" };

/** The agent as its users see it. */
export class LocalView implements AgentView, Component {
  readonly name = "local-view";
  readonly #options: LocalViewOptions;
  readonly #events = new PodEvents();
  readonly #watch: PodWatch;
  readonly #startedAt: number;
  #runtimeState: RuntimeState | undefined;
  #otherFailures: () => readonly string[] = () => [];
  #side: PodSide | undefined;
  #subscription: Subscription<AnyEnvelope> | undefined;
  #reading: Promise<void> | undefined;

  constructor(options: LocalViewOptions) {
    this.#options = options;
    this.#startedAt = options.clock.now();
    this.#watch = new PodWatch(this, options.clock);
  }

  attachRuntimeState(runtimeState: RuntimeState, otherFailures: () => readonly string[]): void {
    this.#runtimeState = runtimeState;
    this.#otherFailures = otherFailures;
  }

  /** The runtime has answered and pods are looked after. */
  attachPods(side: PodSide): void {
    this.#side = side;
    this.#watch.changed();
  }

  runtimeChanged(): void {
    this.#side?.pods.readinessChanged();
    this.#watch.changed();
  }

  async start(): Promise<void> {
    const subscription = this.#options.bus.subscribeAll({ name: "local-view", capacity: EVENT_QUEUE });
    this.#subscription = subscription;
    this.#reading = this.#read(subscription);
  }

  async stop(): Promise<void> {
    this.#subscription?.[Symbol.dispose]();
    await this.#reading;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop();
  }

  health(): Health {
    return { failures: [] };
  }

  podList(): PodList {
    const side = this.#side;
    const problems = side?.source.problems() ?? [];
    const views = side?.pods.pods() ?? [];
    const troubles = this.#podTroubles(views);
    return {
      items: views.map((view) => this.#podObject(view, false, troubles)),
      manifestProblems: problems.filter((problem) => problem.severity === "error").map(formatProblem),
      // The folder's own trouble stands among the manifests' already.
      node: this.failures().filter((failure) => !failure.startsWith(`${side?.source.name}: `)),
    };
  }

  pod(namespace: string, name: string): PodObject | undefined {
    const views =
      this.#side?.pods
        .pods()
        .filter((view) => view.pod.metadata.namespace === namespace && view.pod.metadata.name === name) ?? [];
    // While a changed pod waits for its predecessor to end, the one that runs is meant.
    const view = views.find((candidate) => candidate.state !== "waiting") ?? views[0];
    return view === undefined ? undefined : this.#podObject(view, true, this.#podTroubles(views));
  }

  watchPods(signal: AbortSignal): AsyncIterable<WatchEvent> {
    return this.#watch.read(signal);
  }

  async *readLog(pod: PodObject, query: LogQuery, signal: AbortSignal): AsyncGenerator<Buffer> {
    const { clock, config } = this.#options;
    const container = chooseContainer(pod, query.container);
    const path = await logFileOf(config.podLogsDir, pod, container, query.previous);
    const record = this.#newestRecord(pod, container);
    yield* readLog({
      path,
      clock,
      signal,
      follow: query.follow,
      timestamps: query.timestamps,
      ...(query.tailLines !== undefined && { tailLines: query.tailLines }),
      ...(query.sinceSeconds !== undefined && { sinceMs: clock.now() - query.sinceSeconds * 1000 }),
      stillWriting: () =>
        !query.previous &&
        record !== undefined &&
        this.#newestRecord(pod, container)?.id === record.id &&
        this.#newestRecord(pod, container)?.state === "running",
    });
  }

  async exec(pod: PodObject, body: ExecBody, signal: AbortSignal): Promise<ExecAnswer> {
    const container =
      body.container === undefined
        ? (pod.spec.containers[0]?.name ?? "")
        : chooseContainer(pod, body.container);
    const record = this.#newestRecord(pod, container);
    if (record?.state !== "running")
      throw new HoldfastError(
        "AGENT_NOT_RUNNING",
        "permanent",
        `container ${container} of pod ${pod.metadata.name} is not running`,
      );
    const timeout = Math.ceil(body.timeoutSeconds ?? DEFAULT_EXEC_SECONDS);
    const answer = await this.#options.runtime
      .execSync(
        { containerId: record.id, cmd: [...body.command], timeout: BigInt(timeout) },
        { signal, deadlineMs: (timeout + 10) * 1000 },
      )
      .catch((cause: unknown) => {
        throw execError(cause, `container ${container} of pod ${pod.metadata.name}`, timeout);
      });
    return {
      stdout: Buffer.from(answer.stdout).toString("base64"),
      stderr: Buffer.from(answer.stderr).toString("base64"),
      exitCode: answer.exitCode,
    };
  }

  cordon(pod: PodObject, on: boolean, by: string): PodObject {
    const { namespace, name, uid } = pod.metadata;
    if (on) this.#side?.status.cordon(uid, by);
    else this.#side?.status.uncordon(uid, by);
    return this.pod(namespace, name) ?? pod;
  }

  retry(pod: PodObject, container: string | undefined, by: string): readonly string[] | undefined {
    const named = container === undefined ? undefined : chooseContainer(pod, container);
    return this.#side?.pods.retry(pod.metadata.uid, by, named);
  }

  node(): NodeObject {
    const { config, machine, runtime, configWarnings, configFile, instanceId } = this.#options;
    const readiness = this.#runtimeState?.readiness() ?? { runtime: "not started", network: undefined };
    const views = this.#side?.pods.pods() ?? [];
    const identity = this.#runtimeState?.identity();
    const resources = this.#side?.devices.resources() ?? [];
    return {
      name: config.nodeName,
      instanceId,
      conditions: [
        computeReadyCondition(readiness, this.#side?.pleg.health().failures ?? []),
        ...(this.#side?.eviction?.conditions() ?? []),
      ],
      runtime: {
        endpoint: runtime.endpoint,
        ...(identity !== undefined && { name: identity.name, version: identity.version }),
      },
      nodeInfo: {
        os: machine.osImage,
        kernel: machine.kernelVersion,
        architecture: machine.architecture,
        cpus: machine.cpus,
        memory: `${Math.round(machine.memoryBytes / 2 ** 20)}Mi`,
        cgroups: `v${machine.cgroupVersion}`,
        address: machine.hostIP ?? "",
      },
      ...(resources.length > 0 && { resources }),
      pods: {
        running: views.filter((view) => view.status?.phase === "Running").length,
        total: views.length,
        capacity: config.maxPods,
      },
      agent: {
        version: VERSION,
        startedAt: rfc3339(this.#startedAt),
        pid: process.pid,
        ...(configFile !== undefined && { configFile }),
      },
      warnings: [...configWarnings, ...(this.#side?.oom?.warnings() ?? []), ...this.#podTroubles(views)],
    };
  }

  /** What hangs, with pods by name. It is some pods' trouble and not the node's. */
  #podTroubles(views: readonly PodView[]): readonly string[] {
    const side = this.#side;
    if (side === undefined) return [];
    const named = views.map(({ pod }) => ({ pod, name: `${pod.metadata.namespace}/${pod.metadata.name}` }));
    const whoIs = (id: string): CallSubject | undefined => {
      for (const { pod, name } of named) {
        const graceSeconds = pod.spec.terminationGracePeriodSeconds ?? DEFAULT_GRACE_SECONDS;
        const { sandboxes, containers } = side.pleg.get(pod.metadata.uid).status;
        const container = containers.find((record) => record.id === id)?.name;
        if (container !== undefined) return { pod: name, container, graceSeconds };
        if (name === id || sandboxes.some((record) => record.id === id))
          return { pod: name, container: "", graceSeconds };
      }
      return undefined;
    };
    // The PLEG knows pods by their UIDs.
    const looks = side.pleg.health().warnings.map((warning) => {
      const known = named.find(({ pod }) => warning.startsWith(`pod ${pod.metadata.uid}`));
      return known === undefined ? warning : warning.replace(known.pod.metadata.uid, known.name);
    });
    return [...looks, ...computeStuckCalls(this.#options.runtime.inFlight(), whoIs)];
  }

  failures(): readonly string[] {
    // Each component's failures once: the runtime's own come through the supervisor too.
    return [...new Set(this.#otherFailures())];
  }

  metrics(): string {
    return this.#options.metrics.exposition();
  }

  probeMetrics(): string {
    // Nothing is probed until the runtime has answered.
    const started = `# TYPE process_start_time_seconds gauge\nprocess_start_time_seconds ${this.#startedAt / 1000}\n`;
    return `${this.#side?.probes.exposition() ?? ""}${started}`;
  }

  snapshot(): unknown {
    return {
      pleg: this.#side?.pleg.snapshot(),
      calls: this.#options.runtime.inFlight(),
      recent: this.#options.bus.recent(),
      memory: process.memoryUsage(),
    };
  }

  #newestRecord(
    pod: PodObject,
    container: string,
  ): { readonly id: string; readonly state: string } | undefined {
    return this.#side?.pleg
      .get(pod.metadata.uid)
      .status.containers.find((record) => record.name === container);
  }

  #podObject(view: PodView, withEvents: boolean, troubles: readonly string[]): PodObject {
    const { pod, state } = view;
    const side = this.#side;
    const file = side?.source.manifestOf(pod);
    const cordon = side?.status.cordonOf(pod.metadata.uid);
    const problems = [
      ...(view.problem === undefined ? [] : [view.problem]),
      ...troublesOf(pod, troubles),
      ...(cordon === undefined ? [] : [cordonLine(cordon)]),
      ...manifestProblemLines(side?.source.problemsOf(pod) ?? [], withEvents),
    ];
    return {
      ...pod,
      status: view.status ?? NO_STATUS,
      holdfast: {
        worker: state,
        problems,
        ...(view.waits.length > 0 && { waits: view.waits.map((wait) => this.#waitObject(wait)) }),
        ...(file !== undefined && { file }),
        ...(withEvents && {
          events: this.#events.of(pod.metadata.uid),
          probes: side?.probes.snapshot(pod.metadata.uid) ?? [],
        }),
      },
    };
  }

  #waitObject({ container, reason, nextAttemptAt }: ContainerWait): WaitObject {
    if (nextAttemptAt === undefined) return { container, reason };
    const { clock } = this.#options;
    // Whole seconds: the two clocks' drift must not look like a change.
    const at = Math.round((clock.now() + nextAttemptAt - clock.monotonic()) / 1000) * 1000;
    return { container, reason, nextAttempt: rfc3339(at) };
  }

  async #read(subscription: Subscription<AnyEnvelope>): Promise<void> {
    for await (const event of subscription) {
      // A gap loses lines of a history that is bounded anyway; readers of the watch re-read everything.
      if (!("dropped" in event)) this.#events.add(event);
      this.#watch.changed();
    }
  }
}

function cordonLine({ by, at }: Cordon): string {
  return `cordoned by ${by} at ${rfc3339Seconds(at)}: out of traffic, and left alone`;
}

/** In a list one line says that there is something, and `describe` and the list of manifest problems say what. */
function manifestProblemLines(problems: readonly ManifestProblem[], whole: boolean): string[] {
  if (whole) return problems.map(formatProblem);
  const errors = problems.filter((problem) => problem.severity === "error");
  const [first] = errors;
  if (first === undefined) return [];
  return [
    `its manifest ${first.file} has ${errors.length} error${errors.length === 1 ? "" : "s"}; the last good version goes on`,
  ];
}

/** What hangs of this pod, without its name. A pod whose name begins like it is another. */
function troublesOf({ metadata }: PodView["pod"], troubles: readonly string[]): readonly string[] {
  const name = `pod ${metadata.namespace}/${metadata.name}`;
  return troubles
    .filter((line) => line.startsWith(`${name}: `) || line.startsWith(`${name} for `))
    .map((line) =>
      line
        .slice(name.length)
        .replace(/^: /, "")
        .replace(/^ for /, "not readable for "),
    );
}
