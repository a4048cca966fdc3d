import { createHash } from 'node:crypto'

/** Texts of any length made the same length, for comparing them in constant time. */
export function digest(text: string): Buffer {
  return createHash('sha256').update(text).digest()
}
