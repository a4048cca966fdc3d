import { request } from 'node:https'
import { text } from 'node:stream/consumers'
import { describe, expect, test } from 'vitest'
import { Secret } from '#base/secret.ts'
import type { TokenEndpoint } from '#credentials/lease.ts'
import { testAuthority } from './ca.ts'
import { host } from './credentials.ts'
import { Provider } from './provider.ts'

const endpoint: TokenEndpoint = { host: host('login.test'), port: 443, path: '/token' }

async function refresh(
  provider: Provider,
  token: string,
): Promise<{ readonly status: number; readonly [field: string]: unknown }> {
  const body = new Secret('call', JSON.stringify({ grant_type: 'refresh_token', refresh_token: token }))
  const reply = await provider.call('one', endpoint, { method: 'POST', path: '/token', headers: [], body })
  return { ...(JSON.parse(reply.body.expose()) as object), status: reply.status }
}

describe('the provider', () => {
  test('takes each refresh token once, and ends the login when it sees one again', async () => {
    const provider = new Provider()
    const first = provider.login()
    const second = await refresh(provider, first.refresh)
    expect(second).toMatchObject({ status: 200, token_type: 'Bearer', expires_in: 3600 })
    expect(provider.accepts(String(second['access_token']))).toBe(true)
    expect(provider.accepts(first.access)).toBe(false)
    expect(await refresh(provider, first.refresh)).toMatchObject({ status: 400, error: 'invalid_grant' })
    expect(provider.accepts(String(second['access_token']))).toBe(false)
    expect(await refresh(provider, String(second['refresh_token']))).toMatchObject({ status: 400 })
    expect(provider.alive).toBe(false)
    expect(provider.calls).toBe(3)
  })

  test('spends a token whose reply it drops, and not one whose call was lost', async () => {
    const provider = new Provider()
    const { refresh: token } = provider.login()
    provider.troubles.push({ kind: 'lost' }, { kind: 'status', status: 503 }, { kind: 'dropped' })
    await expect(refresh(provider, token)).rejects.toMatchObject({ code: 'upstream_timeout' })
    expect(await refresh(provider, token)).toMatchObject({ status: 503 })
    await expect(refresh(provider, token)).rejects.toMatchObject({ code: 'upstream_reset' })
    expect(await refresh(provider, token)).toMatchObject({ status: 400 })
  })

  test('does the same over TLS, with forms', async () => {
    const provider = new Provider()
    const authority = testAuthority()
    await using server = await provider.serve(authority.leaf('login.test'))
    const post = async (token: string): Promise<string> => {
      const { promise, resolve, reject } = Promise.withResolvers<string>()
      const options = {
        host: '127.0.0.1',
        port: server.port,
        servername: 'login.test',
        ca: authority.certPem,
        method: 'POST',
        agent: false,
      }
      const sent = request(options, (reply) => void text(reply).then(resolve, reject))
      sent.on('error', reject)
      sent.end(new URLSearchParams({ grant_type: 'refresh_token', refresh_token: token }).toString())
      return promise
    }
    const login = provider.login()
    provider.troubles.push({ kind: 'html', status: 403 })
    expect(await post(login.refresh)).toContain('<html>')
    expect(JSON.parse(await post(login.refresh))).toHaveProperty('access_token')
    provider.troubles.push({ kind: 'lost' })
    await expect(post('whatever')).rejects.toThrow(/hang up|ECONNRESET/)
  })
})
