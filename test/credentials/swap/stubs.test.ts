import { describe, expect, it } from 'vitest'
import { stubField } from '#credentials/swap/fields.ts'
import { indexStubs, isStub, scopedTo, stubInPath, stubsIn, stubsOfOne, withStubsOfOthers } from '#credentials/swap/stubs.ts'
import { bearerFor } from '../../kit/credentials.ts'

const first = bearerFor('first', 'first-stub', { hosts: ['good.test', '*.zone.test'] })
const second = bearerFor('second', 'second_stub.v2~x', { hosts: ['good.test', '*.deep.zone.test'] })
const index = indexStubs([first, second])

describe('stubsIn', () => {
  it.each([
    ['first-stub', ['first-stub']],
    ['a first-stub b', ['first-stub']],
    ['"first-stub"', ['first-stub']],
    ['x=first-stub; y=second_stub.v2~x', ['first-stub', 'second_stub.v2~x']],
    ['https://x.test/?key=first-stub&b', ['first-stub']],
    ['first-stub first-stub', ['first-stub', 'first-stub']],
    ['\xe9first-stub\xe9', ['first-stub']],
    ['', []],
    ['first-stubx', []],
    ['xfirst-stub', []],
    ['first-stub.', []],
    ['first-stu', []],
    ['First-Stub', []],
    ['first stub', []],
  ])('in %j finds %j', (text, expected) => {
    expect(stubsIn(index, text)).toEqual(expected)
  })

  it('finds nothing where there are no stubs', () => {
    expect(stubsIn(indexStubs([]), 'first-stub')).toEqual([])
    expect(isStub(indexStubs([]), '')).toBe(false)
  })
})

describe('a stub with a colon', () => {
  const telegram = bearerFor('telegram', '123456789:AAstub-of-telegram', { hosts: ['good.test'] })
  const other = bearerFor('other', '123456789:AAstub-of-telegram:2', { hosts: ['good.test'] })
  const number = bearerFor('number', '123456789', { hosts: ['good.test'] })
  const mixed = indexStubs([first, telegram, other, number])

  it.each([
    ['123456789:AAstub-of-telegram', ['123456789:AAstub-of-telegram']],
    ['Bearer 123456789:AAstub-of-telegram', ['123456789:AAstub-of-telegram']],
    ['user:123456789:AAstub-of-telegram', ['123456789:AAstub-of-telegram']],
    ['123456789:AAstub-of-telegram:x', ['123456789:AAstub-of-telegram']],
    ['123456789:AAstub-of-telegram:2,first-stub', ['123456789:AAstub-of-telegram:2', 'first-stub']],
    ['first-stub:123456789', ['first-stub', '123456789']],
    ['123456789:AAstub-of-telegramX', ['123456789']],
    ['x123456789:AAstub-of-telegram', []],
    ['AAstub-of-telegram', []],
  ])('in %j finds %j', (text, expected) => {
    expect(stubsIn(mixed, text)).toEqual(expected)
  })

  it.each(['123456789:AAstub-of-telegram', 'a:b:c:d:e', 'key.with:colon'])('%s may stand in a policy', (stub) => {
    expect(stubField.safeParse(stub).success).toBe(true)
  })

  it.each([':12345678', '12345678:', '1234:567 8', 'a:b'])('%s may not', (stub) => {
    expect(stubField.safeParse(stub).success).toBe(false)
  })
})

describe('stubInPath', () => {
  const telegram = bearerFor('telegram', '123456789:AAstub-of-telegram', { hosts: ['good.test'] })
  const run = bearerFor('run', 'first-stub-of-a-run', { hosts: ['good.test'] })
  const paths = indexStubs([first, second, telegram, run])

  it.each([
    ['/bot123456789:AAstub-of-telegram/getMe', '123456789:AAstub-of-telegram'],
    ['/file/bot123456789:AAstub-of-telegram/a.jpg', '123456789:AAstub-of-telegram'],
    ['/hooks/first-stub', 'first-stub'],
    ['/hooks/first-stub.json', 'first-stub'],
    ['/v1/key_first-stub/x', 'first-stub'],
    ['/a;token=first-stub/b', 'first-stub'],
    ['/a/first-stub:send', 'first-stub'],
    ['/a/first-stub%2Fb', 'first-stub'],
    ['/first-stub-of-a-run', 'first-stub-of-a-run'],
    ['/a/second_stub.v2~x//', 'second_stub.v2~x'],
    ['/first-stub-of-another', undefined],
    ['/first-stubs', undefined],
    ['/First-Stub', undefined],
    ['/first-stu', undefined],
    ['/', undefined],
  ])('in %s finds %s', (path, expected) => {
    expect(stubInPath(paths, path)).toBe(expected)
  })

  it('finds nothing where there are no stubs', () => {
    expect(stubInPath(indexStubs([]), '/bot123456789:AAstub-of-telegram/getMe')).toBeUndefined()
  })
})

describe('scopedTo', () => {
  it.each([
    ['good.test', ['first', 'second']],
    ['a.zone.test', ['first']],
    ['a.b.zone.test', ['first']],
    ['a.deep.zone.test', ['second', 'first']],
    ['deep.zone.test', ['first']],
    ['zone.test', []],
    ['notgood.test', []],
    ['sub.good.test', []],
    ['notzone.test', []],
  ])('for %s gives %j', (host, expected) => {
    expect(scopedTo(index, host).map(({ id }) => id)).toEqual(expected)
  })

  it('gives a credential once, however many of its patterns cover the host', () => {
    const doubled = bearerFor('doubled', 'doubled-stub', { hosts: ['*.zone.test', '*.a.zone.test', 'x.a.zone.test'] })
    expect(new Set(scopedTo(indexStubs([doubled]), 'x.a.zone.test')).size).toBe(1)
  })
})

describe('the stubs of one run', () => {
  const own = first.withStub('first-stub-of-a-run')
  const holders = (seen: typeof index, stub: string) => seen.byStub.get(stub)?.map(({ id, agents }) => [id, agents?.size])

  it('are the only ones that mean anything to it; the others are known and nobody’s', () => {
    const seen = stubsOfOne(index, [own])
    expect(stubsIn(seen, 'first-stub-of-a-run first-stub')).toEqual(['first-stub-of-a-run', 'first-stub'])
    expect(seen.byStub.get('first-stub-of-a-run')).toEqual([own])
    expect([holders(seen, 'first-stub'), holders(seen, 'second_stub.v2~x')]).toEqual([[['first', 0]], [['second', 0]]])
    expect(scopedTo(seen, 'good.test')).toEqual([first, second])
  })

  it('are known to everyone else and nobody’s there', () => {
    const seen = withStubsOfOthers(index, [own])
    expect(stubsIn(seen, 'first-stub-of-a-run')).toHaveLength(1)
    expect(holders(seen, 'first-stub-of-a-run')).toEqual([['first', 0]])
    expect(seen.byStub.get('first-stub')).toEqual([first])
    expect(stubsIn(index, 'first-stub-of-a-run')).toEqual([])
  })
})
