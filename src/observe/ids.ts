import { randomBytes } from 'node:crypto'
import type { Ids } from '#contracts/audit-record.ts'

const alphabet = '0123456789ABCDEFGHJKMNPQRSTVWXYZ'
/** Random bytes are drawn for this many ids at a time: a draw costs more than its bytes. */
const batch = 256
const randomPart = 16

/** ULIDs: 48 bits of time in milliseconds and 80 random bits, in Crockford's base 32. They sort by time as text. */
export function ulids(now: () => number): Ids {
  let pool = ''
  let at = 0
  let lastTime = -1
  let prefix = ''
  return {
    next() {
      if (at + randomPart > pool.length) {
        const bytes = randomBytes(randomPart * batch)
        for (let i = 0; i < bytes.length; i += 1) bytes[i] = alphabet.charCodeAt((bytes[i] ?? 0) & 31)
        pool = bytes.toString('latin1')
        at = 0
      }
      const time = now()
      if (time !== lastTime) {
        lastTime = time
        prefix = timePart(time)
      }
      at += randomPart
      return prefix + pool.slice(at - randomPart, at)
    },
  }
}

function timePart(time: number): string {
  let text = ''
  let left = time
  for (let i = 0; i < 10; i += 1) {
    text = alphabet[left % 32] + text
    left = Math.floor(left / 32)
  }
  return text
}
