import { spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { expect, it } from 'vitest'
import { freePorts } from '../../kit/child.ts'
import { hasRedis, startRedis } from '../../kit/redis.ts'
import type { RedisServer } from '../../kit/redis.ts'
import { within } from '../../kit/within.ts'
import { pairOf, shown } from '../pairs.ts'
import { makeReplicas } from './parts.ts'

const account = { budget: 'day', holder: 'devbot', window: Math.floor(Date.now() / 86_400_000) * 86_400_000 }
const hasCli = spawnSync('redis-cli', ['--version']).status === 0
type Replicas = Awaited<ReturnType<typeof makeReplicas>>

/** Two replicas, a login and spend, over whatever stands behind the URL; `fail` takes a server away in the middle of it. */
async function drill(crew: Replicas, fail: () => Promise<void>): Promise<{ readonly outage: number }> {
  const [one, other] = [crew.grants('one'), crew.grants('other')]
  const [ledger, second] = [crew.ledger('one'), crew.ledger('other')]
  try {
    expect(
      await within(
        () =>
          one.login('claude', pairOf(1), 1).then(
            () => true,
            () => false,
          ),
        20_000,
      ),
    ).toBeDefined()
    const generation = (await one.read('claude'))?.generation ?? 0
    await ledger.settle('a', [account], [{ tokens: 10, nano: 0 }])
    await second.settle('b', [account], [{ tokens: 20, nano: 0 }])
    expect(await one.begin('claude', generation, 2)).toBe(true)
    await fail()
    const began = performance.now()
    // The call was made: its answer must be kept, whichever server keeps it.
    const written = await within(
      () =>
        one.commit('claude', generation, pairOf(2), 3).then(
          () => true,
          () => false,
        ),
      40_000,
    )
    expect(written).toBeDefined()
    const outage = performance.now() - began
    const seen = await within(
      async () => (await other.read('claude').catch(() => undefined))?.generation === generation + 1,
      20_000,
    )
    expect(seen).toBeDefined()
    expect(shown((await other.read('claude'))?.pair)).toEqual(shown(pairOf(2)))
    // Of two that refresh now, one does.
    const began2 = await Promise.all([one.begin('claude', generation + 1, 4), other.begin('claude', generation + 1, 5)])
    expect(began2.filter(Boolean)).toHaveLength(1)
    await ledger.settle('c', [account], [{ tokens: 40, nano: 0 }])
    const spent = async () => (await second.balances([account]).catch(() => []))[0]?.spent.tokens
    expect(await within(async () => (await spent()) === 70, 20_000)).toBeDefined()
    return { outage }
  } finally {
    for (const each of [one, other, ledger, second]) await each.close()
  }
}

it.skipIf(!hasRedis)(
  'over a Sentinel whose master dies, no login and no spend is lost (skipped without redis-server)',
  { timeout: 120_000 },
  async () => {
    await using stack = new AsyncDisposableStack()
    const master = stack.use(await startRedis(['--appendonly', 'yes']))
    const replica = stack.use(await startRedis(['--replicaof', '127.0.0.1', String(master.port)]))
    await within(async () => (await replica.admin.info('replication')).includes('master_link_status:up'), 20_000)
    const [port = 0] = await freePorts(1)
    const file = join(master.folder, 'sentinel.conf')
    writeFileSync(
      file,
      `port ${port}
bind 127.0.0.1
dir ${master.folder}
sentinel monitor crew 127.0.0.1 ${master.port} 1
sentinel down-after-milliseconds crew 1000
sentinel failover-timeout crew 5000
`,
    )
    const sentinel = spawn('redis-server', [file, '--sentinel'], { stdio: 'ignore' })
    stack.defer(async () => {
      sentinel.kill('SIGKILL')
      if (sentinel.exitCode === null && sentinel.signalCode === null) await once(sentinel, 'exit')
    })
    await sleep(1_500)
    const crew = stack.use(await makeReplicas(`redis+sentinel://127.0.0.1:${port}/crew/0`))
    const { outage } = await drill(crew, () => master.kill())
    process.stdout.write(`Sentinel failover: kept after ${Math.round(outage)} ms, 0 logins lost, spend exact\n`)
    expect(await replica.admin.info('replication')).toContain('role:master')
  },
)

it.skipIf(!hasRedis || !hasCli)(
  'over a cluster of three nodes and three replicas that loses a node, none is lost (skipped without redis-server)',
  { timeout: 180_000 },
  async () => {
    await using stack = new AsyncDisposableStack()
    const nodes: RedisServer[] = []
    // The usual port of the bus, 10,000 above, is none where the system gives high ports.
    for (const bus of await freePorts(6))
      nodes.push(
        stack.use(
          await startRedis(['--cluster-enabled', 'yes', '--cluster-port', String(bus), '--cluster-node-timeout', '1000']),
        ),
      )
    const addresses = nodes.map((node) => `127.0.0.1:${node.port}`)
    const made = spawnSync('redis-cli', ['--cluster', 'create', ...addresses, '--cluster-replicas', '1', '--cluster-yes'], {
      timeout: 60_000,
    })
    expect(made.status, String(made.stdout) + String(made.stderr)).toBe(0)
    const first = nodes[0]
    await within(async () => (await first?.admin.cluster('INFO'))?.includes('cluster_state:ok') ?? false, 30_000)
    const crew = stack.use(await makeReplicas(`redis+cluster://${addresses.join(',')}`))
    const { outage } = await drill(crew, async () => {
      const slot = await first?.admin.cluster('KEYSLOT', `{${crew.prefix}}:meta`)
      const slots = (await first?.admin.cluster('SLOTS')) ?? []
      const owner = slots.find(([from, to]) => from <= Number(slot) && Number(slot) <= to)
      await nodes.find((node) => node.port === owner?.[2]?.[1])?.kill()
    })
    process.stdout.write(
      `cluster of 3 + 3, the owner of our slot killed: kept after ${Math.round(outage)} ms, 0 logins lost, spend exact\n`,
    )
  },
)
