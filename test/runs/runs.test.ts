import { randomBytes } from 'node:crypto'
import { inspect } from 'node:util'
import { describe, expect, it } from 'vitest'
import { Secret } from '#base/secret.ts'
import { narrow } from '#journey/ephemeral.ts'
import { identify } from '#journey/identify.ts'
import { LiveVault } from '#vault/vault.ts'
import type { Minted } from '#runs/runs.ts'
import { addressOf, proxyAuth } from '../journey/parts.ts'
import { hostOf, snapshotOf } from '../kit/policy.ts'
import { ManualClock } from '../kit/clock.ts'
import { RunHub } from '../kit/run-store.ts'
import { runsOf } from '../kit/runs.ts'

const policy = `
agents:
  devbot: {from: [{cidr: 10.0.0.1}], budget: day, mode: report}
  other: {from: [{cidr: 10.0.0.2}]}
budgets: {day: {window: day, tokens: 1000}}
credentials:
  github: {kind: bearer, stub: proxy-token-github, secret: {env: G}, hosts: [api.github.test], agents: [devbot]}
  unused: {kind: bearer, stub: proxy-token-unused, secret: {env: U}, hosts: [unused.test]}
  foreign: {kind: bearer, stub: proxy-token-foreign, secret: {env: F}, hosts: [foreign.test], agents: [other]}
rules:
  - {id: github, hosts: [api.github.test], credentials: [github]}
  - {id: zone, hosts: ['*.zone.test'], agents: [devbot]}
  - {id: foreign, hosts: [foreign.test], agents: [other], credentials: [foreign]}
`

/** Lets what was begun go on until it waits for something outside. */
const settled = () => new Promise<void>((resolve) => void setImmediate(resolve))

async function stage(...[hub, clock]: [hub?: RunHub, clock?: ManualClock]) {
  const on = runsOf(await snapshotOf(policy), hub, clock)
  const mint = (some: Partial<Parameters<typeof on.runs.mint>[0]> = {}) =>
    on.runs.mint({ agent: 'devbot', ttlSeconds: 60, ...some })
  const good = async (some: Parameters<typeof mint>[0] = {}): Promise<Minted> => {
    const run = await mint(some)
    if (run.kind === 'refused') throw new Error(run.message)
    return run
  }
  const who = (username: string, password: string, address = '192.0.2.9') => {
    const found = identify(
      { door: 'proxy', peer: { address: addressOf(address), port: 1 }, proxyAuth: proxyAuth(username, password) },
      on.runs.over(on.held.snapshot),
      { vault: new LiveVault([]), runs: on.runs },
    )
    return found.kind === 'deny' ? found.code : `${found.agent.id} on ${found.runId}`
  }
  return { ...on, mint, good, who }
}

