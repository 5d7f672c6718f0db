// SPDX-License-Identifier: Apache-2.0

/** What probes need from others. `apps/agent` fills these; with plain addresses a few lines do. */
import type { PodPhase } from "@holdfast/core/pod-types";
import type { HttpRequest } from "./http-request.ts";
import type { ProbeOutcome } from "./outcome.ts";
import type { ProbedRecord } from "./compute-step.ts";

/** What is probed: containers and addresses, as they are known now. Asked at each probe: it must be a look into memory. */
export interface ProbeTarget {
  /** What the runtime says of the pod; undefined or without containers when it is not known yet. A `RuntimePodStatus` of the PLEG's cache fits. */
  runtimeStatus(podUid: string):
    | {
        /** Primary first. */
        readonly ips: readonly string[];
        /** Newest first. */
        readonly containers: readonly ProbedRecord[];
      }
    | undefined;
  /** What was last said of the pod, if that is known: its phase ends all probes, `started` and `ready` outlive a lost checkpoint. */
  podStatus?(podUid: string): KnownPodStatus | undefined;
  /** Addresses of pods with hostNetwork, primary first. Default 127.0.0.1. */
  hostIPs?(): readonly string[];
}

/** The part of a `PodStatus` that probes read. */
export interface KnownPodStatus {
  readonly phase: PodPhase;
  readonly initContainerStatuses?: readonly KnownContainerStatus[];
  readonly containerStatuses?: readonly KnownContainerStatus[];
}

/** The part of a `ContainerStatus` that probes read. */
export interface KnownContainerStatus {
  readonly name: string;
  /** `containerd://ID`. */
  readonly containerID?: string;
  readonly ready: boolean;
  readonly started?: boolean;
}

/** What exec probes need of the runtime. A `CriClient` fits. */
export interface ProbeRuntime {
  /**
   * Runs a command in a container. `timeout` in seconds is the runtime's to keep: then the call rejects with an error whose `code` is
   * `CRI_RUNTIME_DEADLINE`. Any other rejection says nothing about the target.
   */
  execSync(
    request: { containerId: string; cmd: string[]; timeout: bigint },
    options: { readonly signal: AbortSignal; readonly deadlineMs: number },
  ): Promise<{ readonly stdout: Uint8Array; readonly stderr: Uint8Array; readonly exitCode: number }>;
  /** A question that any live runtime answers at once: tells a command that hangs from a runtime that does. Optional. */
  version?(request: object, options: { readonly deadlineMs: number }): Promise<unknown>;
}

/** Looks at processes on this machine, when a command times out. `nodeProbeProcesses` of `@holdfast/probe/node` fits. */
export interface ProbeProcesses {
  /** How many processes of the container were begun by a command within the last `withinMs` and outlived it. */
  leftBehind(containerId: string, withinMs: number): Promise<number>;
  /** The sessions that a command leads which runs there since at most `withinMs`. Without it nothing is ended. */
  sessionsOf?(containerId: string, command: readonly string[], withinMs: number): Promise<readonly number[]>;
  /** Ends what lives on in these sessions without their leader. Returns how many that were. */
  endSessions?(containerId: string, sessions: readonly number[]): Promise<number>;
}

/** An attempt over the network, ready to be made. */
export type SocketProbeRequest =
  | { readonly handler: "http"; readonly http: HttpRequest }
  | { readonly handler: "tcp"; readonly host: string; readonly port: number }
  | {
      readonly handler: "grpc";
      readonly host: string;
      readonly port: number;
      readonly service: string;
      readonly timeoutMs: number;
      readonly userAgent: string;
    };

/** An attempt under way. */
export interface HandlerRun {
  /** Its time is up: it ends soon with what can be said now, unless the answer has come meanwhile. */
  expire(): void;
  /** Nobody wants the outcome any more: `onDone` is not called after this. */
  cancel(): void;
}

/** Makes attempts over the network. `NodeProbeHandlers` of `@holdfast/probe/node` fits. */
export interface ProbeHandlers {
  /** Calls `onDone` once, never before it returns. Keeps no time itself: `expire` is called. */
  start(request: SocketProbeRequest, onDone: (outcome: ProbeOutcome) => void): HandlerRun;
}

/** Where verdicts survive a restart of the agent. Must not throw on a full disk: give it a resilient one. */
export interface ProbeCheckpoint {
  set(key: string, value: string): void;
  delete(key: string): void;
  entries(prefix: string): readonly (readonly [string, string])[];
}
