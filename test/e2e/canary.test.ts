import { readdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { expect, it } from 'vitest'
import { testAuthority } from '../kit/ca.ts'
import { findLeaks } from '../kit/canary.ts'
import type { Sink } from '../kit/canary.ts'
import { startChild } from '../kit/child.ts'
import { curl } from '../kit/clients.ts'
import { throughDoor } from '../kit/doors.ts'
import { Provider } from '../kit/provider.ts'
import { exchange, openTcp } from '../kit/raw.ts'
import { startUpstream } from '../kit/upstream.ts'
import { within } from '../kit/within.ts'
import { makeWorkspace } from '../kit/workspace.ts'

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
  key: {kind: bearer, stub: stub-of-the-key, secret: {file: secrets/key}, hosts: [echo.test]}
  form: {kind: body, stub: stub-of-the-form, secret: {file: secrets/form}, hosts: [echo.test], paths: [/echo], field: token}
rules:
  - {id: api, hosts: [api.test], credentials: [claude]}
  - {id: echo, hosts: [echo.test], credentials: [key, form]}
  - {id: tokens, hosts: [tokens.test], credentials: [claude]}
`

it('a whole life at log level trace leaves no real value anywhere, and none in plaintext in the store', async () => {
  await using stack = new AsyncDisposableStack()
  const files = stack.use(await makeWorkspace(policy, ['key', 'form']))
  const provider = new Provider()
  const tokens = stack.use(await provider.serve(testAuthority().leaf('tokens.test')))
  const echo = stack.use(await startUpstream({ certificate: testAuthority().leaf('echo.test') }))
  const api = stack.use(
    await startUpstream({
      certificate: testAuthority().leaf('api.test'),
      protocol: 'h1',
      handler({ request, response }) {
        const token = request.headers.authorization?.replace('Bearer ', '') ?? ''
        request.resume()
        // What an upstream says of a value, it may say loudly.
        response.writeHead(provider.accepts(token) ? 200 : 401, {
          'x-token': token,
          'www-authenticate': `Bearer realm="${token}"`,
        })
        response.end(JSON.stringify({ shown: token }))
        return true
      },
    }),
  )
  const seed = async (name: string, content: string) => writeFile(join(files.policies, 'secrets', name), content)
  const login = async (expiresIn: number) => {
    const { access, refresh } = provider.login()
    await seed(
      'seed.json',
      JSON.stringify({ access_token: access, refresh_token: refresh, expires_at: Date.now() / 1000 + expiresIn }),
    )
  }
  await login(-60)
  const child = stack.use(
    await startChild({
      files,
      hosts: { 'api.test': api.port, 'echo.test': echo.port, 'tokens.test': tokens.port },
      settings: { log: { level: 'trace' }, shutdown: { lameDuck: 0, deadline: 1 } },
    }),
  )
  const said: Sink[] = []
  const say = (name: string, bytes: string | Uint8Array) => void said.push({ name, bytes: Buffer.from(bytes) })
  const get = async (url: string, args: readonly string[] = []) => {
    const { curl: settings, env } = throughDoor('connect', child.ports, files.caFile)
    const done = await curl([...settings(url), '-i', ...args, url], { env })
    say(url, Buffer.concat([done.bytes, Buffer.from(done.stderr)]))
    return Number(/HTTP\/[\d.]+ (\d+)(?![^]*HTTP\/[\d.]+ \d)/.exec(done.stdout)?.[1])
  }
  const bearer = (stub: string) => ['-H', `Authorization: Bearer ${stub}`]
  const own = (path: string, init?: RequestInit) =>
    fetch(`http://127.0.0.1:${child.ports.admin}${path}`, init).then(async (reply) => say(path, await reply.text()))

  // Swapped, refreshed, echoed; refused upstream and renewed.
  expect(await get('https://api.test/v1/messages', bearer('access-token-stub'))).toBe(200)
  expect(await get('https://echo.test/echo', [...bearer('stub-of-the-key'), '-d', 'token=stub-of-the-form'])).toBe(200)
  provider.expireAccess()
  expect(await get('https://api.test/v1/models', bearer('access-token-stub'))).toBe(200)
  // A real value where none may be: in a header, a query, a path, a body.
  const real = files.secrets['key'] ?? ''
  expect(await get('https://echo.test/x', bearer(real))).toBe(403)
  expect(await get(`https://echo.test/x?q=${encodeURIComponent(real)}`)).toBe(403)
  expect(await get(`https://echo.test/${encodeURIComponent(real)}`)).toBe(403)
  expect(await get('https://echo.test/x', ['-d', real])).toBe(403)
  expect(
    await get('https://tokens.test/token', ['-d', `grant_type=refresh_token&refresh_token=${encodeURIComponent(real)}`]),
  ).toBe(403)
  const raw = await exchange(
    await openTcp({ port: child.ports.proxy }),
    `GET http://echo.test/${real} HTTP/1.1\r\nhost: other\r\n${real}: x\r\n\r\n`,
  )
  say('malformed', raw.bytes)
  // Secrets that cannot be read, and a policy that is no policy.
  await seed('form', `${files.secrets['form']}\r\nx-injected: 1`)
  await seed('seed.json', `{"access_token": "${real}`)
  await own('/v1/reload', { method: 'POST' })
  await files.writePolicy(`${policy}\n  - {id: ${real.replaceAll(/[^\w]/g, '')}, token: "${real.replaceAll('"', '')}"}\n`)
  await own('/v1/reload', { method: 'POST' })
  // Ended for good.
  provider.expireAccess()
  provider.revoke()
  expect(await get('https://api.test/v1/models', bearer('access-token-stub'))).toBe(503)
  for (const path of ['/v1/status', '/v1/credentials', '/version']) await own(path)
  await own('/v1/login/code', { method: 'POST', body: JSON.stringify({ credential: 'claude', code: real }) })
  say('metrics', await (await fetch(`http://127.0.0.1:${child.ports.metrics}/metrics`)).text())
  child.kill('SIGTERM')
  expect(await within(() => child.stderr.includes('stopped') || child.stderr.length > 0)).toBeDefined()
  expect(await child.exited).toBe(0)
  say('stderr', child.stderr)

  // Everything on disk but the secrets themselves, and the policy into which a real value was written just now.
  const names = await readdir(files.folder, { recursive: true, withFileTypes: true })
  for (const entry of names.filter((each) => each.isFile() && !`${each.parentPath}/`.includes('/policies/')))
    say(entry.name, await readFile(join(entry.parentPath, entry.name)))
  expect(said.map(({ name }) => name)).toEqual(expect.arrayContaining(['state.db', 'stderr', 'metrics']))
  expect(Object.keys(provider.handedOut).length).toBeGreaterThanOrEqual(6)
  expect(findLeaks({ ...provider.handedOut, ...files.everSecret }, said)).toEqual([])
})
