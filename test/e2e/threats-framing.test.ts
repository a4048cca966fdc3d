/** The threat list, part B: framing of HTTP/1.x. Raw bytes in: what two parsers could read differently is refused once and ends there. */
import { randomBytes } from 'node:crypto'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { codeIn, sayEverywhere, smuggled, startRig, told, type Heard, type Rig, type Verdict } from './threat-rig.ts'

let rig: Rig

beforeAll(async () => {
  rig = await startRig({ rules: '  - {id: reading, hosts: [read.test], methods: [GET]}', hosts: ['read.test'] })
})
afterAll(() => rig[Symbol.asyncDispose]())

describe('a head that two parsers could read differently is answered once, then the connection ends', () => {
  const head =
    (lines: string, rest = ''): ((host: string) => string) =>
    (host) =>
      `POST /x HTTP/1.1\r\nHost: ${host}\r\n${lines}\r\n\r\n${rest}`
  test.each<[string, (host: string) => string]>([
    ['Content-Length, then Transfer-Encoding', head('Content-Length: 4\r\nTransfer-Encoding: chunked', '0\r\n\r\n')],
    ['Transfer-Encoding, then Content-Length', head('Transfer-Encoding: chunked\r\nContent-Length: 4', '0\r\n\r\n')],
    ['Content-Length twice, the same', head('Content-Length: 4\r\nContent-Length: 4', 'abcd')],
    ['Content-Length twice, different', head('Content-Length: 4\r\nContent-Length: 0', 'abcd')],
    ['Content-Length with a sign', head('Content-Length: +4', 'abcd')],
    ['Content-Length as a list', head('Content-Length: 4,4', 'abcd')],
    ['Content-Length below nought', head('Content-Length: -1')],
    ['Content-Length of 2^64+1', head('Content-Length: 18446744073709551617')],
    ['Content-Length of sixteen digits', head('Content-Length: 9007199254740993')],
    ['Content-Length in hex', head('Content-Length: 0x4', 'abcd')],
    ['an empty Content-Length', head('Content-Length:')],
    ['Content-Length with a space inside', head('Content-Length: 4 4', 'abcd')],
    ['gzip, chunked', head('Transfer-Encoding: gzip, chunked', '0\r\n\r\n')],
    ['chunked, identity', head('Transfer-Encoding: chunked, identity', '0\r\n\r\n')],
    ['xchunked', head('Transfer-Encoding: xchunked', '0\r\n\r\n')],
    ['identity', head('Transfer-Encoding: identity')],
    ['CHUNKED in capitals', head('Transfer-Encoding: CHUNKED', '0\r\n\r\n')],
    ['Transfer-Encoding twice', head('Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked', '0\r\n\r\n')],
    ['Transfer-Encoding behind a vertical tab', head('Transfer-Encoding: \x0bchunked', '0\r\n\r\n')],
    ['chunked in HTTP/1.0', (host) => `POST /x HTTP/1.0\r\nHost: ${host}\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n`],
    ['a space before the colon', head('Content-Length : 4', 'abcd')],
    ['a folded line', head('X-A: b\r\n c')],
    ['a line that begins with a space', (host) => `POST /x HTTP/1.1\r\n X: y\r\nHost: ${host}\r\n\r\n`],
    ['a bare LF at the end of a line', head('X-A: b\nX-C: d')],
    ['a bare CR inside a value', head('X-A: b\rX-C: d')],
    ['NUL in a value', head('X-A: b\0c')],
    ['NUL in a name', head('X\0A: b')],
    ['a control byte in a value', head('X-A: b\x01c')],
    ['an empty name', head(': b')],
    ['a name with a space', head('X A: b')],
    ['a name in parentheses', head('X(A): b')],
    ['a name outside ASCII', head('X-\xe4: b')],
    ['a line without a colon', head('nonsense')],
    ['a chunk size of 17 digits', head('Transfer-Encoding: chunked', '10000000000000000\r\nabcd\r\n0\r\n\r\n')],
    ['a chunk size with a sign', head('Transfer-Encoding: chunked', '+4\r\nabcd\r\n0\r\n\r\n')],
    ['a chunk size in 0x', head('Transfer-Encoding: chunked', '0x4\r\nabcd\r\n0\r\n\r\n')],
    ['a space before a chunk size', head('Transfer-Encoding: chunked', ' 4\r\nabcd\r\n0\r\n\r\n')],
    ['a chunk longer than its size', head('Transfer-Encoding: chunked', '2\r\nabcd\r\n0\r\n\r\n')],
    ['a chunk line that ends with LF', head('Transfer-Encoding: chunked', '4\nabcd\n0\n\n')],
    ['a chunk extension with LF inside', head('Transfer-Encoding: chunked', '4;a\nb\r\nabcd\r\n0\r\n\r\n')],
    ['a tab in the request line', (host) => `GET\t/x\tHTTP/1.1\r\nHost: ${host}\r\n\r\n`],
    ['a space in the target', (host) => `GET /x y HTTP/1.1\r\nHost: ${host}\r\n\r\n`],
    ['a byte outside ASCII in the target', (host) => `GET /\xff HTTP/1.1\r\nHost: ${host}\r\n\r\n`],
    [
      'a trailer that names the framing',
      head('Transfer-Encoding: chunked', '4\r\nabcd\r\n0\r\nContent-Length: 9 9\r\nX\0: y\r\n\r\n'),
    ],
  ])('%s', async (_, write) => {
    const { value } = await rig.watched(told, sayEverywhere(rig, write))
    for (const { status, code, replies, ending } of value) {
      expect({ replies: replies.length, ending }).toEqual({ replies: 1, ending: 'closed' })
      expect([400, 405]).toContain(status)
      expect(['method_not_allowed', 'bad_framing', 'malformed_request', 'bad_header', 'bad_path', 'bad_host']).toContain(code)
    }
    // What came before the broken part may have been on its way; it never arrives as a whole request, nor what follows.
    expect(reached()).toEqual([])
  })

  /** Whole requests that were seen since the last look, but for the harness's own. */
  function reached(): readonly string[] {
    const { main, trap, plain } = rig.scene.upstreams as typeof rig.scene.upstreams & { plain: typeof rig.scene.upstreams.main }
    const all = [...main.requests, ...trap.requests, ...plain.requests]
    const fresh = all.filter((seen) => !counted.has(seen))
    for (const seen of fresh) counted.add(seen)
    return fresh
      .filter(({ state, target }) => state === 'complete' || target.includes('smuggled'))
      .map(({ method, target }) => `${method} ${target}`)
  }
  const counted = new Set<object>()
})

