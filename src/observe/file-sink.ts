/** The audit file: appended to, rotated, and chained where the settings say so. */
import type { KeyObject } from 'node:crypto'
import { open, stat, type FileHandle } from 'node:fs/promises'
import { genesis, linked, linkIn } from './chain.ts'
import type { Link } from './chain.ts'
import { moveAway, removeOld } from './rotation.ts'
import type { FileRotation } from './rotation.ts'
import { addHead, headsFile, isSigned, openSignKey, readHeads, signHead } from './signed-heads.ts'
import type { Head, HeadReason } from './signed-heads.ts'
import type { Sink } from './sinks.ts'

export interface ChainOptions {
  /** File of the key that signs; made where there is none. */
  readonly key: string
  /** The user we run as. */
  readonly uid?: number | undefined
  /** Most lines and seconds between two heads. */
  readonly every: { readonly records: number; readonly seconds: number }
  /** Each head, for whoever keeps it elsewhere; `lost`: lines that a head counts and the file has no more. */
  readonly onHead?: (head: Head, lost: number) => void
}

export interface FileSinkOptions {
  readonly rotation?: FileRotation | undefined
  readonly chain?: ChainOptions | undefined
}

/** Milliseconds between two looks whether the file still has its name, and whether old files are due. */
const lookMs = 1000
const pruneMs = 3_600_000

/**
 * Appends to a file, which is made with mode 0600. It is opened with the first write, so that a full disk is no crash, and anew when
 * it was moved or deleted: logrotate needs no signal.
 */
export function fileSink(path: string, { rotation, chain }: FileSinkOptions = {}): Sink {
  let file: FileHandle | undefined
  let size = 0
  let lookedAt = 0
  let prunedAt = -Infinity
  const heads = chain && new Heads(path, chain)
  const isMoved = async (opened: FileHandle): Promise<boolean> => {
    if (performance.now() - lookedAt < lookMs) return false
    lookedAt = performance.now()
    const [ours, named] = await Promise.all([opened.stat(), stat(path).catch(() => undefined)])
    return ours.ino !== named?.ino || ours.dev !== named.dev
  }
  const close = async (): Promise<void> => {
    const closing = file
    file = undefined
    await closing?.close()
  }
  const opened = async (): Promise<FileHandle> => {
    await heads?.start()
    const made = await open(path, 'a+', 0o600)
    size = (await made.stat()).size
    if (heads) size += await endLine(made, size)
    return (file = made)
  }
  const rotate = async (ending: FileHandle): Promise<FileHandle> => {
    await heads?.sign('rotate', ending)
    await ending.datasync()
    await close()
    await moveAway(path, Date.now())
    return opened()
  }
  const prune = async (): Promise<void> => {
    if (!rotation || performance.now() - prunedAt < pruneMs) return
    prunedAt = performance.now()
    // What cannot be removed keeps no record from being written.
    await removeOld(path, rotation, Date.now()).catch(() => {})
  }
  const append = async (bytes: Buffer, whole: boolean): Promise<number> => {
    let to = file ?? (await opened())
    if (rotation && rotation.bytes > 0 && size > 0 && size + bytes.length > rotation.bytes) {
      to = await rotate(to)
      prunedAt = -Infinity
    }
    await prune()
    let offset = 0
    try {
      const least = whole ? bytes.length : 1
      while (offset < least) offset += (await to.write(bytes, offset)).bytesWritten
    } catch (error) {
      // Half a batch has links that the next attempt makes again.
      if (whole) await to.truncate(size).catch(() => {})
      throw error
    }
    size += offset
    return offset
  }
  return {
    async write(bytes) {
      if (file && (await isMoved(file))) {
        await heads?.sign('rotate', file)
        await close()
      }
      if (!heads) return append(bytes, false)
      await heads.start()
      const { bytes: chained, last } = linked(heads.last, bytes)
      await append(chained, true)
      heads.wrote(last, () => file)
      return bytes.length
    },
    async sync() {
      await file?.datasync()
    },
    async reopen() {
      try {
        await heads?.sign('rotate', file)
        await file?.datasync()
      } finally {
        await close()
      }
    },
    async close() {
      try {
        await heads?.stop(file)
      } finally {
        await close()
      }
    },
  }
}

