import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import type { AuditRecord } from '#contracts/audit-record.ts'
import { testAuthority } from '../kit/ca.ts'
import type { Child } from '../kit/child.ts'
import { isReady, makeCrew } from '../kit/crew.ts'
import { adminOf, connectAs, curlAs, curlOf, mintAt } from '../kit/jobs.ts'
import type { Job } from '../kit/jobs.ts'
import { hasRedis } from '../kit/redis.ts'
import { startRelay } from '../kit/relay.ts'
import { streamCurl } from '../kit/stream-curl.ts'
import { startUpstream } from '../kit/upstream.ts'
import type { Visit } from '../kit/upstream.ts'
import { within } from '../kit/within.ts'

const policy = `version: 1
agents: {devbot: {from: [{cidr: 127.0.0.0/8}]}}
rules:
  - {id: open, hosts: [open.test]}
`

/** Two replicas, one of them with workers, with a way of their own to one Redis each. */
async function stage() {
  await using stack = new AsyncDisposableStack()
  const handler = ({ seen, response }: Visit): boolean => {
    if (seen.target !== '/forever') return false
    response.writeHead(200, { 'content-type': 'text/event-stream' })
    response.write('data: first\n\n')
    return true
  }
  const certificate = testAuthority().leaf('open.test')
  const upstream = stack.use(await startUpstream({ certificate, protocol: 'h1', handler }))
  const [toA, toB] = [stack.use(await startRelay(0)), stack.use(await startRelay(0))]
  const crew = stack.use(await makeCrew(policy, { 'open.test': upstream.port }))
  for (const relay of [toA, toB]) relay.turnTo(crew.redis.port)
  const names: string[] = []
  const start = (name: string, relay = toA, workers = 1): Promise<Child> => {
    names.push(name)
    return crew.start(name, { state: `redis://127.0.0.1:${relay.port}/0` }, { IRON_PROXY_WORKERS: String(workers) })
  }
  const [a, b] = await Promise.all([start('a'), start('b', toB, 2)])
  const records = (name: string): readonly AuditRecord[] => {
    const file = join(crew.files.folder, `${name}.jsonl`)
    const lines = existsSync(file) ? readFileSync(file, 'utf8').split('\n') : []
    return lines.filter((line) => line.endsWith('}')).map((line) => JSON.parse(line) as AuditRecord)
  }
  /** What was written down about a run, by whom. */
  const events = (id: string): readonly string[] =>
    names.flatMap((name) =>
      records(name).flatMap(({ type, event, runId }) => (type === 'run' && runId === id ? [`${name} ${event}`] : [])),
    )
  const owned = stack.move()
  return { crew, a, b, toA, toB, start, records, events, [Symbol.asyncDispose]: () => owned.disposeAsync() }
}

const end = async (child: Child, { run_id }: { readonly run_id: string }) =>
  (await adminOf(child, 'DELETE', `/v1/runs/${run_id}`)).status
const open = (child: Child, job: Parameters<typeof connectAs>[1]) => connectAs(child, job, 'open.test')

