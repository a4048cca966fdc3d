/** What a file of JSON lines holds though a full disk or a crash has cut some of them. */

export interface Read<Line> {
  readonly lines: readonly Line[]
  /** Parts of lines that could not be read. */
  readonly skipped: number
}

/** How each line begins. In the text of a value its quotes would be escaped, so that it stands nowhere else. */
const start = '{"kind":"'

/**
 * Every whole line, in order. Where a torn line and the next one have become one, as programs that append without a look leave
 * it, the next one is found in it. `parse` gives `undefined` for what is no line.
 */
export function readLines<Line>(text: string, parse: (line: string) => Line | undefined): Read<Line> {
  const lines: Line[] = []
  let skipped = 0
  for (const whole of text.split('\n')) {
    if (whole === '') continue
    const found = lineIn(whole, parse)
    if (found) lines.push(found.line)
    if (!found || found.at > 0) skipped += 1
  }
  return { lines, skipped }
}

function lineIn<Line>(text: string, parse: (line: string) => Line | undefined): { line: Line; at: number } | undefined {
  for (let at = 0; at >= 0; at = text.indexOf(start, at + 1)) {
    const line = parse(text.slice(at))
    if (line !== undefined) return { line, at }
  }
  return undefined
}
