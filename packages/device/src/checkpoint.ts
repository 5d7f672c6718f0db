// SPDX-License-Identifier: Apache-2.0

/**
 * The text of `kubelet_internal_checkpoint`: written in the kubelet's shape, read from it or from the kubelet's own. Pure.
 * The kubelet's checksum hangs on how Go prints its structures and is neither checked nor made; ours stands beside it.
 */
import { BinaryReader } from "@bufbuild/protobuf/wire";
import { HoldfastError } from "@holdfast/core/errors";
import { ContainerAllocateResponse } from "./gen/deviceplugin/v1beta1/deviceplugin.ts";
import { checkAnswers } from "./container-answer.ts";
import type { DeviceRecord } from "./pod-devices.ts";
import type { ContainerAnswer, PluginOptions } from "./ports.ts";

/** What outlives the agent. */
export interface DeviceState {
  readonly records: readonly DeviceRecord[];
  /** Resources that had a plugin, with what it offered when that is known. */
  readonly resources: ReadonlyMap<string, KnownPlugin>;
}

/** What is known of a resource's plugin. */
export interface KnownPlugin {
  readonly options?: PluginOptions | undefined;
  readonly socket?: KnownSocket | undefined;
}

/** The very socket on which a plugin registered. */
export interface KnownSocket {
  /** Its name in the plugin folder. */
  readonly name: string;
  /** See `PluginConnection.identity`. */
  readonly identity: string;
  readonly bootId: string;
}

interface PodDeviceEntry {
  readonly PodUID: string;
  readonly ContainerName: string;
  readonly ResourceName: string;
  readonly DeviceIDs: Readonly<Record<string, readonly string[]>>;
  readonly AllocResp: string;
}

interface CheckpointText {
  readonly Data: {
    readonly PodDeviceEntries: readonly PodDeviceEntry[] | null;
    readonly RegisteredDevices: Readonly<Record<string, readonly string[]>> | null;
  };
  readonly Checksum: number;
  /** Ours. */
  readonly Holdfast?: {
    readonly checksum: number;
    /** Of each entry, in the entries' order. */
    readonly bootIds: readonly string[];
    readonly options: Readonly<Record<string, PluginOptions>>;
    readonly sockets?: Readonly<Record<string, KnownSocket>>;
  };
}

/** The key of devices that are on no NUMA node. kubelet: nodeWithoutTopology. */
const NO_NODE = -1;

/** `healthy`: ids by resource, written for whoever reads the kubelet's file; never read back. */
export function writeCheckpoint(
  state: DeviceState,
  healthy: (resource: string) => readonly string[],
): string {
  const entries = state.records.map((record): PodDeviceEntry => ({
    PodUID: record.podUid,
    ContainerName: record.container,
    ResourceName: record.resource,
    DeviceIDs: idsByNode(record),
    AllocResp: encodeAnswer(record.answer),
  }));
  const registered = [...state.resources.keys()].map((name) => [name, healthy(name)] as const);
  const data = { PodDeviceEntries: entries, RegisteredDevices: Object.fromEntries(registered) };
  const own = {
    bootIds: state.records.map(({ bootId }) => bootId),
    options: Object.fromEntries(
      [...state.resources].flatMap(([name, { options }]) => (options === undefined ? [] : [[name, options]])),
    ),
    sockets: Object.fromEntries(
      [...state.resources].flatMap(([name, { socket }]) => (socket === undefined ? [] : [[name, socket]])),
    ),
  };
  const checksum = checksumOf(data, own);
  const text: CheckpointText = { Data: data, Checksum: 0, Holdfast: { checksum, ...own } };
  return JSON.stringify(text);
}

