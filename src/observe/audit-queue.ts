import type { Audit, AuditRecord } from '#contracts/audit-record.ts'
import { writeAuditLine } from './audit-line.ts'
import { LineBuffer } from './line-buffer.ts'
import type { Sink } from './sinks.ts'

export interface AuditLogOptions {
  /** Told how each record fared: `ok` is on the sink, `dropped` is lost, `error` is an attempt that will be made again. */
  readonly onResult?: (result: 'ok' | 'error' | 'dropped', records: number) => void
  /** Told when the sink takes nothing any more, and why, and `undefined` when it does again; once each. */
  readonly onTrouble?: (error: unknown) => void
  /** Told when records begin to be dropped, and when the sink takes all of them again. */
  readonly onDropping?: (dropping: boolean) => void
  /** Most bytes kept while the sink takes none; further records are dropped. */
  readonly queueBytes?: number
  /** Longest time `close` waits for a sink that takes nothing, in milliseconds. */
  readonly closeTimeoutMs?: number
}

interface Batch {
  readonly bytes: Buffer
  readonly records: number
}

const batchBytes = 256 * 1024
const batchMs = 50
const retryMs = 1000

/**
 * Writes audit records to a sink, in order, in batches of 256 KiB or 50 ms. `write` never waits: when the sink stalls,
 * records queue up to a bound, and past it they are dropped, counted, and `healthy` is false until the sink moves again.
 */
export class AuditQueue implements Audit {
  readonly #sink: Sink
  readonly #onResult: NonNullable<AuditLogOptions['onResult']>
  readonly #onTrouble: NonNullable<AuditLogOptions['onTrouble']>
  readonly #onDropping: NonNullable<AuditLogOptions['onDropping']>
  readonly #queueBytes: number
  readonly #closeTimeoutMs: number
  readonly #lines = new LineBuffer(64 * 1024)
  /** Records in `#lines`. */
  #records = 0
  #batches: Batch[] = []
  #queuedBytes = 0
  #depth = 0
  #timer: NodeJS.Timeout | undefined
  #draining = false
  #drained: Promise<void> = Promise.resolve()
  #reopen = false
  #troubled = false
  #failing = false
  #dropping = false
  #closed = false
  #wake: (() => void) | undefined

  constructor(sink: Sink, options: AuditLogOptions = {}) {
    this.#sink = sink
    this.#onResult = options.onResult ?? (() => {})
    this.#onTrouble = options.onTrouble ?? (() => {})
    this.#onDropping = options.onDropping ?? (() => {})
    this.#queueBytes = options.queueBytes ?? 8 * 1024 * 1024
    this.#closeTimeoutMs = options.closeTimeoutMs ?? 5000
  }

  /** Records not yet on the sink. */
  get depth(): number {
    return this.#depth
  }

  /** Records are lost, from the first on until the sink has taken a batch. */
  get dropping(): boolean {
    return this.#dropping
  }

  /** A quarter of the queue is left, for the records of what runs. */
  get full(): boolean {
    return this.#queuedBytes > this.#queueBytes * 0.75
  }

  /** `false` from a dropped record or a failed write on until a batch was written again. */
  get healthy(): boolean {
    return !this.#troubled
  }

  write(record: AuditRecord): void {
    const before = this.#lines.length
    writeAuditLine(record, this.#lines)
    this.#ended(before)
  }

  /** The same record as the bytes of its line. */
  append(line: Uint8Array): void {
    const before = this.#lines.length
    this.#lines.put(line)
    this.#ended(before)
  }

  /** One line of printable ASCII, as it stands. */
  put(text: string): void {
    const before = this.#lines.length
    this.#lines.raw(text)
    this.#ended(before)
  }

  /** Resolves when all that was written before is on the sink, and on disk where the sink is a file. */
  async flush(): Promise<void> {
    this.#send()
    await this.#drained
    await this.#sink.sync()
  }

  /** Goes on in a new file of the same name, with what is still queued; what was written stays in the old one. */
  reopen(): void {
    this.#send()
    this.#reopen = true
    this.#pump()
  }

  /** Flushes and closes. A sink that takes nothing is left after a while, and what it did not take counts as dropped. */
  async close(): Promise<void> {
    if (this.#closed) return
    this.#closed = true
    const { promise: late, resolve } = Promise.withResolvers<void>()
    const timer = setTimeout(resolve, this.#closeTimeoutMs)
    this.#wake?.()
    await Promise.race([this.flush().catch(() => {}), late])
    clearTimeout(timer)
    if (this.#depth > 0) this.#onResult('dropped', this.#depth)
    // A close behind a write that never returns would never return either.
    if (!this.#draining) await this.#sink.close().catch(() => {})
  }

  /** A line was written behind `before`: it stays if there is room for it. */
  #ended(before: number): void {
    this.#lines.raw('\n')
    const bytes = this.#lines.length - before
    if (this.#closed || this.#queuedBytes + bytes > this.#queueBytes) {
      this.#lines.cut(before)
      this.#troubled = true
      if (!this.#dropping) this.#onDropping(true)
      this.#dropping = true
      this.#onResult('dropped', 1)
      return
    }
    this.#records += 1
    this.#queuedBytes += bytes
    this.#depth += 1
    if (this.#lines.length >= batchBytes) this.#send()
    else this.#timer ??= setTimeout(() => this.#send(), batchMs)
  }

  #send(): void {
    clearTimeout(this.#timer)
    this.#timer = undefined
    if (this.#records > 0) {
      this.#batches.push({ bytes: this.#lines.take(), records: this.#records })
      this.#records = 0
    }
    this.#pump()
  }

  #pump(): void {
    if (this.#draining || (this.#batches.length === 0 && !this.#reopen)) return
    this.#draining = true
    this.#drained = this.#drain()
  }

  /** Never rejects: a batch that fails is tried again until it is written or the log is closed. */
  async #drain(): Promise<void> {
    let offset = 0
    while (this.#batches.length > 0 || this.#reopen) {
      try {
        if (this.#reopen) {
          this.#reopen = false
          // A batch that stuck halfway goes whole into the new file: a line twice is better than half a line.
          offset = 0
          await this.#sink.reopen()
        }
        const batch = this.#batches[0]
        if (!batch) break
        while (offset < batch.bytes.length) offset += await this.#sink.write(batch.bytes.subarray(offset))
        offset = 0
        this.#batches.shift()
        this.#queuedBytes -= batch.bytes.length
        this.#depth -= batch.records
        this.#troubled = false
        if (this.#failing) this.#onTrouble(undefined)
        if (this.#dropping) this.#onDropping(false)
        this.#dropping = false
        this.#failing = false
        this.#onResult('ok', batch.records)
      } catch (error) {
        this.#troubled = true
        if (!this.#failing) this.#onTrouble(error)
        this.#failing = true
        this.#onResult('error', this.#batches[0]?.records ?? 0)
        if (this.#closed) break
        await this.#pause()
      }
    }
    this.#draining = false
  }

  /** Waits before the next attempt, or until the log is closed. */
  async #pause(): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>()
    const timer = setTimeout(resolve, retryMs)
    timer.unref()
    this.#wake = resolve
    await promise
    clearTimeout(timer)
    this.#wake = undefined
  }
}
