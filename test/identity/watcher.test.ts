import { randomBytes } from 'node:crypto'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { PodApi } from '#identity/api.ts'
import { PodIndex } from '#identity/pod-index.ts'
import { Watcher } from '#identity/watcher.ts'
import { systemClock } from '#observe/system-clock.ts'
import { addressOf } from '../journey/parts.ts'
import { startFakeKube, type FakeKube } from '../kit/kube.ts'
import { within } from '../kit/within.ts'

interface Stage extends AsyncDisposable {
  readonly kube: FakeKube
  readonly failures: string[]
  readonly watcher: Watcher
  readonly tokenFile: string
  owner(address: string): string
  settles(address: string, owner: string): Promise<boolean>
  /** Lists and watches asked for so far. */
  calls(): { readonly lists: number; readonly watches: number }
}

async function stage(prepare: (kube: FakeKube) => void = () => {}): Promise<Stage> {
  await using stack = new AsyncDisposableStack()
  const token = randomBytes(16).toString('hex')
  const kube = stack.use(await startFakeKube(token))
  prepare(kube)
  const folder = await mkdtemp(join(tmpdir(), 'kube-'))
  stack.defer(() => rm(folder, { recursive: true }))
  const [tokenFile, ca] = [join(folder, 'token'), join(folder, 'ca.crt')]
  await writeFile(tokenFile, `${token}\n`)
  await writeFile(ca, kube.ca)
  const failures: string[] = []
  const index = new PodIndex(() => {})
  const api = new PodApi({ server: new URL(kube.server), token: tokenFile, ca })
  const watcher = new Watcher({
    namespace: 'agents',
    api,
    index,
    clock: systemClock,
    random: () => 0,
    failed: ({ status, message }) => failures.push(`${status} ${message}`),
  })
  stack.defer(async () => {
    await watcher.close()
    api.close()
  })
  const owner = (address: string): string => {
    const found = index.at(addressOf(address))
    return found.kind === 'pod' ? found.pod.uid : found.kind
  }
  const owned = stack.move()
  return {
    kube,
    failures,
    watcher,
    tokenFile,
    owner,
    settles: async (address, expected) => (await within(() => owner(address) === expected)) !== undefined,
    calls: () => {
      const watches = kube.asked.filter((path) => path.includes('watch=1')).length
      return { watches, lists: kube.asked.length - watches }
    },
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  }
}

const ip = '10.0.0.1'

test('lists all pages, then follows each event', async () => {
  await using it = await stage((kube) => {
    kube.page = 2
    for (const i of [1, 2, 3, 4, 5]) kube.put({ uid: `p${i}`, ip: `10.0.0.${i}` })
  })
  expect(await it.settles('10.0.0.5', 'p5')).toBe(true)
  expect(it.watcher.synced).toBe(true)
  expect(it.calls().lists).toBe(3)
  await within(() => it.kube.watches === 1)
  it.kube.remove('p1')
  it.kube.put({ uid: 'x', namespace: 'other', ip })
  it.kube.put({ uid: 'n', ip })
  expect(await it.settles(ip, 'n')).toBe(true)
  expect(it.failures).toEqual([])
})

test('goes on from the last version when the API ends the watch, or the connection breaks in the middle of an event', async () => {
  await using it = await stage((kube) => kube.put({ uid: 'a', ip }))
  for (const rudely of [false, true]) {
    await within(() => it.kube.watches === 1)
    it.kube.bookmark()
    it.kube.disconnect(rudely)
    await within(() => it.kube.watches === 0)
    // While nobody watches.
    it.kube.put({ uid: `late-${rudely}`, ip: '10.0.0.9' })
    expect(await it.settles('10.0.0.9', `late-${rudely}`)).toBe(true)
    it.kube.remove(`late-${rudely}`)
    expect(await it.settles('10.0.0.9', 'nobody')).toBe(true)
  }
  expect(it.calls()).toEqual({ lists: 1, watches: 3 })
  expect(it.failures.length).toBe(1)
})

test('goes on from a bookmark, and so is not told that its version is too old', async () => {
  await using it = await stage((kube) => kube.put({ uid: 'a', ip }))
  await within(() => it.kube.watches === 1)
  it.kube.compact()
  it.kube.bookmark()
  it.kube.disconnect()
  await within(() => it.calls().watches === 2 && it.kube.watches === 1)
  it.kube.put({ uid: 'b', ip: '10.0.0.2' })
  expect(await it.settles('10.0.0.2', 'b')).toBe(true)
  expect(it.calls().lists).toBe(1)
})

test('lists anew when its version is forgotten (410), and what went unseen is gone', async () => {
  await using it = await stage((kube) => kube.put({ uid: 'a', ip }))
  await within(() => it.kube.watches === 1)
  it.kube.remove('a', true)
  it.kube.put({ uid: 'b', ip: '10.0.0.2' })
  await it.settles('10.0.0.2', 'b')
  expect(it.owner(ip)).toBe('a')
  it.kube.compact()
  it.kube.disconnect()
  expect(await it.settles(ip, 'nobody')).toBe(true)
  expect(it.owner('10.0.0.2')).toBe('b')
  expect(it.calls().lists).toBe(2)
})

test.each([
  ['403', 'may not be listed', (kube: FakeKube) => void (kube.refuse = 403)],
  ['401', 'does not know our token', (kube: FakeKube) => void (kube.token = 'another')],
  ['503', 'answered 503', (kube: FakeKube) => void (kube.refuse = 503)],
])('keeps what it knows while the API answers %s, says why, and comes back by itself', async (_, words, spoil) => {
  await using it = await stage((kube) => kube.put({ uid: 'a', ip }))
  await within(() => it.kube.watches === 1)
  const { token } = it.kube
  spoil(it.kube)
  it.kube.disconnect()
  expect(await within(() => it.failures.some((each) => each.includes(words)))).toBeDefined()
  expect(it.owner(ip)).toBe('a')
  it.kube.refuse = 0
  it.kube.token = token
  it.kube.remove('a')
  expect(await it.settles(ip, 'nobody')).toBe(true)
  expect(it.failures.join()).not.toContain(token)
})

test('reads its token anew for each call, as kubelet replaces it', async () => {
  await using it = await stage()
  await within(() => it.kube.watches === 1)
  it.kube.token = randomBytes(16).toString('hex')
  await writeFile(it.tokenFile, it.kube.token)
  it.kube.disconnect()
  await within(() => it.kube.watches === 0)
  it.kube.put({ uid: 'a', ip })
  expect(await it.settles(ip, 'a')).toBe(true)
  expect(it.failures).toEqual([])
})

test('a watch that is ended at once is asked again ever more slowly', async () => {
  await using it = await stage()
  const end = setInterval(() => it.kube.disconnect(), 5)
  await within(() => it.calls().watches >= 3)
  const { watches } = it.calls()
  await within(() => false, 600)
  clearInterval(end)
  expect(it.calls().watches - watches).toBeLessThan(6)
})
