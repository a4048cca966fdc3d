import type { FieldPath, Fields } from '../types.ts'

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

interface Node {
  readonly children: Map<string, Node>
  /** The joined path, where the value itself is wanted. */
  name: string | undefined
  /** Only its length is wanted. */
  measured: boolean
  /** Each element of an array on the way gives one value. */
  many: boolean
}

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
  readonly #root: Node
  readonly #onElement: ScanOptions['onElement']
  readonly #found = new Map<string, unknown>()
  /** By depth: what is open there, and which paths lead on from it. */
  readonly #open: number[] = []
  readonly #nodes: (Node | undefined)[] = []
  #depth = 0
  #state: State = state.value
  #escaped = false
  /** The next backslash in these bytes; -1: there is none any more. */
  #slash = -1
  #key: Buffer[] = []
  #keySize = 0
  #wanted: Node | undefined
  /** The value that is being collected or measured. */
  #taking: { readonly node: Node; readonly depth: number; readonly parts: Buffer[]; size: number } | undefined

  constructor(paths: readonly FieldPath[], { measure = [], onElement }: ScanOptions = {}) {
    this.#root = newNode()
    for (const path of paths) plant(this.#root, path, false)
    for (const path of measure) plant(this.#root, path, true)
    this.#onElement = onElement
  }

  push(chunk: Uint8Array): void {
    const bytes = Buffer.from(chunk.buffer, chunk.byteOffset, chunk.byteLength)
    let at = 0
    this.#slash = bytes.indexOf(backslash)
    /** Where the part of the taken value in this chunk begins. */
    let from = 0
    while (at < bytes.length && this.#state !== state.done) {
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
    if (this.#taking) this.#take(bytes, from, bytes.length)
  }

  /** What was found. */
  end(): Fields {
    if (this.#state === state.atom) this.#end(Buffer.alloc(0), 0, 0)
    return Object.fromEntries(this.#found)
  }

  /** Makes it ready for the next document. */
  reset(): void {
    this.#found.clear()
    this.#depth = 0
    this.#state = state.value
    this.#escaped = false
    this.#taking = undefined
    this.#wanted = undefined
    this.measured = 0
  }

  /** Reads on in a string; gives where to go on. */
  #readString(bytes: Buffer, start: number, from: number): number {
    const isKey = this.#state === state.keyString
    const end = this.#stringEnd(bytes, start)
    if (isKey) this.#keepKey(bytes, start, end < 0 ? bytes.length : end)
    if (end < 0) return bytes.length
    if (isKey) {
      this.#wanted = this.#nodes[this.#depth]?.children.get(this.#readKey())
      this.#state = state.colon
    } else this.#end(bytes, from, end + 1)
    return end + 1
  }

  /** Reads on in a number or a word; gives where to go on. */
  #readAtom(bytes: Buffer, start: number, from: number): number {
    let at = start
    while (at < bytes.length && !endsAtom(bytes[at] ?? 0)) at += 1
    if (at < bytes.length) this.#end(bytes, from, at)
    return at
  }

  /** Where the string that is open ends, at its quote; -1: not in these bytes. */
  #stringEnd(bytes: Buffer, start: number): number {
    let at = start
    if (this.#escaped && at < bytes.length) {
      this.#escaped = false
      at += 1
    }
    let end = bytes.indexOf(quote, at)
    let slash = this.#nextSlash(bytes, at)
    while (slash >= 0 && (end < 0 || slash < end)) {
      at = slash + 2
      if (at > bytes.length) {
        this.#escaped = true
        return -1
      }
      if (end >= 0 && end < at) end = bytes.indexOf(quote, at)
      slash = this.#nextSlash(bytes, at)
    }
    return end
  }

  /** Asked for each string and looked for once: a body may be long, have many strings and no backslash. */
  #nextSlash(bytes: Buffer, at: number): number {
    if (this.#slash !== -1 && this.#slash < at) this.#slash = bytes.indexOf(backslash, at)
    return this.#slash
  }

  #keepKey(bytes: Buffer, start: number, end: number): void {
    if (!this.#nodes[this.#depth]) return
    this.#keySize += end - start
    if (this.#keySize <= mostKey) this.#key.push(Buffer.from(bytes.subarray(start, end)))
  }

  #readKey(): string {
    const text = this.#keySize <= mostKey ? Buffer.concat(this.#key).toString('utf8') : ''
    this.#key = []
    this.#keySize = 0
    if (!text.includes('\\')) return text
    const parsed = parse(`"${text}"`)
    return typeof parsed === 'string' ? parsed : text
  }

  /** A value begins. `true`: it is taken from here on. */
  #begin(byte: number): boolean {
    const node = this.#valueNode()
    const taken = !this.#taking && node !== undefined && (node.measured || node.name !== undefined)
    if (taken) this.#taking = { node, depth: this.#depth, parts: [], size: 0 }
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
  #valueNode(): Node | undefined {
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
      this.#take(bytes, from, at)
      this.#taking = undefined
      this.#keep(taking.node, taking.parts, taking.size)
    }
    if (this.#depth === 1 && this.#nodes[1] === elements && this.#onElement) {
      this.#onElement(Object.fromEntries(this.#found))
      this.#found.clear()
      this.measured = 0
    }
  }

  #take(bytes: Buffer, from: number, to: number): void {
    const taking = this.#taking
    if (!taking || to <= from) return
    taking.size += to - from
    if (!taking.node.measured && taking.size <= mostValue) taking.parts.push(Buffer.from(bytes.subarray(from, to)))
  }

  #keep(node: Node, parts: readonly Buffer[], size: number): void {
    if (node.measured) {
      this.measured += size
      return
    }
    if (node.name === undefined) return
    if (size > mostValue) {
      this.lost = true
      return
    }
    const value = parse(Buffer.concat(parts).toString('utf8'))
    if (value === undefined) return
    if (!node.many) {
      this.#found.set(node.name, value)
      return
    }
    const before = this.#found.get(node.name)
    if (!Array.isArray(before)) this.#found.set(node.name, [value])
    else if (before.length < mostElements) before.push(value)
    else {
      this.lost = true
      this.#state = state.done
    }
  }
}

/** Stands for the array whose elements are documents. */
const elements: Node = { children: new Map(), name: undefined, measured: false, many: false }

function newNode(): Node {
  return { children: new Map(), name: undefined, measured: false, many: false }
}

function plant(root: Node, path: FieldPath, measured: boolean): void {
  let node = root
  for (const key of path) {
    let child = node.children.get(key)
    if (!child) node.children.set(key, (child = newNode()))
    node = child
  }
  if (measured) node.measured = true
  else node.name = path.join('.')
  node.many = path.includes('*')
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
