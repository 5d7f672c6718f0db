// SPDX-License-Identifier: Apache-2.0

/** The text of `holdfast describe pod`: pure. Environment values are never shown: they may be secrets. */
import { formatAge } from "@holdfast/core/duration";
import { allContainers } from "@holdfast/core/pod";
import type { Container, ContainerStateStatus, ContainerStatus } from "@holdfast/core/pod-types";
import type { KubeEvent } from "@holdfast/journal";
import type { PodObject } from "../api/types.ts";
import { formatKubeEvents } from "./event-lines.ts";
import { waitLines } from "./pod-rows.ts";
import { probeLines } from "./probe-lines.ts";

/** Kubernetes events shown. */
const MAX_EVENTS = 20;

/** Renders one pod. `now` is wall time in milliseconds; `kubeEvents` are the journal's, undefined where there is none. */
export function describePod(
  pod: PodObject,
  now: number,
  kubeEvents?: readonly KubeEvent[],
  columns: number = Number.POSITIVE_INFINITY,
): string {
  const { metadata, spec, status } = pod;
  const lines = [
    field("Name", metadata.name),
    field("Namespace", metadata.namespace),
    field("UID", metadata.uid),
    field("Node", spec.nodeName ?? "<none>"),
    field("Start Time", status.startTime ?? "<not started>"),
    ...map("Labels", metadata.labels),
    ...map("Annotations", metadata.annotations),
    field("Status", status.phase + (status.reason === undefined ? "" : ` (${status.reason})`)),
    ...(status.message === undefined ? [] : [field("Message", status.message)]),
    field("IP", status.podIP ?? ""),
    field("QoS Class", status.qosClass ?? ""),
    ...(pod.holdfast.file === undefined ? [] : [field("Manifest", pod.holdfast.file)]),
    ...pod.holdfast.problems.map((problem) => field("Problem", problem)),
    ...waitLines(pod, now).map((line) => field("Waits", line)),
    ...containers("Init Containers", pod, spec.initContainers ?? [], status.initContainerStatuses ?? []),
    ...containers("Containers", pod, spec.containers, status.containerStatuses ?? []),
    "Conditions:",
    ...(status.conditions ?? []).map(
      (condition) =>
        `  ${condition.type.padEnd(28)}${condition.status}${condition.message === undefined || condition.message === "" ? "" : `  ${condition.message}`}`,
    ),
    ...volumes(pod),
    ...(kubeEvents === undefined ? events(pod, now) : journalEvents(kubeEvents, now, columns)),
  ];
  return lines.join("\n");
}

function field(label: string, value: string, indent = ""): string {
  return `${indent}${`${label}:`.padEnd(16 - indent.length)} ${value}`.trimEnd();
}

function map(label: string, entries: Record<string, string> = {}): string[] {
  const pairs = Object.entries(entries);
  return pairs.length === 0
    ? [field(label, "<none>")]
    : pairs.map(([key, value], index) =>
        field(index === 0 ? label : "", `${key}=${value}`).replace(/^:/, " "),
      );
}

function containers(
  title: string,
  pod: PodObject,
  specs: readonly Container[],
  statuses: readonly ContainerStatus[],
): string[] {
  if (specs.length === 0) return [];
  return [
    `${title}:`,
    ...specs.flatMap((container) =>
      containerLines(
        pod,
        container,
        statuses.find((status) => status.name === container.name),
      ),
    ),
  ];
}

