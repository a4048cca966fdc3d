import { describe, expect, it } from 'vitest'
import { refusalsFor } from '#journey/refused-values.ts'
import { RefusalCatcher, Replayable } from '#journey/replay.ts'
import type { ReplySink } from '#contracts/reply.ts'
import type { RawHeaders, RequestBody } from '#contracts/request.ts'
import { hostOf } from '../kit/policy.ts'

function bodyOf(...texts: readonly string[]): RequestBody {
  async function* chunks(): AsyncGenerator<Uint8Array> {
    for (const text of texts) {
      await Promise.resolve()
      yield Buffer.from(text)
    }
  }
  return { chunks: chunks(), length: undefined, trailers: () => [] }
}

async function readAll(body: RequestBody | undefined): Promise<string> {
  const chunks: Uint8Array[] = []
  for await (const chunk of body?.chunks ?? []) chunks.push(chunk)
  return Buffer.concat(chunks).toString()
}

describe('a body that may have to be sent twice', () => {
  it('is the same both times', async () => {
    const body = new Replayable(bodyOf('one ', 'two ', 'three'))
    expect(await readAll(body.first())).toBe('one two three')
    expect(await readAll(body.again())).toBe('one two three')
  })

  it.each([0, 1, 2, 3])(
    'loses nothing when the first sending stops after %i chunks, even while it waits for one',
    async (count) => {
      const body = new Replayable(bodyOf('one ', 'two ', 'three'))
      const first = body.first().chunks[Symbol.asyncIterator]()
      for (let i = 0; i < count; i += 1) await first.next()
      void first.next()
      void first.return?.()
      expect(await readAll(body.again())).toBe('one two three')
    },
  )

  it('is whole for the second sending while the first still reads', async () => {
    const body = new Replayable(bodyOf('one ', 'two ', 'three ', 'four'), 8)
    const first = body.first().chunks[Symbol.asyncIterator]()
    await first.next()
    const second = body.again()
    // Past the limit, each chunk that is read is dropped: the first sending may not take one that the second needs.
    const late = [first.next(), first.next(), first.next()]
    expect(await readAll(second)).toBe('one two three four')
    expect((await Promise.all(late)).map(({ done }) => done)).toEqual([true, true, true])
  })

  it('keeps no more than it was asked to', async () => {
    const body = new Replayable(bodyOf('one ', 'two ', 'three'), 8)
    expect(await readAll(body.first())).toBe('one two three')
    expect(body.again()).toBeUndefined()
  })

  it('is sent once only when it is long, and is whole then', async () => {
    const chunk = 'x'.repeat(1 << 20)
    const body = new Replayable(bodyOf(...Array.from({ length: 10 }, () => chunk)))
    expect((await readAll(body.first())).length).toBe(10 << 20)
    expect(body.again()).toBeUndefined()
  })

  it('throws what its source throws, both times', async () => {
    async function* broken(): AsyncGenerator<Uint8Array> {
      yield Buffer.from('one')
      throw new Error('gone')
    }
    const body = new Replayable({ chunks: broken(), length: undefined, trailers: () => [] })
    await expect(readAll(body.first())).rejects.toThrow('gone')
  })
})

class Recorded implements ReplySink {
  onDrain: () => void = () => {}
  readonly said: string[] = []
  informational(status: number): void {
    this.said.push(`${status}`)
  }
  head(status: number, _headers: RawHeaders, last = false): void {
    this.said.push(`${status}${last ? ' last' : ''}`)
  }
  data(chunk: Uint8Array): boolean {
    this.said.push(Buffer.from(chunk).toString())
    return true
  }
  end(): void {
    this.said.push('end')
  }
}

describe('the catcher of refusals', () => {
  const plain = { host: hostOf('good.test'), path: '/' }
  const google = { host: hostOf('oauth2.googleapis.com'), path: '/tokeninfo' }

  function passing(status: number, ...texts: readonly string[]) {
    return passingAt(plain, status, ...texts)
  }

  function passingAt(asked: typeof plain, status: number, ...texts: readonly string[]) {
    const sink = new Recorded()
    const catcher = new RefusalCatcher(sink, refusalsFor(asked))
    catcher.head(status, [])
    for (const text of texts) catcher.data(Buffer.from(text))
    catcher.end([])
    return { caught: catcher.caught !== undefined, said: sink.said }
  }

  it.each([
    ['401', 401, ['{"error":"expired"}']],
    ['a 403 that says the token was revoked', 403, ['{"error":{"message":"OAuth token has ', 'been revoked."}}']],
    ['a 403 that says the token has expired', 403, ['{"message":"token expired"}']],
  ])('keeps %s from the agent', (_name, status, texts) => {
    expect(passing(status, ...texts)).toEqual({ caught: true, said: [] })
  })

  const invalid = '{"error":"invalid_token","error_description":"Invalid Value"}'

  it('keeps Google’s 400 for a token that has ended from the agent, where it is asked about tokens and nowhere else', () => {
    expect(passingAt(google, 400, invalid)).toEqual({ caught: true, said: [] })
    expect(passingAt({ ...google, path: '/oauth2/v3/tokeninfo' }, 400, invalid).caught).toBe(true)
    expect(passingAt(google, 400, '{"error":"invalid_request"}')).toMatchObject({
      caught: false,
      said: ['400', expect.any(String), 'end'],
    })
    expect(passingAt({ ...google, path: '/token' }, 400, invalid).caught).toBe(false)
    expect(passingAt({ ...plain, path: '/tokeninfo' }, 400, invalid).caught).toBe(false)
  })

  it.each([
    ['200', 200, ['fine']],
    ['a 403 for another reason', 403, ['{"message":"OAuth token does not meet scope requirement"}']],
    ['a long 403', 403, ['x'.repeat(20_000), 'token revoked']],
    ['an empty 403', 403, []],
  ])('passes %s on whole', (_name, status, texts) => {
    expect(passing(status, ...texts)).toEqual({ caught: false, said: [`${status}`, ...texts, 'end'] })
  })
})
