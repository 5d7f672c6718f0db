// SPDX-License-Identifier: Apache-2.0

/**
 * The strategic merge patch that makes one status of another. Pure. kubelet: PatchPodStatus, strategicpatch.CreateTwoWayMergePatch.
 *
 * Lists with a merge key (conditions by type, addresses by themselves) are patched item by item, so that items of others are not touched; container statuses are
 * replaced as a whole, as the API defines them. `metadata.uid` makes the API server refuse it for any other pod of the same name.
 */
import { equalJson } from "@holdfast/core/equal-json";
import type { ApiPodStatus } from "../api-types.ts";
import { OWNED_CONDITIONS } from "../condition-owners.ts";

/** The body of a PATCH. */
export interface StatusPatch {
  readonly metadata: { readonly uid: string };
  readonly status: Readonly<Record<string, unknown>>;
}

type Fields = Readonly<Record<string, unknown>>;

/** Fields that the node writes. All others belong to somebody else, known to this version or not. */
const OWNED_FIELDS = [
  "observedGeneration",
  "phase",
  "conditions",
  "message",
  "reason",
  "hostIP",
  "hostIPs",
  "podIP",
  "podIPs",
  "startTime",
  "initContainerStatuses",
  "containerStatuses",
  "ephemeralContainerStatuses",
  "qosClass",
] as const;

const MERGE_KEYS: Readonly<Record<string, string>> = { conditions: "type", hostIPs: "ip", podIPs: "ip" };
/** Of a condition, what another of its type may have had. */
const CONDITION_FIELDS = ["reason", "message", "observedGeneration"] as const;

/** Undefined when there is nothing to change. `merged` must hold what others wrote too, as `mergePodStatus` makes it. */
export function computeStatusPatch(
  uid: string,
  api: ApiPodStatus,
  merged: ApiPodStatus,
): StatusPatch | undefined {
  const before: Fields = { ...api };
  const after: Fields = { ...merged };
  const status: Record<string, unknown> = {};
  for (const field of OWNED_FIELDS) {
    const old = before[field];
    const next = after[field];
    const key = MERGE_KEYS[field];
    if (key !== undefined) {
      const oldItems = (old ?? []) as readonly Fields[];
      Object.assign(status, listPatch(field, key, oldItems, (next ?? []) as readonly Fields[]));
    } else if (!equalJson(old, next)) status[field] = next ?? null;
  }
  return Object.keys(status).length === 0 ? undefined : { metadata: { uid }, status };
}

/**
 * For a pod of which nothing is known but its UID: every field that the node owns, with `null` for those that it has not. `leavesPhase`: what the API says of the
 * phase has to stay.
 */
export function computeWholeStatusPatch(uid: string, ours: ApiPodStatus, leavesPhase: boolean): StatusPatch {
  const fields: Fields = { ...ours };
  const status: Record<string, unknown> = {};
  for (const field of OWNED_FIELDS) {
    if (leavesPhase && (field === "phase" || field === "reason" || field === "message")) continue;
    status[field] = fields[field] ?? null;
  }
  const own = (ours.conditions ?? []).filter(({ type }) => OWNED_CONDITIONS.has(type));
  const types = new Set(own.map(({ type }) => type));
  const missing = [...OWNED_CONDITIONS].filter((type) => !types.has(type));
  const whole: readonly Fields[] = own.map((condition) => ({
    ...Object.fromEntries(CONDITION_FIELDS.map((field) => [field, null])),
    ...condition,
  }));
  status["conditions"] = [...whole, ...missing.map((type) => ({ $patch: "delete", type }))];
  return { metadata: { uid }, status };
}

function listPatch(field: string, key: string, olds: readonly Fields[], news: readonly Fields[]): Fields {
  const oldByKey = new Map(olds.map((item) => [item[key], item]));
  const changed = news.flatMap((item) => {
    const patch = itemPatch(key, oldByKey.get(item[key]), item);
    oldByKey.delete(item[key]);
    return patch === undefined ? [] : [patch];
  });
  const deleted = [...oldByKey.keys()].map((value) => ({ $patch: "delete", [key]: value }));
  // All that there will be: the API server keeps this order.
  const order = { [`$setElementOrder/${field}`]: news.map((item) => ({ [key]: item[key] })) };
  if (changed.length > 0 || deleted.length > 0) return { ...order, [field]: [...changed, ...deleted] };
  // Of addresses the first one is the primary one; conditions have no order.
  const moved = news.some((item, index) => item[key] !== olds[index]?.[key]);
  return field !== "conditions" && moved ? order : {};
}

/** The key and what differs; `null` takes a field away. */
function itemPatch(key: string, old: Fields | undefined, next: Fields): Fields | undefined {
  if (old === undefined) return next;
  const patch: Record<string, unknown> = {};
  for (const field of new Set([...Object.keys(old), ...Object.keys(next)]))
    if (!equalJson(old[field], next[field])) patch[field] = next[field] ?? null;
  return Object.keys(patch).length === 0 ? undefined : { ...patch, [key]: next[key] };
}
