import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { setTimeout as sleep } from 'node:timers/promises'
import { describe, expect, it } from 'vitest'
import { testAuthority } from '../kit/ca.ts'
import { startChild } from '../kit/child.ts'
import type { Child } from '../kit/child.ts'
import { adminOf, connectAs, curlAs, mintAt } from '../kit/jobs.ts'
import { Llm } from '../kit/llm.ts'
import { startUpstream } from '../kit/upstream.ts'
import type { Visit } from '../kit/upstream.ts'
import { within } from '../kit/within.ts'
import { makeWorkspace } from '../kit/workspace.ts'

const host = 'api.anthropic.com'
const policy = `version: 1
agents: {devbot: {from: [{cidr: 127.0.0.0/8}], budget: day}}
budgets: {day: {window: day, tokens: 100000}}
credentials:
  github: {kind: bearer, stub: proxy-token-github, secret: {file: secrets/github}, hosts: [api.github.test]}
rules:
  - {id: github, hosts: [api.github.test], credentials: [github]}
  - {id: open, hosts: [open.test]}
  - {id: llm, hosts: [${host}], meter: anthropic}
`

/** One proxy at a time over the same files; `start` is the next. */
async function stage(env: Readonly<Record<string, string>> = {}) {
  await using stack = new AsyncDisposableStack()
  const files = stack.use(await makeWorkspace(policy, ['github']))
  const llm = new Llm()
  const hosts = ['api.github.test', 'open.test', host] as const
  const certificate = testAuthority().leaf(...hosts)
  const handler = (visit: Visit): boolean => visit.seen.target === '/v1/messages' && llm.handle(visit)
  const upstream = stack.use(await startUpstream({ certificate, protocol: 'h1', handler }))
  let last: Child | undefined
  const end = async (signal: NodeJS.Signals = 'SIGKILL') => {
    last?.kill(signal)
    await last?.exited
  }
  const owned = stack.move()
  const start = async (): Promise<Child> => {
    const ports = Object.fromEntries(hosts.map((each) => [each, upstream.port]))
    last = owned.use(await startChild({ files, hosts: ports, env }))
    expect(last.started, last.stderr).toBe(true)
    return last
  }
  const events = (id: string) =>
    files.auditRecords().flatMap((each) => (each.type === 'run' && each.runId === id ? [`${each.event} ${each.reason}`] : []))
  return { files, llm, upstream, start, end, events, [Symbol.asyncDispose]: () => owned.disposeAsync() }
}

