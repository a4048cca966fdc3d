import { expect, it } from 'vitest'
import { Secret } from '#base/secret.ts'
import type { SecretRef } from '#base/secret.ts'
import type { Credential } from '#credentials/types.ts'
import { grantFrom, isValueOf } from '#vault/static-values.ts'
import type { Value } from '#vault/static-values.ts'
import { canary } from '../kit/credentials.ts'

const [key, token]: SecretRef[] = [{ env: 'KEY' }, { env: 'TOKEN' }]
const values = (...names: readonly string[]): Map<string, Value> =>
  new Map(names.map((name, i) => [`env:${name}`, { secret: new Secret(name, canary()), generation: i + 1 }]))
const credential = (some: Partial<Credential>) => ({ id: 'aws', lease: undefined, ...some }) as Credential

it('a grant has the value with its generation, and all that goes with it or nothing', () => {
  const both = values('KEY', 'TOKEN')
  const whole = credential({ secret: key, companions: token && { token } })
  expect(grantFrom(both, whole)).toEqual({
    credential: whole,
    ...both.get('env:KEY'),
    companions: { token: both.get('env:TOKEN')?.secret },
  })
  expect(grantFrom(values('KEY'), whole)).toBeUndefined()
  expect(grantFrom(values('TOKEN'), whole)).toBeUndefined()
  expect(grantFrom(values('KEY'), credential({ secret: key }))).toMatchObject({ generation: 1 })
  expect(grantFrom(both, credential({ secret: undefined }))).toBeUndefined()
})

it('a candidate is the value or it is not, of whatever length', () => {
  const known = values('KEY')
  const real = known.get('env:KEY')?.secret.expose() ?? ''
  const asked = [real, `${real}x`, '', canary()].map((candidate) => isValueOf(known, { env: 'KEY' }, candidate))
  expect(asked).toEqual([true, false, false, false])
  expect(isValueOf(known, { env: 'NONE' }, '')).toBe(false)
})
