import { describe, expect, it } from 'vitest'
import { indexStubs, isStub, scopedTo, stubsIn, stubsOfOne, withStubsOfOthers } from '#credentials/stubs.ts'
import { bearerFor } from '../kit/credentials.ts'

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
