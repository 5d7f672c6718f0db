// SPDX-License-Identifier: Apache-2.0

/** Lists containers and sandboxes of ours, also when there are too many for one answer. */
import { ContainerState, PodSandboxState } from "@holdfast/cri";
import type { Container, PodSandbox } from "@holdfast/cri";
import { holdfastErrorIn } from "@holdfast/core/errors";
import {
  CONTAINER_NAME_LABEL,
  POD_NAME_LABEL,
  POD_NAMESPACE_LABEL,
  POD_TERMINATION_GRACE_ANNOTATION,
  POD_UID_LABEL,
  RESTART_COUNT_ANNOTATION,
} from "@holdfast/core/names";
import type { ContainerGcRuntime } from "../ports.ts";
import type { GcContainer, GcSandbox } from "./container-gc-facts.ts";

const LIST_DEADLINE_MS = 60_000;
const DEFAULT_GRACE_SECONDS = 30;
const NANOS_PER_MS = 1_000_000n;

type Lister = Pick<ContainerGcRuntime, "listContainers" | "listPodSandbox">;
type Labels = Readonly<Record<string, string>>;

/** What the runtime has of ours. */
export interface Owned {
  readonly containers: readonly GcContainer[];
  readonly sandboxes: readonly GcSandbox[];
  /** The list of containers did not fit into one answer. */
  readonly tooLarge: boolean;
}

/** Rejects with what the runtime says. Two calls; when the containers do not fit into an answer, one more per sandbox. */
export async function listOwned(runtime: Lister, labelSelector: Labels, signal: AbortSignal): Promise<Owned> {
  const options = { signal, deadlineMs: LIST_DEADLINE_MS };
  const sandboxes = await listSandboxes(runtime, labelSelector, options);
  const list = async (podSandboxId: string): Promise<readonly Container[]> => {
    const filter = { labelSelector: { ...labelSelector }, podSandboxId };
    return (await runtime.listContainers({ filter }, options)).containers;
  };
  let containers: readonly Container[];
  let tooLarge = false;
  try {
    containers = await list("");
  } catch (error) {
    if (!isTooLarge(error)) throw error;
    tooLarge = true;
    const all: Container[] = [];
    for (const { id } of sandboxes) all.push(...(await list(id)));
    containers = all;
  }
  return {
    containers: containers.map(toGcContainer),
    sandboxes: sandboxes.map(toGcSandbox),
    tooLarge,
  };
}

async function listSandboxes(
  runtime: Lister,
  labelSelector: Labels,
  options: { readonly signal: AbortSignal; readonly deadlineMs: number },
): Promise<readonly PodSandbox[]> {
  const selector = { labelSelector: { ...labelSelector } };
  try {
    return (await runtime.listPodSandbox({ filter: selector }, options)).items;
  } catch (error) {
    if (!isTooLarge(error)) throw error;
    const halves: PodSandbox[] = [];
    for (const state of [PodSandboxState.SANDBOX_NOTREADY, PodSandboxState.SANDBOX_READY])
      halves.push(
        ...(await runtime.listPodSandbox({ filter: { ...selector, state: { state } } }, options)).items,
      );
    return halves;
  }
}

function isTooLarge(error: unknown): boolean {
  return holdfastErrorIn(error)?.code === "CRI_MESSAGE_TOO_LARGE";
}

const STATES: Readonly<Record<number, GcContainer["state"]>> = {
  [ContainerState.CONTAINER_CREATED]: "created",
  [ContainerState.CONTAINER_RUNNING]: "running",
  [ContainerState.CONTAINER_EXITED]: "exited",
};

function toGcContainer(container: Container): GcContainer {
  const { id, podSandboxId, metadata, state, createdAt, labels, annotations } = container;
  return {
    id,
    sandboxId: podSandboxId,
    name: labels[CONTAINER_NAME_LABEL] ?? metadata?.name ?? "",
    ...podOf(labels),
    state: STATES[state] ?? "unknown",
    createdAt: Number(createdAt / NANOS_PER_MS),
    attempt: wholeNumber(annotations[RESTART_COUNT_ANNOTATION]) ?? metadata?.attempt ?? 0,
    listBytes: estimateListBytes(container),
    graceSeconds: wholeNumber(annotations[POD_TERMINATION_GRACE_ANNOTATION]) ?? DEFAULT_GRACE_SECONDS,
  };
}

function toGcSandbox({ id, metadata, state, createdAt, labels }: PodSandbox): GcSandbox {
  return {
    id,
    ...podOf(labels),
    ready: state === PodSandboxState.SANDBOX_READY,
    createdAt: Number(createdAt / NANOS_PER_MS),
    attempt: metadata?.attempt ?? 0,
  };
}

function podOf(labels: Labels): { podUid: string; podName: string; podNamespace: string } {
  return {
    podUid: labels[POD_UID_LABEL] ?? "",
    podName: labels[POD_NAME_LABEL] ?? "",
    podNamespace: labels[POD_NAMESPACE_LABEL] ?? "",
  };
}

function wholeNumber(text: string | undefined): number | undefined {
  return text !== undefined && /^\d{1,9}$/.test(text) ? Number(text) : undefined;
}

/** Tags and lengths of a map's entry, and of a message's fields. */
const BYTES_PER_ENTRY = 8;
const BYTES_PER_MESSAGE = 48;

/** Its part of a ListContainers answer, near enough: encoding it would cost more than the list itself. */
export function estimateListBytes({
  id,
  podSandboxId,
  metadata,
  image,
  imageRef,
  imageId,
  labels,
  annotations,
}: Container): number {
  let bytes = BYTES_PER_MESSAGE + id.length + podSandboxId.length + imageRef.length + imageId.length;
  bytes +=
    (metadata?.name.length ?? 0) + (image?.image.length ?? 0) + (image?.userSpecifiedImage.length ?? 0);
  for (const map of [labels, annotations])
    for (const key in map) bytes += BYTES_PER_ENTRY + key.length + (map[key]?.length ?? 0);
  return bytes;
}
