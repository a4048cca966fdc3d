import { describe, expect, it } from 'vitest'
import { MemoryAccount } from '#base/memory-account.ts'
import { Secret } from '#base/secret.ts'
import { compileScrub } from '#credentials/scrub/restub.ts'
import { ScrubChain } from '#credentials/scrub/scrub-chain.ts'
import { Relay } from '#journey/relay.ts'
import { trace } from '#journey/settle.ts'
import { canary } from '../kit/credentials.ts'
import { ManualClock } from '../kit/clock.ts'
import { arrivalOf, Recorder } from './parts.ts'

const value = canary()
const patterns = compileScrub([{ credential: 'key', stub: 'the-stub', secret: new Secret('key', value) }])

function relayOf({ scrub = true, bodyless = false, memory = new MemoryAccount({ bytes: 1 << 20 }) } = {}) {
  const clock = new ManualClock()
  const seen = trace(arrivalOf(), { clock, ids: { next: () => 'id' } })
  const client = new Recorder()
  return {
    clock,
    seen,
    client,
    relay: new Relay(client, seen, {
      clock,
      memory,
      agent: 'alice',
      bodyless,
      scrub: scrub ? new ScrubChain(patterns, () => patterns) : undefined,
      metered: undefined,
    }),
  }
}

describe('a reply with nothing to look for', () => {
  it('passes as it is', () => {
    const { relay, client, seen, clock } = relayOf({ scrub: false })
    clock.advance(5)
    relay.head(200, ['Content-Length', '5', 'Set-Cookie', 'a', 'Alt-Svc', 'h3'])
    client.ready = false
    expect(relay.data(Buffer.from('hello'))).toBe(false)
    relay.end(['x-sum', '1'])
    expect(client).toMatchObject({
      status: 200,
      headers: ['Content-Length', '5', 'Set-Cookie', 'a'],
      text: 'hello',
      trailers: ['x-sum', '1'],
    })
    expect(seen).toMatchObject({ status: 200, repliedAt: 5, bytesDown: 5, scrubbed: undefined })
  })

  it('is asked for more when the agent can take it', () => {
    const { relay, client } = relayOf({ scrub: false })
    let drained = 0
    relay.onDrain = () => (drained += 1)
    client.onDrain()
    expect(drained).toBe(1)
  })
})

describe('replies that their agent does not read', () => {
  const open = (memory: MemoryAccount) => {
    const { relay, client } = relayOf({ scrub: false, memory })
    relay.head(200, [])
    client.ready = false
    return { relay, client }
  }

  it('count against its memory until it reads or the reply ends', () => {
    const memory = new MemoryAccount({ bytes: 1 << 20 })
    const [read, ended] = [open(memory), open(memory)]
    for (const { relay } of [read, ended, read, ended]) expect(relay.data(Buffer.from('x'))).toBe(false)
    expect(memory.held).toBe(2 * 128 * 1024)
    read.client.onDrain()
    expect(memory.held).toBe(128 * 1024)
    ended.relay.report()
    expect(memory).toMatchObject({ held: 0, agents: 0 })
    read.relay.data(Buffer.from('x'))
    expect(memory.held).toBe(128 * 1024)
  })

  it('break off where they do not fit, and leave the others their room', () => {
    const memory = new MemoryAccount({ bytes: 4 * 128 * 1024 })
    const [first, second, third] = [open(memory), open(memory), open(memory)]
    first.relay.data(Buffer.from('x'))
    second.relay.data(Buffer.from('x'))
    expect(() => third.relay.data(Buffer.from('x'))).toThrow(expect.objectContaining({ code: 'reply_overloaded' }))
    expect(memory.held).toBe(2 * 128 * 1024)
    first.client.onDrain()
    expect(open(memory).relay.data(Buffer.from('x'))).toBe(false)
  })
})

describe('a reply from a host that knows a real value', () => {
  it.each([1, 2, 3, 7, value.length - 1, value.length, 1000])('shows the stub instead, in chunks of %i', (size) => {
    const { relay, client, seen } = relayOf()
    relay.head(200, ['content-length', '999', 'x-echo', `Bearer ${value}`])
    const body = Buffer.from(`before ${value} between ${Buffer.from(value).toString('base64')} after`, 'latin1')
    for (let at = 0; at < body.length; at += size) relay.data(body.subarray(at, at + size))
    relay.end(['x-sum', value])
    expect(client.text).toMatch(/^before the-stub between \S+ after$/)
    expect(client.text).not.toContain(value)
    expect(client.headers).toEqual(['x-echo', 'Bearer the-stub'])
    expect(client.trailers).toEqual(['x-sum', 'the-stub'])
    expect(seen.scrubbed?.['key']).toBeGreaterThanOrEqual(3)
    expect(seen.bytesDown).toBe(client.text.length)
  })

  it('sets no cookie, in head, interim replies, trailers and upgrades', () => {
    const { relay, client } = relayOf()
    const headers = ['Set-Cookie', 'session=1', 'x', value]
    relay.informational(103, headers)
    relay.head(200, headers)
    relay.end(headers)
    expect([client.interim, client.headers, client.trailers]).toEqual([
      [[103, ['x', 'the-stub']]],
      ['x', 'the-stub'],
      ['x', 'the-stub'],
    ])
    const other = relayOf()
    expect(other.relay.upgraded({ headers, socket: undefined as never }).headers).toEqual(['x', 'the-stub'])
  })

  it.each([
    ['HEAD', true, 200, true],
    ['GET', false, 200, false],
    ['GET', false, 304, true],
    ['GET', false, 204, true],
  ])('to %s keeps its length only where there is no body to change', (_method, bodyless, status, kept) => {
    const { relay, client } = relayOf({ bodyless })
    relay.head(status, ['content-length', '5'])
    expect(client.headers).toEqual(kept ? ['content-length', '5'] : [])
  })

  it('gives what it keeps back after a pause', () => {
    const { relay, client, clock } = relayOf()
    relay.head(200, [])
    relay.data(Buffer.from(`data: x\n\n${value.slice(0, 3)}`))
    expect(client.text).toBe('data: x\n\n')
    clock.advance(9)
    expect(client.text).toBe('data: x\n\n')
    clock.advance(1)
    expect(client.text).toBe(`data: x\n\n${value.slice(0, 3)}`)
  })

  it('never drips a value out, however long it pauses', () => {
    const { relay, client, clock } = relayOf()
    relay.head(200, [])
    for (const character of value) {
      relay.data(Buffer.from(character, 'latin1'))
      clock.advance(1000)
    }
    relay.end([])
    expect(client.text).not.toContain(value.slice(0, 8))
    expect(client.text).toContain('the-stub')
  })

  it('leaves no timer behind when it breaks off, and still tells what it saw', () => {
    const { relay, client, clock, seen } = relayOf()
    relay.head(200, [])
    relay.data(Buffer.from(`${value} ${value.slice(0, 3)}`))
    relay.report()
    const before = client.text
    clock.advance(1000)
    expect(client.text).toBe(before)
    expect(seen.scrubbed).toEqual({ key: 1 })
  })
})
