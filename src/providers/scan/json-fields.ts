import type { FieldPath, Fields } from '../types.ts'
import { childNamed, elements, treeOf } from './field-tree.ts'
import type { FieldNode } from './field-tree.ts'

/** Bytes of one collected value. A usage object has a few hundred. */
const mostValue = 64 * 1024
/** Depth of containers. What is nested deeper is no provider's document. */
const mostDepth = 512
/** Values of one path with `*`. The longest conversation has some thousands of parts. */
const mostElements = 50_000
/** Bytes of a key that may be one of ours. */
const mostKey = 256

/** What the next byte may be the beginning of. */
const state = { value: 0, key: 1, colon: 2, after: 3, string: 4, keyString: 5, atom: 6, done: 7 } as const
type State = (typeof state)[keyof typeof state]

const quote = 0x22
const backslash = 0x5c
const openBrace = 0x7b
const openBracket = 0x5b

export interface ScanOptions {
  /** Values whose bytes are counted and not kept. */
  readonly measure?: readonly FieldPath[]
  /** The document is an array, and each element of it one of ours: told as it ends. */
  readonly onElement?: (fields: Fields) => void
}

/**
 * Picks the values at a few paths out of a JSON document as its bytes come by, and keeps nothing else: a body of many megabytes
 * costs one pass and no memory. Any split of the bytes gives the same. `*` in a path is every element of an array; of a key that
 * stands twice the last counts (as with `JSON.parse`). Never throws: what is not JSON has no fields.
 */
export class JsonFields {
  /** Bytes of the values that are only measured. */
  measured = 0
  /** A cap was met: what was found cannot be trusted. */
  lost = false
  /** How many values were measured, and where the last one stands in the bytes at hand; -1: some of it came before. */
  measures = 0
  measuredFrom = -1
  measuredTo = -1
  readonly #root: FieldNode
  readonly #onElement: ScanOptions['onElement']
  #found: Record<string, unknown> = {}
  /** By depth: what is open there, and which paths lead on from it. */
  readonly #open: number[] = []
  readonly #nodes: (FieldNode | undefined)[] = []
  #depth = 0
  #state: State = state.value
  #escaped = false
  /** In the bytes at hand: their end, and where the next quote and the next backslash are, no further back than was looked. */
  #limit = 0
  #quote = 0
  #slash = 0
  /** A key that began in bytes before, and its length. */
  #key = ''
  #keySize = 0
  #wanted: FieldNode | undefined
  /** The value that is being collected or measured. */
  #taking: Taking | undefined

  /** The same arrays of paths, asked for again, cost nothing. */
  constructor(paths: readonly FieldPath[], { measure = noPaths, onElement }: ScanOptions = {}) {
    this.#root = treeOf(paths, measure)
    this.#onElement = onElement
  }

