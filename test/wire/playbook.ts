import { ReplyReader } from '#wire/reply-reader.ts'
import { RequestReader } from '#wire/request-reader.ts'
import type { FieldBlock, Framing, ReplyEvents, RequestEvents, WireLimits, WireRefusal } from '#wire/types.ts'

export const limits: WireLimits = {
  headBytes: 16_384,
  headers: 200,
  targetBytes: 8_192,
  chunkLineBytes: 4_096,
  trailerBytes: 4_096,
}

/** One line an event: `GET /x 1.1 length 3`, `Host: a`, `"abc"`, `end`, `! bad_framing`. Bodies are put together again. */
export type Script = readonly string[]

/** Bytes of which the reader makes these events. `methods`: of the requests that the replies answer. */
export interface Play {
  readonly side: 'requests' | 'replies'
  readonly methods?: readonly string[]
  readonly limits?: Partial<WireLimits>
  /** The peer ends its side behind the last byte. */
  readonly ends?: boolean
}

/** Reads pieces as a driver would: again behind each message, until a refusal or a switch of protocols. */
export function play(pieces: readonly Buffer[], { side, methods = [], limits: own, ends = false }: Play): string[] {
  const script: string[] = []
  const state = { switched: false, refused: false, replies: 0 }
  let body: Buffer[] = []
  const say = (line: string, block?: FieldBlock) => {
    if (body.length > 0) script.push(JSON.stringify(Buffer.concat(body).toString('latin1')))
    body = []
    script.push(line)
    if (block) script.push(...pairsOf(block.fields))
  }
  const shared = {
    data: (bytes: Buffer) => void body.push(bytes),
    end: (trailers: readonly string[]) => {
      say('end')
      script.push(...pairsOf(trailers))
    },
    refuse: ({ code }: WireRefusal) => {
      if (state.refused) throw new Error('refused twice')
      state.refused = true
      say(`! ${code}`)
    },
  }
  const requests: RequestEvents = {
    ...shared,
    head(head) {
      const flags = `${head.lastOnConnection ? ' last' : ''}${head.expectContinue ? ' expects' : ''}`
      say(`${head.method} ${head.target} ${head.version} ${told(head.framing)}${flags}`, head)
      state.switched = head.method === 'CONNECT'
    },
  }
  const replies: ReplyEvents = {
    ...shared,
    informational: (head) => say(`${head.status} ${head.reason} interim`, head),
    head(head) {
      say(`${head.status} ${head.reason} ${head.version} ${told(head.framing)}${head.lastOnConnection ? ' last' : ''}`, head)
      state.switched = head.status === 101
    },
    end(trailers) {
      shared.end(trailers)
      state.replies += 1
      reader.expect(methods[state.replies] ?? 'GET')
    },
  }
  const all = { ...limits, ...own }
  const reader = new ReplyReader(all, replies)
  reader.expect(methods[0] ?? 'GET')
  const reading = side === 'replies' ? reader : new RequestReader(all, requests)
  for (const piece of pieces) {
    for (let at = 0; at < piece.length && !state.refused && !state.switched;) {
      const read = reading.read(piece, at)
      if (read <= at && !state.refused) throw new Error('the reader takes nothing')
      at = read
    }
  }
  if (ends && !state.switched) reading.finish()
  if (body.length > 0) script.push(`${JSON.stringify(Buffer.concat(body).toString('latin1'))} …`)
  if (reading.inHead) script.push('in head')
  return script
}

function told(framing: Framing): string {
  return framing.kind === 'length' ? `length ${framing.length}` : framing.kind
}

function pairsOf(fields: readonly string[]): string[] {
  return fields.flatMap((name, i) => (i % 2 === 0 ? [`${name}: ${fields[i + 1]}`] : []))
}

/** All ways to split bytes into two, and byte by byte. */
export function* splitsOf(bytes: Buffer): Generator<Buffer[]> {
  for (let at = 1; at < bytes.length; at += 1) yield [bytes.subarray(0, at), bytes.subarray(at)]
  yield Array.from(bytes, (_, i) => bytes.subarray(i, i + 1))
}