describe('a run', () => {
  it('has a name, a password and stubs that nobody can guess, and none of a credential its agent may not use', async () => {
    const { good } = await stage()
    const [one, other] = [await good(), await good()]
    expect(one.username).toMatch(/^run-[0-9A-Z]{26}$/)
    expect(one.password.expose()).toMatch(/^[\w-]{32}$/)
    expect(Object.keys(one.stubs)).toEqual(['github'])
    expect(one.stubs['github']).toMatch(/^proxy-token-github-[\w-]{22}$/)
    expect(new Set([one, other].flatMap((run) => [run.run_id, run.password.expose(), run.stubs['github']])).size).toBe(6)
  })

  it('speaks for its agent with its own password, from anywhere but another agent’s address', async () => {
    const { good, who } = await stage()
    const { username, password, run_id } = await good()
    expect(who(username, password.expose())).toBe(`devbot on ${run_id}`)
    expect(who(username, password.expose(), '10.0.0.1')).toBe(`devbot on ${run_id}`)
    expect(who(username, password.expose(), '10.0.0.2')).toBe('agent_ambiguous')
    expect(who(username, 'wrong')).toBe('proxy_auth_required')
    expect(who(`run-${'0'.repeat(26)}`, password.expose())).toBe('proxy_auth_required')
  })

  it('ends when it is revoked, and never falls back to what its address alone may', async () => {
    const { cut, good, records, runs, who } = await stage()
    const { username, password, run_id } = await good()
    expect(await runs.end(run_id)).toBe('ended')
    expect(cut).toEqual([`${run_id} the run has ended: it was revoked`])
    expect(who(username, password.expose(), '10.0.0.1')).toBe('proxy_auth_required')
    expect(await runs.end(run_id)).toBe('unknown')
    expect(records.map(({ event, runId, agent, reason }) => [event, runId, agent, reason])).toEqual([
      ['minted', run_id, 'devbot', undefined],
      ['ended', run_id, 'devbot', 'it was revoked'],
    ])
  })

  it('ends with its time, which is looked at also where the timer is late', async () => {
    const { clock, cut, good, runs, who } = await stage()
    const { username, password, run_id, expires_at } = await good({ ttlSeconds: 5 })
    expect(Date.parse(expires_at)).toBe(clock.now() + 5_000)
    clock.set(clock.now() + 5_000)
    expect(who(username, password.expose())).toBe('proxy_auth_required')
    expect(runs.rows()).toHaveLength(1)
    clock.advance(5_000)
    await settled()
    expect(cut).toEqual([`${run_id} the run has ended: its time is over`])
    expect(runs.rows()).toEqual([])
  })

  it('survives another policy, and has no more than that gives its agent', async () => {
    const { good, held, who } = await stage()
    const { username, password, run_id } = await good()
    held.snapshot = await snapshotOf(policy.replace('budget: day', 'budget: [day]'))
    expect(who(username, password.expose())).toBe(`devbot on ${run_id}`)
    held.snapshot = await snapshotOf('agents: {other: {from: [{cidr: 10.0.0.2}]}}\nrules: [{id: r, hosts: [good.test]}]')
    expect(who(username, password.expose())).toBe('agent_unknown')
  })

  it.each([
    [{ agent: 'nobody' }, 'unknown_agent'],
    [{ hosts: ['foreign.test'] }, 'scope_wider'],
    [{ hosts: ['api.github.test', '*.github.test'] }, 'scope_wider'],
    [{ hosts: ['zone.test'] }, 'scope_wider'],
    [{ hosts: ['*.test'] }, 'bad_host'],
    [{ hosts: ['https://api.github.test'] }, 'bad_host'],
  ])('with %j is refused: %s', async (some, code) => {
    const { mint, records } = await stage()
    expect(await mint(some)).toMatchObject({ kind: 'refused', code })
    expect(records).toEqual([])
  })

  it('of a thousand is the last', async () => {
    const { mint, runs } = await stage()
    for (let i = 0; i < 1000; i += 1) await mint()
    expect(await mint()).toMatchObject({ code: 'too_many_runs' })
    await runs.end((runs.rows()[0] as { run_id: string }).run_id)
    expect(await mint()).toMatchObject({ kind: 'minted' })
  })

  it('shows neither password nor stub where it is listed or printed', async () => {
    const { good, records, runs } = await stage()
    const { password, stubs } = await good({ label: 'review 88' })
    const shown = JSON.stringify([runs.rows(), records]) + inspect(runs, { depth: 9, showHidden: true })
    expect(shown).toContain('review 88')
    expect(shown).not.toContain(password.expose())
    expect(JSON.stringify([runs.rows(), records])).not.toContain(stubs['github'])
  })
})

