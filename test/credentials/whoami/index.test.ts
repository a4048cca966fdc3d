import { describe, expect, it } from 'vitest'
import { credential } from '../../kit/credentials.ts'

const bearer = { kind: 'bearer', stub: 'stub-of-tests', secret: { env: 'TOKEN' } }
const header = { kind: 'header', stub: 'stub-of-tests', secret: { env: 'TOKEN' } }
const app = { kind: 'github-app', stub: 'stub-of-tests', appId: 1, installationId: 2, privateKey: { env: 'KEY' } }

function asked(entry: object): string | undefined {
  const { whoami } = credential('c', { ...entry })
  return whoami && `${whoami.provider.name} at ${whoami.host}`
}

describe('whom a credential is asked at', () => {
  it.each([
    ['the host that is exactly theirs', { ...bearer, hosts: ['github.com', 'api.github.com'] }, 'github at api.github.com'],
    ['the host of Claude', { ...bearer, hosts: ['api.anthropic.com'] }, 'claude at api.anthropic.com'],
    ['an App, which its kind says', { ...app, hosts: ['api.github.com'] }, 'github-app at api.github.com'],
    ['no host of theirs', { ...bearer, hosts: ['api.example.com'] }, undefined],
    ['a zone that their host is in', { ...bearer, hosts: ['*.github.com'] }, undefined],
    ['a policy that wants it off', { ...bearer, hosts: ['api.github.com'], whoami: 'off' }, undefined],
    ['a policy that names one', { ...bearer, hosts: ['github.example.com'], whoami: 'github' }, 'github at github.example.com'],
    [
      'a policy that names one, with an API host',
      { ...bearer, hosts: ['acme.ghe.com', 'api.acme.ghe.com'], whoami: 'github' },
      'github at api.acme.ghe.com',
    ],
    ['a policy that names one, and no host', { ...bearer, hosts: ['*.example.com'], whoami: 'github' }, undefined],
    [
      'a policy that says it is of an App',
      { ...bearer, hosts: ['api.github.com'], whoami: 'github-app' },
      'github-app at api.github.com',
    ],
    ['a key in a header of its own', { ...header, header: 'x-api-key', hosts: ['api.anthropic.com'] }, undefined],
    [
      'a header that is a bearer token',
      { ...header, header: 'authorization', format: 'Bearer {}', hosts: ['api.github.com'] },
      'github at api.github.com',
    ],
  ])('with %s', (_name, entry, expected) => {
    expect(asked(entry)).toBe(expected)
  })
})