describe('a run whose proxy is killed', () => {
  it('goes on with the next: its password, stubs, hosts and time, and what it has spent', async () => {
    await using on = await stage()
    const first = await on.start()
    on.llm.with({ input: 100, output: 50 })
    const job = await mintAt(first, { hosts: ['api.github.test', host], budget: { tokens: 200 }, label: 'review 88' })
    const message = JSON.stringify({ model: 'claude-opus-4-5', max_tokens: 50, messages: [{ role: 'user', content: 'x' }] })
    const ask = (child: Child) =>
      curlAs(child, on.files, job, `https://${host}/v1/messages`, ['-H', 'content-type: application/json', '-d', message])
    expect(await ask(first)).toBe(200)
    const rows = (await adminOf(first, 'GET', '/v1/runs')).body
    await adminOf(first, 'POST', '/v1/runs/bind', { agent: 'devbot', run_id: 'wake-1' })
    await on.end()

    const next = await on.start()
    expect((await adminOf(next, 'GET', '/v1/runs')).body).toEqual(rows)
    const bearer = ['-H', `authorization: Bearer ${job.stubs['github']}`]
    expect(await curlAs(next, on.files, job, 'https://api.github.test/user', bearer)).toBe(200)
    expect(on.upstream.requests.at(-1)?.rawHeaders).toContain(`Bearer ${on.files.secrets['github']}`)
    expect(await curlAs(next, on.files, job, 'https://open.test/')).toBe(403)
    const wrong = { ...job, proxy: { ...job.proxy, password: 'wrong' } }
    expect(await connectAs(next, wrong, host)).toBe(407)
    expect([await ask(next), await ask(next)]).toEqual([200, 402])
    // An agent without a password is on the run it was bound to.
    expect(await curlAs(next, on.files, undefined, 'https://open.test/bound')).toBe(200)
    const bound = () => on.files.auditRecords().some(({ path, runId }) => path === '/bound' && runId === 'wake-1')
    expect(await within(bound)).toBeDefined()
    expect(on.events(job.run_id)).toEqual(['minted review 88'])

    expect((await adminOf(next, 'DELETE', `/v1/runs/${job.run_id}`)).status).toBe(204)
    expect(await within(() => on.events(job.run_id).length === 2)).toBeDefined()
    await on.end()
    expect(await connectAs(await on.start(), job, host)).toBe(407)
    expect(on.events(job.run_id)).toEqual(['minted review 88', 'ended it was revoked'])
  })

  it('is over where its time ends meanwhile, and that is written down once', async () => {
    await using on = await stage()
    const first = await on.start()
    const [short, long] = [await mintAt(first, { ttl_seconds: 2 }), await mintAt(first)]
    expect(await within(() => on.events(long.run_id).length === 1)).toBeDefined()
    await on.end()
    await sleep(Math.max(0, Date.parse(short.expires_at) - Date.now()))
    const next = await on.start()
    expect([await connectAs(next, short, 'open.test'), await connectAs(next, long, 'open.test')]).toEqual([407, 200])
    expect(await within(() => on.events(short.run_id).length === 2)).toBeDefined()
    await on.end()
    await on.start()
    expect(on.events(short.run_id)).toEqual(['minted undefined', 'ended its time is over'])
    expect(on.events(long.run_id)).toEqual(['minted undefined'])
  })

  it('goes on also where workers serve, and where the proxy was stopped', async () => {
    await using on = await stage({ IRON_PROXY_WORKERS: '2' })
    const first = await on.start()
    const [job, ended] = [await mintAt(first), await mintAt(first)]
    await adminOf(first, 'DELETE', `/v1/runs/${ended.run_id}`)
    await on.end('SIGTERM')
    const next = await on.start()
    const asked = await Promise.all(Array.from({ length: 8 }, (_, i) => connectAs(next, i % 2 ? job : ended, 'open.test')))
    expect(asked).toEqual([407, 200, 407, 200, 407, 200, 407, 200])
    for (let i = 0; i < 10; i += 1) expect(await connectAs(next, await mintAt(next), 'open.test')).toBe(200)
  })
})

describe('a state that cannot be written', () => {
  it('mints no run, and those that live go on and end', async () => {
    await using on = await stage()
    const child = await on.start()
    const job = await mintAt(child)
    // Another writer that does not let go, as a full disk would not.
    const lock = new DatabaseSync(join(on.files.folder, 'state.db-runs'))
    lock.exec('BEGIN IMMEDIATE')
    expect(await adminOf(child, 'POST', '/v1/runs', { agent: 'devbot', ttl_seconds: 60 })).toMatchObject({
      status: 503,
      body: { error: { code: 'state_unavailable', message: expect.stringContaining('state.db-runs: database is locked') } },
    })
    expect(await connectAs(child, job, 'open.test')).toBe(200)
    expect((await adminOf(child, 'DELETE', `/v1/runs/${job.run_id}`)).status).toBe(202)
    expect(await connectAs(child, job, 'open.test')).toBe(407)
    lock.exec('ROLLBACK')
    lock.close()
    expect(
      await within(async () => (await adminOf(child, 'POST', '/v1/runs', { agent: 'devbot', ttl_seconds: 60 })).status === 201),
    ).toBeDefined()
    await sleep(1_000)
    await on.end()
    expect(await connectAs(await on.start(), job, 'open.test')).toBe(407)
    expect(on.events(job.run_id)).toEqual(['minted undefined', 'ended it was revoked'])
  })
})
