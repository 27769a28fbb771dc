// Numbers, times and foreign text, as people read them.

const numbers = new Intl.NumberFormat('en-US')

export function count(number: number): string {
  return numbers.format(number)
}

export function counted(number: number, noun: string, nouns = `${noun}s`): string {
  return `${count(number)} ${number === 1 ? noun : nouns}`
}

export function duration(ms: number): string {
  if (ms < 10) return `${ms.toFixed(2)} ms`
  if (ms < 1000) return `${ms.toFixed(0)} ms`
  return ms < 60_000
    ? `${(ms / 1000).toFixed(1)} s`
    : `${Math.floor(ms / 60_000)} min ${Math.round((ms % 60_000) / 1000)} s`
}

export function bytes(number: number): string {
  if (number < 1024) return `${number} B`
  const units = ['KiB', 'MiB', 'GiB', 'TiB']
  const power = Math.min(Math.floor(Math.log2(number) / 10), units.length)
  return `${(number / 1024 ** power).toFixed(1)} ${units[power - 1]}`
}

export function day(date: Date): string {
  return date.toISOString().slice(0, 10)
}

/** Text from elsewhere on one line, without anything that a terminal would obey. */
export function printable(text: string, longest = Number.POSITIVE_INFINITY): string {
  const safe = text.replace(/[\p{Cc}\p{Cf}\u2028\u2029]/gu, (character) =>
    JSON.stringify(character).length > 3
      ? JSON.stringify(character).slice(1, -1)
      : `\\u{${character.codePointAt(0)?.toString(16)}}`,
  )
  const characters = [...safe]
  return characters.length <= longest ? safe : `${characters.slice(0, longest - 1).join('')}…`
}

/** Rows with their columns aligned: numbers to the right, the last column as it is. */
export function table(rows: readonly (readonly (string | number)[])[]): string[] {
  const columns = Math.max(0, ...rows.map((row) => row.length))
  const widths = Array.from({ length: columns }, (_, column) =>
    Math.max(0, ...rows.map((row) => String(row[column] ?? '').length)),
  )
  return rows.map((row) =>
    row
      .map((cell, column) => {
        if (typeof cell === 'number') return count(cell).padStart(widths[column] ?? 0)
        return column === columns - 1 ? cell : cell.padEnd(widths[column] ?? 0)
      })
      .join('  ')
      .trimEnd(),
  )
}