  /** Takes the bytes from `start` to before `end`. */
  push(chunk: Uint8Array, start = 0, end = chunk.length): void {
    const bytes = Buffer.isBuffer(chunk) ? chunk : Buffer.from(chunk.buffer, chunk.byteOffset, chunk.byteLength)
    let at = start
    this.#limit = end
    this.#quote = start - 1
    this.#slash = start - 1
    /** Where the part of the taken value in this chunk begins. */
    let from = start
    while (at < end && this.#state !== state.done) {
      if (this.#state === state.string || this.#state === state.keyString) at = this.#readString(bytes, at, from)
      else if (this.#state === state.atom) at = this.#readAtom(bytes, at, from)
      else {
        const byte = bytes[at] ?? 0
        if (this.#state !== state.value || isSpace(byte) || isClosing(byte) || (this.#depth === 0 && byte >= 0x80)) {
          // White space, punctuation, a byte order mark, or what is no JSON at all.
          at += 1
          if (!isSpace(byte)) this.#punctuate(byte, bytes, from, at)
          continue
        }
        if (this.#begin(byte)) from = at
        if (byte === quote || byte === openBrace || byte === openBracket) at += 1
      }
    }
    if (this.#taking) keepPart(this.#taking, bytes, from, end)
  }

  /** What was found. */
  end(): Fields {
    if (this.#state === state.atom) this.#end(nothing, 0, 0)
    return this.#found
  }

  /** Makes it ready for the next document. */
  reset(): void {
    this.#found = {}
    this.#depth = 0
    this.#state = state.value
    this.#escaped = false
    this.#key = ''
    this.#keySize = 0
    this.#taking = undefined
    this.#wanted = undefined
    this.measured = 0
    this.measures = 0
  }

  /** Reads on in a string; gives where to go on. */
  #readString(bytes: Buffer, start: number, from: number): number {
    const isKey = this.#state === state.keyString
    const end = this.#stringEnd(bytes, start)
    const node = isKey ? this.#nodes[this.#depth] : undefined
    if (end < 0) {
      if (node) this.#keepKey(bytes, start, this.#limit)
      return this.#limit
    }
    if (isKey) {
      this.#wanted = node && this.#child(node, bytes, start, end)
      this.#state = state.colon
    } else this.#end(bytes, from, end + 1)
    return end + 1
  }

  /** Reads on in a number or a word; gives where to go on. */
  #readAtom(bytes: Buffer, start: number, from: number): number {
    let at = start
    while (at < this.#limit && !endsAtom(bytes[at] ?? 0)) at += 1
    if (at < this.#limit) this.#end(bytes, from, at)
    return at
  }

  /** Where the string that is open ends, at its quote; -1: not in these bytes. */
  #stringEnd(bytes: Buffer, start: number): number {
    const limit = this.#limit
    let at = start
    if (this.#escaped) {
      this.#escaped = false
      at += 1
    }
    while (at < limit) {
      // To ask Node costs as much as to look at some fifty bytes, and most strings and lines of text are no longer.
      for (const near = Math.min(at + 64, limit); at < near; at += 1) {
        const byte = bytes[at]
        if (byte === quote) return at
        if (byte === backslash) at += 1
      }
      if (at >= limit) break
      // Each is looked for once: a body may be long, have many strings and no backslash.
      if (this.#quote < at) this.#quote = indexOr(limit, bytes.indexOf(quote, at))
      if (this.#slash < at) this.#slash = indexOr(limit, bytes.indexOf(backslash, at))
      at = Math.min(this.#quote, this.#slash)
    }
    this.#escaped = at > limit
    return -1
  }

  /** Paths are plain ASCII, so nothing is lost where a byte is read as a character. */
  #keepKey(bytes: Buffer, start: number, end: number): void {
    this.#keySize += end - start
    if (this.#keySize <= mostKey) this.#key += bytes.toString('latin1', start, end)
  }

  /** Where the key that ends with these bytes leads to. Most keys lead nowhere, and no text is made of them. */
  #child(node: FieldNode, bytes: Buffer, start: number, end: number): FieldNode | undefined {
    if (this.#keySize === 0 && !holds(bytes, start, end, backslash)) return childNamed(node, bytes, start, end)
    this.#keepKey(bytes, start, end)
    const text = this.#keySize <= mostKey ? this.#key : ''
    this.#key = ''
    this.#keySize = 0
    return node.children.get(String(parse(`"${text}"`)))
  }

  /** A value begins. `true`: it is taken from here on. */
  #begin(byte: number): boolean {
    const node = this.#valueNode()
    const taken = !this.#taking && node !== undefined && (node.measured || node.name !== undefined)
    if (taken) this.#taking = { node, depth: this.#depth, parts: undefined, size: 0 }
    if (byte === quote) {
      this.#state = state.string
      return taken
    }
    if (byte !== openBrace && byte !== openBracket) {
      this.#state = state.atom
      return taken
    }
    if (this.#depth === mostDepth) {
      this.lost = true
      this.#state = state.done
      return false
    }
    this.#depth += 1
    this.#open[this.#depth] = byte
    this.#nodes[this.#depth] = this.#taking ? undefined : node
    this.#state = byte === openBrace ? state.key : state.value
    return taken
  }

  /** The paths that lead into the value that begins here. */
  #valueNode(): FieldNode | undefined {
    if (this.#depth === 0) return this.#onElement ? elements : this.#root
    const parent = this.#nodes[this.#depth]
    if (this.#open[this.#depth] === openBrace) return this.#wanted
    return parent === elements ? this.#root : parent?.children.get('*')
  }

  #punctuate(byte: number, bytes: Buffer, from: number, at: number): void {
    switch (byte) {
      case quote:
        if (this.#state === state.key) this.#state = state.keyString
        return
      case 0x3a:
        if (this.#state === state.colon) this.#state = state.value
        return
      case 0x2c:
        if (this.#state === state.after) this.#state = this.#open[this.#depth] === openBrace ? state.key : state.value
        return
      case 0x5d:
      case 0x7d:
        if (this.#depth === 0) return
        this.#depth -= 1
        this.#end(bytes, from, at)
        return
      default:
      // Not JSON: whatever follows is looked at as if this had not been there.
    }
  }

  /** A value has ended before `at`. */
  #end(bytes: Buffer, from: number, at: number): void {
    this.#state = this.#depth === 0 ? state.done : state.after
    const taking = this.#taking
    if (taking && taking.depth === this.#depth) {
      this.#taking = undefined
      this.#keep(taking, bytes, from, at)
    }
    if (this.#depth === 1 && this.#nodes[1] === elements && this.#onElement) {
      this.#onElement(this.#found)
      this.#found = {}
      this.measured = 0
    }
  }

  /** A taken value ends with these bytes. */
  #keep({ node, parts, size }: Taking, bytes: Buffer, from: number, to: number): void {
    const whole = size + to - from
    if (node.measured) {
      this.measured += whole
      this.measures += 1
      this.measuredFrom = size === 0 ? from : -1
      this.measuredTo = to
      return
    }
    if (node.name === undefined) return
    if (whole > mostValue) {
      this.lost = true
      return
    }
    const value = parts ? parse(textOf([...parts, bytes.subarray(from, to)])) : valueOf(bytes, from, to)
    if (value === undefined) return
    if (!node.many) {
      this.#found[node.name] = value
      return
    }
    const before = this.#found[node.name]
    if (!Array.isArray(before)) this.#found[node.name] = [value]
    else if (before.length < mostElements) before.push(value)
    else {
      this.lost = true
      this.#state = state.done
    }
  }
}

interface Taking {
  readonly node: FieldNode
  readonly depth: number
  /** What came of it in bytes before. */
  parts: Buffer[] | undefined
  size: number
}

function keepPart(taking: Taking, bytes: Buffer, from: number, to: number): void {
  if (to <= from) return
  taking.size += to - from
  if (!taking.node.measured && taking.size <= mostValue) (taking.parts ??= []).push(Buffer.from(bytes.subarray(from, to)))
}

function textOf(parts: readonly Buffer[]): string {
  return Buffer.concat(parts).toString('utf8')
}

function holds(bytes: Buffer, start: number, end: number, byte: number): boolean {
  for (let i = start; i < end; i += 1) if (bytes[i] === byte) return true
  return false
}

function indexOr(otherwise: number, index: number): number {
  return index < 0 || index > otherwise ? otherwise : index
}

const nothing = Buffer.alloc(0)
const noPaths: readonly FieldPath[] = []
/** A value that stands in these bytes. Most are short words and whole numbers, for which the whole of JSON is not needed. */
function valueOf(bytes: Buffer, from: number, to: number): unknown {
  return plainText(bytes, from, to) ?? plainCount(bytes, from, to) ?? parse(bytes.toString('utf8', from, to))
}

/** A string of printable ASCII without an escape; `undefined`: it is something else. */
function plainText(bytes: Buffer, from: number, to: number): string | undefined {
  if (bytes[from] !== quote || to - from < 2 || to - from > 64) return undefined
  for (let i = from + 1; i < to - 1; i += 1) {
    const byte = bytes[i] ?? 0
    if (byte < 0x20 || byte >= 0x7f || byte === backslash || byte === quote) return undefined
  }
  return bytes[to - 1] === quote ? bytes.toString('latin1', from + 1, to - 1) : undefined
}

/** A whole number of up to fifteen digits; `undefined`: it is something else. */
function plainCount(bytes: Buffer, from: number, to: number): number | undefined {
  if (to - from > 15 || to === from || (bytes[from] === 0x30 && to - from > 1)) return undefined
  let value = 0
  for (let i = from; i < to; i += 1) {
    const digit = (bytes[i] ?? 0) - 0x30
    if (digit < 0 || digit > 9) return undefined
    value = value * 10 + digit
  }
  return value
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}

function isSpace(byte: number): boolean {
  return byte === 0x20 || byte === 0x0a || byte === 0x0d || byte === 0x09
}

function isClosing(byte: number): boolean {
  return byte === 0x5d || byte === 0x7d
}

function endsAtom(byte: number): boolean {
  return byte === 0x2c || isClosing(byte) || isSpace(byte)
}
