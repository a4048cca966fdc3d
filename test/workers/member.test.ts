import { randomBytes } from 'node:crypto'
import { afterEach, expect, it } from 'vitest'
import type { Address } from '#base/address.ts'
import { imageOfAuthority } from '#ca/authority-replica.ts'
import { newLeafKey } from '#ca/leaf.ts'
import { settingsSchema } from '#config/settings-schema.ts'
import { Member } from '#workers/member.ts'
import type { MainSide, WorkerState } from '#workers/protocol.ts'
import { makeTestAuthority } from '../kit/ca.ts'
import { ManualClock } from '../kit/clock.ts'
import { within } from '../kit/within.ts'

const { upstream, advertise } = settingsSchema.parse({})
const https = { address: '127.0.0.1' as Address, port: 0 }
const listen = { dns: 'off', http: 'off', https, proxy: 'off', metrics: 'off', admin: 'off' } as const
const errand = {
  upstream: { ...upstream, allowPrivate: [] },
  listen,
  advertise,
  extraRoots: [],
  leafKey: newLeafKey(),
  ticketKeys: randomBytes(48),
  workers: 2,
}

/** All that a thread needs to serve, of a policy that lets nobody do anything. */
function world(): WorkerState {
  const { authority, certPem } = makeTestAuthority('Test CA')
  const bytes = Buffer.from('version: 1\nagents: {a: {from: [{cidr: 127.0.0.1}]}}\nrules: []\n')
  return {
    policy: {
      directory: 'policies',
      files: [{ file: 'policies/test.yaml', bytes }],
      vault: { values: [], known: [], health: [] },
    },
    trust: { issuer: imageOfAuthority(authority), ours: certPem },
    runs: { runs: [], bound: [], current: true },
    owners: undefined,
    own: [],
    ports: {},
  }
}

let started: Member[] = []
afterEach(async () => {
  await Promise.all(started.map((member) => member.close()))
  started = []
})

function stage(given: () => WorkerState = world) {
  const clock = new ManualClock()
  const said: string[] = []
  const pulses: string[] = []
  const on = { clock, said, pulses, restarts: 0, stopping: false }
  const member = new Member({
    index: 1,
    errand,
    clock,
    say: (_level, _fields, message) => said.push(message),
    side: () => ({ pulse: () => void pulses.push('pulse') }) as unknown as MainSide,
    world: given,
    changed: () => {},
    restarted: () => (on.restarts += 1),
    stopping: () => on.stopping,
  })
  started.push(member)
  return Object.assign(on, { member })
}

it('a thread that never served is told of to whoever wanted it, and is not started again', async () => {
  const on = stage(() => ({}) as WorkerState)
  await expect(on.member.start()).rejects.toThrow()
  expect(on.member.up).toBe(false)
  await on.member.close()
  expect(await within(() => on.member.line === undefined)).toBeDefined()
  on.clock.advance(60_000)
  expect([on.restarts, on.said.filter((each) => each.includes('started again'))]).toEqual([0, []])
})

it('a thread that serves gives signs of life, and one that gives none for thirty looks is ended and started again', async () => {
  const on = stage()
  const { https: port = 0 } = await on.member.start()
  expect(port).toBeGreaterThan(0)
  expect([on.member.up, await within(() => on.pulses.length > 0)]).toEqual([true, expect.any(Number)])
  for (let look = 0; look < 29; look += 1) on.member.look()
  on.member.heard()
  for (let look = 0; look < 29; look += 1) on.member.look()
  expect(on.said).toEqual([])
  on.member.look()
  expect(on.said).toEqual(['a worker gives no sign of life and is ended'])
  expect(await within(() => !on.member.up)).toBeDefined()
  on.clock.advance(100)
  expect(await within(() => on.member.up)).toBeDefined()
  expect([on.restarts, on.said.at(-1)]).toEqual([1, 'the worker serves again'])
})

it('a place whose thread keeps ending is filled after longer and longer pauses', async () => {
  let good = true
  const on = stage(() => (good ? world() : ({} as WorkerState)))
  await on.member.start()
  good = false
  for (let look = 0; look < 30; look += 1) on.member.look()
  const ends = () => on.said.filter((each) => each.includes('started again')).length
  for (const [times, pause] of [100, 200].entries()) {
    expect(await within(() => ends() === times + 1)).toBeDefined()
    on.clock.advance(pause - 1)
    expect(on.restarts).toBe(times)
    on.clock.advance(1)
    expect(on.restarts).toBe(times + 1)
  }
})

it('a thread that is stopped ends once nothing runs, and is not started again', async () => {
  const on = stage()
  await on.member.start()
  on.stopping = true
  await on.member.stop(1_000)
  expect([on.member.line, on.member.up]).toEqual([undefined, false])
  on.clock.advance(60_000)
  expect([on.restarts, on.said]).toEqual([0, []])
})