describe.skipIf(!hasRedis)('two replicas (skipped without redis-server)', () => {
  it('know each run at once, and its end, and which one an agent was bound to', { timeout: 60_000 }, async () => {
    await using on = await stage()
    const { a, b } = on
    for (let i = 0; i < 50; i += 1) {
      const [here, there] = i % 2 ? [a, b] : [b, a]
      const job = await mintAt(here)
      expect(await open(there, job), `${i}`).toBe(200)
      expect(await end(there, job)).toBe(204)
      expect([await open(here, job), await end(here, job)], `${i}`).toEqual([407, 404])
    }
    const both = await Promise.all(Array.from({ length: 40 }, async (_, i) => open(i % 2 ? a : b, await mintAt(i % 2 ? b : a))))
    expect(both).toEqual(Array(40).fill(200))
    expect((await adminOf(a, 'GET', '/v1/runs')).body).toEqual((await adminOf(b, 'GET', '/v1/runs')).body)
    expect((await adminOf(a, 'POST', '/v1/runs/bind', { agent: 'devbot', run_id: 'wake-1' })).status).toBe(200)
    expect(await curlAs(b, on.crew.files, undefined, 'https://open.test/bound')).toBe(200)
    expect(await within(() => on.records('b').some(({ path, runId }) => path === '/bound' && runId === 'wake-1'))).toBeDefined()
  })

  it(
    'cut what a run has open on either, wherever it is revoked, and one of them writes it down',
    { timeout: 60_000 },
    async () => {
      await using on = await stage()
      const { a, b, crew } = on
      const [job, timed] = [await mintAt(a), await mintAt(a, { ttl_seconds: 3 })]
      const stream = (child: Child, of: typeof job) => {
        const { args, env } = curlOf(child, crew.files, of, 'https://open.test/forever')
        return streamCurl(args, env)
      }
      using atA = stream(a, job)
      using atB = stream(b, job)
      using byTime = stream(b, timed)
      for (const each of [atA, atB, byTime]) expect(await each.until('first')).toBe(true)
      expect(await end(a, job)).toBe(204)
      expect([await atA.ended, await atB.ended]).not.toContain(0)
      expect(byTime.running).toBe(true)
      expect(await byTime.ended).not.toBe(0)
      expect([await open(a, timed), await open(b, timed)]).toEqual([407, 407])
      expect(await within(() => on.events(timed.run_id).length === 2)).toBeDefined()
      expect(on.events(job.run_id)).toEqual(['a minted', 'a ended'])
      expect(on.events(timed.run_id).map((each) => each.split(' ')[1])).toEqual(['minted', 'ended'])
    },
  )

  it(
    'whose Redis is killed mint nothing, and lose nothing: neither what lives nor what has ended',
    { timeout: 60_000 },
    async () => {
      await using on = await stage()
      const { a, b, crew } = on
      const [job, ended] = [await mintAt(a), await mintAt(b)]
      await crew.redis.kill()
      const refused = { status: 503, body: { error: { code: 'state_unavailable' } } }
      expect(await adminOf(a, 'POST', '/v1/runs', { agent: 'devbot', ttl_seconds: 60 })).toMatchObject(refused)
      expect([await open(a, job), await open(b, job), await isReady(a)]).toEqual([200, 200, true])
      // Here it is over; there it is not heard of.
      expect(await end(a, ended)).toBe(202)
      expect([await open(a, ended), await open(b, ended)]).toEqual([407, 200])
      expect(await end(a, { run_id: 'never' })).toBe(503)
      await crew.redis.start()
      expect(await within(async () => (await open(b, ended)) === 407)).toBeDefined()
      expect([await open(a, job), await open(b, job)]).toEqual([200, 200])
      expect(await open(b, await mintAt(a))).toBe(200)
      // Whoever begins now learns of it from those who were there.
      const late = await on.start('late')
      expect([await open(late, job), await open(late, ended)]).toEqual([200, 407])
      expect(on.events(ended.run_id).toSorted()).toEqual(['a ended', 'b minted'])
    },
  )

  it(
    'of which one is cut off mint for those who are there; it says that it does not know, and learns',
    { timeout: 60_000 },
    async () => {
      await using on = await stage()
      const { a, b } = on
      const old = await mintAt(a)
      on.toB.turnTo(1)
      const job = await mintAt(a)
      // Inside the tunnel: a CONNECT that is denied is opened, so that the client reads why.
      const inside = (child: Child, each: Job) => curlAs(child, on.crew.files, each, 'https://open.test/')
      expect([await inside(a, job), await inside(b, job), await inside(b, old)]).toEqual([200, 503, 200])
      on.toB.turnTo(on.crew.redis.port)
      expect(await within(async () => (await inside(b, job)) === 200)).toBeDefined()
    },
  )

  it('of which both are killed go on with the runs that Redis has', { timeout: 60_000 }, async () => {
    await using on = await stage()
    const job = await mintAt(on.a)
    for (const child of [on.a, on.b]) {
      child.kill('SIGKILL')
      await child.exited
    }
    const next = await on.start('next')
    expect(await open(next, job)).toBe(200)
    // It waits no longer than it takes to know that they are gone.
    expect(await open(next, await mintAt(next))).toBe(200)
  })
})
