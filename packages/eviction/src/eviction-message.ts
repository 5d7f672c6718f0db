// SPDX-License-Identifier: Apache-2.0

/** What is said of an eviction. Pure. kubelet: evictionMessage, getOffendingContainers annotations. */
import { allContainers } from "@holdfast/core/pod";
import type { Pod } from "@holdfast/core/pod-types";
import { wholeValue } from "@holdfast/core/quantity";
import { podLevelQuantity, requestQuantity } from "./pod-requests.ts";
import type { ContainerFigures, PodFigures } from "./ports.ts";
import { canonicalQuantity, formatQuantity } from "./quantity-text.ts";
import { isPressureSignal, signalFacts } from "./signals.ts";
import type { StarvedResource } from "./signals.ts";
import { describeThreshold, thresholdAmount } from "./threshold.ts";
import type { SignalObservation, SignalObservations, Threshold } from "./threshold.ts";

/** kubelet: the reason of an eviction, in status and event. */
export const EVICTED = "Evicted" as const;

/** What a message is made from. */
export interface MessageInput {
  readonly resource: StarvedResource;
  readonly pod: Pod;
  /** Undefined: nothing is known of the pod, and there are no annotations. */
  readonly figures: PodFigures | undefined;
  /** All that have to be acted on, most urgent first. */
  readonly thresholds: readonly Threshold[];
  readonly observations: SignalObservations;
}

/** The text, and what goes into the event's annotations. */
export interface EvictionMessage {
  readonly message: string;
  /** kubelet: starved_resource, offending_containers, offending_containers_usage, offending_pod, offending_pod_usage. */
  readonly annotations: Readonly<Record<string, string>>;
}

/** Each sentence ends with a space, as the kubelet's do. */
export function evictionMessage(input: MessageInput): EvictionMessage {
  const { resource, pod, figures } = input;
  let message = `The node was low on resource: ${resource}. ${thresholdText(input)}`;
  const annotations: Record<string, string> = {};
  if (figures === undefined) return { message, annotations };
  const podLevel = resource === "memory" ? podLevelQuantity(pod, "memory") : undefined;
  if (podLevel !== undefined) {
    const used = figures.memory?.workingSetBytes ?? 0;
    if (used > wholeValue(podLevel)) {
      const usage = formatQuantity(used, "binary");
      message += `Pod ${pod.metadata.name} was using ${usage}, request is ${canonicalQuantity(podLevel)}, has larger consumption of ${resource}. `;
      annotations["offending_pod"] = pod.metadata.name;
      annotations["offending_pod_usage"] = usage;
    }
  }
  const offenders = offendingContainers(resource, pod, figures);
  for (const { name, usage, request } of offenders)
    message += `Container ${name} was using ${usage}, request is ${request}, has larger consumption of ${resource}. `;
  annotations["offending_containers"] = offenders.map(({ name }) => name).join(",");
  annotations["offending_containers_usage"] = offenders.map(({ usage }) => usage).join(",");
  annotations["starved_resource"] = resource;
  return { message, annotations };
}

function thresholdText({ resource, thresholds, observations }: MessageInput): string {
  const threshold = thresholds.find(({ signal }) => signalFacts(signal)?.resource === resource);
  const observation = threshold === undefined ? undefined : observations.get(threshold.signal);
  return threshold === undefined || observation === undefined
    ? ""
    : thresholdSentence(threshold, observation);
}

/** `Threshold quantity: 2Gi, available: 1500Mi. ` */
export function thresholdSentence(threshold: Threshold, { available, capacity }: SignalObservation): string {
  const { signal, value } = threshold;
  if (isPressureSignal(signal))
    return `Threshold: ${describeThreshold(threshold)}, time lost: ${Number((100 - available).toFixed(2))}%. `;
  // kubelet: a part of the capacity is always written in binary.
  const format = value.kind === "quantity" ? value.format : "binary";
  const seen = formatQuantity(available, signalFacts(signal)?.format ?? "binary");
  return `Threshold quantity: ${formatQuantity(thresholdAmount(value, capacity), format)}, available: ${seen}. `;
}

interface Offender {
  readonly name: string;
  readonly usage: string;
  readonly request: string;
}

/** Containers that use more than they asked for, in the order of the figures. */
function offendingContainers(resource: StarvedResource, pod: Pod, figures: PodFigures): readonly Offender[] {
  if (resource !== "memory" && resource !== "ephemeral-storage") return [];
  const specs = new Map(allContainers(pod.spec).map((container) => [container.name, container]));
  return figures.containers.flatMap((container): Offender[] => {
    const spec = specs.get(container.name);
    const used = spec === undefined ? undefined : usageOf(resource, container);
    if (spec === undefined || used === undefined) return [];
    const request = requestQuantity(spec.resources, resource) ?? 0;
    if (used <= wholeValue(request)) return [];
    return [
      { name: container.name, usage: formatQuantity(used, "binary"), request: canonicalQuantity(request) },
    ];
  });
}

function usageOf(
  resource: "memory" | "ephemeral-storage",
  { memory, rootfs, logs }: ContainerFigures,
): number | undefined {
  if (resource === "memory") return memory?.workingSetBytes;
  const [layer, log] = [rootfs?.usedBytes, logs?.usedBytes];
  return layer === undefined || log === undefined ? undefined : layer + log;
}
