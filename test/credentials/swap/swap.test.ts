import { describe, expect, it } from 'vitest'
import { ProxyError } from '#base/errors.ts'
import { encodePercent } from '#credentials/swap/query-string.ts'
import { findStubs, place } from '#credentials/swap/swap.ts'
import { ask, bearerFor, canary, credential, find, grantOf, outcome, swapped } from '../../kit/credentials.ts'

const stub = 'stub-of-this-agent'
const theirs = 'stub-of-another-agent'
const mine = bearerFor('mine', stub)
const others = bearerFor('others', theirs, { agents: ['b'] })
const key = credential('key', {
  kind: 'header',
  header: 'x-api-key',
  stub: 'stub-of-the-key',
  secret: { env: 'KEY' },
  hosts: ['good.test'],
})
const all = [mine, others, key]
const granted = [mine, key]
const base64 = (text: string) => Buffer.from(text).toString('base64')

const escaped = (value: string) => RegExp.escape(encodePercent(value))

const withHeaders = (...headers: string[]) => ({ all, granted, head: { headers } })

describe('findStubs', () => {
  it.each([
    ['in Authorization', { headers: ['authorization', `Bearer ${stub}`] }],
    ['in Basic', { headers: ['authorization', `Basic ${base64(`u:${stub}`)}`] }],
    ['in a Referer', { headers: ['referer', `https://x.test/?token=${stub}`] }],
    ['in a User-Agent', { headers: ['user-agent', `tool (${stub})`] }],
    ['in a cookie', { headers: ['cookie', `a=b; session=${stub}`] }],
    ['as the name of a header', { headers: [stub, 'x'] }],
    ['in the path', { path: `/gists/${stub}` }],
    ['in the path, percent-encoded', { path: `/gists/%73${stub.slice(1)}` }],
    ['in the path, behind a prefix', { path: `/bot${stub}/getMe` }],
    ['in the path, percent-encoded behind a prefix', { path: `/bot%73${stub.slice(1)}/getMe` }],
    ['in the path, before an ending', { path: `/hooks/${stub}.json` }],
    ['in a parameter of the path', { path: `/a;token=${stub}/b` }],
    ['in the query', { query: `?q=${stub}` }],
    ['in the query, percent-encoded', { query: `?q=%73${stub.slice(1)}` }],
  ])('refuses a stub %s on another host, of another agent, over plain HTTP, and out of place', (_where, head) => {
    expect(outcome({ all, granted, head: { ...head, host: 'other.test' } })).toBe('stub_wrong_host')
    const foreignStub = JSON.parse(
      JSON.stringify(head)
        .replaceAll(stub.slice(1), theirs.slice(1))
        .replaceAll(base64(`u:${stub}`), base64(`u:${theirs}`)),
    )
    expect(outcome({ all, granted, head: foreignStub })).toBe('stub_wrong_agent')
    expect(outcome({ all, granted: [], head: { ...head, scheme: 'http' } })).toBe('stub_cleartext')
    const belongs = 'headers' in head && head.headers[0] === 'authorization'
    expect(outcome({ all, granted, head })).toBe(belongs ? 'swapped' : 'stub_misplaced')
  })

  it('names the credential whose stub was misused, and never the stub', () => {
    const refused = find({ all, granted, head: { host: 'other.test', headers: ['authorization', `Bearer ${stub}`] } })
    expect(refused).toMatchObject({ kind: 'refused', credential: 'mine' })
    expect(JSON.stringify(refused)).not.toContain(stub)
  })

  it('lets a stub that is part of longer text pass as it is', () => {
    expect(outcome(withHeaders('user-agent', `x${stub}`, 'referer', `https://x.test/${stub}.html`))).toBe('passed')
    expect(outcome({ all, granted, head: { path: `/a/${stub}-b`, query: `?q=${stub}2` } })).toBe('passed')
  })

  it.each([
    ['the path', { path: '/bot12345678%3AAA-stub/getMe' }, 'stub_misplaced'],
    ['the path, as it is', { path: '/bot12345678:AA-stub/getMe' }, 'stub_misplaced'],
    ['the query', { query: '?token=12345678%3AAA-stub' }, 'stub_misplaced'],
    ['Basic', { headers: ['authorization', `Basic ${base64('u:12345678:AA-stub')}`] }, 'swapped'],
    ['Authorization', { headers: ['authorization', 'Bearer 12345678:AA-stub'] }, 'swapped'],
  ])('knows a stub with a colon in %s', (_where, head, expected) => {
    const telegram = bearerFor('telegram', '12345678:AA-stub')
    expect(outcome({ all: [...all, telegram], granted: [telegram], head })).toBe(expected)
  })

  it('refuses the stub of a credential that the rule does not give', () => {
    expect(outcome({ all, granted: [key], head: { headers: ['authorization', `Bearer ${stub}`] } })).toBe('stub_misplaced')
  })

  it('swaps the stubs of two credentials in one request', () => {
    const real = canary()
    const placed = swapped(withHeaders('authorization', `Bearer ${stub}`, 'x-api-key', 'stub-of-the-key'), real)
    expect(placed.headers).toEqual(['authorization', `Bearer ${real}`, 'x-api-key', real])
    expect(placed.swaps).toEqual([
      { credential: 'mine', place: 'header:authorization' },
      { credential: 'key', place: 'header:x-api-key' },
    ])
  })

  it('swaps two parameters of one query, each in its place', () => {
    const param = (name: string) =>
      credential(name, { kind: 'query', param: name, stub: `stub-of-${name}-x`, secret: { env: 'KEY' }, hosts: ['good.test'] })
    const pair = { all: [param('id'), param('sig')], head: { query: '?x=1&sig=stub-of-sig-x&y=2&id=stub-of-id-x&z=3' } }
    const real = `much longer than the stub ${canary()}`
    const wire = new RegExp(`^\\?x=1&sig=(${escaped(real)})&y=2&id=(${escaped(real)})&z=3$`)
    expect(swapped(pair, real).query).toMatch(wire)
  })

  it('refuses two stubs in one value', () => {
    const password = credential('password', {
      kind: 'basic',
      stub: 'stub-of-the-password',
      secret: { env: 'KEY' },
      hosts: ['good.test'],
    })
    const headers = ['authorization', `Basic ${base64(`${stub}:stub-of-the-password`)}`]
    expect(outcome({ all: [mine, password], head: { headers } })).toBe('stub_misplaced')
  })

  it('gives each agent its own value behind one shared stub', () => {
    const of = (agent: string) => bearerFor(`of-${agent}`, stub, { agents: [agent] })
    const pair = [of('a'), of('b')]
    const found = find({ all: pair, granted: pair.slice(1), agent: 'b', head: { headers: ['authorization', `Bearer ${stub}`] } })
    expect(found).toMatchObject({ placements: [{ credential: { id: 'of-b' } }] })
    expect(outcome({ all: pair, agent: 'c', head: { headers: ['authorization', `Bearer ${stub}`] } })).toBe('stub_wrong_agent')
  })

  it('places nothing in report mode and still says what it would refuse', () => {
    const report = { all, granted: [], grants: false }
    expect(outcome({ ...report, head: { headers: ['authorization', `Bearer ${stub}`] } })).toBe('passed')
    expect(outcome({ ...report, head: { headers: ['x-api-key', stub] } })).toBe('stub_misplaced')
    expect(outcome({ ...report, head: { host: 'other.test', headers: ['authorization', `Bearer ${stub}`] } })).toBe(
      'stub_wrong_host',
    )
  })

  it('does not look at what was said to the proxy itself', () => {
    expect(outcome(withHeaders('proxy-authorization', `Basic ${base64('a:password')}`))).toBe('passed')
  })

  it('answers for a thousand credentials as for one', () => {
    const many = Array.from({ length: 1000 }, (_, i) => bearerFor(`c${i}`, `stub-number-${i}`, { hosts: [`h${i}.test`] }))
    expect(outcome({ all: many, head: { host: 'h7.test', headers: ['authorization', 'Bearer stub-number-7'] } })).toBe('swapped')
    expect(outcome({ all: many, head: { host: 'h7.test', headers: ['authorization', 'Bearer stub-number-8'] } })).toBe(
      'stub_wrong_host',
    )
  })
})

