import { existsSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, it } from 'vitest'
import { testAuthority } from '../kit/ca.ts'
import { startChild } from '../kit/child.ts'
import type { Child } from '../kit/child.ts'
import { askOf, writeSeed } from '../kit/crew.ts'
import { Provider } from '../kit/provider.ts'
import { startUpstream } from '../kit/upstream.ts'
import { makeWorkspace } from '../kit/workspace.ts'
import type { Workspace } from '../kit/workspace.ts'

const host = 'api.test'
const policy = `version: 1
agents: {devbot: {from: [{cidr: 127.0.0.0/8}]}}
credentials:
  claude:
    kind: oauth2
    stubs: {access: access-token-stub, refresh: refresh-token-stub}
    grant: {file: secrets/seed.json}
    tokenEndpoint: https://tokens.test/token
    clientId: c
    hosts: [${host}]
rules: [{id: api, hosts: [${host}], credentials: [claude]}]
`

let stack: AsyncDisposableStack
let files: Workspace
let provider: Provider
let start: () => Promise<Child>
const ask = async (child: Child) =>
  (await askOf(child, files, { host, headers: { authorization: 'Bearer access-token-stub' } })).status
const readyz = async (child: Child) => {
  const reply = await fetch(`http://127.0.0.1:${child.ports.metrics}/readyz`)
  return { status: reply.status, ...((await reply.json()) as { readonly failing: readonly { readonly name: string }[] }) }
}

beforeEach(async () => {
  stack = new AsyncDisposableStack()
  provider = new Provider()
  const api = stack.use(await startUpstream({ certificate: testAuthority().leaf(host), protocol: 'h1' }))
  const tokens = stack.use(await provider.serve(testAuthority().leaf('tokens.test')))
  files = stack.use(await makeWorkspace(policy, []))
  await writeSeed(files, provider)
  const hosts = { [host]: api.port, 'tokens.test': tokens.port }
  start = async () => stack.use(await startChild({ files, hosts, settings: { state: '.iron-proxy/state.db' } }))
})
afterEach(() => stack.disposeAsync())

it(
  'a state folder that is deleted under a running proxy costs no login: it is back, and a restart after SIGKILL goes on',
  { timeout: 60_000 },
  async () => {
    const first = await start()
    expect(await ask(first)).toBe(200)
    rmSync(join(files.folder, '.iron-proxy'), { recursive: true })
    await expect
      .poll(async () => (await readyz(first)) && existsSync(join(files.folder, '.iron-proxy', 'state.db')), { timeout: 10_000 })
      .toBe(true)
    expect((await readyz(first)).status).toBe(200)
    expect(first.stderr.match(/was deleted while the proxy ran/g)).toHaveLength(1)
    first.kill('SIGKILL')
    await first.exited
    const second = await start()
    expect(await ask(second)).toBe(200)
    expect([provider.calls, provider.alive]).toEqual([1, true])
  },
)

it(
  'a file that becomes garbage takes readiness off with its reason; a new seed brings it back',
  { timeout: 60_000 },
  async () => {
    const child = await start()
    expect(await ask(child)).toBe(200)
    expect(await readyz(child)).toMatchObject({ status: 200 })
    writeFileSync(join(files.folder, '.iron-proxy', 'state.db'), 'garbage '.repeat(2_000))
    await expect
      .poll(() => readyz(child), { timeout: 10_000 })
      .toMatchObject({ status: 503, failing: [{ name: 'state', detail: expect.stringContaining('state.db') }] })
    await writeSeed(files, provider)
    await fetch(`http://127.0.0.1:${child.ports.admin}/v1/reload`, { method: 'POST' })
    await expect.poll(() => readyz(child), { timeout: 15_000 }).toMatchObject({ status: 200 })
    expect(await ask(child)).toBe(200)
    expect(readdirSync(join(files.folder, '.iron-proxy'))).toContain('state.db.unusable-1')
    expect(provider.alive).toBe(true)
  },
)
