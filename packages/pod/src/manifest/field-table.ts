// SPDX-License-Identifier: Apache-2.0

/** How the table of a pod's fields is written. The table itself is `fields.ts`. */
import type { Json } from "./read-node.ts";

/** The types that fields of the Kubernetes API have. */
export type FieldType =
  | "string"
  | "int32"
  | "int64"
  | "bool"
  | "quantity"
  | "intOrString"
  | "stringMap"
  | "quantityMap"
  | "object"
  | "list"
  | "any";

/** What Holdfast does with a field. None is silently ignored. */
export type FieldStatus = "honoured" | "warned" | "refused";

/** One field of the API. */
export interface Field {
  readonly type: FieldType;
  readonly status: FieldStatus;
  /** Why the field is warned about or refused. */
  readonly reason?: string;
  /** Values that mean the same as leaving a refused or warned field out. */
  readonly inert?: readonly Json[];
  readonly required?: boolean;
  /** Fields of an object. */
  readonly fields?: Readonly<Record<string, Field>>;
  /** Elements of a list. */
  readonly items?: Field;
  /** Values that a string may have. */
  readonly values?: readonly string[];
  readonly min?: number;
  readonly max?: number;
  /** The value is never printed. */
  readonly secret?: boolean;
}

type Extra = Partial<Pick<Field, "required" | "values" | "min" | "max" | "secret">>;

const scalar =
  (type: FieldType) =>
  (extra: Extra = {}): Field => ({ type, status: "honoured", ...extra });

export const string: (extra?: Extra) => Field = scalar("string");
export const int32: (extra?: Extra) => Field = scalar("int32");
export const int64: (extra?: Extra) => Field = scalar("int64");
export const bool: (extra?: Extra) => Field = scalar("bool");
export const quantity: (extra?: Extra) => Field = scalar("quantity");
export const intOrString: (extra?: Extra) => Field = scalar("intOrString");
export const stringMap: (extra?: Extra) => Field = scalar("stringMap");
export const quantityMap: (extra?: Extra) => Field = scalar("quantityMap");

/** An object with these fields. */
export function object(fields: Readonly<Record<string, Field>>, extra: Extra = {}): Field {
  return { type: "object", status: "honoured", fields, ...extra };
}

/** A list of such elements. */
export function list(items: Field, extra: Extra = {}): Field {
  return { type: "list", status: "honoured", items, ...extra };
}

const NOTHING: readonly Json[] = [null, false, "", [], {}];

/** A field of the API that would not do what it says here, where ignoring it would be unsafe. */
export function refused(reason: string, ...inert: readonly Json[]): Field {
  return { type: "any", status: "refused", reason, inert: [...NOTHING, ...inert] };
}

/** A field of the API that has no effect here, which is safe. `field` still checks its types. */
export function warned(reason: string, field: Field = { type: "any", status: "honoured" }): Field {
  return { ...field, status: "warned", reason, inert: NOTHING };
}

/** Like {@link warned}, and these values say what is the case anyway. */
export function warnedUnless(reason: string, ...inert: readonly Json[]): Field {
  return { type: "any", status: "warned", reason, inert: [...NOTHING, ...inert] };
}
