/** What the frames of a host say about the end of a reply and the fate of a request, whatever Node makes of them. */
import { setTimeout as sleep } from 'node:timers/promises'
import { describe, expect, it } from 'vitest'
import type { Outbound } from '#contracts/upstream.ts'
import type { RequestBody } from '#contracts/request.ts'
import { bodyOf } from '../journey/parts.ts'
import { testAuthority } from '../kit/ca.ts'
import { block, flags } from '../kit/frames.ts'
import { replyFrames, startFrameUpstream, type FrameStream } from '../kit/frame-upstream.ts'
import { dialing, got, outboundOf, sender } from './parts.ts'

const certificate = testAuthority().leaf('good.test', 'other.test')
const { head, data, reset, goaway } = replyFrames
const end = flags.endStream
const code = { none: 0, protocol: 1, internal: 2, refused: 7, cancel: 8, calm: 11 } as const
const ok = block([':status', '200'])
const sized = block([':status', '200'], ['content-length', '5'])
const trailers = block(['grpc-status', '0'])

const grpcHeaders = ['content-type', 'application/grpc', 'te', 'trailers']
/** Over HTTP/2 at once, with or without a body. */
const asked: readonly (readonly [string, () => Asked])[] = [
  ['a GET', () => [outboundOf({ method: 'GET', headers: grpcHeaders })]],
  ['a gRPC call', () => [outboundOf({ method: 'POST', headers: grpcHeaders }), bodyOf(['ask'])]],
]

type Asked = readonly [Outbound, RequestBody?]
type Frames = (id: number) => readonly Buffer[]

/** Sends frames in one write, or each in a write of its own, so that Node reads them one by one. */
const ways: readonly (readonly [string, (stream: FrameStream, frames: readonly Buffer[]) => Promise<void>])[] = [
  ['at once', async ({ send }, frames) => send(...frames)],
  [
    'one by one',
    async ({ send }, frames) => {
      for (const frame of frames) {
        send(frame)
        await sleep(5)
      }
    },
  ],
]

