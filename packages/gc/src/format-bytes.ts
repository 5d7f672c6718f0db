// SPDX-License-Identifier: Apache-2.0

const UNITS = ["KiB", "MiB", "GiB", "TiB"] as const;
const STEP = 1024;

/** 512 B, 1.5 KiB, 10.0 GiB. kubelet: formatSize. */
export function formatBytes(bytes: number): string {
  if (bytes < STEP) return `${bytes} B`;
  let value = bytes;
  let unit = "";
  for (const next of UNITS) {
    if (value < STEP) break;
    value /= STEP;
    unit = next;
  }
  return `${value.toFixed(1)} ${unit}`;
}