describe('a foreign credential', () => {
  const places: readonly (readonly [string, { readonly headers?: string[]; readonly query?: string }])[] = [
    ['Authorization', { headers: ['Authorization', 'Bearer their-own'] }],
    ['Basic', { headers: ['authorization', `Basic ${base64('u:their-own')}`] }],
    ['an unknown scheme', { headers: ['authorization', 'AWS4-HMAC-SHA256 Credential=x'] }],
    ['x-api-key', { headers: ['x-api-key', 'their-own'] }],
    ['another spelling of x-api-key', { headers: ['X_Api_Key', 'their-own'] }],
    ['api-key', { headers: ['api-key', 'their-own'] }],
    ['x-goog-api-key', { headers: ['X-Goog-Api-Key', 'their-own'] }],
    ['x-auth-token', { headers: ['x-auth-token', 'their-own'] }],
    ['private-token', { headers: ['PRIVATE-TOKEN', 'their-own'] }],
    ['x-amz-security-token', { headers: ['x-amz-security-token', 'their-own'] }],
    ['a cookie', { headers: ['cookie', 'session=their-own'] }],
    ['a query parameter', { query: '?access_token=their-own' }],
    ['a query parameter in capitals', { query: '?KEY=their-own' }],
    ['a query parameter with an encoded name', { query: '?%61pi_key=their-own' }],
    ['a signed URL', { query: '?X-Amz-Credential=their-own&X-Amz-Signature=x' }],
  ]

  it.each(places)('in %s is refused on a scoped host, alone and beside a stub', (_where, head) => {
    expect(outcome({ all, granted, head })).toBe('foreign_credential')
    const beside = { ...head, headers: ['authorization', `Bearer ${stub}`, ...(head.headers ?? [])] }
    expect(outcome({ all, granted, head: beside })).toBe('foreign_credential')
  })

  it.each(places)('in %s passes where the rule allows it, and where no credential is scoped', (_where, head) => {
    expect(outcome({ all, granted, foreign: 'allow', head })).toBe('passed')
    expect(outcome({ all, granted: [], head: { ...head, host: 'other.test' } })).toBe('passed')
  })

  it('is refused on a scoped host also when this request could use no credential', () => {
    expect(outcome({ all, granted: [], agent: 'c', head: { headers: ['authorization', 'Bearer their-own'] } })).toBe(
      'foreign_credential',
    )
  })

  it('is not what an empty header or parameter holds', () => {
    expect(outcome({ all, granted, head: { headers: ['authorization', '', 'cookie', ''], query: '?token=' } })).toBe('passed')
  })

  it.each([
    ['both with the stub', ['Authorization', `Bearer ${stub}`, 'authorization', `Bearer ${stub}`]],
    ['the second empty', ['authorization', `Bearer ${stub}`, 'authorization', '']],
    ['under two spellings', ['x-api-key', 'stub-of-the-key', 'x_api_key', '']],
  ])('could be in a repeated header, so one with a stub is refused: %s', (_how, headers) => {
    expect(outcome(withHeaders(...headers))).toBe('stub_misplaced')
  })

  it('does not travel beside a stub in a repeated header even where foreign ones are allowed', () => {
    const headers = ['authorization', `Bearer ${stub}`, 'Authorization', 'Bearer their-own']
    expect(outcome({ all, granted, foreign: 'allow', head: { headers } })).toBe('stub_misplaced')
  })

  it('that cannot be read is refused on a scoped host whatever the rule allows, and elsewhere is not ours to judge', () => {
    const head = { headers: ['authorization', 'Basic ???'] }
    expect(outcome({ all, granted, foreign: 'allow', head })).toBe('bad_credential')
    expect(outcome({ all, granted: [], head: { ...head, host: 'other.test' } })).toBe('passed')
  })
})

