// SPDX-License-Identifier: Apache-2.0

/**
 * Events of the actions on the runtime: an intent before each call, its outcome after. Where the kubelet records a Kubernetes event, the
 * payload carries that event's type, reason and message.
 */
import { defineEvent } from "@holdfast/bus";
import type { EventType } from "@holdfast/bus";

/** What a Kubernetes event shows. Messages never contain a container's id, so that equal events are counted, not listed. */
export interface EventText {
  readonly eventType: "Normal" | "Warning";
  readonly reason: string;
  readonly message: string;
  /** `spec.containers{name}`; absent when the event is about the pod. */
  readonly fieldPath?: string;
}

/** About one sandbox. */
export interface SandboxFacts {
  readonly sandboxId: string;
  readonly attempt: number;
}

/** About one container. */
export interface ContainerFacts {
  readonly containerId: string;
  readonly restartCount: number;
}

/** A new sandbox will be asked for. */
export const SandboxCreating: EventType<{ readonly attempt: number }, "pod/SandboxCreating"> = defineEvent<{
  readonly attempt: number;
}>()("pod/SandboxCreating");

/** The sandbox runs. `adopted`: an earlier call of ours had made it after all. */
export const SandboxCreated: EventType<
  SandboxFacts & { readonly ips: readonly string[]; readonly adopted: boolean },
  "pod/SandboxCreated"
> = defineEvent<SandboxFacts & { readonly ips: readonly string[]; readonly adopted: boolean }>()(
  "pod/SandboxCreated",
);

/** kubelet: FailedCreatePodSandBox, FailedPodSandBoxStatus. */
export const SandboxFailed: EventType<EventText & { readonly attempt: number }, "pod/SandboxFailed"> =
  defineEvent<EventText & { readonly attempt: number }>()("pod/SandboxFailed");

/** kubelet: SandboxChanged. */
export const SandboxChanged: EventType<EventText & { readonly sandboxId: string }, "pod/SandboxChanged"> =
  defineEvent<EventText & { readonly sandboxId: string }>()("pod/SandboxChanged");

/** The sandbox, and all that runs in it, will be stopped. */
export const SandboxStopping: EventType<
  { readonly sandboxId: string; readonly reason: string },
  "pod/SandboxStopping"
> = defineEvent<{ readonly sandboxId: string; readonly reason: string }>()("pod/SandboxStopping");

/** The sandbox will be removed with every container in it. */
export const SandboxRemoving: EventType<{ readonly sandboxId: string }, "pod/SandboxRemoving"> = defineEvent<{
  readonly sandboxId: string;
}>()("pod/SandboxRemoving");

/** A container will be created. It has no id yet. */
export const ContainerCreating: EventType<
  { readonly restartCount: number; readonly image: string },
  "pod/ContainerCreating"
> = defineEvent<{ readonly restartCount: number; readonly image: string }>()("pod/ContainerCreating");

/** kubelet: Created. `adopted`: an earlier call of ours had made it after all. */
export const ContainerCreated: EventType<
  EventText & ContainerFacts & { readonly adopted: boolean },
  "pod/ContainerCreated"
> = defineEvent<EventText & ContainerFacts & { readonly adopted: boolean }>()("pod/ContainerCreated");

/** The container will be started. */
export const ContainerStarting: EventType<ContainerFacts, "pod/ContainerStarting"> =
  defineEvent<ContainerFacts>()("pod/ContainerStarting");

/** kubelet: Started. */
export const ContainerStarted: EventType<EventText & ContainerFacts, "pod/ContainerStarted"> = defineEvent<
  EventText & ContainerFacts
>()("pod/ContainerStarted");

/** A container could not be brought up. kubelet: Failed. `waiting` is the container's waiting reason. */
export const ContainerFailed: EventType<
  EventText & { readonly waiting: string; readonly containerId?: string },
  "pod/ContainerFailed"
> = defineEvent<EventText & { readonly waiting: string; readonly containerId?: string }>()(
  "pod/ContainerFailed",
);

/** The container will be stopped by us: its death is no crash. kubelet: Killing. */
export const ContainerKilling: EventType<
  EventText & {
    readonly containerId: string;
    readonly gracePeriodSeconds: number;
    readonly killReason: KillReason;
  },
  "pod/ContainerKilling"
> = defineEvent<
  EventText & {
    readonly containerId: string;
    readonly gracePeriodSeconds: number;
    readonly killReason: KillReason;
  }
>()("pod/ContainerKilling");

/** The stop call returned. `error` is empty when the container is down. */
export const ContainerKilled: EventType<
  { readonly containerId: string; readonly error: string },
  "pod/ContainerKilled"
> = defineEvent<{ readonly containerId: string; readonly error: string }>()("pod/ContainerKilled");

/** The record of a dead container will be removed from the runtime. */
export const ContainerRemoving: EventType<{ readonly containerId: string }, "pod/ContainerRemoving"> =
  defineEvent<{ readonly containerId: string }>()("pod/ContainerRemoving");

/** kubelet: BackOff, of a crashing container or of an image. */
export const BackOffEvent: EventType<
  EventText & { readonly waiting: "CrashLoopBackOff" | "ImagePullBackOff"; readonly remainingMs: number },
  "pod/BackOff"
> = defineEvent<
  EventText & { readonly waiting: "CrashLoopBackOff" | "ImagePullBackOff"; readonly remainingMs: number }
>()("pod/BackOff");

/** kubelet: Pulling. */
export const Pulling: EventType<EventText & { readonly image: string }, "pod/Pulling"> = defineEvent<
  EventText & { readonly image: string }
>()("pod/Pulling");

/** kubelet: Pulled. */
export const Pulled: EventType<
  EventText & { readonly image: string; readonly imageId: string },
  "pod/Pulled"
> = defineEvent<EventText & { readonly image: string; readonly imageId: string }>()("pod/Pulled");

/** kubelet: Failed, ErrImageNeverPull, InspectFailed. */
export const PullFailed: EventType<EventText & { readonly image: string }, "pod/PullFailed"> = defineEvent<
  EventText & { readonly image: string }
>()("pod/PullFailed");

/** kubelet: FailedPostStartHook, FailedPreStopHook. Output of hooks never gets into an event. */
export const HookFailed: EventType<EventText & { readonly containerId: string }, "pod/HookFailed"> =
  defineEvent<EventText & { readonly containerId: string }>()("pod/HookFailed");

/** kubelet: DNSConfigForming, MissingClusterDNS. */
export const DnsWarning: EventType<EventText, "pod/DnsWarning"> = defineEvent<EventText>()("pod/DnsWarning");

/** Why a container is killed. The kubelet's words where it has them, for grace periods and the journal. */
export type KillReason =
  | "LivenessProbe"
  | "StartupProbe"
  | "FailedPostStartHook"
  | "SpecChanged"
  | "Unknown"
  | "PodKilled"
  | "SandboxChanged"
  | "Evicted"
  | "Removed"
  | "Orphan"
  | "DeadlineExceeded";
