import { ReplyReader } from '#wire/reply-reader.ts'
import { RequestReader } from '#wire/request-reader.ts'
import type { WireRefusal } from '#wire/types.ts'
import { limits } from '../../wire/playbook.ts'
import type { Side } from './generator.ts'

/** What a parser made of a message: enough of it to tell that two parsers understood the same. */
export interface Message {
  /** Start line, and fields with their values. */
  head: string
  body: string
  trailers: string
  /** It was read to its end. */
  complete: boolean
  /** The connection ends with it. */
  last: boolean
  /** What follows is another protocol. */
  switches: boolean
}

export interface Reading {
  readonly messages: Message[]
  /** Why no more was read; `undefined`: all of it was, in order. */
  refusal: string | undefined
  /** Where the message begins that was read last. */
  from?: number
}

export type Parser = (side: Side, bytes: Buffer, method: string) => Reading

export function begun(head: string, last: boolean, switches: boolean): Message {
  return { head, body: '', trailers: '', complete: false, last, switches }
}

export function isOver({ messages, refusal }: Reading): boolean {
  const end = messages.at(-1)
  return refusal !== undefined || (end?.complete === true && (end.last || end.switches))
}

/** Our own readers, fed in pieces of up to `most` bytes. Goes on behind a message until its connection ends. */
export function readByUs(side: Side, bytes: Buffer, method: string, most: number): Reading {
  const reading: Reading = { messages: [], refusal: undefined }
  let ended = false
  const shared = {
    data(part: Buffer) {
      const message = reading.messages.at(-1)
      if (message) message.body += part.toString('latin1')
    },
    end(trailers: readonly string[]) {
      const message = reading.messages.at(-1)
      if (message) Object.assign(message, { complete: true, trailers: trailers.join('\n') })
      ended = true
    },
    refuse: ({ code, detail }: WireRefusal) => void (reading.refusal = `${code}: ${detail}`),
  }
  const reply =
    (switches: boolean) =>
    (head: { version: string; status: number; reason: string; fields: readonly string[]; lastOnConnection: boolean }) => {
      const start = [head.version, head.status, head.reason, ...head.fields].join('\n')
      reading.messages.push(begun(start, head.lastOnConnection, switches && head.status === 101))
    }
  const interim = reply(false)
  let reader: ReplyReader | RequestReader
  if (side === 'replies') {
    const informational = (head: Parameters<typeof interim>[0]) => {
      interim({ ...head, lastOnConnection: false })
      shared.end([])
      // It belongs to the final one.
      ended = false
    }
    reader = new ReplyReader(limits, { ...shared, head: reply(true), informational })
    reader.expect(method)
  } else {
    reader = new RequestReader(limits, {
      ...shared,
      head: (head) => {
        const start = [head.method, head.target, head.version, ...head.fields].join('\n')
        reading.messages.push(begun(start, head.lastOnConnection, head.method === 'CONNECT'))
      },
    })
  }
  for (let from = 0; from < bytes.length && !isOver(reading); from += most) {
    const piece = bytes.subarray(from, from + most)
    for (let at = 0; at < piece.length && !isOver(reading);) {
      at = reader.read(piece, at)
      if (ended) reading.from = from + at
      ended = false
    }
  }
  if (!isOver(reading)) reader.finish()
  return reading
}
