/** The threat list, part B: an HTTP/2 host that ends its replies, or refuses requests, in ways no library would. */
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { block, flags } from '../kit/frames.ts'
import { replyFrames, startFrameUpstream, type FrameStream } from '../kit/frame-upstream.ts'
import type { RawUpstream } from '../kit/raw-upstream.ts'
import { startRig, type Rig } from './threat-rig.ts'

const { head, data, reset, goaway } = replyFrames
const ok = block([':status', '200'], ['content-type', 'text/plain'])
const end = flags.endStream
const refusedStream = 7

let rig: Rig<{ frames: RawUpstream }>
/** What the host does with each stream. */
let onStream: (stream: FrameStream) => void | Promise<void> = () => {}

beforeAll(async () => {
  rig = await startRig<{ frames: RawUpstream }>({
    rules: '  - {id: frames, hosts: [frames.test]}',
    upstreams: {
      frames: {
        hosts: ['frames.test'],
        start: ({ certificate }) => startFrameUpstream({ certificate }, (stream) => onStream(stream)),
      },
    },
  })
})
afterAll(() => rig[Symbol.asyncDispose]())

interface Seen {
  readonly status: number
  readonly text: string
  /** The agent can tell that the reply is complete. */
  readonly complete: boolean
}

const name = 'frames.test'

/** How agents ask a host that speaks HTTP/2 alone. */
const agents: readonly (readonly [string, (body?: string) => Promise<Seen>])[] = [
  [
    'HTTP/1.1',
    async (body) => {
      const length = body === undefined ? '' : `Content-Length: ${body.length}\r\n`
      const request = `${body === undefined ? 'GET' : 'POST'} /r HTTP/1.1\r\nHost: ${name}\r\n${length}Connection: close\r\n\r\n${body ?? ''}`
      const { replies, status } = await rig.say('https', request, { name, until: () => false })
      const last = replies.at(-1)
      return { status, text: last?.body.toString() ?? '', complete: last?.complete ?? false }
    },
  ],
  [
    'HTTP/2',
    async (body) => {
      const fields = { ':authority': name, ':method': body === undefined ? 'GET' : 'POST', ':path': '/r' }
      const reply = await rig.h2(fields, body === undefined ? { name } : { name, body })
      return { status: reply.status, text: reply.body.toString(), complete: reply.resetCode === 0 }
    },
  ],
  [
    'gRPC',
    async (body = 'ask') => {
      const fields = { ':authority': name, ':method': 'POST', ':path': '/r', 'content-type': 'application/grpc', te: 'trailers' }
      const reply = await rig.h2(fields, { name, body })
      return { status: reply.status, text: reply.body.toString(), complete: reply.resetCode === 0 }
    },
  ],
]

describe.each(agents)('an agent that speaks %s to an HTTP/2 host', (_protocol, ask) => {
  test.each<readonly [string, (id: number) => readonly Buffer[]]>([
    ['DATA and RST_STREAM(NO_ERROR)', (id) => [head(id, ok), data(id, 'hello'), reset(id, 0)]],
    ['a head and RST_STREAM(NO_ERROR)', (id) => [head(id, ok), reset(id, 0)]],
    [
      'all of its length and RST_STREAM(NO_ERROR)',
      (id) => [head(id, block([':status', '200'], ['content-length', '5'])), data(id, 'hello'), reset(id, 0)],
    ],
    ['less than its length', (id) => [head(id, block([':status', '200'], ['content-length', '9'])), data(id, 'hello', end)]],
    ['trailers that do not end it', (id) => [head(id, ok), data(id, 'hello'), head(id, block(['x-sum', '1']))]],
  ])('sees that a reply is broken: %s', async (_name, frames) => {
    onStream = async ({ id, whole, send }) => {
      await whole
      send(...frames(id))
    }
    const { value } = await rig.watched(
      (seen) => [seen.status === 502 ? 'upstream_protocol' : 'upstream_reset'],
      () => ask(),
    )
    expect(value.complete && value.status !== 502).toBe(false)
  })

  test.each<readonly [string, string, (id: number) => readonly Buffer[]]>([
    ['on DATA', 'hello', (id) => [head(id, ok), data(id, 'hello', end)]],
    ['on an empty DATA', 'hello', (id) => [head(id, ok), data(id, 'hello'), data(id, '', end), reset(id, 0)]],
    ['on its head', '', (id) => [head(id, ok, end)]],
    ['on trailers', 'hello', (id) => [head(id, ok), data(id, 'hello'), head(id, block(['grpc-status', '0']), end)]],
  ])('sees a whole reply with END_STREAM %s', async (_name, text, frames) => {
    onStream = async ({ id, whole, send }) => {
      await whole
      send(...frames(id))
    }
    const { value } = await rig.watched(['allow'], () => ask())
    expect(value).toEqual({ status: 200, text, complete: true })
  })

  test.each<readonly [string, string | undefined, (stream: FrameStream) => void]>([
    ['REFUSED_STREAM to a request without a body', undefined, ({ id, send }) => send(reset(id, refusedStream))],
    ['REFUSED_STREAM to one with a body', 'question', ({ id, send }) => send(reset(id, refusedStream))],
    ['GOAWAY with a lower stream to one without a body', undefined, ({ id, send }) => send(goaway(Math.max(0, id - 2), 0))],
    ['GOAWAY with a lower stream to one with a body', 'question', ({ id, send }) => send(goaway(Math.max(0, id - 2), 11))],
  ])('does not see that a host restarts: %s', async (_name, body, refuse) => {
    let refusals = 0
    onStream = async (stream) => {
      if ((refusals += 1) === 1) return refuse(stream)
      await stream.whole
      stream.send(head(stream.id, ok), data(stream.id, `got ${stream.body}`, end))
    }
    const { value } = await rig.watched(['allow'], () => ask(body))
    expect(value).toMatchObject({ status: 200, complete: true })
    expect(value.text).toMatch(body === undefined ? /^got (?:ask)?$/ : /^got question$/)
    expect(refusals).toBe(2)
  })
})
