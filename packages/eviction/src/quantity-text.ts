// SPDX-License-Identifier: Apache-2.0

/** Prints whole numbers as Kubernetes prints quantities: with the largest suffix that leaves a whole number. */
import { wholeValue } from "@holdfast/core/quantity";
import type { QuantityFormat } from "./signals.ts";

const BINARY = ["", "Ki", "Mi", "Gi", "Ti", "Pi", "Ei"];
const DECIMAL = ["", "k", "M", "G", "T", "P", "E"];

/** 1572864000 -> `1500Mi`, or `1572864k` in decimal. Below 1024 without a suffix. kubelet: Quantity.String, with BinarySI and DecimalSI. */
export function formatQuantity(value: number, format: QuantityFormat): string {
  const isBinary = format === "binary" && Math.abs(value) >= 1024;
  const base = isBinary ? 1024 : 1000;
  const suffixes = isBinary ? BINARY : DECIMAL;
  let [rest, index] = [value, 0];
  while (rest !== 0 && rest % base === 0 && index < suffixes.length - 1) {
    rest /= base;
    index += 1;
  }
  return `${rest}${suffixes[index]}`;
}

/** A quantity of a manifest in its canonical form: `0.5Gi` -> `512Mi`. */
export function canonicalQuantity(quantity: string | number): string {
  return formatQuantity(wholeValue(quantity), String(quantity).endsWith("i") ? "binary" : "decimal");
}
