import { describe, expect, it } from 'vitest'
import { credentialSchema } from '#credentials/index.ts'
import { credential, outcome } from '../kit/credentials.ts'

const stub = 'stub-for-the-app'
const entry = {
  kind: 'github-app',
  stub,
  appId: 1,
  installationId: 2,
  privateKey: { file: 'secrets/app.pem' },
  repositories: ['homelab'],
  permissions: { contents: 'write', pull_requests: 'write' },
  hosts: ['good.test'],
}
const app = credential('app', entry)
const sent = (value: string, host = 'good.test') => ({ all: [app], head: { host, headers: ['authorization', value] } })

describe('a github-app credential', () => {
  it('is known and not active yet: using its stub says that no value can be had', () => {
    expect(app.active).toBe(false)
    expect(outcome(sent(`token ${stub}`))).toBe('credential_unavailable')
    expect(outcome(sent(`Basic ${Buffer.from(`x-access-token:${stub}`).toString('base64')}`))).toBe('credential_unavailable')
  })

  it('has its stub guarded', () => {
    expect(outcome(sent(`token ${stub}`, 'other.test'))).toBe('stub_wrong_host')
  })

  it.each([
    ['a permission that does not exist', { permissions: { contents: 'own' } }],
    ['a repository with its owner', { repositories: ['someone/homelab'] }],
    ['no repository at all', { repositories: [] }],
  ])('refuses %s in the policy', (_what, change) => {
    expect(credentialSchema.safeParse({ ...entry, ...change }).success).toBe(false)
  })
})
