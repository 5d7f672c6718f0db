// SPDX-License-Identifier: Apache-2.0

/** Pure: the Kubernetes event of a bus event. kubelet: pkg/kubelet/events/event.go for the reasons. */
import type { JournalEvent } from "./journal-event.ts";
import { isRecord } from "./redact.ts";

/** What an event is about. kubelet: v1.ObjectReference. */
export interface InvolvedObject {
  readonly apiVersion?: "v1";
  readonly kind: "Pod" | "Node";
  readonly namespace: string;
  readonly name: string;
  readonly uid: string;
  readonly fieldPath?: string;
}

/** One occurrence. */
export interface KubeEventFacts {
  readonly involvedObject: InvolvedObject;
  readonly type: "Normal" | "Warning";
  readonly reason: string;
  readonly message: string;
  /** Wall milliseconds. */
  readonly at: number;
  readonly seq: number;
  /** Occurrences that this one stands for. Default 1. */
  readonly count?: number;
}

/** Occurrences that are told as one. kubelet: v1.Event, in core/v1. */
export interface KubeEvent {
  /** `OBJECT.HEX`, as the kubelet names them. */
  readonly name: string;
  readonly involvedObject: InvolvedObject;
  readonly type: "Normal" | "Warning";
  readonly reason: string;
  readonly message: string;
  readonly source: { readonly component: "kubelet"; readonly host: string };
  /** RFC 3339, to the second. */
  readonly firstTimestamp: string;
  readonly lastTimestamp: string;
  readonly count: number;
  /** Of the newest occurrence. */
  readonly seq: number;
}

type Text = Pick<KubeEventFacts, "type" | "reason" | "message"> & { readonly fieldPath?: string };

/** Events of ours that carry no text of their own -> the kubelet's. */
const TEXTS: Readonly<
  Record<string, (data: Readonly<Record<string, unknown>>, node: string) => Text | undefined>
> = {
  "pod/SyncFailed": (data) => warning("FailedSync", `Error syncing pod, skipping: ${said(data, "message")}`),
  "pod/PodTerminating": (data) => {
    const reason = said(data, "reason");
    // Who had to go for a critical pod is told so by the reason of its status.
    if (reason === "Evicted") return warning(said(data, "statusReason") || reason, said(data, "message"));
    if (reason !== "DeadlineExceeded") return undefined;
    return { type: "Normal", reason, message: said(data, "message") };
  },
  "resource/PodRefused": (data) => warning(said(data, "reason"), said(data, "message")),
  "node/RuntimeReadinessChanged": (data, node) => {
    const isReady = said(data, "runtime") === "" && said(data, "network") === "";
    const reason = isReady ? "NodeReady" : "NodeNotReady";
    return { type: "Normal", reason, message: `Node ${node} status is now: ${reason}` };
  },
  "journal/NodeRebooted": (data, node) =>
    warning("Rebooted", `Node ${node} has been rebooted, boot id: ${said(data, "bootId")}`),
  "journal/Started": () => ({ type: "Normal", reason: "Starting", message: "Starting kubelet." }),
  "oom/SystemOOM": (data) => {
    const [process, pid] = [said(data, "process") || said(data, "processName"), data["pid"]];
    const victim =
      process === "" || typeof pid !== "number" || pid === 0
        ? ""
        : `, victim process: ${process}, pid: ${pid}`;
    return warning("SystemOOM", `System OOM encountered${victim}`);
  },
};

function warning(reason: string, message: string): Text {
  return { type: "Warning", reason, message };
}

function said(data: Readonly<Record<string, unknown>>, key: string): string {
  const value = data[key];
  return typeof value === "string" ? value : "";
}

/** Undefined for what the kubelet keeps to itself. `nodeName` stands for events about no pod. */
export function computeKubeEvent(event: JournalEvent, nodeName: string): KubeEventFacts | undefined {
  const data = isRecord(event.data) ? event.data : {};
  const text = ownText(data) ?? TEXTS[event.type]?.(data, nodeName);
  if (text === undefined) return undefined;
  const { type, reason, message, fieldPath } = text;
  const involvedObject = objectOf(event, nodeName, fieldPath);
  const { count } = data;
  const many = typeof count === "number" && count > 1 ? { count } : {};
  return { involvedObject, type, reason, message, at: event.at, seq: event.seq, ...many };
}

/** Most events carry their text: see `EventText` of the pod package. */
function ownText(data: Readonly<Record<string, unknown>>): Text | undefined {
  const { eventType, reason, message, fieldPath } = data;
  if (eventType !== "Normal" && eventType !== "Warning") return undefined;
  if (typeof reason !== "string" || typeof message !== "string") return undefined;
  return { type: eventType, reason, message, ...(typeof fieldPath === "string" ? { fieldPath } : {}) };
}

function objectOf(
  { subject }: JournalEvent,
  nodeName: string,
  fieldPath: string | undefined,
): InvolvedObject {
  const { pod, podUid } = subject;
  // kubelet: the node's reference has its name for a UID.
  if (podUid === undefined) return { kind: "Node", namespace: "", name: nodeName, uid: nodeName };
  const slash = pod?.indexOf("/") ?? -1;
  return {
    apiVersion: "v1",
    kind: "Pod",
    namespace: slash < 0 ? "" : (pod ?? "").slice(0, slash),
    name: slash < 0 ? podUid : (pod ?? "").slice(slash + 1),
    uid: podUid,
    ...(fieldPath === undefined ? {} : { fieldPath }),
  };
}
