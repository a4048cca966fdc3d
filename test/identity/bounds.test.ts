/** How old knowledge of pods may be: played back from tapes, on a clock of the test. */
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { Cluster } from '#identity/cluster.ts'
import { OwnersReplica } from '#identity/owners-replica.ts'
import { identifyAddress } from '#journey/identify.ts'
import type { Owner } from '#contracts/owners.ts'
import { addressOf } from '../journey/parts.ts'
import { ManualClock } from '../kit/clock.ts'
import { podObject, type PodSpec } from '../kit/kube.ts'
import { snapshotOf } from '../kit/policy.ts'
import { pass, playTape, settle, type ListTake, type Tape, type WatchTake } from '../kit/tape.ts'

const policy = `
agents:
  a: {from: [{pod: {namespace: one, labels: {agent: a}}}]}
  b: {from: [{pod: {namespace: one, labels: {agent: b}}}, {pod: {namespace: two, labels: {agent: b}}}]}
`
const ip = '10.0.0.1'

let version = 100
const made = (spec: PodSpec): unknown => podObject(spec, (version += 1))
const list = (...pods: readonly PodSpec[]): ListTake => ({
  items: pods.map(made),
  metadata: { resourceVersion: String((version += 1)) },
})
const event = (type: string, spec: PodSpec): unknown => ({ type, object: made(spec) })
const bookmark = (): unknown => ({ type: 'BOOKMARK', object: { metadata: { resourceVersion: String((version += 1)) } } })
const tooOld = { type: 'ERROR', object: { kind: 'Status', code: 410 } }
const silence: WatchTake = { events: [] }
/** A watch that is alive: a bookmark every minute. */
const alive = (...events: readonly (readonly [number, unknown])[]): WatchTake => ({
  events: [...events, ...Array.from({ length: 60 }, (_, minute) => [(minute + 1) * 60_000, bookmark()] as const)].toSorted(
    ([one], [other]) => one - other,
  ),
})
const a: PodSpec = { uid: 'a', namespace: 'one', labels: { agent: 'a' }, ip }
const b: PodSpec = { uid: 'b', namespace: 'one', labels: { agent: 'b' }, ip }
const elsewhere: PodSpec = { ...b, namespace: 'two' }

interface Stage extends AsyncDisposable {
  readonly clock: ManualClock
  readonly tape: Tape
  readonly cluster: Cluster
  readonly failures: string[]
  /** The agent at an address, or the code of the refusal, as this thread and as a worker's copy see it. */
  who(address?: string): readonly [string, string]
  calls(namespace: string): readonly string[]
}

async function stage(prepare: (tape: Tape) => void, text = policy): Promise<Stage> {
  const clock = new ManualClock()
  const tape = playTape(clock)
  tape.put('two', { lists: [list()], watches: [alive()] })
  prepare(tape)
  const failures: string[] = []
  const copy = new OwnersReplica()
  const cluster = new Cluster({
    api: tape,
    clock,
    random: () => 1,
    say: (_, { wait }: { wait?: number }, message) => failures.push(`${wait ?? '-'} ${message}`),
    left: () => {},
    moved: (address, owner: Owner) => copy.move(address, owner),
    synced: () => copy.wait(cluster.pending),
  })
  const snapshot = await snapshotOf(text)
  cluster.follow(snapshot.policy)
  await settle()
  copy.take(cluster.image())
  return {
    clock,
    tape,
    cluster,
    failures,
    who: (address = ip) => {
      const [one, other] = [cluster, copy].map((owners) => {
        const identity = identifyAddress(snapshot, addressOf(address), owners)
        return identity.kind === 'deny' ? identity.code : identity.agent.id
      })
      return [one ?? '', other ?? '']
    },
    calls: (namespace) =>
      tape.asked.filter((each) => each.namespace === namespace).map(({ at, call }) => `${call} at ${Math.round(at / 1000)} s`),
    [Symbol.asyncDispose]: () => cluster.close(),
  }
}

test('a watch that goes silent is dead after 75 s, and the list that follows gives the address to its new pod', async () => {
  await using it = await stage((tape) => tape.put('one', { lists: [list(a), list(b)], watches: [silence, alive()] }))
  expect(it.who()).toEqual(['a', 'a'])
  await pass(it.clock, 74)
  expect(it.calls('one')).toEqual(['list at 0 s', 'watch at 0 s'])
  await pass(it.clock, 2)
  expect(it.calls('one')).toEqual(['list at 0 s', 'watch at 0 s', 'list at 75 s', 'watch at 75 s'])
  expect(it.who()).toEqual(['b', 'b'])
  expect(it.failures.join()).toContain('nothing on the watch for 75 s')
  expect(it.cluster.gauges().failures).toEqual({ silent: 1 })
})

