/** Lines that are kept: enough for an operator who looks at a busy proxy every second. */
const mostLines = 1_000
const mostBytes = 1 << 20

/**
 * The last lines of audit, for operators who ask the running proxy. They are bytes outside the heap: a thousand records as objects are
 * copied by each collection of the young ones, which cost a busy proxy a seventh of its time.
 */
export class Recent {
  #bytes: Buffer | undefined
  /** Where each line begins and ends, counted over all that was ever added. */
  readonly #starts = new Float64Array(mostLines)
  readonly #ends = new Float64Array(mostLines)
  #end = 0
  #lines = 0

  /** Adds a line of ASCII; the oldest go. */
  add(line: Uint8Array): void {
    if (line.length > mostBytes) return
    const bytes = (this.#bytes ??= Buffer.allocUnsafeSlow(mostBytes))
    // A line stands in one piece: the end of the buffer stays free where it does not fit.
    const room = mostBytes - (this.#end % mostBytes)
    const start = room < line.length ? this.#end + room : this.#end
    bytes.set(line, start % mostBytes)
    this.#end = start + line.length
    const place = this.#lines % mostLines
    this.#starts[place] = start
    this.#ends[place] = this.#end
    this.#lines += 1
  }

  /** Those that were written after the record of this id, oldest first; all where it is not known any more. */
  after(id: string | undefined): readonly string[] {
    const lines: string[] = []
    for (let line = Math.max(0, this.#lines - mostLines); line < this.#lines; line += 1) {
      const [start, end] = [this.#starts[line % mostLines] ?? 0, this.#ends[line % mostLines] ?? 0]
      const at = start % mostBytes
      if (start >= this.#end - mostBytes) lines.push(this.#bytes?.toString('latin1', at, at + end - start) ?? '')
    }
    if (id === undefined) return lines
    return lines.slice(lines.findIndex((line) => line.startsWith(`{"id":${JSON.stringify(id)},`)) + 1)
  }
}
