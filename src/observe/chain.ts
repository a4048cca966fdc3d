/**
 * The hash chain of an audit file. Each line ends with its number and with the SHA-256 of the link before it and of the line itself,
 * so that no line can be changed, removed or put in without all later links being made anew; the signed heads keep that from passing.
 */
import { hash } from 'node:crypto'

/** The last line of a chain: how many there are, and the hash that stands in it. */
export interface Link {
  readonly seq: number
  readonly chain: string
}

/** Before the first line. */
export const genesis: Link = { seq: 0, chain: '' }

const newline = 10
const tail = /^(.*),"seq":(\d+),"chain":"([\w-]{43})"\}$/s

/** The link behind `last` that a line without its closing brace and chain makes. */
function linkOf(last: Link, open: string): Link {
  const seq = last.seq + 1
  return { seq, chain: hash('sha256', `${last.chain}\n${open},"seq":${seq}`, 'base64url') }
}

/** Whole lines of JSON objects, each with its link. */
export function linked(last: Link, lines: Buffer): { readonly bytes: Buffer; readonly last: Link } {
  const written: string[] = []
  let link = last
  for (let at = 0, end = lines.indexOf(newline); end >= 0; at = end + 1, end = lines.indexOf(newline, at)) {
    const open = lines.toString('latin1', at, end - 1)
    link = linkOf(link, open)
    written.push(`${open},"seq":${link.seq},"chain":"${link.chain}"}\n`)
  }
  return { bytes: Buffer.from(written.join(''), 'latin1'), last: link }
}

/** The link that a line says it is. `undefined`: it has none. */
export function linkIn(line: string): (Link & { readonly open: string }) | undefined {
  const [, open, seq, chain] = tail.exec(line) ?? []
  return open === undefined || chain === undefined ? undefined : { open, seq: Number(seq), chain }
}

/** True if a line is what followed `last`. */
export function follows(last: Link, { open, seq, chain }: Link & { readonly open: string }): boolean {
  const link = linkOf(last, open)
  return link.seq === seq && link.chain === chain
}