describe('two that follow one store', () => {
  const pair = async () => {
    const clock = new ManualClock()
    const one = await stage(new RunHub(), clock)
    return { clock, one, other: await stage(one.hub, clock) }
  }
  const events = ({ records }: Awaited<ReturnType<typeof stage>>) => records.map(({ event, reason }) => [event, reason])

  it('know the same runs, with the same account for what is spent, once one has minted', async () => {
    const { one, other } = await pair()
    const { username, password, run_id } = await one.good({ budget: { tokens: 5 }, hosts: ['api.github.test'] })
    expect([one, other].map(({ who }) => who(username, password.expose()))).toEqual(Array(2).fill(`devbot on ${run_id}`))
    expect(other.who(username, 'wrong')).toBe('proxy_auth_required')
    expect(other.runs.rows()).toEqual(one.runs.rows())
    expect(other.runs.find({ username, password })).toEqual(one.runs.find({ username, password }))
    expect([events(one), events(other)]).toEqual([[['minted', undefined]], []])
  })

  it('end a run everywhere, and one of them writes it down', async () => {
    const { one, other } = await pair()
    const { username, password, run_id } = await one.good()
    expect(await other.runs.end(run_id)).toBe('ended')
    expect([one.who(username, password.expose()), one.cut]).toEqual([
      'proxy_auth_required',
      [`${run_id} the run has ended: it was revoked`],
    ])
    expect(await one.runs.end(run_id)).toBe('unknown')
    expect([events(one), events(other)]).toEqual([[['minted', undefined]], [['ended', 'it was revoked']]])
  })

  it('see its time end, and one of them writes it down', async () => {
    const { clock, one, other } = await pair()
    await one.good({ ttlSeconds: 5 })
    clock.advance(5_000)
    await settled()
    expect([one, other].flatMap(events)).toEqual([
      ['minted', undefined],
      ['ended', 'its time is over'],
    ])
    expect([one.cut.length, other.cut.length]).toEqual([1, 1])
  })

  it('know who is on which run', async () => {
    const { one, other } = await pair()
    await one.runs.bind('devbot', 'wake-1')
    expect(other.runs.boundTo('devbot')).toBe('wake-1')
    await other.runs.bind('devbot', undefined)
    expect(one.runs.boundTo('devbot')).toBeUndefined()
    expect([events(one), events(other)]).toEqual([[['bound', undefined]], []])
  })

  it('that start later know what was kept, and write down what ended meanwhile', async () => {
    const { clock, one } = await pair()
    const [short, long] = [await one.good({ ttlSeconds: 5 }), await one.good({ ttlSeconds: 60 })]
    await one.runs.bind('devbot', 'wake-1')
    await one.runs.close()
    one.hub.stores.clear()
    clock.set(clock.now() + 10_000)
    const next = await stage(one.hub, clock)
    await next.runs.open()
    expect(next.who(long.username, long.password.expose())).toBe(`devbot on ${long.run_id}`)
    expect(next.who(short.username, short.password.expose())).toBe('proxy_auth_required')
    expect(next.runs.boundTo('devbot')).toBe('wake-1')
    clock.advance(0)
    await settled()
    expect(events(next)).toEqual([['ended', 'its time is over']])
    expect(next.runs.rows()).toEqual([expect.objectContaining({ run_id: long.run_id, expires_at: long.expires_at })])
  })
})

describe('while the store is away', () => {
  it('no run is minted, and those that live go on until their time', async () => {
    const { clock, good, hub, mint, records, store, who } = await stage()
    const { username, password, run_id } = await good({ ttlSeconds: 5 })
    hub.away = true
    await store.look()
    expect(await mint()).toMatchObject({ kind: 'refused', code: 'state_unavailable' })
    expect(who(username, password.expose())).toBe(`devbot on ${run_id}`)
    // Another may have minted it, or it may have ended: nobody can say.
    expect(who(`run-${'0'.repeat(26)}`, 'any')).toBe('run_pending')
    clock.advance(5_000)
    await settled()
    expect(who(username, password.expose())).toBe('proxy_auth_required')
    expect(records.map(({ event }) => event)).toEqual(['minted'])
    hub.away = false
    clock.advance(1_000)
    await settled()
    expect(records.map(({ event }) => event)).toEqual(['minted', 'ended'])
    expect(who(username, password.expose())).toBe('proxy_auth_required')
  })

  it('an end counts here, and whoever asked for it hears that others do not know', async () => {
    const { cut, good, hub, records, runs, store } = await stage()
    const { run_id } = await good()
    hub.away = true
    await store.look()
    expect(await runs.end(run_id)).toBe('untold')
    expect([cut.length, records.map(({ event }) => event)]).toEqual([1, ['minted', 'ended']])
    expect(await runs.end(run_id)).toBe('unavailable')
    expect([await runs.bind('devbot', 'wake-1'), runs.boundTo('devbot')]).toEqual(['untold', 'wake-1'])
  })
})

