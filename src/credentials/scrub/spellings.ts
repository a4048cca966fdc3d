/** The ways a real value is usually written as a whole, where no character of it can be told apart. */
import { base64Spellings } from './base64-spellings.ts'

/** One way to write a real value, and what to write in its place. */
export interface Spelling {
  readonly bytes: Uint8Array
  readonly stub: Uint8Array
  /** What becomes of the byte before and after, where it carries some bits of the value; 0: it does not. */
  readonly lead?: Uint8Array | undefined
  readonly trail?: Uint8Array | undefined
}

/** A real value in hex, and in base64 wherever in a longer text it may stand. The stub is encoded the same way. */
export function spellings(real: string, stub: string): readonly Spelling[] {
  const value = Buffer.from(real, 'utf8')
  const hex = value.toString('hex')
  const stubHex = Buffer.from(stub, 'latin1').toString('hex')
  const found = new Map<string, Spelling>()
  for (const spelling of [
    { bytes: Buffer.from(hex, 'latin1'), stub: Buffer.from(stubHex, 'latin1') },
    { bytes: Buffer.from(hex.toUpperCase(), 'latin1'), stub: Buffer.from(stubHex.toUpperCase(), 'latin1') },
    ...base64Spellings(value, stub),
  ]) {
    const key = Buffer.from(spelling.bytes).toString('latin1')
    if (!found.has(key)) found.set(key, spelling)
  }
  return [...found.values()]
}