test('knowledge older than 90 s is nobody’s: 503 agent_pending on every thread, and another namespace goes on', async () => {
  await using it = await stage((tape) => {
    tape.put('one', { lists: [list(a), { status: 503 }] })
    tape.put('two', { lists: [list({ ...elsewhere, ip: '10.0.0.2' })], watches: [alive()] })
  })
  await pass(it.clock, 90)
  expect(it.who()).toEqual(['a', 'a'])
  await pass(it.clock, 1)
  expect(it.who()).toEqual(['agent_pending', 'agent_pending'])
  expect(it.who('10.0.0.2')).toEqual(['b', 'b'])
  // An address that nobody has may be that of a pod we have not heard of.
  expect(it.who('10.0.0.9')).toEqual(['agent_pending', 'agent_pending'])
  expect(it.cluster.gauges().ready).toEqual({ one: 0, two: 1 })
  expect(it.cluster.ready).toBe(true)
  expect(it.failures.join()).toContain('has not spoken of the pods of namespace one for 90 s')
  it.tape.put('one', { lists: [list(a)], watches: [alive()] })
  await pass(it.clock, 31)
  expect(it.who()).toEqual(['a', 'a'])
  expect(it.who('10.0.0.9')).toEqual(['agent_unknown', 'agent_unknown'])
  expect(it.cluster.gauges().ready).toEqual({ one: 1, two: 1 })
})

test('an agent whose range has a doubtful address does not get it', async () => {
  await using it = await stage(
    (tape) => tape.put('one', { lists: [list(a), { status: 503 }] }),
    `${policy}  ranged: {from: [{cidr: 10.0.0.0/24}]}\n`,
  )
  expect(it.who()).toEqual(['agent_ambiguous', 'agent_ambiguous'])
  await pass(it.clock, 91)
  expect(it.who()).toEqual(['agent_pending', 'agent_pending'])
  expect(it.who('10.0.0.7')).toEqual(['ranged', 'ranged'])
})

test('a watch that opens again and again without a word proves nothing', async () => {
  await using it = await stage((tape) =>
    tape.put('one', { lists: [list(a), { status: 500 }], watches: [{ events: [], end: [20_000, 'ended'] }] }),
  )
  await pass(it.clock, 91)
  expect(it.who()).toEqual(['agent_pending', 'agent_pending'])
})

test('an address that a pod of another namespace claims is pending until the first one’s namespace has spoken', async () => {
  await using it = await stage((tape) => {
    tape.put('one', { lists: [list(a)], watches: [alive([70_000, event('MODIFIED', { ...a, ip: '10.0.0.3' })])] })
    tape.put('two', { lists: [list()], watches: [alive([10_000, event('ADDED', elsewhere)])] })
  })
  await pass(it.clock, 9)
  expect(it.who()).toEqual(['a', 'a'])
  await pass(it.clock, 2)
  expect(it.who()).toEqual(['agent_pending', 'agent_pending'])
  await pass(it.clock, 48)
  expect(it.who()).toEqual(['agent_pending', 'agent_pending'])
  // A bookmark: the first pod has it too, says the API.
  await pass(it.clock, 2)
  expect(it.who()).toEqual(['agent_ambiguous', 'agent_ambiguous'])
  await pass(it.clock, 10)
  expect(it.who()).toEqual(['b', 'b'])
  expect(it.who('10.0.0.3')).toEqual(['a', 'a'])
})

test('an address that was handed on and given back is not its old agent’s again by silence', async () => {
  await using it = await stage((tape) => {
    tape.put('one', { lists: [list(a), { status: 503 }] })
    tape.put('two', {
      lists: [list()],
      watches: [alive([10_000, event('ADDED', elsewhere)], [20_000, event('DELETED', elsewhere)])],
    })
  })
  await pass(it.clock, 25)
  expect(it.who()).toEqual(['agent_pending', 'agent_pending'])
})

test('410 after other failures lists again at once', async () => {
  await using it = await stage((tape) => {
    const failures = Array.from({ length: 8 }, () => ({ status: 500 }))
    const cut: WatchTake = { events: [[1000, bookmark()]], end: [2000, 'cut'] }
    tape.put('one', { lists: [list(a), list(b)], watches: [cut, ...failures, { events: [[0, tooOld]] }, alive()] })
  })
  await pass(it.clock, 70)
  const [forgotten, again] = it.calls('one').slice(-3)
  expect(again).toBe(forgotten?.replace('watch', 'list'))
  expect(it.who()).toEqual(['b', 'b'])
  expect(it.cluster.gauges().failures).toEqual({ unreachable: 1, '500': 8, '410': 1 })
})

test('410 after 410 is asked ever more slowly', async () => {
  await using it = await stage((tape) => tape.put('one', { lists: [{ status: 410 }] }))
  await pass(it.clock, 60)
  expect(it.calls('one').length).toBeLessThan(12)
})

test.each<[string, WatchTake]>([
  ['with an event each time', { events: [[5000, event('MODIFIED', a)]], end: [35_000, 'cut'] }],
  ['with nothing on them', { events: [], end: [35_000, 'cut'] }],
])('watches that something on the way cuts after 35 s, %s, leave the proxy blind for no second', async (_, cut) => {
  await using it = await stage((tape) => tape.put('one', { lists: [list(a)], watches: [cut] }))
  for (let second = 0; second < 240; second += 1) {
    await pass(it.clock, 1)
    expect(it.who(), `after ${second} s`).toEqual(['a', 'a'])
  }
  expect(it.failures.filter((each) => !each.startsWith('0 '))).toEqual([])
})