function containerLines(pod: PodObject, container: Container, status: ContainerStatus | undefined): string[] {
  const ports =
    container.ports?.map(
      (port) =>
        `${port.containerPort}/${port.protocol ?? "TCP"}${port.hostPort ? ` (host ${port.hostPort})` : ""}`,
    ) ?? [];
  return [
    `  ${container.name}:`,
    field("Container ID", status?.containerID ?? "", "    "),
    field("Image", container.image, "    "),
    field("Image ID", status?.imageID ?? "", "    "),
    ...(ports.length === 0 ? [] : [field("Ports", ports.join(", "), "    ")]),
    ...stateLines("State", status?.state),
    ...(status?.lastState !== undefined && Object.keys(status.lastState).length > 0
      ? stateLines("Last State", status.lastState)
      : []),
    field("Ready", status?.ready === true ? "True" : "False", "    "),
    field("Restart Count", String(status?.restartCount ?? 0), "    "),
    ...resourceLines(container),
    ...probeLines(pod, container, pod.holdfast.probes).map(([label, text]) =>
      label === "" ? `${" ".repeat(17)}${text}` : field(label, text, "    "),
    ),
    ...(container.env?.length
      ? [field("Environment", container.env.map((variable) => variable.name).join(", "), "    ")]
      : []),
    ...(container.volumeMounts ?? []).map((mount) =>
      field("Mount", `${mount.mountPath} from ${mount.name} (${mount.readOnly ? "ro" : "rw"})`, "    "),
    ),
  ];
}

function stateLines(label: string, state: ContainerStateStatus | undefined): string[] {
  if (state?.running !== undefined) return [field(label, `Running since ${state.running.startedAt}`, "    ")];
  if (state?.terminated !== undefined) {
    const { reason, exitCode, signal, finishedAt, message } = state.terminated;
    const how = signal === undefined ? `exit code ${exitCode}` : `exit code ${exitCode}, signal ${signal}`;
    return [
      field(
        label,
        `Terminated: ${reason ?? ""} (${how})${finishedAt === undefined ? "" : ` at ${finishedAt}`}`,
        "    ",
      ),
      ...(message === undefined || message === ""
        ? []
        : [field("Message", message.trimEnd().replaceAll("\n", "\n" + " ".repeat(17)), "    ")]),
    ];
  }
  const { reason = "", message } = state?.waiting ?? {};
  return [
    field(
      label,
      `Waiting${reason === "" ? "" : `: ${reason}`}${message === undefined || message === "" ? "" : ` (${message})`}`,
      "    ",
    ),
  ];
}

function resourceLines(container: Container): string[] {
  return (["requests", "limits"] as const).flatMap((kind) => {
    const entries = Object.entries(container.resources?.[kind] ?? {});
    const label = kind === "requests" ? "Requests" : "Limits";
    return entries.length === 0
      ? []
      : [field(label, entries.map(([name, amount]) => `${name}=${amount}`).join(", "), "    ")];
  });
}

function volumes(pod: PodObject): string[] {
  const used = new Set(
    allContainers(pod.spec).flatMap((container) => container.volumeMounts?.map((mount) => mount.name) ?? []),
  );
  const lines = (pod.spec.volumes ?? []).map((volume) => {
    const kind =
      volume.hostPath !== undefined
        ? `hostPath ${volume.hostPath.path}${volume.hostPath.type ? ` (${volume.hostPath.type})` : ""}`
        : `emptyDir${volume.emptyDir?.medium === "Memory" ? " in memory" : ""}${volume.emptyDir?.sizeLimit === undefined ? "" : ` up to ${volume.emptyDir.sizeLimit}`}`;
    return `  ${volume.name}: ${kind}${used.has(volume.name) ? "" : " (not mounted)"}`;
  });
  return lines.length === 0 ? [] : ["Volumes:", ...lines];
}

function journalEvents(known: readonly KubeEvent[], now: number, columns: number): string[] {
  if (known.length === 0) return ["Events: none"];
  const table = formatKubeEvents(known.slice(-MAX_EVENTS), now, columns - 2);
  return ["Events:", ...table.split("\n").map((line) => `  ${line}`)];
}

function events(pod: PodObject, now: number): string[] {
  const known = pod.holdfast.events ?? [];
  if (known.length === 0) return ["Events: none since the agent started"];
  return [
    "Events:",
    ...known.map((event) =>
      `  ${formatAge(now - Date.parse(event.at)).padStart(6)} ago  ${event.type.padEnd(26)} ${event.text}`.trimEnd(),
    ),
  ];
}
