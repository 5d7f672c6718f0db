// SPDX-License-Identifier: Apache-2.0

import type { Field, FieldStatus, FieldType } from "./field-table.ts";
import { podFields } from "./fields.ts";

/** One field of `v1.Pod`, and what Holdfast does with it. */
export interface PodField {
  /** As in messages, with `[]` for each list: `spec.containers[].env[].name`. */
  readonly path: string;
  readonly type: FieldType;
  readonly status: FieldStatus;
  /** Why it is refused, or has no effect. */
  readonly reason?: string;
  /** Its parts stand in the list, too. */
  readonly hasParts: boolean;
}

/** Every field that a manifest may name, in the order of the table; what stands below one that is refused is not listed. */
export function listPodFields(): readonly PodField[] {
  return listParts(podFields, "");
}

function listParts(field: Field, path: string): readonly PodField[] {
  return Object.entries(field.fields ?? {}).flatMap(([name, part]) => {
    const inner = part.type === "list" ? (part.items ?? part) : part;
    const at = `${path === "" ? "" : `${path}.`}${name}${part.type === "list" ? "[]" : ""}`;
    const parts = part.status === "honoured" ? listParts(inner, at) : [];
    const { status, reason } = part;
    const own = { path: at, type: inner.type, status, hasParts: parts.length > 0 };
    return [reason === undefined ? own : { ...own, reason }, ...parts];
  });
}
