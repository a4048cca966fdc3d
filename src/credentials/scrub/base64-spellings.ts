/**
 * A value inside longer base64 text. Three bytes become four characters, so it can stand in three ways, and the
 * characters at its edges carry bits of their neighbours too.
 */
import type { Spelling } from './spellings.ts'

const alphabets = [
  { encoding: 'base64', characters: 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/' },
  { encoding: 'base64url', characters: 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_' },
] as const

/** How `+` and `/` fare when the text itself stands in a URL or in JSON. */
const wrappings: readonly ((text: string) => string)[] = [
  (text) => text,
  (text) => text.replaceAll('/', '\\/'),
  (text) => text.replaceAll('+', '\\u002B'),
  (text) => text.replaceAll('+', '\\u002b'),
  (text) => text.replaceAll('+', '%2B').replaceAll('/', '%2F'),
  (text) => text.replaceAll('+', '%2b').replaceAll('/', '%2f'),
]

/**
 * The spellings of a value in base64, at each of the three alignments and in both alphabets (RFC 4648 sections 4, 5).
 * The stub, repeated or cut to the length of the value, is put in its place bit for bit, so that the text decodes as
 * before on both sides and keeps its length.
 */
export function base64Spellings(value: Buffer, stub: string): Spelling[] {
  const filler = Buffer.alloc(value.length, stub === '' ? '-' : stub, 'latin1')
  return alphabets.flatMap(({ encoding, characters }) =>
    [0, 1, 2].flatMap((before): Spelling[] => {
      const write = (bytes: Buffer): string => Buffer.concat([Buffer.alloc(before), bytes, Buffer.alloc(2)]).toString(encoding)
      const text = write(value)
      const fill = write(filler)
      const firstBit = 8 * before
      const endBit = firstBit + 8 * value.length
      // The characters between these carry bits of the value only.
      const first = Math.ceil(firstBit / 6)
      const end = Math.floor(endBit / 6)
      const edge = (at: number, free: readonly number[]): Uint8Array =>
        edgeTable(characters, text.charAt(at), fill.charAt(at), free)
      const lead = firstBit % 6 === 0 ? undefined : edge(first - 1, highBits(firstBit % 6))
      const trail = endBit % 6 === 0 ? undefined : edge(end, lowBits(6 - (endBit % 6)))
      return wrappings.map((wrap) => ({
        bytes: Buffer.from(wrap(text.slice(first, end)), 'latin1'),
        stub: Buffer.from(wrap(fill.slice(first, end)), 'latin1'),
        lead,
        trail,
      }))
    }),
  )
}

/**
 * For each character an edge can read, whatever the neighbour's bits: the same with the stub's bits for the value's. What
 * is between the edges is often alike in both alphabets, so an edge in the other one is understood too.
 */
function edgeTable(own: string, real: string, fill: string, neighbours: readonly number[]): Uint8Array {
  const table = new Uint8Array(256)
  const [realBits, fillBits] = [own.indexOf(real), own.indexOf(fill)]
  for (const characters of [own, ...alphabets.map((alphabet) => alphabet.characters)]) {
    for (const bits of neighbours) table[characters.charCodeAt(realBits | bits)] ||= characters.charCodeAt(fillBits | bits)
  }
  return table
}

/** All values of the highest `count` of six bits. */
function highBits(count: number): number[] {
  return lowBits(count).map((bits) => bits << (6 - count))
}

/** All values of the lowest `count` bits. */
function lowBits(count: number): number[] {
  return Array.from({ length: 1 << count }, (_, bits) => bits)
}
