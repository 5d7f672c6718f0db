// SPDX-License-Identifier: Apache-2.0

/**
 * What the local API on the agent's unix socket speaks: JSON over HTTP. The command line is its only client so far.
 *
 * | method and path | answer |
 * |---|---|
 * | GET /api/v1/pods | {@link PodList} |
 * | GET /api/v1/pods?watch=true | one {@link WatchEvent} a line, a full list first |
 * | GET /api/v1/namespaces/NS/pods/NAME | {@link PodObject} |
 * | GET /api/v1/namespaces/NS/pods/NAME/log?container=&previous=&follow=&tailLines=&sinceSeconds=&timestamps= | plain text |
 * | POST /api/v1/namespaces/NS/pods/NAME/exec | {@link ExecAnswer} for an {@link ExecBody} |
 * | POST /api/v1/namespaces/NS/pods/NAME/retry | {@link RetryAnswer} for `{ by, container? }` |
 * | GET /api/v1/node | {@link NodeObject} |
 * | GET /api/v1/devices | `DeviceList` of run/device-side.ts |
 * | GET /api/v1/journal/events?pod=&podUid=&container=&type=A,B/*&since=MS&before=SEQ&after=SEQ&limit= | {@link EventList}, oldest first |
 * | GET /api/v1/journal/events?…&follow=true | one `JournalEvent` a line: the page, then what comes |
 * | GET /api/v1/journal/kube-events?pod= (and the like) | {@link KubeEventList} |
 * | GET /api/v1/journal/terminations?pod=&container=&limit= | {@link TerminationList}, newest first |
 * | GET /api/v1/journal/why/pods/NS/NAME?container=, why/node, why/image?ref= | {@link WhyAnswer} |
 * | GET /api/v1/journal/pods?name= | `items`: `namespace/name` of what the journal knows by that name |
 * | GET /healthz, /metrics, /metrics/probes, /debug/snapshot | text, Prometheus text twice, JSON |
 */
import type { NodeCondition } from "@holdfast/node";
import type { Pod, PodStatus } from "@holdfast/core/pod-types";
import type { ProbeSnapshot } from "@holdfast/probe";
import type { JournalEvent, KubeEvent, Story, Termination } from "@holdfast/journal";

/** A pod with its status and what Holdfast knows beside it. */
export interface PodObject extends Pod {
  status: PodStatus;
  holdfast: {
    /** kubelet: the pod worker's state. */
    readonly worker: "waiting" | "sync" | "terminating" | "terminated";
    /** Why it does not get on, or what is wrong with its manifest; one line each. */
    readonly problems: readonly string[];
    /** Containers that do not run and will be tried again. */
    readonly waits?: readonly WaitObject[];
    /** File that the manifest came from. */
    readonly file?: string;
    /** Its probes as they stand, with the age of each verdict; only when one pod is asked for. */
    readonly probes?: readonly ProbeSnapshot[];
    /** Its last events, oldest first; only when one pod is asked for. */
    readonly events?: readonly PodEvent[];
  };
}

/** A container that waits for another attempt. */
export interface WaitObject {
  readonly container: string;
  /** CrashLoopBackOff, ImagePullBackOff, CreateContainerError ... */
  readonly reason: string;
  /** When it comes, at the latest; absent: it is being made. ISO, whole seconds. */
  readonly nextAttempt?: string;
}

/** What `retry` did: the containers that waited (none: a step of the pod that had failed), or null: nothing waited. */
export interface RetryAnswer {
  readonly retried: readonly string[] | null;
}

/** One line of a pod's history, from the bus. */
export interface PodEvent {
  readonly at: string;
  readonly type: string;
  readonly text: string;
}

/** All pods, and manifests of which no pod could be made. */
export interface PodList {
  readonly items: readonly PodObject[];
  /** Problems of manifest files, as `file:line: field: reason`. */
  readonly manifestProblems: readonly string[];
  /** What the node waits for, if it does. */
  readonly node: readonly string[];
}

/** One line of a watch. */
export type WatchEvent =
  | { readonly type: "LIST"; readonly list: PodList }
  | { readonly type: "MODIFIED"; readonly object: PodObject }
  | { readonly type: "DELETED"; readonly uid: string }
  | {
      readonly type: "PROBLEMS";
      readonly manifestProblems: readonly string[];
      readonly node: readonly string[];
    };

/** What to run in a container. */
export interface ExecBody {
  readonly container?: string;
  readonly command: readonly string[];
  /** Default 60; at most 3600. */
  readonly timeoutSeconds?: number;
}

/** What came of it. Outputs are base64: they need not be text. */
export interface ExecAnswer {
  readonly stdout: string;
  readonly stderr: string;
  readonly exitCode: number;
}

/** The node as `holdfast get node` shows it. */
export interface NodeObject {
  readonly name: string;
  readonly instanceId: string;
  readonly conditions: readonly NodeCondition[];
  readonly runtime: { readonly endpoint: string; readonly name?: string; readonly version?: string };
  readonly nodeInfo: Readonly<Record<string, string | number>>;
  /** What device plugins offer; absent while there is nothing. */
  readonly resources?: readonly {
    readonly name: string;
    readonly capacity: number;
    readonly allocatable: number;
  }[];
  readonly pods: { readonly running: number; readonly total: number; readonly capacity: number };
  readonly agent: {
    readonly version: string;
    readonly startedAt: string;
    readonly pid: number;
    /** Absent when every setting has its default. */
    readonly configFile?: string;
  };
  /** Settings that were given and have no effect yet. */
  readonly warnings: readonly string[];
}

/** Events of the journal. */
export interface EventList {
  readonly items: readonly JournalEvent[];
}

/** Kubernetes events derived from the journal, oldest first. */
export interface KubeEventList {
  readonly items: readonly KubeEvent[];
}

/** Rows of the restart ledger. */
export interface TerminationList {
  readonly items: readonly Termination[];
}

/** A story, with the last lines of the containers whose end it tells of, where they are still there. */
export interface WhyAnswer {
  readonly story: Story;
  readonly logs?: readonly { readonly seq: number; readonly lines: readonly string[] }[];
}

/** Every failed request's body. */
export interface ApiError {
  readonly code: string;
  readonly message: string;
}

/** Name of the socket in the agent's run folder. */
export const SOCKET_NAME = "holdfast.sock";
