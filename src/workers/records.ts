import type { Audit, AuditRecord } from '#contracts/audit-record.ts'
import { LineParts, writeAuditLine } from '#observe/audit-line.ts'
import { LineBuffer } from '#observe/line-buffer.ts'

/** Lines of audit, one behind the other, and where each ends: a message of bytes is copied, one of objects is taken apart. */
export interface Lines {
  readonly bytes: Uint8Array
  readonly ends: readonly number[]
}

/** Milliseconds and bytes after which lines go: a thread that fails takes no more with it, and each message wakes the other thread. */
const patience = 10
const most = 32 * 1024

/** Audit records on their way to the thread that keeps them: many in one message, which costs a fraction of as many. */
export class Records implements Audit {
  /** As the thread that keeps them says. */
  refuses = false
  readonly #send: (lines: Lines) => void
  readonly #buffer = new LineBuffer(16 * 1024)
  readonly #parts = new LineParts()
  #ends: number[] = []
  #timer: NodeJS.Timeout | undefined

  constructor(send: (lines: Lines) => void) {
    this.#send = send
  }

  write(record: AuditRecord): void {
    writeAuditLine(record, this.#buffer, this.#parts)
    this.#ends.push(this.#buffer.length)
    if (this.#buffer.length >= most) this.flush()
    else this.#timer ??= setTimeout(() => this.flush(), patience)
  }

  flush(): void {
    clearTimeout(this.#timer)
    this.#timer = undefined
    if (this.#ends.length === 0) return
    this.#send({ bytes: this.#buffer.take(), ends: this.#ends })
    this.#ends = []
  }
}

/** Each of the lines. */
export function* linesOf({ bytes, ends }: Lines): Generator<Uint8Array> {
  for (const [i, end] of ends.entries()) yield bytes.subarray(ends[i - 1] ?? 0, end)
}
