import { mkdtemp, rm, unlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { parseHost, type Host } from '#base/host.ts'
import { writeAuthority } from '#ca/files.ts'
import { openCa, type LiveCa } from '#ca/live.ts'
import { activate, stage } from '#ca/rotate.ts'
import { ManualClock } from '../kit/clock.ts'
import { shallowAuthority } from './chains.ts'

const day = 86_400_000
const host = parseHost('good.test') as Host
let folder: string
let files: { cert: string; key: string }
let said: string[]

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'ca-'))
  files = { cert: join(folder, 'ca.crt'), key: join(folder, 'ca.key') }
  said = []
})
afterEach(() => rm(folder, { recursive: true }))

function opened(clock: ManualClock): Promise<LiveCa> {
  return openCa(files, {
    clock,
    uid: process.getuid?.(),
    onMint: () => {},
    say: (level, _, message) => said.push(`${level} ${message}`),
  })
}

test('leaves are signed by an intermediate, which gives way to the next a third of its life before its end', async () => {
  const clock = new ManualClock(Date.now())
  const ca = await opened(clock)
  const { issuer } = ca
  expect(issuer.isRoot).toBe(false)
  expect(ca.expiry()['issuing']).toBe(issuer.notAfter)
  clock.advance(19 * day)
  expect(ca.issuer).toBe(issuer)
  clock.advance(2 * day)
  expect(ca.issuer).not.toBe(issuer)
  expect(ca.issuer.notAfter - clock.now()).toBeGreaterThan(29 * day)
  // Whoever stays up for years is never without one.
  for (let month = 0; month < 24; month += 1) {
    clock.advance(30 * day)
    expect(ca.issuer.notAfter).toBeGreaterThan(clock.now() + day)
    ca.leaves.contextFor(host)
  }
})

test('an intermediate does not outlive its root, and is not made anew on every look when that is near', async () => {
  const clock = new ManualClock(Date.now())
  const ca = await opened(clock)
  clock.set(ca.trust.active.notAfter - day)
  const { issuer } = ca
  expect(issuer.notAfter).toBe(ca.trust.active.notAfter)
  expect(ca.issuer).toBe(issuer)
})

test('the files of a single CA sign leaves themselves', async () => {
  await writeAuthority(shallowAuthority(Date.now()), { certPath: files.cert, keyPath: files.key })
  const ca = await opened(new ManualClock(Date.now()))
  expect(ca.issuer).toBe(ca.trust.active)
  expect(ca.leaves.contextFor(host)).toBeDefined()
})

test('a new root is taken up with a reload, and leaves of the old one are forgotten', async () => {
  const ca = await opened(new ManualClock(Date.now()))
  const paths = { certPath: files.cert, keyPath: files.key, now: Date.now() }
  const { issuer } = ca
  const context = ca.leaves.contextFor(host)
  await ca.reload()
  expect(ca.leaves.contextFor(host)).toBe(context)
  await stage(paths, { commonName: 'Next', days: 30 })
  await ca.reload()
  expect(ca.bundle('ours').match(/BEGIN/g)).toHaveLength(2)
  await activate(paths, false)
  await ca.reload()
  expect(ca.issuer).not.toBe(issuer)
  expect(ca.leaves.contextFor(host)).not.toBe(context)
  expect(Object.keys(ca.expiry())).toEqual(['root', 'issuing', 'old'])
  expect(said).toEqual(['info made a new CA', 'info CA reloaded', 'info CA reloaded'])
})

test.each<[string, () => Promise<void>]>([
  ['is gone', () => unlink(files.key)],
  ['cannot be read', () => writeFile(files.cert, 'nonsense')],
])('a CA that %s changes nothing, and is said', async (_, spoil) => {
  const ca = await opened(new ManualClock(Date.now()))
  const { trust } = ca
  await spoil()
  await ca.reload()
  expect(ca.trust).toBe(trust)
  expect(said.at(-1)).toMatch(/^error .*the CA in force stays$/)
})

test('it is remembered which bundle each agent fetched last', async () => {
  const clock = new ManualClock(Date.now())
  const ca = await opened(clock)
  const before = ca.trust.bundle
  ca.bundle(undefined, 'a')
  ca.bundle('ours', 'b')
  await stage({ certPath: files.cert, keyPath: files.key, now: Date.now() }, { commonName: 'Next', days: 30 })
  await ca.reload()
  ca.bundle(undefined, 'a')
  expect(ca.fetches.map(({ agent, bundle }) => [agent, bundle])).toEqual([
    ['a', ca.trust.bundle],
    ['b', before],
  ])
  expect(ca.trust.bundle).not.toBe(before)
})