/** Throws `permanent` (DEVICE_CHECKPOINT) when the text is damaged. `bootId` of a kubelet's records is "": another boot. */
export function readCheckpoint(text: string): DeviceState {
  try {
    const { Data: data, Holdfast: own } = JSON.parse(text) as CheckpointText;
    if (own !== undefined && own.checksum !== checksumOf(data, own))
      throw new Error("its checksum does not fit");
    const records = (data.PodDeviceEntries ?? []).map((entry, index) =>
      readEntry(entry, own?.bootIds[index] ?? ""),
    );
    const names = Object.keys(data.RegisteredDevices ?? {});
    const known = (name: string): KnownPlugin => ({
      options: own?.options[name],
      socket: own?.sockets?.[name],
    });
    return { records, resources: new Map(names.map((name) => [name, known(name)])) };
  } catch (cause) {
    const message = `the device checkpoint is damaged: ${cause instanceof Error ? cause.message : String(cause)}`;
    throw new HoldfastError("DEVICE_CHECKPOINT", "permanent", message, { cause });
  }
}

/** A file of an agent that kept no sockets has no word of them. */
function checksumOf(
  data: CheckpointText["Data"],
  { bootIds, options, sockets }: Omit<NonNullable<CheckpointText["Holdfast"]>, "checksum">,
): number {
  return fnv1a(JSON.stringify([data, bootIds, options, ...(sockets === undefined ? [] : [sockets])]));
}

function readEntry(entry: PodDeviceEntry, bootId: string): DeviceRecord {
  const numaNodes = new Map<string, number[]>();
  for (const [key, ids] of Object.entries(entry.DeviceIDs)) {
    const node = Number(key);
    if (!Number.isInteger(node)) throw new Error(`${JSON.stringify(key)} is no NUMA node`);
    for (const id of ids) {
      const nodes = numaNodes.get(id) ?? [];
      if (node !== NO_NODE) nodes.push(node);
      numaNodes.set(id, nodes);
    }
  }
  const ids = [...numaNodes.keys()];
  for (const text of [entry.PodUID, entry.ContainerName, entry.ResourceName])
    if (typeof text !== "string" || text === "") throw new Error("an entry has no owner");
  return {
    podUid: entry.PodUID,
    container: entry.ContainerName,
    resource: entry.ResourceName,
    ids,
    numaNodes,
    answer: checkAnswers([decodeAnswer(entry.AllocResp)], ids),
    bootId,
  };
}

function idsByNode({ ids, numaNodes }: DeviceRecord): Record<string, readonly string[]> {
  const byNode: Record<string, string[]> = {};
  for (const id of ids) {
    const nodes = numaNodes.get(id) ?? [];
    for (const node of nodes.length === 0 ? [NO_NODE] : nodes) (byNode[String(node)] ??= []).push(id);
  }
  return byNode;
}

function encodeAnswer(answer: ContainerAnswer): string {
  const message = ContainerAllocateResponse.fromPartial({
    envs: { ...answer.envs },
    mounts: [...answer.mounts],
    devices: [...answer.devices],
    annotations: { ...answer.annotations },
    cdiDevices: answer.cdiDevices.map((name) => ({ name })),
  });
  return Buffer.from(ContainerAllocateResponse.encode(message).finish()).toString("base64");
}

function decodeAnswer(text: string): ContainerAnswer {
  return answerOf(ContainerAllocateResponse.decode(new BinaryReader(Buffer.from(text, "base64"))));
}

/** From the wire's form. */
export function answerOf(message: ContainerAllocateResponse): ContainerAnswer {
  const { envs, mounts, devices, annotations, cdiDevices } = message;
  return { envs, mounts, devices, annotations, cdiDevices: cdiDevices.map(({ name }) => name) };
}

const FNV_OFFSET = 0x811c9dc5;
const FNV_PRIME = 0x01000193;

function fnv1a(text: string): number {
  let hash = FNV_OFFSET;
  for (let index = 0; index < text.length; index++)
    hash = Math.imul(hash ^ text.charCodeAt(index), FNV_PRIME);
  return hash >>> 0;
}
