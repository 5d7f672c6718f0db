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

/** What of a text fits a screen that shows it from its first line on; the last line says how much is left out. */
export function fitRows(text: string, screen: { readonly columns: number; readonly rows: number }): string {
  const lines = text.split("\n");
  const heights = lines.map((line) => Math.max(1, Math.ceil(line.length / screen.columns)));
  // The cursor stands on a line of its own below.
  let room = screen.rows - 1;
  if (heights.reduce((sum, height) => sum + height, 0) <= room) return text;
  room -= 1;
  let shown = 0;
  for (const height of heights) {
    if (height > room) break;
    room -= height;
    shown += 1;
  }
  return [...lines.slice(0, shown), `… ${lines.length - shown} more lines; make the terminal larger`].join(
    "\n",
  );
}
