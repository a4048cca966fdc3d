/** Was an audit changed? Walks its files line by line, beside the heads that were signed of them. */
import type { KeyObject } from 'node:crypto'
import { createReadStream } from 'node:fs'
import { createInterface } from 'node:readline'
import { follows, genesis, linkIn } from './chain.ts'
import type { Link } from './chain.ts'
import { fingerprint, isSigned } from './signed-heads.ts'
import type { Head } from './signed-heads.ts'

export interface ChainReport {
  /** Lines with a link, and lines from before the chain began. */
  readonly records: number
  readonly unchained: number
  readonly heads: number
  /** Number of the last line that a head vouches for, and how many follow it. */
  readonly signedTo: number
  readonly unsigned: number
  /** What was done to the audit. */
  readonly findings: readonly string[]
  /** What a crash explains. */
  readonly warnings: readonly string[]
}

/** Most findings that are kept: one bad disk makes thousands. */
const mostFindings = 100

/** Files in the order of their lines. Rejects with the system's error. */
export async function verifyChain(
  files: readonly string[],
  heads: readonly (Head | undefined)[],
  key: KeyObject,
): Promise<ChainReport> {
  const walk = new Walk(heads, key)
  for (const file of await inOrder(files)) {
    let number = 0
    for await (const line of createInterface({ input: createReadStream(file, 'latin1'), crlfDelay: Infinity }))
      walk.line(line, `${file}:${(number += 1)}`)
  }
  return walk.end()
}

/** By the number of their first link; files without one first. */
async function inOrder(files: readonly string[]): Promise<readonly string[]> {
  const begun = await Promise.all(files.map(async (file) => ({ file, seq: await firstSeq(file) })))
  return begun.toSorted((a, b) => a.seq - b.seq).map(({ file }) => file)
}

async function firstSeq(file: string): Promise<number> {
  const input = createReadStream(file, 'latin1')
  try {
    for await (const line of createInterface({ input })) {
      const link = linkIn(line)
      if (link) return link.seq
    }
    return 0
  } finally {
    input.destroy()
  }
}

class Walk {
  readonly #heads = new Map<number, Head>()
  readonly #findings: string[] = []
  readonly #warnings: string[] = []
  readonly #headCount: number
  readonly #lastHead: Head | undefined
  /** The last line; `undefined` before the first. Its chain is `undefined` where nothing vouches for it. */
  #last: { readonly seq: number; readonly chain: string | undefined } | undefined
  #records = 0
  #unchained = 0

  constructor(heads: readonly (Head | undefined)[], key: KeyObject) {
    let before: Head | undefined
    heads.forEach((head, i) => {
      const place = `head ${i + 1}`
      if (!head) return this.#find(`${place} cannot be read`)
      if (!isSigned(key, head)) {
        const whose =
          head.key === fingerprint(key)
            ? 'its signature does not fit'
            : `it names the key ${head.key}, and this is ${fingerprint(key)}`
        return this.#find(`${place}, of record ${head.seq} at ${head.time}: ${whose}`)
      }
      const known = this.#heads.get(head.seq)
      if (known && known.chain !== head.chain) this.#find(`${place}: record ${head.seq} was signed twice, and not alike`)
      else if (before && head.seq < before.seq) this.#find(`${place}: the audit began anew behind record ${before.seq}`)
      else if (head.reason === 'start' && before && head.seq > before.seq)
        this.#warn(`records ${before.seq + 1} to ${head.seq} were signed at the start after a crash, and not before`)
      this.#heads.set(head.seq, head)
      before = head
    })
    this.#headCount = this.#heads.size
    this.#lastHead = before
  }

  line(text: string, place: string): void {
    if (text === '') return
    const link = linkIn(text)
    if (!link) return this.#unlinked(text, place)
    const before = this.#before(link, place)
    if (before && !follows(before, link))
      this.#find(`${place}: record ${link.seq} is not what was written, or the one before it is not`)
    const head = this.#heads.get(link.seq)
    if (head && head.chain !== link.chain)
      this.#find(`${place}: the records up to ${link.seq} are not those that were signed at ${head.time}`)
    this.#records += 1
    this.#last = link
  }

  end(): ChainReport {
    const last = this.#last?.seq ?? 0
    const signedTo = this.#lastHead?.seq ?? 0
    const unsigned = Math.max(0, last - signedTo)
    if (signedTo > last)
      this.#find(`records ${last + 1} to ${signedTo} are missing: a head of ${this.#lastHead?.time} counts them`)
    if (this.#records > 0 && !this.#lastHead) this.#find('no signed head is left')
    else if (this.#lastHead && unsigned > this.#lastHead.every * 2)
      this.#find(`${unsigned} records follow the last head, and one is due every ${this.#lastHead.every}: heads are missing`)
    return {
      records: this.#records,
      unchained: this.#unchained,
      heads: this.#headCount,
      signedTo,
      unsigned,
      findings: this.#findings,
      warnings: this.#warnings,
    }
  }

  /** What a line must follow. `undefined`: nothing is known of it. */
  #before({ seq }: Link, place: string): Link | undefined {
    const signed = seq === 1 ? genesis : this.#heads.get(seq - 1)
    if (!this.#last) {
      if (!signed) this.#find(`${place}: the first record is number ${seq}, and no head says what came before it`)
      return signed
    }
    const { seq: last, chain } = this.#last
    if (seq === last + 1) return chain === undefined ? signed : { seq: last, chain }
    this.#find(
      seq > last + 1
        ? `${place}: records ${last + 1} to ${seq - 1} are missing`
        : `${place}: record ${seq} stands behind record ${last}`,
    )
    return signed
  }

  #unlinked(text: string, place: string): void {
    if (!this.#last && this.#records === 0) this.#unchained += 1
    else if (isObject(text)) this.#find(`${place}: this line is not of the chain`)
    else this.#warn(`${place}: half a line, as a crash leaves it`)
  }

  #find(text: string): void {
    if (this.#findings.length < mostFindings) this.#findings.push(text)
  }

  #warn(text: string): void {
    if (this.#warnings.length < mostFindings) this.#warnings.push(text)
  }
}

function isObject(text: string): boolean {
  try {
    return typeof JSON.parse(text) === 'object'
  } catch {
    return false
  }
}
