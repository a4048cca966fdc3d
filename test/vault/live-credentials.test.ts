import { generateKeyPairSync } from 'node:crypto'
import { describe, expect, it } from 'vitest'
import type { TokenCaller } from '#contracts/calls.ts'
import type { AuditRecord } from '#contracts/audit-record.ts'
import { LiveCredentials } from '#vault/live-credentials.ts'
import { leaseTools } from '#vault/leases/jwt.ts'
import { env } from '#vault/sources/env.ts'
import { ManualClock } from '../kit/clock.ts'
import { MemoryStore } from '../kit/grant-store.ts'
import { tokenReply } from '../kit/lease-input.ts'
import { snapshotOf } from '../kit/policy.ts'
import { Provider } from '../kit/provider.ts'
import { whoamiReply } from '../kit/whoami.ts'
import { settled } from './keeping.ts'

const text = (permissions = '', methods = '') => `
credentials:
  app:
    {kind: github-app, stub: stub-of-the-app, appId: 1, installationId: 2, privateKey: {env: KEY}, hosts: [api.github.com]${permissions}}
  claude:
    {kind: oauth2, stubs: {access: stub-access, refresh: stub-refresh}, tokenEndpoint: "https://platform.claude.com/v1/oauth/token",
     clientId: client, hosts: [api.anthropic.com]}
rules:
  - {id: app, hosts: [api.github.com], credentials: [app]${methods}}
  - {id: claude, hosts: [api.anthropic.com], credentials: [claude]}`

const installation = { total_count: 1, repositories: [{ name: 'project', owner: { login: 'acme' } }] }

/** GitHub as it mints: 201, with the permissions of the App. */
const minting = (clock: ManualClock): TokenCaller => ({
  call: () =>
    Promise.resolve(
      tokenReply(201, {
        token: `ghs_${clock.now()}`,
        expires_at: new Date(clock.now() + 3_600_000).toISOString(),
        permissions: { contents: 'write', metadata: 'read', administration: 'write' },
        repository_selection: 'selected',
      }),
    ),
})

interface Around {
  readonly asks?: boolean
  readonly caller?: TokenCaller
  readonly store?: MemoryStore
}

function stage({ asks = true, caller, store = new MemoryStore() }: Around = {}) {
  const clock = new ManualClock()
  const asked: string[] = []
  const records: AuditRecord[] = []
  const said: { readonly level: string; readonly event: unknown; readonly detail: unknown }[] = []
  const { privateKey } = generateKeyPairSync('rsa', { modulusLength: 2048 })
  const custody = new LiveCredentials([env({ KEY: privateKey.export({ type: 'pkcs8', format: 'pem' }) })], {
    store,
    caller: caller ?? minting(clock),
    asker: asks
      ? {
          ask(credential, host, { path }) {
            asked.push(`${credential} ${host}${path}`)
            return Promise.resolve(whoamiReply(200, installation))
          },
        }
      : undefined,
    audit: { write: (record) => void records.push(record) },
    ids: { next: () => 'id' },
    clock,
    tools: leaseTools,
    random: () => 0.5,
    abandonedAfter: 0,
    say: (level, fields) => void said.push({ level, ...(fields as { event: unknown; detail: unknown }) }),
    count: () => {},
    unread: () => {},
  })
  const grants = () => said.filter(({ event }) => event === 'grant').map(({ detail }) => detail)
  return { asked, clock, custody, grants, records, said }
}

