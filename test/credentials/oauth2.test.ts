import { describe, expect, it } from 'vitest'
import { credentialSchema } from '#credentials/index.ts'
import { credential, outcome } from '../kit/credentials.ts'

const stubs = { access: 'access-token-stub', refresh: 'refresh-token-stub' }
const entry = {
  kind: 'oauth2',
  stubs,
  grant: { file: 'secrets/grant.json' },
  tokenEndpoint: 'https://login.example.com/oauth/token',
  clientId: 'a-client',
  answers: ['login.example.com/oauth/token'],
  scopes: ['user:inference'],
  hosts: ['good.test'],
}
const grant = credential('login', entry)
const sent = (value: string, host = 'good.test') => ({ all: [grant], head: { host, headers: ['authorization', value] } })

describe('an oauth2 credential', () => {
  it('is known and not active yet: using its stub says that no value can be had', () => {
    expect(grant.active).toBe(false)
    expect(outcome(sent(`Bearer ${stubs.access}`))).toBe('credential_unavailable')
  })

  it('leaves a stub where it belongs alone in report mode, where nothing is placed anyway', () => {
    expect(outcome({ ...sent(`Bearer ${stubs.access}`), grants: false })).toBe('passed')
  })

  it('has both its stubs guarded', () => {
    expect(outcome(sent(`Bearer ${stubs.access}`, 'other.test'))).toBe('stub_wrong_host')
    expect(outcome(sent(`Bearer ${stubs.refresh}`, 'other.test'))).toBe('stub_wrong_host')
    expect(outcome(sent(`Bearer ${stubs.refresh}`))).toBe('stub_misplaced')
  })

  it('needs no grant in the policy, and different stubs', () => {
    const { grant: _, ...without } = entry
    expect(credentialSchema.safeParse(without).success).toBe(true)
    expect(credentialSchema.safeParse({ ...entry, stubs: { access: stubs.access, refresh: stubs.access } }).success).toBe(false)
  })

  it('takes an https token endpoint only', () => {
    expect(credentialSchema.safeParse({ ...entry, tokenEndpoint: 'http://login.example.com/oauth/token' }).success).toBe(false)
  })
})
