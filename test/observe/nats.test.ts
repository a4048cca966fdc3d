import { describe, expect, it } from 'vitest'
import { AuditQueue } from '#observe/audit-queue.ts'
import { natsSink } from '#observe/nats.ts'
import { hasNats, startNats } from '../kit/nats.ts'
import { within } from '../kit/within.ts'

const lineOf = (id: string): string =>
  JSON.stringify({ id, time: '2026-11-21T00:00:00.000Z', type: 'request', event: 'exchange', agent: 'devbot', verdict: 'allow' })

const place = (url: string) => ({ url, subject: 'swarm.events', stream: 'SWARM_EVENTS' })

// Why it may be skipped: this machine has no nats-server.
describe.skipIf(!hasNats)('the sink for NATS', () => {
  it('makes its stream and keeps each line once, however often it is sent', async () => {
    await using nats = await startNats()
    const sink = natsSink(place(nats.url))
    const bytes = Buffer.from(`${lineOf('A1')}\n${lineOf('A2')}\n`)
    expect(await sink.write(bytes)).toBe(bytes.length)
    expect(await sink.write(bytes)).toBe(bytes.length)
    await sink.close()
    const again = natsSink(place(nats.url))
    expect(await again.write(bytes)).toBe(bytes.length)
    await again.close()
    const messages = await nats.messages('SWARM_EVENTS')
    expect(messages.map(({ subject, id }) => [subject, id])).toEqual([
      ['swarm.events.egress_request', 'A1-exchange'],
      ['swarm.events.egress_request', 'A2-exchange'],
    ])
    expect(messages[0]?.body).toMatchObject({ specversion: '1.0', data: { id: 'A1' } })
  })

  it('uses a stream that takes its subjects already', async () => {
    await using nats = await startNats()
    await using stack = new AsyncDisposableStack()
    const { jetstreamManager } = await import('@nats-io/jetstream')
    const connection = await nats.connect()
    stack.defer(() => connection.close())
    await (await jetstreamManager(connection)).streams.add({ name: 'TEAM', subjects: ['swarm.>'] })
    const sink = natsSink(place(nats.url))
    stack.defer(() => sink.close())
    await sink.write(Buffer.from(`${lineOf('A1')}\n`))
    expect(await nats.messages('TEAM')).toHaveLength(1)
    expect(await nats.messages('SWARM_EVENTS')).toEqual([])
  })

  it('goes on where it stopped once NATS is back, and loses and repeats nothing', async () => {
    await using nats = await startNats()
    const results: string[] = []
    const log = new AuditQueue(natsSink(place(nats.url)), { onResult: (result, count) => results.push(`${result} ${count}`) })
    log.put(lineOf('A1'))
    await log.flush()
    await nats.kill()
    log.put(lineOf('A2'))
    expect(await within(() => results.includes('error 1'))).toBeDefined()
    expect([log.healthy, log.depth]).toEqual([false, 1])
    await nats.restart()
    log.put(lineOf('A3'))
    expect(await within(() => log.depth === 0 && log.healthy)).toBeDefined()
    await log.close()
    expect((await nats.messages('SWARM_EVENTS')).map(({ id }) => id)).toEqual(['A1-exchange', 'A2-exchange', 'A3-exchange'])
  })
})

describe('without NATS', () => {
  it('lines queue up to a bound, what is over it is counted, and closing does not wait for what will not come', async () => {
    const lost: number[] = []
    const sink = natsSink(place('nats://127.0.0.1:1'))
    const log = new AuditQueue(sink, {
      queueBytes: 3 * (lineOf('A1').length + 1),
      onResult: (result, count) => void (result === 'dropped' && lost.push(count)),
    })
    for (const id of ['A1', 'A2', 'A3', 'A4', 'A5']) log.put(lineOf(id))
    expect([log.depth, lost]).toEqual([3, [1, 1]])
    await log.close()
    expect(lost).toEqual([1, 1, 3])
  })
})
