// SPDX-License-Identifier: Apache-2.0

/** One line of the result. */
export interface Row {
  readonly work: string;
  readonly floor?: number | undefined;
  readonly measured: number | undefined;
  readonly unit: "ms" | "s" | "%" | "MB";
  /** What DESIGN.md asks for at this number of pods, if it does. */
  readonly target?: { readonly text: string; readonly reached: boolean } | undefined;
}

/** A target as a multiple of the floor. */
export function timesFloor(
  measured: number | undefined,
  floor: number | undefined,
  factor: number,
): Row["target"] {
  if (measured === undefined || floor === undefined) return undefined;
  return { text: `≤ ${factor} × floor`, reached: measured <= factor * floor };
}

/** A target as a number. */
export function atMost(measured: number | undefined, limit: number, unit: Row["unit"]): Row["target"] {
  if (measured === undefined) return undefined;
  return { text: `≤ ${limit} ${unit}`, reached: measured <= limit };
}

/** Markdown, so that it can go into docs/benchmarks.md as it is. */
export function formatTable(rows: readonly Row[]): string {
  const number = (value: number | undefined, unit: Row["unit"]): string =>
    value === undefined ? "-" : `${value.toFixed(unit === "ms" || unit === "MB" ? 0 : 2)} ${unit}`;
  const cells = rows.map((row) => [
    row.work,
    number(row.floor, row.unit),
    number(row.measured, row.unit),
    row.floor === undefined || row.measured === undefined ? "-" : (row.measured / row.floor).toFixed(2),
    row.target === undefined ? "-" : `${row.target.text} ${row.target.reached ? "reached" : "MISSED"}`,
  ]);
  const all = [
    ["work", "floor", "Holdfast", "ratio", "target"],
    ["---", "---", "---", "---", "---"],
    ...cells,
  ];
  return all.map((line) => `| ${line.join(" | ")} |`).join("\n");
}

/** The value below which half (or another share) of the samples lie. */
export function quantile(samples: readonly number[], share: number): number | undefined {
  const sorted = samples.toSorted((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.ceil(share * sorted.length) - 1)];
}