describe.each(asked.flatMap(([what, ask]) => ways.map(([how, write]) => [what, how, ask, write] as const)))(
  'the reply to %s, its frames %s,',
  (_what, _how, ask, write) => {
    it.each<readonly [string, string, readonly string[], Frames]>([
      ['on its head', '', [], (id) => [head(id, ok, end)]],
      ['on DATA', 'hello', [], (id) => [head(id, ok), data(id, 'hello', end)]],
      ['on an empty DATA', 'hello', [], (id) => [head(id, ok), data(id, 'hello'), data(id, '', end)]],
      ['on trailers', 'hello', ['grpc-status', '0'], (id) => [head(id, ok), data(id, 'hello'), head(id, trailers, end)]],
      ['on trailers without DATA', '', ['grpc-status', '0'], (id) => [head(id, ok), head(id, trailers, end)]],
      ['with the length that was announced', 'hello', [], (id) => [head(id, sized), data(id, 'hello', end)]],
      ['before RST_STREAM(NO_ERROR)', 'hello', [], (id) => [head(id, ok), data(id, 'hello', end), reset(id, code.none)]],
      [
        'on trailers before RST_STREAM(NO_ERROR)',
        'hello',
        ['grpc-status', '0'],
        (id) => [head(id, ok), data(id, 'hello'), head(id, trailers, end), reset(id, code.none)],
      ],
      ['before GOAWAY', 'hello', [], (id) => [head(id, ok), data(id, 'hello', end), goaway(id, code.none)]],
      ['behind GOAWAY', 'hello', [], (id) => [goaway(id, code.none), head(id, ok), data(id, 'hello', end)]],
    ])('is complete with END_STREAM %s', async (_name, text, fields, frames) => {
      await using server = await startFrameUpstream({ certificate }, async (stream) => {
        await stream.whole
        await write(stream, frames(stream.id))
      })
      await using client = sender(dialing(server.port))
      const result = await got(client, ...ask())
      expect(result).toMatchObject({ sink: { status: 200, text, trailers: fields } })
      expect(result.code).toBeUndefined()
    })

    it.each<readonly [string, Frames]>([
      ['DATA and RST_STREAM(NO_ERROR)', (id) => [head(id, ok), data(id, 'hello'), reset(id, code.none)]],
      ['a head and RST_STREAM(NO_ERROR)', (id) => [head(id, ok), reset(id, code.none)]],
      ['an empty DATA and RST_STREAM(NO_ERROR)', (id) => [head(id, ok), data(id, ''), reset(id, code.none)]],
      ['all of its length and RST_STREAM(NO_ERROR)', (id) => [head(id, sized), data(id, 'hello'), reset(id, code.none)]],
      [
        'much DATA and RST_STREAM(NO_ERROR)',
        (id) => [head(id, ok), data(id, 'x'.repeat(16_000)), data(id, 'y'), reset(id, code.none)],
      ],
      ['RST_STREAM(CANCEL)', (id) => [head(id, ok), data(id, 'hello'), reset(id, code.cancel)]],
      ['RST_STREAM(REFUSED_STREAM)', (id) => [head(id, ok), data(id, 'hello'), reset(id, code.refused)]],
      ['less than its length', (id) => [head(id, sized), data(id, 'hell', end)]],
      ['more than its length', (id) => [head(id, sized), data(id, 'hello!', end)]],
      ['no DATA and a length', (id) => [head(id, sized, end)]],
      ['trailers without END_STREAM', (id) => [head(id, ok), data(id, 'hello'), head(id, trailers)]],
      ['GOAWAY with an error', (id) => [head(id, ok), data(id, 'hello'), goaway(id, code.internal)]],
      ['GOAWAY with a lower stream', (id) => [head(id, ok), data(id, 'hello'), goaway(id - 1, code.none)]],
    ])('is broken, never complete, with %s', async (_name, frames) => {
      await using server = await startFrameUpstream({ certificate }, async (stream) => {
        await stream.whole
        await write(stream, frames(stream.id))
      })
      await using client = sender(dialing(server.port))
      const result = await got(client, ...ask())
      expect(result.code).toMatch(/^upstream_(?:reset|protocol)$/)
      expect(result.sink.trailers).toBeUndefined()
      expect(server.wires).toHaveLength(1)
    })

    it('is complete at END_STREAM: what follows breaks nothing and belongs to no other', async () => {
      await using server = await startFrameUpstream({ certificate }, async (stream) => {
        await stream.whole
        await write(stream, [head(stream.id, ok), data(stream.id, 'hello', end), data(stream.id, 'poison')])
      })
      await using client = sender(dialing(server.port))
      for (let i = 0; i < 3; i += 1) {
        const { sink, code: fault } = await got(client, ...ask())
        // Node may find the stray frame before it says that the reply has ended; then the whole session breaks.
        expect(fault === undefined ? sink.text : fault).toMatch(/^(?:hello|upstream_reset)$/)
      }
    })
  },
)

