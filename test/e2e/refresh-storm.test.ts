import { once } from 'node:events'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { openStore } from '#store/open.ts'
import { Provider } from '../kit/provider.ts'
import { openTls } from '../kit/raw.ts'
import { scenario } from '../kit/scenario.ts'
import { startUpstream } from '../kit/upstream.ts'
import type { Upstream } from '../kit/upstream.ts'
import { within } from '../kit/within.ts'

const policy = `version: 1
agents: {devbot: {from: [{cidr: 127.0.0.0/8}]}}
credentials:
  claude:
    kind: oauth2
    stubs: {access: access-token-stub, refresh: refresh-token-stub}
    grant: {file: secrets/seed.json}
    tokenEndpoint: https://tokens.test/token
    clientId: c
    hosts: [api.test]
  key: {kind: bearer, stub: stub-of-the-key, secret: {file: secrets/key}, hosts: [other.test]}
rules:
  - {id: api, hosts: [api.test], credentials: [claude]}
  - {id: other, hosts: [other.test], credentials: [key]}
`

/** A provider of single-use refresh tokens, an API that takes only its newest access token, and a host of another credential. */
async function crew(provider: Provider, expiresIn: number) {
  await using stack = new AsyncDisposableStack()
  const accepted = (token: string) => provider.accepts(token)
  const s = stack.use(
    await scenario({
      policy,
      secrets: ['key'],
      upstreams: {
        api: {
          hosts: ['api.test'],
          start: ({ certificate }): Promise<Upstream> =>
            startUpstream({
              certificate,
              protocol: 'h1',
              handler({ request, response }) {
                request.resume()
                response.writeHead(accepted(request.headers.authorization?.replace('Bearer ', '') ?? '') ? 200 : 401).end()
                return true
              },
            }),
        },
        other: { hosts: ['other.test'], start: ({ certificate }): Promise<Upstream> => startUpstream({ certificate }) },
        tokens: { hosts: ['tokens.test'], start: ({ certificate }) => provider.serve(certificate) },
      },
    }),
  )
  const { access, refresh } = provider.login()
  const seed = { access_token: access, refresh_token: refresh, expires_at: Date.now() / 1000 + expiresIn }
  await writeFile(join(s.files.policies, 'secrets/seed.json'), JSON.stringify(seed))
  await s.app.reload('signal')
  const get = (host = 'api.test', stub = 'access-token-stub') =>
    s.curl('transparent', `https://${host}/json`, ['-H', `Authorization: Bearer ${stub}`])
  const owned = stack.move()
  return { s, get, [Symbol.asyncDispose]: () => owned.disposeAsync() }
}

describe('at expiry', () => {
  it('two hundred requests at once cost one token call, though the one that caused it has left', async () => {
    const gate = Promise.withResolvers<void>()
    const provider = new Provider({ delay: () => gate.promise })
    await using on = await crew(provider, -60)
    const { s } = on

    // The first to ask leaves in the middle of the refresh that it caused.
    const first = await openTls({ port: s.ports.https, servername: 'api.test', ca: s.files.ca, alpn: ['http/1.1'] })
    first.write('GET /json HTTP/1.1\r\nhost: api.test\r\nauthorization: Bearer access-token-stub\r\n\r\n')
    expect(await within(() => provider.calls === 1)).toBeDefined()
    first.destroy()
    await once(first, 'close')
    await s.audited({ code: 'client_closed' })

    const code = `
      const all = Array.from({ length: 200 }, () => fetch('https://api.test/json', { headers: { authorization: 'Bearer access-token-stub' } }))
      console.log(JSON.stringify((await Promise.all(all)).map(({ status }) => status)))
    `
    const storm = s.node('connect', code, { timeout: 50_000 })
    const running = async () =>
      ((await (await fetch(`http://127.0.0.1:${s.ports.admin}/v1/status`)).json()) as { running: number }).running
    expect(await within(async () => (await running()) >= 200, 30_000)).toBeDefined()
    expect(provider.calls).toBe(1)
    gate.resolve()
    const { stdout, stderr } = await storm
    expect(JSON.parse(stdout || stderr)).toEqual(Array.from({ length: 200 }, () => 200))
    expect(provider.calls).toBe(1)
    expect(provider.alive).toBe(true)

    const store = openStore({
      path: join(s.files.folder, 'state.db'),
      sealKey: join(s.files.folder, 'seal.key'),
      uid: process.getuid?.(),
    })
    const kept = await store.read('claude')
    await store.close()
    expect(kept).toMatchObject({ generation: 2, inFlightSince: undefined })
    expect(provider.accepts(kept?.pair.access.expose() ?? '')).toBe(true)
  })
})

describe('while the token endpoint is down', () => {
  it.each([
    ['with 503', { kind: 'status', status: 503 }],
    ['with a page in HTML', { kind: 'html', status: 200 }],
    ['with 429', { kind: 'status', status: 429, retryAfter: 1000 }],
  ] as const)(
    '%s, the access token serves until it is dead, then that credential alone is refused, and recovers by itself',
    async (_how, down) => {
      const provider = new Provider()
      provider.down = down
      await using on = await crew(provider, 34)
      const { s, get } = on
      // Half a minute before its end a token counts as dead: requests take their time.
      expect((await get()).status).toBe(200)
      expect(await within(async () => (await get()).status !== 200, 15_000)).toBeDefined()
      const refused = await get()
      expect([refused.status, (JSON.parse(refused.body.toString()) as { error: { code: string } }).error.code]).toEqual([
        503,
        'credential_unavailable',
      ])
      expect((await get('other.test', 'stub-of-the-key')).status).toBe(200)
      expect(s.log.join('')).toMatch(/"event":"refresh_failed"|"level":"(?:warn|error)"/)
      const metrics = await s.metrics()
      expect(metrics).toMatch(/ironproxy_oauth_refresh_total\{credential="claude",result="failed"\} [1-9]/)
      expect(
        Number(/ironproxy_credential_expiry_timestamp_seconds\{credential="claude"\} (\S+)/.exec(metrics)?.[1]),
      ).toBeLessThan(Date.now() / 1000 + 30)
      expect(provider.alive).toBe(true)
      provider.down = undefined
      expect(await within(async () => (await get()).status === 200, 40_000)).toBeDefined()
    },
  )
})