/** A crash may have left half a line: what follows begins a line of its own. Gives the bytes written. */
async function endLine(file: FileHandle, size: number): Promise<number> {
  if (size === 0) return 0
  const { buffer } = await file.read(Buffer.alloc(1), 0, 1, size - 1)
  return buffer.toString() === '\n' ? 0 : (await file.write('\n')).bytesWritten
}

/** How much of the end of a file is read for its last link: longer than any line. */
const tailBytes = 64 * 1024

/** The link of the last line of a file that has one. */
async function lastLink(path: string): Promise<Link | undefined> {
  const file = await open(path).catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return undefined
    throw error
  })
  if (!file) return undefined
  try {
    const { size } = await file.stat()
    const { buffer, bytesRead } = await file.read(Buffer.alloc(tailBytes), 0, tailBytes, Math.max(0, size - tailBytes))
    const lines = buffer.toString('latin1', 0, bytesRead).split('\n')
    return lines.map(linkIn).findLast((link) => link !== undefined)
  } finally {
    await file.close()
  }
}

/** The chain of one file as it grows, and the heads that are signed of it. */
class Heads {
  readonly #path: string
  readonly #options: ChainOptions
  #key: KeyObject | undefined
  #last = genesis
  #signed = 0
  #timer: NodeJS.Timeout | undefined
  /** One head at a time, in the order of their lines. */
  #turn: Promise<void> = Promise.resolve()

  constructor(path: string, options: ChainOptions) {
    this.#path = path
    this.#options = options
  }

  get last(): Link {
    return this.#last
  }

  /**
   * Goes on behind the last line of the file, or behind the last head where lines that it counts are gone: the gap stays to be seen. What
   * a process that died left unsigned is signed as `start`, which says so.
   */
  async start(): Promise<void> {
    if (this.#key) return
    const { key: path, uid } = this.#options
    const key = await openSignKey(path, uid)
    const head = (await readHeads(headsFile(this.#path))).findLast((each) => each !== undefined && isSigned(key, each))
    const inFile = await lastLink(this.#path)
    const isBehind = head !== undefined && head.seq > (inFile?.seq ?? 0)
    this.#last = isBehind ? head : (inFile ?? genesis)
    this.#key = key
    this.#signed = -1
    // An empty file may have been rotated by others, which `audit verify` sees from their files.
    await this.sign('start', undefined, isBehind && inFile ? head.seq - inFile.seq : 0).catch((error: unknown) => {
      this.#key = undefined
      throw error
    })
  }

  /** A batch is in the file. */
  wrote(last: Link, file: () => FileHandle | undefined): void {
    this.#last = last
    const { records, seconds } = this.#options.every
    // A head that cannot be written is tried again with the next batch.
    if (last.seq - this.#signed >= records) void this.sign('count', file()).catch(() => {})
    else
      this.#timer ??= setTimeout(() => {
        this.#timer = undefined
        void this.sign('time', file()).catch(() => {})
      }, seconds * 1000).unref()
  }

  /** Signs what was written so far; nothing where it is signed already. */
  sign(reason: HeadReason, file: FileHandle | undefined, lost = 0): Promise<void> {
    const turn = this.#turn.then(async () => {
      const key = this.#key
      if (!key || this.#signed === this.#last.seq) return
      const { seq, chain } = this.#last
      await file?.datasync()
      const every = this.#options.every.records
      const head = signHead(key, { seq, chain, time: new Date().toISOString(), reason, every })
      await addHead(headsFile(this.#path), head)
      this.#signed = seq
      this.#options.onHead?.(head, lost)
    })
    this.#turn = turn.catch(() => {})
    return turn
  }

  async stop(file: FileHandle | undefined): Promise<void> {
    clearTimeout(this.#timer)
    await this.sign('stop', file)
  }
}