test('a watch that is cut as soon as it has delivered is opened once a second, and no oftener', async () => {
  await using it = await stage((tape) =>
    tape.put('one', { lists: [list(a)], watches: [{ events: [[0, event('MODIFIED', a)]], end: [10, 'cut'] }] }),
  )
  await pass(it.clock, 30)
  expect(it.calls('one').length).toBeGreaterThan(14)
  expect(it.calls('one').length).toBeLessThan(34)
})

test('a namespace without its Role does not hold back the others, and gets its agents when the Role comes', async () => {
  await using it = await stage((tape) => {
    tape.put('one', { lists: [{ status: 403 }] })
    tape.put('two', { lists: [list({ ...elsewhere, ip: '10.0.0.2' })], watches: [alive()] })
  })
  await pass(it.clock, 1)
  expect(it.cluster.ready).toBe(true)
  expect(it.who('10.0.0.2')).toEqual(['b', 'b'])
  expect(it.who()).toEqual(['agent_pending', 'agent_pending'])
  expect(it.cluster.gauges()).toMatchObject({ ready: { one: 0, two: 1 }, lastSync: { one: 0 } })
  it.tape.put('one', { lists: [list(a)], watches: [alive()] })
  await pass(it.clock, 31)
  expect(it.who()).toEqual(['a', 'a'])
})

test('a namespace that cannot be listed for another reason holds readiness for 90 s', async () => {
  await using it = await stage((tape) => tape.put('one', { lists: [{ status: 500 }] }))
  await pass(it.clock, 90)
  expect(it.cluster.ready).toBe(false)
  await pass(it.clock, 1)
  expect(it.cluster.ready).toBe(true)
})

test('a proxy that knows no pod at all is not ready, unless some agent needs no pod', async () => {
  const refused = (tape: Tape): void => ['one', 'two'].forEach((each) => tape.put(each, { lists: [{ status: 403 }] }))
  await using blind = await stage(refused)
  await using ranged = await stage(refused, `${policy}  ranged: {from: [{cidr: 10.0.9.0/24}]}\n`)
  await pass(blind.clock, 100)
  expect([blind.cluster.ready, ranged.cluster.ready]).toEqual([false, true])
})

describe('what a real API server (1.36) said while an address went from one pod to another', async () => {
  type Line =
    | { readonly list: ListTake }
    | { readonly after: number; readonly event: unknown }
    | { readonly ended: number }
    | { readonly forgotten: number; readonly event: unknown }
  const text = await readFile(join(import.meta.dirname, '../fixtures/watches/hand-over.jsonl'), 'utf8')
  const lines = text
    .trim()
    .split('\n')
    .map((each) => JSON.parse(each) as Line)
  const listed = lines.flatMap((each) => ('list' in each ? [each.list] : []))
  const events = lines.flatMap((each) => ('after' in each ? [[each.after, each.event] as const] : []))
  const [ended = 0] = lines.flatMap((each) => ('ended' in each ? [each.ended] : []))
  const [forgotten] = lines.flatMap((each) => ('forgotten' in each ? [each.event] : []))
  const crew = policy.replaceAll('namespace: one', 'namespace: recorded')
  const handOver: WatchTake = { events, end: [ended, 'ended'] }

  test('it is the first pod’s until that is gone, nobody’s until the second has it, and the second’s from then on', async () => {
    await using it = await stage(
      (tape) => tape.put('recorded', { lists: listed, watches: [handOver, { events: [[60_000, bookmark()]] }] }),
      crew,
    )
    const seen: string[] = []
    for (let second = 0; second <= 120; second += 1) {
      const [who] = it.who()
      if (seen.at(-1)?.split(' ').at(-1) !== who) seen.push(`${second} s ${who}`)
      await pass(it.clock, 1)
    }
    expect(seen).toEqual(['0 s a', '6 s agent_unknown', '9 s b'])
    expect(it.failures).toEqual([])
  })

  test('a watch that goes silent in the middle is dead 75 s after its last word', async () => {
    const cut: WatchTake = { events: events.slice(0, 1) }
    await using it = await stage(
      (tape) => tape.put('recorded', { lists: [...listed, list({ ...b, namespace: 'recorded' })], watches: [cut, silence] }),
      crew,
    )
    await pass(it.clock, 80)
    expect(it.who()).toEqual(['a', 'a'])
    await pass(it.clock, 2)
    expect(it.who()).toEqual(['b', 'b'])
  })

  test('its 410 is followed by a list at once', async () => {
    const tooOldThere: WatchTake = { events: [[0, forgotten]], end: [0, 'ended'] }
    await using it = await stage(
      (tape) => tape.put('recorded', { lists: listed, watches: [handOver, tooOldThere, handOver] }),
      crew,
    )
    await pass(it.clock, Math.ceil(ended / 1000) + 1)
    const [watched, again] = it.calls('recorded').slice(-3)
    expect(again).toBe(watched?.replace('watch', 'list'))
  })
})