describe('a chunked body is bounded in what is no body', () => {
  test('a mebibyte of chunk extensions is refused after a bounded part of it', async () => {
    const write = (host: string): string =>
      `POST /x HTTP/1.1\r\nHost: ${host}\r\nTransfer-Encoding: chunked\r\n\r\n4;${'a'.repeat(1 << 20)}\r\nabcd\r\n0\r\n\r\n`
    const { value } = await rig.watched(told, sayEverywhere(rig, write))
    expect(value.map(({ replies }) => replies.length)).toEqual([1, 1])
    expect(value.every(({ status }) => status >= 400)).toBe(true)
  })

  test('a body that never ends does not become a request', async () => {
    const { value } = await rig.watched(['client_closed'], () =>
      rig.say('https', 'POST /never HTTP/1.1\r\nHost: good.test\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nabcd\r\n', {
        timeout: 300,
      }),
    )
    expect(value.replies).toHaveLength(0)
    expect(rig.scene.upstreams.main.requests.find(({ target }) => target === '/never')?.state).not.toBe('complete')
  })
})

test('a hundred pipelined requests: each is judged in its turn, and after a malformed one nothing is read', async () => {
  const one = (i: number): string =>
    `GET /${i === 50 ? 'denied' : 'p'}/${i} HTTP/1.1\r\nHost: ${i === 50 ? 'other.test' : 'good.test'}\r\n${i === 60 ? 'bad header: x\r\n' : ''}\r\n`
  const expected = (heard: Heard): Verdict[] =>
    heard.replies.map(({ status, body }) => (status === 200 ? 'allow' : ((codeIn(body) ?? 'internal') as Verdict)))
  const { value } = await rig.watched(expected, () =>
    rig.say('https', Array.from({ length: 100 }, (_, i) => one(i)).join(''), { until: () => false }),
  )
  const bodies = value.replies.map(({ status, body }) =>
    status === 200 ? (JSON.parse(body.toString()) as { target: string }).target : status,
  )
  const upTo = (end: number): string[] => Array.from({ length: end }, (_, i) => `/p/${i}`)
  // The 50th is refused with 421, which ends the connection (RFC 9112 section 9.6); nothing behind it is a request.
  expect(bodies.slice(0, 51)).toEqual([...upTo(50), 421])
  expect(value.ending).toBe('closed')
  expect(rig.scene.upstreams.main.requests.filter(({ target }) => /^\/(?:denied|p\/(?:6\d|[789]\d))/.test(target))).toEqual([])
})

test('a refused upload of a gibibyte: 403 at once, and a request inside it never is one', async () => {
  const head = 'POST /x HTTP/1.1\r\nHost: read.test\r\nContent-Length: 1073741824\r\n\r\n'
  const { value } = await rig.refused(['request_denied'], () =>
    rig.say('https', Buffer.concat([Buffer.from(head + smuggled.repeat(100)), randomBytes(100_000)]), {
      name: 'read.test',
      until: () => false,
    }),
  )
  expect(value).toMatchObject({ status: 403, ending: 'closed' })
  expect(value.replies).toHaveLength(1)
})
