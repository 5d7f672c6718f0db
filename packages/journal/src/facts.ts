// SPDX-License-Identifier: Apache-2.0

/** What events mean for the end of a container, whoever published them. */
import type { Subject } from "@holdfast/bus";

/** Which probe. */
export type ProbeKind = "liveness" | "readiness" | "startup";

/** One meaning. */
export type Fact =
  | { readonly kind: "starting"; readonly restartCount: number | undefined }
  | { readonly kind: "started"; readonly restartCount: number | undefined }
  | { readonly kind: "died"; readonly exitCode: number | undefined }
  | { readonly kind: "sandboxDied" }
  /** The intent to stop it, or all of its pod. `reason` is one of the kubelet's or ours: LivenessProbe, SpecChanged ... */
  | {
      readonly kind: "kill";
      readonly reason: string;
      readonly message: string;
      readonly graceSeconds: number | undefined;
      /** The sandbox is stopped, and everything in it. */
      readonly wholeSandbox: boolean;
    }
  /** The stop call returned; "" is success. */
  | { readonly kind: "killed"; readonly error: string }
  | { readonly kind: "podEnding"; readonly reason: string; readonly message: string }
  | { readonly kind: "podAdded"; readonly source: string; readonly changed: readonly string[] }
  | { readonly kind: "podRemoved"; readonly source: string }
  | { readonly kind: "specChanged"; readonly source: string; readonly changed: readonly string[] }
  | {
      readonly kind: "probe";
      readonly probe: ProbeKind | undefined;
      readonly healthy: boolean;
      readonly text: string;
    }
  | {
      readonly kind: "oom";
      /** Whose limit was hit: the container's (or its pod's), or the memory of the machine. */
      readonly scope: "container" | "node";
      /** Whether the container's main process was the victim; undefined when nobody knows. */
      readonly main: boolean | undefined;
      /** It was killed because another one of its cgroup was. kernel: memory.oom.group. */
      readonly alongWith?: boolean;
      readonly text: string;
    }
  | { readonly kind: "eviction"; readonly text: string }
  | { readonly kind: "deviceLost"; readonly text: string }
  | { readonly kind: "reboot"; readonly bootId: string }
  | { readonly kind: "agentStarted"; readonly version: string }
  | { readonly kind: "runtimeDown"; readonly text: string }
  | { readonly kind: "runtimeUp" }
  | { readonly kind: "hookFailed"; readonly text: string };

/** A fact with its place in the order of things. */
export type FactAt = Fact & {
  readonly seq: number;
  /** Wall milliseconds: to be shown. */
  readonly at: number;
  /** Monotonic milliseconds of its run. */
  readonly monotonic: number;
  readonly subject: Subject;
  readonly causes: readonly number[];
};

/** The kinds of {@link Fact}. */
export type FactKind = Fact["kind"];