describe('a snapshot', () => {
  it('narrowed to a run has its hosts, its stubs alone, and its budget beside its agent’s', async () => {
    const { good, held, runs } = await stage()
    const other = await good()
    const { run_id, username, password, stubs } = await good({ hosts: ['a.zone.test'], budget: { tokens: 10 } })
    const over = runs.over(held.snapshot)
    const run = runs.find({ username, password })
    if (!over || typeof run !== 'object') throw new Error('no run')
    const narrowed = narrow(over, run)
    if (!narrowed) throw new Error('no agent')
    const { agent, snapshot } = narrowed
    expect(agent).toMatchObject({ id: 'devbot', mode: 'enforce', budgets: ['day', `run:${run_id}`] })
    expect(snapshot.budgets.get(`run:${run_id}`)).toMatchObject({ tokens: 10, nano: undefined, window: 'run', atLimit: 'cut' })
    const rulesFor = (name: string) => snapshot.policy.rulesFor(hostOf(name)).map(({ id }) => id)
    expect([rulesFor('a.zone.test'), rulesFor('b.zone.test'), rulesFor('api.github.test')]).toEqual([['zone'], [], []])
    const holders = (stub = '') => snapshot.stubs.byStub.get(stub)?.map(({ id, agents }) => [id, agents && [...agents]])
    expect(holders(stubs['github'])).toEqual([['github', ['devbot']]])
    expect(holders(other.stubs['github'])).toEqual([['github', []]])
    expect(holders('proxy-token-github')).toEqual([['github', []]])
    expect(narrow(over, run)).toBe(narrowed)
  })

  it('in force knows the stubs of runs as nobody’s, and is untouched where there is no run', async () => {
    const { good, held, runs } = await stage()
    expect(runs.over(held.snapshot)).toBe(held.snapshot)
    const { run_id, stubs } = await good()
    const over = runs.over(held.snapshot)
    expect(over?.stubs.byStub.get(stubs['github'] ?? '')?.[0]?.agents?.size).toBe(0)
    expect(over?.stubs.byStub.get('proxy-token-github')?.[0]?.agents).toEqual(new Set(['devbot']))
    expect(runs.over(held.snapshot)).toBe(over)
    await runs.end(run_id)
    expect(runs.over(held.snapshot)).toBe(held.snapshot)
  })
})

describe('an agent', () => {
  it('is on the run it was bound to last, until that is taken off', async () => {
    const { records, runs } = await stage()
    expect([await runs.bind('devbot', 'one'), await runs.bind('devbot', 'two')]).toEqual(['bound', 'bound'])
    expect([runs.boundTo('devbot'), runs.boundTo('other')]).toEqual(['two', undefined])
    expect([await runs.bind('devbot', undefined), runs.boundTo('devbot')]).toEqual(['bound', undefined])
    expect(await runs.bind('nobody', 'one')).toBe('unknown')
    expect(records.map(({ type, event, runId }) => [type, event, runId])).toEqual([
      ['run', 'bound', 'one'],
      ['run', 'bound', 'two'],
    ])
  })

  it('with a password like that of a run is found by its own name', async () => {
    const { runs } = await stage()
    const password = new Secret('p', randomBytes(9).toString('hex'))
    expect(runs.find({ username: 'devbot', password })).toBeUndefined()
  })
})
