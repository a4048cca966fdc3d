import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { Secret } from '#base/secret.ts'
import { compileScrub } from '#credentials/scrub/restub.ts'
import type { ScrubPatterns } from '#credentials/scrub/restub.ts'
import { ScrubChain } from '#credentials/scrub/scrub-chain.ts'
import { canary } from '../../kit/credentials.ts'

const of = (...values: readonly string[]): ScrubPatterns =>
  compileScrub(values.map((value) => ({ credential: 'key', stub: 'STUB', secret: new Secret('key', value) })))

/** A reply in force for which the values are what `patterns` says at the moment. */
function reply(first: ScrubPatterns) {
  const state = { patterns: first as ScrubPatterns | undefined }
  const chain = new ScrubChain(first, () => state.patterns)
  let text = ''
  const add = (bytes: Uint8Array): void => {
    text += Buffer.from(bytes).toString('latin1')
  }
  return {
    state,
    chain,
    push: (part: string) => add(chain.push(Buffer.from(part, 'latin1'))),
    flush: () => add(chain.flush()),
    end() {
      add(chain.end())
      return text
    },
  }
}

describe('a reply that outlasts a value', () => {
  it('shows neither the old nor the new one, wherever it is split', () => {
    const [old, fresh] = [canary(), canary()]
    const [before, after] = [of(old), of(fresh)]
    const body = `a ${old} b ${fresh} c ${old}${fresh} d`
    fc.assert(
      fc.property(fc.array(fc.nat(body.length), { maxLength: 12 }), fc.nat(12), (cuts, renewedAt) => {
        const on = reply(before)
        const places = [0, ...cuts.toSorted((one, other) => one - other), body.length]
        for (const [i, from] of places.entries()) {
          // In force before the host can know it.
          if (i === renewedAt || from > body.indexOf(fresh) - 1) on.state.patterns = after
          if ((places[i + 1] ?? from) > body.indexOf(fresh)) on.state.patterns = after
          on.push(body.slice(from, places[i + 1] ?? from))
        }
        expect(on.end()).toBe('a STUB b STUB c STUBSTUB d')
      }),
    )
  })

  it('follows through many of them, and keeps the first, which was sent', () => {
    const values = Array.from({ length: 6 }, canary)
    const on = reply(of(values[0] ?? ''))
    for (const [i, value] of values.entries()) {
      on.state.patterns = of(value, values[i - 1] ?? value)
      on.push(value.slice(0, 9))
      on.push(`${value.slice(9)} ${values[0]} `)
    }
    expect(on.end()).toBe('STUB STUB '.repeat(6))
    expect(on.chain.hits.get('key')).toBe(12)
  })

  it('loses no byte that was kept back when the values change, and none when they are gone', () => {
    const [old, fresh, last] = [canary(), canary(), canary()]
    const on = reply(of(old))
    on.push(`x${old.slice(0, 5)}`)
    on.state.patterns = of(fresh)
    on.push(`y${fresh.slice(0, 7)}`)
    on.state.patterns = of(last)
    on.push(`z${last.slice(0, 3)}`)
    on.state.patterns = undefined
    on.push('!')
    on.flush()
    expect(on.end()).toBe(`x${old.slice(0, 5)}y${fresh.slice(0, 7)}z${last.slice(0, 3)}!`)
  })

  it('has clean trailers too', () => {
    const [old, fresh] = [canary(), canary()]
    const on = reply(of(old))
    expect(on.chain.isClean([old])).toBe(false)
    on.state.patterns = of(fresh)
    on.push('x')
    expect([on.chain.isClean([old]), on.chain.isClean([fresh]), on.chain.isClean(['x'])]).toEqual([false, false, true])
    expect(on.chain.scrubText(`${old} ${fresh}`)).toBe('STUB STUB')
  })
})
