import { randomBytes } from 'node:crypto'
import { describe, expect, it } from 'vitest'
import { ProxyError } from '#base/errors.ts'
import { Secret } from '#base/secret.ts'
import { RealValues } from '#credentials/scrub/real-values.ts'
import type { Credential } from '#credentials/types.ts'
import type { WhoamiQuestion, WhoamiReply } from '#credentials/whoami/types.ts'
import { Identities } from '#vault/identities.ts'
import type { KnownIdentity } from '#vault/identities.ts'
import { ManualClock } from '../kit/clock.ts'
import { credential } from '../kit/credentials.ts'
import { octocat, whoamiReply } from '../kit/whoami.ts'
import { settled } from './keeping.ts'

const github = credential('github', {
  kind: 'bearer',
  stub: 'stub-of-github',
  secret: { env: 'TOKEN' },
  hosts: ['github.com', 'api.github.com'],
})

interface Asked {
  readonly credential: string
  readonly host: string
  readonly question: WhoamiQuestion
}

/** Identities over values and replies that a test sets. */
function stage(reply: () => WhoamiReply | Promise<WhoamiReply> = () => whoamiReply(200, octocat)) {
  const asked: Asked[] = []
  const changes: (readonly [string, KnownIdentity])[] = []
  const state = { value: `value-${randomBytes(12).toString('hex')}`, generation: 1, reply, holds: true }
  const clock = new ManualClock()
  const identities = new Identities({
    clock,
    asker: {
      async ask(id, host, question) {
        asked.push({ credential: id, host, question })
        return state.reply()
      },
    },
    vault: {
      grant(of) {
        if (!state.holds) throw new ProxyError('credential_unavailable')
        return { credential: of, secret: new Secret(of.id, state.value), generation: state.generation }
      },
      holds: () => state.holds,
      realValues: () => new RealValues([{ credential: 'github', secret: new Secret('github', state.value) }]),
    },
    onChange: (id, identity) => void changes.push([id, identity]),
  })
  return { asked, changes, clock, identities, state }
}

function mapOf(...credentials: readonly Credential[]): ReadonlyMap<string, Credential> {
  return new Map(credentials.map((each) => [each.id, each]))
}

describe('whose a credential is', () => {
  it('is asked in the background when it has a value, with the value as its bearer token, and told once', async () => {
    const { asked, changes, identities, state } = stage()
    identities.use(mapOf(github))
    await settled()
    expect(asked).toMatchObject([{ credential: 'github', host: 'api.github.com', question: { path: '/user' } }])
    expect(asked[0]?.question.headers).toContain(`Bearer ${state.value}`)
    expect(identities.of('github')).toMatchObject({ kind: 'known', who: 'octocat', provider: 'github' })
    identities.use(mapOf(github))
    await settled()
    expect(asked.length).toBe(1)
    identities.wake('github')
    await settled()
    expect(asked.length).toBe(2)
    expect(changes.length).toBe(1)
  })

  it('is not asked without a value, or where nobody can say', async () => {
    const { asked, identities, state } = stage()
    state.holds = false
    const elsewhere = credential('other', { kind: 'bearer', stub: 'stub-of-other', secret: { env: 'X' }, hosts: ['x.test'] })
    identities.use(mapOf(github, elsewhere))
    identities.wake('other')
    await settled()
    expect(asked).toEqual([])
    expect(await identities.ask('other')).toBeUndefined()
    expect(await identities.ask('nobody')).toBeUndefined()
    expect(await identities.ask('github')).toMatchObject({ kind: 'unknown' })
  })

  it.each([
    ['the network fails', () => Promise.reject(new ProxyError('upstream_unreachable')), /could not be reached/],
    ['something breaks', () => Promise.reject(new Error('with a detail')), /^unknown error$/],
    ['the provider refuses', () => whoamiReply(401, {}), /^GitHub answered 401$/],
  ])('is not known while %s, and is asked again with the next policy', async (_name, reply, reason) => {
    const { asked, identities, state } = stage(reply)
    identities.use(mapOf(github))
    await settled()
    expect(identities.of('github')).toMatchObject({ kind: 'unknown', reason: expect.stringMatching(reason) })
    state.reply = () => whoamiReply(200, octocat)
    identities.use(mapOf(github))
    await settled()
    expect(asked.length).toBe(2)
    expect(identities.of('github')).toMatchObject({ kind: 'known' })
  })

  it('is asked again by itself after a minute, two, four, and so on up to an hour, until it is known', async () => {
    const { asked, changes, clock, identities, state } = stage(() => whoamiReply(503, {}))
    identities.use(mapOf(github))
    await settled()
    for (const minutes of [1, 2, 4, 8, 16, 32, 60, 60]) {
      const before = asked.length
      clock.advance(minutes * 60_000 - 1)
      await settled()
      expect(asked.length).toBe(before)
      clock.advance(1)
      await settled()
      expect(asked.length).toBe(before + 1)
    }
    expect(changes.length).toBe(1)
    state.reply = () => whoamiReply(200, octocat)
    clock.advance(3_600_000)
    await settled()
    expect(identities.of('github')).toMatchObject({ kind: 'known' })
    const known = asked.length
    clock.advance(86_400_000)
    await settled()
    expect(asked.length).toBe(known)
  })

  it.each([
    ['the proxy has stopped', (on: ReturnType<typeof stage>) => on.identities.close()],
    ['its credential is gone', (on: ReturnType<typeof stage>) => on.identities.use(mapOf())],
    ['there is no value any more', (on: ReturnType<typeof stage>) => void (on.state.holds = false)],
  ])('is not asked again when %s', async (_name, change) => {
    const on = stage(() => whoamiReply(503, {}))
    on.identities.use(mapOf(github))
    await settled()
    change(on)
    on.clock.advance(86_400_000)
    await settled()
    expect(on.asked.length).toBe(1)
  })

  it('is not told with words that carry a real value', async () => {
    const { changes, identities, state } = stage()
    state.reply = () => whoamiReply(200, { login: state.value })
    identities.use(mapOf(github))
    await settled()
    expect(identities.of('github')).toMatchObject({ kind: 'unknown', reason: 'the answer carries a real value' })
    expect(JSON.stringify(changes)).not.toContain(state.value)
  })

  it('is asked of a new value though an older one is still being asked of, whose answer then counts no more', async () => {
    const { asked, identities, state } = stage()
    const slow = Promise.withResolvers<WhoamiReply>()
    state.reply = () => slow.promise
    identities.use(mapOf(github))
    await settled()
    state.reply = () => whoamiReply(200, { login: 'after' })
    state.generation = 2
    expect(await identities.ask('github')).toMatchObject({ who: 'after' })
    slow.resolve(whoamiReply(200, { login: 'before' }))
    await settled()
    expect(asked.length).toBe(2)
    expect(identities.of('github')).toMatchObject({ who: 'after' })
  })

  it('is forgotten with the credential, and when another is to say', async () => {
    const { identities } = stage()
    identities.use(mapOf(github))
    await settled()
    identities.use(mapOf())
    expect(identities.of('github')).toBeUndefined()
  })

  it('is asked of a few at a time, and of none once it is closed', async () => {
    const { asked, identities, state } = stage()
    const slow = Promise.withResolvers<WhoamiReply>()
    state.reply = () => slow.promise
    identities.use(mapOf(...Array.from({ length: 20 }, (_, index) => ({ ...github, id: `github-${index}` }))))
    await settled()
    expect(asked.length).toBe(4)
    identities.close()
    slow.resolve(whoamiReply(200, octocat))
    await settled()
    expect(asked.length).toBe(4)
  })
})
