import { liveKey } from '#config/live-key.ts'
import { headLength } from '#timeline/head.ts'

/** Characters that are looked at: a tool's result may be a whole file. */
const most = 16_384

const keyBlock = /-----BEGIN [A-Z ]*PRIVATE KEY-----[^]*?(?:-----END [A-Z ]*PRIVATE KEY-----|$)/g

/**
 * The beginning of a text in one line, without a secret: what looks like a live key goes before the text is cut, since half a key has no
 * shape any more. A stub says that it is one, and stays.
 */
export function headOf(text: string): string {
  const looked = text
    .slice(0, most)
    .replaceAll(keyBlock, '[a private key]')
    .replaceAll(/[^\s"'`,;:=<>(){}[\]&?|]+/g, (word) => {
      const look = liveKey(word)
      return look === undefined ? word : `[${look}]`
    })
    // A key that the end of what is looked at cuts has no shape.
    .slice(0, most - 512)
  const line = looked.replaceAll(/[\s\p{Cc}\p{Cf}]+/gu, ' ').trim()
  return line.length > headLength ? `${line.slice(0, headLength - 1)}…` : line
}
