// Rows in columns, for a terminal.

/** A head in capitals, and a line for each row. */
export function formatTable<Column extends string>(rows: readonly Readonly<Record<Column, string>>[], columns: readonly Column[]): string {
  const widths = columns.map((column) => Math.max(column.length, ...rows.map((row) => row[column].length)))
  const line = (cells: readonly string[]): string => `${cells.map((cell, index) => cell.padEnd(widths[index] ?? 0)).join('  ').trimEnd()}\n`
  return line(columns.map((column) => column.toUpperCase())) + rows.map((row) => line(columns.map((column) => row[column]))).join('')
}