describe('a request that the host did not process', () => {
  const answers = (stream: FrameStream): void =>
    stream.send(head(stream.id, ok), data(stream.id, `${stream.connection}: ${stream.body}`, end))

  const refusals: readonly (readonly [string, (stream: FrameStream) => void])[] = [
    ['REFUSED_STREAM', ({ id, send }) => send(reset(id, code.refused))],
    ['GOAWAY(NO_ERROR) with stream 0', ({ send }) => send(goaway(0, code.none))],
    ['GOAWAY(ENHANCE_YOUR_CALM) with stream 0', ({ send }) => send(goaway(0, code.calm))],
    ['GOAWAY(INTERNAL_ERROR) with stream 0', ({ send }) => send(goaway(0, code.internal))],
    ['GOAWAY twice, first with the highest', ({ send }) => send(goaway(2 ** 31 - 1, code.none), goaway(0, code.none))],
  ]
  const requests: readonly (readonly [string, string, readonly string[] | undefined])[] = [
    ['a GET', 'GET', undefined],
    ['a POST without a body', 'POST', undefined],
    ['a POST with a body', 'POST', ['one', ' two']],
    ['a PATCH with a body', 'PATCH', ['one']],
  ]

  it.each(refusals.flatMap(([how, refuse]) => requests.map(([what, ...rest]) => [what, how, refuse, ...rest] as const)))(
    '%s is repeated once on a new connection after %s',
    async (_what, _how, refuse, method, chunks) => {
      await using server = await startFrameUpstream({ certificate }, async (stream) => {
        if (stream.connection === 1) return refuse(stream)
        await stream.whole
        answers(stream)
      })
      await using client = sender(dialing(server.port))
      const result = await got(client, outboundOf({ method, headers: grpcHeaders }), chunks && bodyOf([...chunks]))
      expect(result.code).toBeUndefined()
      expect(result.sink).toMatchObject({ status: 200, text: `2: ${chunks?.join('') ?? ''}` })
      expect(server.wires).toHaveLength(2)
    },
  )

  it('is repeated with the whole of its body when a part of it was sent', async () => {
    await using server = await startFrameUpstream({ certificate }, async (stream) => {
      if (stream.connection > 1) {
        await stream.whole
        return answers(stream)
      }
      while (stream.body !== 'one') await new Promise(setImmediate)
      stream.send(reset(stream.id, code.refused))
    })
    await using client = sender(dialing(server.port))
    const { promise: refused, resolve } = Promise.withResolvers<void>()
    async function* chunks(): AsyncGenerator<Uint8Array> {
      yield Buffer.from('one')
      await refused
      yield Buffer.from(' two')
    }
    const body: RequestBody = { chunks: chunks(), length: undefined, trailers: () => [] }
    const sending = got(client, outboundOf({ method: 'POST', headers: grpcHeaders }), body)
    while (server.wires.length < 2) await new Promise(setImmediate)
    resolve()
    expect((await sending).sink.text).toBe('2: one two')
  })

  it.each<readonly [string, (stream: FrameStream) => void]>([
    ['an interim reply', ({ id, send }) => send(head(id, block([':status', '103'])), reset(id, code.refused))],
    ['its head', ({ id, send }) => send(head(id, ok), reset(id, code.refused))],
    ['a cancel', ({ id, send }) => send(reset(id, code.cancel))],
    ['RST_STREAM(NO_ERROR)', ({ id, send }) => send(reset(id, code.none))],
    ['GOAWAY that counts it in', ({ id, send }) => send(goaway(id, code.internal))],
  ])('is told from one that it did: after %s nothing is repeated', async (_name, answer) => {
    await using server = await startFrameUpstream({ certificate }, answer)
    await using client = sender(dialing(server.port))
    const result = await got(client, outboundOf({ method: 'GET', headers: grpcHeaders }))
    expect(result.code).toBe('upstream_reset')
    expect(server.wires).toHaveLength(1)
  })

  it.each(refusals)('fails when %s comes twice', async (_name, refuse) => {
    await using server = await startFrameUpstream({ certificate }, refuse)
    await using client = sender(dialing(server.port))
    expect((await got(client, outboundOf({ headers: grpcHeaders }))).code).toBe('upstream_reset')
    expect(server.wires).toHaveLength(2)
  })

  it('fails when too much of its body has passed to be sent again', async () => {
    await using server = await startFrameUpstream({ certificate }, async (stream) => {
      if (stream.connection > 1) return answers(stream)
      while (stream.body.length <= 64 * 1024) await new Promise(setImmediate)
      stream.send(reset(stream.id, code.refused))
    })
    await using client = sender(dialing(server.port))
    const body = bodyOf(Array.from({ length: 5 }, () => 'x'.repeat(16 * 1024)))
    expect((await got(client, outboundOf({ method: 'POST', headers: grpcHeaders }), body)).code).toBe('upstream_reset')
    expect(server.wires).toHaveLength(1)
  })

  it('is repeated for each of several streams of one session, which share the new one', async () => {
    const held: FrameStream[] = []
    await using server = await startFrameUpstream({ certificate }, (stream) => {
      if (stream.connection > 1) return answers(stream)
      held.push(stream)
      if (held.length === 3) stream.send(goaway(1, code.none), head(1, ok), data(1, 'the first', end))
    })
    await using client = sender(dialing(server.port))
    const outbound = outboundOf({ headers: grpcHeaders })
    const first = got(client, outbound)
    while (held.length < 1) await new Promise(setImmediate)
    const texts = (await Promise.all([first, got(client, outbound), got(client, outbound)])).map(({ sink }) => sink.text)
    expect(texts).toEqual(['the first', '2: ', '2: '])
    expect(server.wires).toHaveLength(2)
  })
})