describe('a credential in custody', () => {
  it('is asked whose it is with its first minted value, and not with the next', async () => {
    const { asked, clock, custody } = stage()
    const snapshot = await snapshotOf(text())
    custody.use(snapshot)
    await settled()
    expect(asked).toEqual([])
    const app = snapshot.credentials.get('app')
    if (!app) throw new Error('no app')
    await custody.vault.grant(app)
    await settled()
    expect(asked).toEqual(['app api.github.com/installation/repositories?per_page=1'])
    clock.advance(3_600_000)
    await custody.vault.grant(app)
    await settled()
    expect(asked.length).toBe(1)
    expect(custody.inventory()).toMatchObject([
      { id: 'app', generation: 2, identity: { who: 'an installation of acme', about: ['1 repository'] } },
      { id: 'claude' },
    ])
    await custody.close()
  })

  it.each([
    [
      'wider than rules that read',
      '',
      ', methods: [GET]',
      ['the grant is wider than the policy uses: contents:write, administration:write, while its rules only let agents read'],
    ],
    [
      'wider than what its entry asks for, and lacks some of that',
      ', permissions: {contents: write, issues: read}',
      '',
      [
        'the grant is wider than the policy asks for: administration:write',
        'the grant lacks what the policy asks for: issues:read',
      ],
    ],
    ['as wide as its rules', '', '', []],
  ])('is warned of once when its grant is %s', async (_name, permissions, methods, expected) => {
    const { clock, custody, grants } = stage()
    const snapshot = await snapshotOf(text(permissions, methods))
    custody.use(snapshot)
    const app = snapshot.credentials.get('app')
    if (!app) throw new Error('no app')
    await custody.vault.grant(app)
    clock.advance(3_600_000)
    await custody.vault.grant(app)
    custody.use(snapshot)
    await settled()
    expect(grants()).toEqual(expected)
    await custody.close()
  })

  it('is asked on demand, one or all, and nobody else is', async () => {
    const { asked, custody } = stage()
    custody.use(await snapshotOf(text()))
    expect(await custody.identify('app')).toMatchObject([{ id: 'app', identity: { kind: 'known' } }])
    expect((await custody.identify(undefined)).length).toBe(2)
    expect(asked.filter((each) => each.startsWith('app')).length).toBeGreaterThan(1)
    await expect(custody.identify('nobody')).rejects.toMatchObject({ code: 'credential_unavailable' })
    await custody.close()
  })

  it('is asked of nobody where the settings say so', async () => {
    const { asked, custody } = stage({ asks: false, caller: new Provider() })
    custody.use(await snapshotOf(text()))
    await expect(custody.identify('app')).rejects.toMatchObject({ code: 'credential_unavailable' })
    custody.beginLogin('claude')
    expect(await custody.finishLogin('claude', 'the-code')).toMatchObject({
      ok: true,
      message: 'claude is logged in, generation 1; nothing was probed, as nobody says whose it is',
    })
    await settled()
    expect(asked).toEqual([])
    await custody.close()
  })

  it('has a record when only a login helps, and one when it is well again', async () => {
    const { custody, records, said } = stage({ caller: new Provider() })
    const snapshot = await snapshotOf(text())
    custody.use(snapshot)
    await settled()
    custody.use(snapshot)
    await settled()
    expect(records.filter(({ credential }) => credential === 'claude')).toMatchObject([
      { type: 'credential', event: 'needs_login', code: 'needs_login', reason: 'there is no login yet' },
    ])
    custody.beginLogin('claude')
    await custody.finishLogin('claude', 'the-code')
    expect(records.filter(({ credential }) => credential === 'claude').map(({ event }) => event)).toEqual([
      'needs_login',
      'recovered',
    ])
    expect(said.filter(({ event }) => event === 'needs_login').length).toBe(1)
    await custody.close()
  })

  it('that needs a login is told once more by a proxy that starts anew', async () => {
    const [store, provider] = [new MemoryStore(), new Provider({ expiresIn: 1 })]
    const snapshot = await snapshotOf(text())
    const first = stage({ caller: provider, store })
    first.custody.use(snapshot)
    first.custody.beginLogin('claude')
    await first.custody.finishLogin('claude', 'the-code')
    provider.revoke()
    first.clock.advance(3_600_000)
    await settled()
    await first.custody.close()
    const second = stage({ caller: provider, store })
    second.custody.use(snapshot)
    await settled()
    await second.custody.close()
    const incidents = ({ records }: typeof first) => records.map(({ event, reason }) => `${event} ${reason}`)
    expect(incidents(first).at(-1)).toBe('needs_login invalid_grant')
    expect(incidents(second)).toEqual(['needs_login invalid_grant'])
  })
})
