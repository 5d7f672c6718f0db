// SPDX-License-Identifier: Apache-2.0

/** A column of a table: its head, and whether it may be cut when the terminal is narrow. */
export interface Column {
  readonly head: string;
  readonly shrinks?: boolean;
}

const GAP = 3;
/** A column that shrinks keeps at least this much. */
const MIN_WIDTH = 12;

/** Prints rows as kubectl does, cut to `width` columns where a column may shrink. The last column is never padded. */
export function formatTable(
  columns: readonly Column[],
  rows: readonly (readonly string[])[],
  width: number,
): string {
  const widths = columns.map((column, index) =>
    Math.max(column.head.length, ...rows.map((row) => (row[index] ?? "").length)),
  );
  let excess = widths.reduce((sum, one) => sum + one + GAP, -GAP) - width;
  for (let index = columns.length - 1; index >= 0 && excess > 0; index--) {
    const current = widths[index] ?? 0;
    if (columns[index]?.shrinks !== true || current <= MIN_WIDTH) continue;
    const next = Math.max(current - excess, MIN_WIDTH);
    excess -= current - next;
    widths[index] = next;
  }
  const line = (cells: readonly string[]): string =>
    cells
      .map((cell, index) => {
        const room = widths[index] ?? 0;
        const cut = cell.length > room ? `${cell.slice(0, Math.max(room - 1, 0))}…` : cell;
        return index === cells.length - 1 ? cut : cut.padEnd(room + GAP);
      })
      .join("")
      .trimEnd();
  return [line(columns.map((column) => column.head)), ...rows.map(line)].join("\n");
}