describe('place', () => {
  const request = withHeaders('Accept', '*/*', 'authorization', `Bearer ${stub}`, 'x-Odd', ' as  sent ')
  const asked = ask(request)
  const found = findStubs(asked)
  const placements = found.kind === 'found' ? found.placements : []

  it('changes nothing but the stub, and not the head it was given', () => {
    const before = structuredClone(asked.head)
    const real = canary()
    expect(place(asked.head, placements, [grantOf(mine, real)]).headers).toEqual([
      'Accept',
      '*/*',
      'authorization',
      `Bearer ${real}`,
      'x-Odd',
      ' as  sent ',
    ])
    expect(asked.head).toEqual(before)
  })

  it('gives back the very headers when there is nothing to place', () => {
    expect(place(asked.head, [], []).headers).toBe(asked.head.headers)
  })

  it('says where, never what', () => {
    const real = canary()
    expect(JSON.stringify(place(asked.head, placements, [grantOf(mine, real)]).swaps)).not.toContain(real)
  })

  it.each([
    ['is missing', []],
    ['belongs to another credential', [grantOf(key, 'something')]],
    ['is empty', [grantOf(mine, '')]],
    ['would end the header', [grantOf(mine, 'line\r\nx-more: 1')]],
    ['holds a NUL', [grantOf(mine, 'a\0b')]],
  ])('fails as unavailable when the value %s, and does not print it', (_what, grants) => {
    const attempt = () => place(asked.head, placements, grants)
    expect(attempt).toThrow(ProxyError)
    expect(attempt).toThrow(
      expect.objectContaining({ code: 'credential_unavailable', message: expect.not.stringContaining('x-more') }),
    )
  })
})
