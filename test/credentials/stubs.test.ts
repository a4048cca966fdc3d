import { describe, expect, it } from 'vitest'
import { indexStubs, isStub, scopedTo, stubsIn } from '#credentials/stubs.ts'
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
